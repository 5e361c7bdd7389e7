package intake

import (
	"context"
	"runtime"
	"sync"
	"time"
)

// patience is how long a batch waits for the judgement of one repository. A vendor
// has it in hand how long that takes: it may have the log read its whole history,
// or verify thousands of signatures.
const patience = 100 * time.Millisecond

// judged is a queue and what its first submission wants appended, nil for nothing.
type judged struct {
	queue     *queue
	candidate *candidate
}

// round judges the queues of a batch, as many at once as there are processors.
// What takes too long is judged to its end, and comes into a later batch; others
// take its place at once.
type round struct {
	in *Intake

	mu      sync.Mutex
	waiting []*queue
	running map[*queue]time.Time // since when
	found   []judged
	over    chan struct{} // closed when nothing waits and nothing is waited for
}

// judgeAll judges queues that are ready. Those that it does not return are kept in
// late, by and by.
func (in *Intake) judgeAll(ctx context.Context, queues []*queue) []judged {
	if len(queues) == 0 {
		return nil
	}
	r := &round{in: in, waiting: queues, running: map[*queue]time.Time{}, over: make(chan struct{})}
	for range min(runtime.GOMAXPROCS(0), len(queues)) {
		in.judging.Go(func() { r.work(ctx) })
	}
	look := time.NewTicker(patience / 2)
	defer look.Stop()
	for {
		select {
		case <-r.over:
			return r.found
		case now := <-look.C:
			for range r.goOn(now.Add(-patience)) {
				in.judging.Go(func() { r.work(ctx) })
			}
		}
	}
}

func (r *round) work(ctx context.Context) {
	for q := r.take(); q != nil; q = r.take() {
		if !r.put(judged{q, r.in.judge(ctx, q)}) {
			return // another works in its place
		}
	}
}

func (r *round) take() *queue {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 {
		return nil
	}
	q := r.waiting[0]
	r.waiting = r.waiting[1:]
	r.running[q] = time.Now()
	return q
}

// put hands over what was judged. It is false if the round has gone on without it.
func (r *round) put(j judged) bool {
	r.mu.Lock()
	_, waitedFor := r.running[j.queue]
	if waitedFor {
		delete(r.running, j.queue)
		r.found = append(r.found, j)
		r.checkOver()
	}
	r.mu.Unlock()
	if !waitedFor {
		r.in.mu.Lock()
		r.in.late = append(r.in.late, j)
		r.in.mu.Unlock()
		r.in.wakeUp()
	}
	return waitedFor
}

// goOn gives up waiting for what began before a time, and returns how many
// judgements that were.
func (r *round) goOn(before time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for q, since := range r.running {
		if since.Before(before) {
			delete(r.running, q)
			n++
		}
	}
	if n > 0 {
		r.checkOver()
	}
	return n
}

// checkOver must be called with mu held, when something has left running.
func (r *round) checkOver() {
	if len(r.waiting) == 0 && len(r.running) == 0 {
		close(r.over)
	}
}

// checkLate takes back what is no longer true of late judgements. In its own
// repository nothing has happened since, unless somebody else has appended, but a root
// that was to begin one may have come into another's chain; then it is judged again.
func (in *Intake) checkLate(ctx context.Context, late []judged) {
	for i, j := range late {
		c := j.candidate
		switch {
		case c == nil:
		case in.stale(c):
			late[i].candidate = nil
		case c.sub.Genesis:
			if _, logged, err := in.registry.RootAt(ctx, c.leaf.Payload); logged || err != nil {
				late[i].candidate = nil
			}
		}
	}
}
