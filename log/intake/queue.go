package intake

import (
	"errors"
	"slices"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
)

// ErrFull means that the queue has no room.
var ErrFull = errors.New("the queue is full")

// Submit queues a submission.
func (in *Intake) Submit(s *Submission) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.draining:
		return ErrDraining
	case in.publisher.Ended() && !s.waited: // a client that waits for held files learns of the end
		return log.ErrEnded
	case in.queued >= in.maxQueued:
		return ErrFull
	}
	in.queued++
	q, ok := in.queues[s.Repository]
	if !ok {
		q = &queue{id: s.Repository}
		in.queues[s.Repository] = q
		in.ready = append(in.ready, q)
	}
	q.add(s)
	in.wakeUp()
	return nil
}

// queue holds the submissions of one repository that wait to be judged, in a line
// for each source, so that no source waits behind a stranger's submissions. The
// holder of the repository's own token is served first, all others in turn. A turn
// is one call of Intake.judge.
type queue struct {
	id     tuf.Digest
	lines  []*line // the one that was served longest ago first
	served *line   // whose turn it is; nil between turns
}

// line holds the submissions of one source, in order. It is never empty.
type line struct {
	from        quota.Source
	submissions []*Submission
}

// add puts a submission at the end of its source's line.
func (q *queue) add(s *Submission) {
	i := slices.IndexFunc(q.lines, func(l *line) bool { return l.from.Key == s.From.Key })
	if i < 0 {
		i = len(q.lines)
		q.lines = append(q.lines, &line{from: s.From})
	}
	q.lines[i].submissions = append(q.lines[i].submissions, s)
}

// next begins a turn. It passes over sources that have used up their judging time:
// wait returns for how much longer each has to wait. A source with a paid submission
// in its line is not passed over, because others wait for that submission. If all
// sources are passed over, ok is false and a turn is possible after the returned
// time.
func (q *queue) next(wait func(quota.Source) time.Duration) (after time.Duration, ok bool) {
	var first *line
	for _, l := range q.lines {
		if w := wait(l.from); w > 0 && !slices.ContainsFunc(l.submissions, hasPaid) {
			if after == 0 || w < after {
				after = w
			}
			continue
		}
		if first == nil || l.from.Owns(q.id) {
			first = l
		}
	}
	q.served = first
	return after, first != nil
}

func hasPaid(s *Submission) bool { return s.Paid }

// end ends a turn, and returns the number of submissions that were decided.
func (q *queue) end() (decided int) {
	l := q.served
	q.served = nil
	for len(l.submissions) > 0 && l.submissions[0].IsDecided() {
		l.submissions = l.submissions[1:]
		decided++
	}
	q.lines = slices.DeleteFunc(q.lines, func(other *line) bool { return other == l })
	if len(l.submissions) > 0 {
		q.lines = append(q.lines, l)
	}
	return decided
}
