package quota

import (
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Over is the error of a source that has sent as much as it may.
type Over struct {
	Source string
	Wait   time.Duration // until there is enough
}

func (e *Over) Error() string {
	return e.Source + " has sent as much as it may; vendors get a token with a quota of their own from the operator"
}

// Charge takes a submission with so many bytes off a source's quota. The error is an
// *Over.
func (s *Sources) Charge(from Source, bytes int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bucket(from)
	if b == nil {
		return nil
	}
	now := s.now()
	// A submission that is larger than the whole burst waits for a full bucket.
	wait := max(b.submissions.wait(now, 1), b.bytes.wait(now, float64(bytes)))
	if wait > 0 {
		return &Over{b.key, wait}
	}
	b.submissions.take(now, 1)
	b.bytes.take(now, float64(bytes))
	return nil
}

// Spend takes bytes off a quota that were not announced.
func (s *Sources) Spend(from Source, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.bucket(from); b != nil {
		b.bytes.take(s.now(), float64(bytes))
	}
}

// Wait implements judgingTime: a source that has used up more than it had waits
// until it is out of debt.
func (s *Sources) Wait(from Source) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.bucket(from); b != nil {
		return b.judging.wait(s.now(), 0)
	}
	return 0
}

// Spent implements judgingTime.
func (s *Sources) Spent(from Source, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.bucket(from); b != nil {
		b.judging.take(s.now(), took.Seconds())
	}
}

// bucket returns the bucket of a source. Where there are too many, the one that
// has not been used for longest is forgotten. It must be called with mu held.
func (s *Sources) bucket(from Source) *bucket {
	if from.Key == "" {
		return nil
	}
	if from.Holder {
		b, ok := s.own[from.Key]
		if !ok {
			b = newBucket(from.Key, s.limits.Holder)
			s.own[from.Key] = b
		}
		return b
	}
	if e, ok := s.others[from.Key]; ok {
		s.recent.MoveToFront(e)
		return e.Value.(*bucket)
	}
	for s.recent.Len() >= s.limits.Sources {
		last := s.recent.Back()
		delete(s.others, last.Value.(*bucket).key)
		s.recent.Remove(last)
	}
	b := newBucket(from.Key, s.limits.Anonymous)
	s.others[from.Key] = s.recent.PushFront(b)
	return b
}

// bucket holds how much a source may still submit.
type bucket struct {
	key                         string
	submissions, bytes, judging tokens
}

func newBucket(key string, q Quota) *bucket {
	return &bucket{
		key:         key,
		submissions: newTokens(q.Submissions, q.SubmissionBurst, 1),
		bytes:       newTokens(q.Bytes, q.ByteBurst, 1),
		judging:     newTokens(q.Judging, q.JudgingBurst, 1e6),
	}
}

// tokens run low as they are taken and come back with time. There can be fewer than
// none: an excess over the burst is waited for afterwards.
type tokens struct {
	limiter *rate.Limiter // nil: there is no limit
	unit    float64       // how many of the limiter's make one, which is whole only there
}

func newTokens(perSecond, burst, unit float64) tokens {
	if perSecond < 0 {
		return tokens{}
	}
	return tokens{rate.NewLimiter(rate.Limit(perSecond*unit), max(1, int(min(burst*unit, math.MaxInt/2)))), unit}
}

// wait returns in how long n can be taken; 0 means now.
func (t tokens) wait(now time.Time, n float64) time.Duration {
	if t.limiter == nil {
		return 0
	}
	missing := min(n*t.unit, float64(t.limiter.Burst())) - t.limiter.TokensAt(now)
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / float64(t.limiter.Limit()) * float64(time.Second))
}

func (t tokens) take(now time.Time, n float64) {
	if t.limiter == nil {
		return
	}
	for left := int(min(n*t.unit, math.MaxInt/2)); left > 0; left -= t.limiter.Burst() {
		t.limiter.ReserveN(now, min(left, t.limiter.Burst()))
	}
}
