package intake

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/quota"
)

// turnTime is the time after which a turn judges no further file, so that other
// lines of this repository and other repositories get theirs.
const turnTime = 25 * time.Millisecond

// maxPasses is the number of passes over the files of a submission. So many
// delegations may be above a file whose name sorts before theirs.
const maxPasses = 32

// judge goes through the submission whose turn it is until it finds a file that is
// to be appended, or the turn is over.
func (in *Intake) judge(ctx context.Context, q *queue) *candidate {
	in.mu.Lock()
	sub := q.served.submissions[0]
	in.mu.Unlock()
	began := time.Now()
	defer func() { in.budget.Spent(sub.From, time.Since(began)) }()
	for n := range quota.MaxJudged {
		if n > 0 && time.Since(began) > turnTime {
			return nil
		}
		runtime.Gosched() // answers and checkpoints are not to wait for strangers' files
		if len(sub.todo) == 0 {
			if sub.passes++; len(sub.again) == 0 || !sub.progress || sub.passes >= maxPasses {
				sub.finish(nil)
				return nil
			}
			// What was refused may only have come too early.
			sub.todo, sub.again, sub.progress = sub.again, nil, false
		}
		f := sub.todo[0]
		seen := in.strangers.Load()
		decision, err := in.decide(ctx, sub, f)
		var refused *admit.Refused
		switch {
		case errors.As(err, &refused):
			sub.mu.Lock()
			f.because(refused)
			sub.mu.Unlock()
			if admit.MayComeLater(refused.Code) {
				sub.again = append(sub.again, f)
			} else {
				sub.mu.Lock()
				f.status = api.StatusRefused
				sub.mu.Unlock()
			}
		case err != nil && ctx.Err() != nil:
			return nil // the log is being stopped; that is no verdict
		case err != nil:
			in.logger.Error("cannot judge", "repository", q.id, "file", f.name, "err", err)
			sub.finish(fmt.Errorf("judging %s: %w", f.name, err))
			return nil
		case decision.Logged:
			sub.settle(f, decision.Leaf, decision.Index, api.StatusLogged)
		case in.publisher.Ended():
			sub.mu.Lock()
			f.refuse(api.CodeEnded, log.ErrEnded.Error())
			sub.mu.Unlock()
		default:
			held, err := in.keeper.take(ctx, sub, f, decision.Leaf)
			switch {
			case err != nil && ctx.Err() != nil:
				return nil
			case err != nil:
				in.logger.Error("cannot hold", "repository", q.id, "file", f.name, "err", err)
				sub.finish(fmt.Errorf("holding %s: %w", f.name, err))
				return nil
			case !held:
				c := in.candidate(q, sub, f, decision.Leaf)
				c.seen = seen
				return c
			}
		}
		sub.todo = sub.todo[1:]
	}
	return nil
}

// decide judges one file.
func (in *Intake) decide(ctx context.Context, sub *Submission, f *file) (admit.Decision, error) {
	if sub.Genesis {
		at, ok, err := in.registry.RootAt(ctx, f.meta.PayloadDigest)
		if err != nil {
			return admit.Decision{}, err
		}
		if !ok {
			return admit.JudgeGenesis(f.meta)
		}
		sub.mu.Lock()
		sub.Repository = at.Repository
		sub.mu.Unlock()
		return admit.Decision{Logged: true, Index: at.Index, Leaf: leaf.Leaf{Kind: leaf.Release}}, nil
	}
	repo, err := in.registry.Get(ctx, sub.Repository)
	if err != nil {
		return admit.Decision{}, err
	}
	if repo == nil {
		return admit.Decision{}, &admit.Refused{Code: api.CodeUnknownRepo, Detail: "the log has no repository " + sub.Repository.String()}
	}
	return in.registry.Judge(ctx, repo, f.role, f.meta, sub.snapshots)
}

// patience is how long a batch waits for the judgement of one repository. The
// vendor controls this cost: a submission can force a full read of its history, or
// thousands of signature checks.
const patience = 100 * time.Millisecond

// judged is a queue and the candidate of its first submission, nil if it has none.
type judged struct {
	queue     *queue
	candidate *candidate
}

// round judges the queues of a batch, as many at once as there are processors. A
// judgement that takes too long is completed, and its result goes into a later
// batch; others take its place at once.
type round struct {
	in *Intake

	mu      sync.Mutex
	waiting []*queue
	running map[*queue]time.Time // since when
	found   []judged
	over    chan struct{} // closed when nothing waits and nothing is waited for
}

// judgeAll judges queues that are ready. It returns the results that it waited
// for; the others are added to late when they are complete.
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

// put hands over a result. It reports whether the round was still waiting for it.
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

// goOn stops waiting for judgements that began before a time, and returns their
// number.
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

// checkLate withdraws late candidates that are out of date. Their own repository has
// not changed since, unless another process has appended; but a root that was to begin
// a repository may have entered another one's chain, and is then judged again.
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
