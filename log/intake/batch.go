package intake

import (
	"context"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
)

// candidate is a file that is to be appended.
type candidate struct {
	queue  *queue
	sub    *Submission
	file   *file
	leaf   leaf.Leaf
	entry  []byte          // the leaf's text
	stored []*tuf.Metadata // what must be durable as blobs before it
	seen   int64           // strangers when its judgement began
	read   bool            // it was met while reading back, at index
	index  int64
	done   bool // it is in the log
}

// batch judges the queues that are ready and appends their candidates. It
// reports whether there was anything to do.
func (in *Intake) batch(ctx context.Context) bool {
	in.mu.Lock()
	late := in.late
	in.late = nil
	queues := in.turns()
	in.mu.Unlock()
	if len(queues) == 0 && len(late) == 0 {
		return false
	}
	in.checkLate(ctx, late)
	found := append(late, in.judgeAll(ctx, queues)...)

	candidates := distinctRoots(found)
	in.noteAppending(len(candidates) > 0)
	for pause, most := in.publisher.Backoff(); len(candidates) > 0; pause = min(2*pause, most) {
		err := in.append(ctx, candidates)
		in.note(err)
		if err == nil {
			break
		}
		if wait.For(ctx, pause) != nil || in.publisher.Halted() != nil {
			return false
		}
	}
	in.noteAppending(false)
	in.requeue(found)
	return ctx.Err() == nil
}

// turns takes the queues that have a turn now from those that are ready, and makes
// sure that the others are looked at again. It must be called with mu held.
func (in *Intake) turns() (queues []*queue) {
	wait := in.budget.Wait
	if in.draining {
		wait = func(quota.Source) time.Duration { return 0 } // what was taken is judged
	}
	var rest []*queue
	var soonest time.Duration
	for i, q := range in.ready {
		if len(queues) == in.maxBatch {
			rest = append(rest, in.ready[i:]...)
			break
		}
		after, ok := q.next(wait)
		if ok {
			queues = append(queues, q)
			continue
		}
		rest = append(rest, q)
		if soonest == 0 || after < soonest {
			soonest = after
		}
	}
	in.ready = rest
	if soonest > 0 {
		time.AfterFunc(soonest, in.wakeUp)
	}
	return queues
}

// distinctRoots leaves out a root if another candidate of the batch has its
// payload: it can be judged only when the other one is in the log.
func distinctRoots(found []judged) []*candidate {
	roots := map[tuf.Digest]bool{}
	candidates := make([]*candidate, 0, len(found))
	for _, j := range found {
		c := j.candidate
		if c == nil {
			continue
		}
		if c.leaf.Role == tuf.RoleRoot {
			if roots[c.leaf.Payload] {
				continue
			}
			roots[c.leaf.Payload] = true
		}
		candidates = append(candidates, c)
	}
	return candidates
}

// requeue makes the queues that still have work ready again.
func (in *Intake) requeue(found []judged) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, j := range found {
		q := j.queue
		in.queued -= q.end()
		if len(q.lines) == 0 {
			delete(in.queues, q.id)
			in.registry.EndHistory(q.id)
			continue
		}
		in.ready = append(in.ready, q)
	}
	in.checkEmpty()
}

func (in *Intake) candidate(q *queue, sub *Submission, f *file, leaf leaf.Leaf) *candidate {
	c := &candidate{queue: q, sub: sub, file: f, leaf: leaf, entry: leaf.Marshal(), stored: []*tuf.Metadata{f.meta}}
	if v := sub.voucher(leaf); v != nil {
		c.stored = append(c.stored, v)
	}
	return c
}
