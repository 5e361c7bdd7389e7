package budget

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	day = 24 * time.Hour
	// MaxPerDay is the largest number of requests a day that can be declared: a
	// thousand a second.
	MaxPerDay = 1000 * 24 * 60 * 60
	// MaxPerSecond is the largest number of requests a second that can be declared.
	MaxPerSecond = 1000
)

// Rate is how many add-checkpoint requests a log has declared that it sends to each
// of its witnesses. The zero Rate declares nothing and limits nothing.
type Rate struct {
	// PerDay is the most in any 24 hours; 0: that is not limited.
	PerDay int64
	// PerSecond is the most in a second: two requests are at least 1/PerSecond
	// seconds apart. 0: that is not limited.
	PerSecond float64
}

// Check returns what is wrong with a rate.
func (r Rate) Check() error {
	switch {
	case r.PerDay < 0 || r.PerDay > MaxPerDay:
		return fmt.Errorf("%d requests a day: want 1 to %d, or 0 for any number", r.PerDay, MaxPerDay)
	case r.PerSecond != 0 && !(r.PerSecond >= 1.0/(24*60*60) && r.PerSecond <= MaxPerSecond): // also NaN
		return fmt.Errorf("%v requests a second: want one a day (%.7f) to %d, or 0 for any number", r.PerSecond, 1.0/(24*60*60), MaxPerSecond)
	}
	return nil
}

// Declared reports whether anything is limited.
func (r Rate) Declared() bool { return r.PerDay > 0 || r.PerSecond > 0 }

// Daily is the most requests in any 24 hours, which is what lists of logs call qpd;
// 0 if nothing is declared.
func (r Rate) Daily() int64 {
	if r.PerSecond <= 0 {
		return r.PerDay
	}
	bySpace := int64(math.Ceil(r.PerSecond * day.Seconds()))
	if r.PerDay == 0 {
		return bySpace
	}
	return min(r.PerDay, bySpace)
}

// Burst is how many requests can be sent at once, after a time without any: an eighth
// of a day's, but no more than in ten minutes of the long run, or 16 where that is more.
// A witness that counts by the second lets that pass. 0: it is not limited.
func (r Rate) Burst() int64 {
	if r.PerDay == 0 {
		return 0
	}
	return max(min(r.PerDay, 2), min(r.PerDay/8, max(16, r.PerDay/144)))
}

// Every is the time in which one request more may be sent, in the long run. With Burst
// at once no 24 hours have more than PerDay.
func (r Rate) Every() time.Duration {
	if r.PerDay == 0 {
		return 0
	}
	return day/time.Duration(r.PerDay-r.Burst()+1) + time.Millisecond
}

// Reserve is how many requests are kept for new checkpoints.
func (r Rate) Reserve() int64 { return max(1, r.Burst()/2) }

// space is the least time between two requests.
func (r Rate) space() time.Duration {
	if r.PerSecond <= 0 {
		return 0
	}
	return time.Duration(math.Ceil(float64(time.Second) / r.PerSecond))
}

func (r Rate) String() string {
	var parts []string
	if r.PerDay > 0 {
		parts = append(parts, fmt.Sprintf("%d requests a day", r.PerDay))
	}
	if r.PerSecond > 0 {
		parts = append(parts, strconv.FormatFloat(r.PerSecond, 'g', 6, 64)+" requests a second")
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, " and ")
}

// Kind is why a request is sent.
type Kind int

const (
	// Growth is for a checkpoint that the witness was not asked for yet, or from
	// another size after its answer. All of the budget is for it.
	Growth Kind = iota
	// Retry is for a checkpoint again that the witness did not cosign. It leaves the
	// reserve, if there is more.
	Retry
	// Refresh is for a checkpoint again whose cosignatures have become old. It leaves
	// the reserve, and half of what comes in.
	Refresh
)

// State is what is known of the requests to one witness. The zero State knows nothing.
type State struct {
	// Full is when as many requests as Burst may be sent at once, if none is sent
	// before.
	Full time.Time `json:"full"`
	// Last is when the last request was sent, Refreshed when the last one of kind
	// Refresh was.
	Last      time.Time `json:"last"`
	Refreshed time.Time `json:"refreshed,omitzero"`
	// Used has the numbers of requests by the ten minutes, since 1970, in which they
	// were sent.
	Used map[int64]int64 `json:"used"`
}

// slot is the time for which requests are counted together.
const slot = 10 * time.Minute

func slotOf(t time.Time) int64 { return t.Unix() / int64(slot/time.Second) }

// In24h is how many requests were sent in the last 24 hours, to ten minutes, and never
// more than in these 24 hours.
func (s State) In24h(now time.Time) int64 {
	var n int64
	for at, sent := range s.Used {
		if inDay(at, now) {
			n += sent
		}
	}
	return n
}

// inDay reports whether a slot has begun in the last 24 hours.
func inDay(at int64, now time.Time) bool {
	return at > slotOf(now.Add(-day)) && at <= slotOf(now)
}

// Wait is how long it takes until a request of a kind may be sent, if none is sent
// before; 0: it may be sent now. It is never if no state lets it.
func (s State) Wait(r Rate, k Kind, now time.Time) time.Duration {
	wait := s.bySpace(r, k, now)
	if r.PerDay == 0 {
		return wait
	}
	every, burst := r.Every(), r.Burst()
	keep := int64(0)
	switch k {
	case Retry:
		keep = min(r.Reserve(), burst-1)
	case Refresh:
		if keep = r.Reserve(); keep >= burst {
			return never
		}
		wait = max(wait, within(s.Refreshed.Add(2*every).Sub(now), 2*every))
	}
	wait = max(wait, s.debt(r, now)+time.Duration(1+keep-burst)*every)
	return max(wait, s.byDay(r, now))
}

// never is longer than anybody waits.
const never = 365 * day

// bySpace is the wait for the distance between two requests. Refreshes have twice as much.
func (s State) bySpace(r Rate, k Kind, now time.Time) time.Duration {
	space := r.space()
	if k == Refresh {
		space *= 2
	}
	return within(s.Last.Add(space).Sub(now), space)
}

// debt is the time until the state is full.
func (s State) debt(r Rate, now time.Time) time.Duration {
	return within(s.Full.Sub(now), time.Duration(r.Burst())*r.Every())
}

// byDay is the wait where the count of the day is used up, as after a smaller rate was
// declared.
func (s State) byDay(r Rate, now time.Time) time.Duration {
	if s.In24h(now) < r.PerDay {
		return 0
	}
	oldest := int64(math.MaxInt64)
	for at := range s.Used {
		if inDay(at, now) {
			oldest = min(oldest, at)
		}
	}
	return within(time.Unix((oldest+1)*int64(slot/time.Second), 0).Add(day).Sub(now), day)
}

// within keeps a wait between 0 and its longest: a clock that was set back does not
// make it longer.
func within(wait, longest time.Duration) time.Duration { return min(max(wait, 0), longest) }

// maxAhead is how far a state may be ahead of the clock here: those who share one have
// clocks of their own.
const maxAhead = time.Minute

// mend reports whether a state was made by a clock that was ahead of that of now, and moves
// it back: what was sent was sent before, at the same distances. Otherwise its waits would
// begin anew at each look until the clock is there again.
func (s *State) mend(r Rate, now time.Time) bool {
	mended := false
	latest := s.Last
	if s.Refreshed.After(latest) {
		latest = s.Refreshed
	}
	if by := latest.Sub(now); by > maxAhead {
		mended = true
		for _, t := range []*time.Time{&s.Last, &s.Refreshed, &s.Full} {
			if long := now.Add(-7 * day); !t.IsZero() { // a time that can still be kept
				if *t = t.Add(-by); t.Before(long) {
					*t = long
				}
			}
		}
		used, slots := map[int64]int64{}, slotOf(latest)-slotOf(now)
		for at, n := range s.Used {
			used[at-slots] = n
		}
		s.Used = used
	}
	if most := now.Add(time.Duration(r.Burst()) * r.Every()); s.Full.After(most.Add(maxAhead)) {
		mended, s.Full = true, most
	}
	return mended
}

// take counts a request that is sent now.
func (s *State) take(r Rate, k Kind, now time.Time) {
	if r.PerDay > 0 {
		s.Full = now.Add(s.debt(r, now) + r.Every())
	}
	if s.Last = now; k == Refresh {
		s.Refreshed = now
	}
	used := map[int64]int64{}
	for at, n := range s.Used {
		if inDay(at, now) {
			used[at] = n
		}
	}
	used[slotOf(now)]++
	s.Used = used
}

// begin is the state of a witness of which nothing is known: half of what may be sent at
// once is taken for sent. left is how many it leaves at most.
func begin(r Rate, now time.Time) State {
	return State{Full: now.Add(time.Duration(r.Burst()-r.Reserve()) * r.Every())}
}
