package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// lateFaults have two front ends append to one tree of Trillian, which asks nobody for a
// lease.
var lateFaults = []part{
	{name: "a batch of a leader that was stopped arrives at Trillian when another one has appended", inject: lateBatch},
}

// leafHead is how leaves of releases begin.
const leafHead = "tuflog release v1"

// holdBatch stops a leader when a batch of several leaves is on its way to Trillian, and
// holds the batch.
func (w *world) holdBatch(ctx context.Context, leader *front) (held time.Time, err error) {
	stopped := make(chan time.Time, 1)
	var once sync.Once
	leader.trillian.onSending(func(_ int, chunk []byte) {
		if bytes.Count(chunk, []byte(leafHead)) < 3 {
			return
		}
		once.Do(func() {
			leader.trillian.cut()
			if err := leader.process.Signal(syscall.SIGSTOP); err != nil {
				w.rec.Fail("stop %s: %v", leader.name, err)
			}
			stopped <- time.Now()
		})
	})
	defer leader.trillian.onSending(nil)
	select {
	case held = <-stopped:
		return held, nil
	case <-ctx.Done():
		return held, context.Cause(ctx)
	case <-time.After(process.Patience):
		return held, fmt.Errorf("%s has sent no batch of several leaves%s", leader.name, w.lastWords())
	}
}

// lateBatch delivers a leader's batch between the first leaf of its successor, which is
// alone, and the next ones: those whose index is taken are refused, the others land. If
// one of them is there twice then, which stops the log, it goes on in a new tree.
func lateBatch(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	leader, err := w.leader(ctx)
	if err != nil {
		return err
	}
	next := leader.other()
	delivered := make(chan struct{})
	var mu sync.Mutex
	sent := 0
	next.trillian.onSending(func(_ int, chunk []byte) {
		mu.Lock()
		defer mu.Unlock()
		if !bytes.Contains(chunk, []byte(leafHead)) {
			return
		}
		if sent++; sent == 2 {
			leader.trillian.mend()
			process.Pause(ctx, supervised/2) // it arrives before the chunk
			close(delivered)
		}
	})
	defer next.trillian.onSending(nil)
	held, err := w.holdBatch(ctx, leader)
	if err != nil {
		return err
	}
	before, err := w.leaves(ctx)
	if err != nil {
		return err
	}
	select {
	case <-delivered:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(process.Patience):
		return fmt.Errorf("%s has appended nothing %v after %s was stopped%s", next.name, time.Since(held), leader.name, w.lastWords())
	}
	after, counted := w.leaves(ctx)
	if err := errors.Join(counted, leader.process.Signal(syscall.SIGCONT)); err != nil {
		return err
	}
	if after > before+1 {
		r.Outcomes["leaves of the late batch landed"]++
	}
	return w.goesOnOrReplaced(ctx, r)
}

// leaves counts those in Trillian's database.
func (w *world) leaves(ctx context.Context) (n int, err error) {
	said, err := w.postgres.Exec(ctx, trillianDatabase, "SELECT count(*) FROM SequencedLeafData WHERE TreeId = "+w.tree)
	if err == nil {
		_, err = fmt.Sscan(said, &n)
	}
	return n, err
}

// goesOnOrReplaced waits until releases are acknowledged or a front end says that a leaf
// is there twice, and then gives the log a new tree.
func (w *world) goesOnOrReplaced(ctx context.Context, r *rehearsal.Row) error {
	acked, err := w.outcome(ctx, "logserver tree replace")
	if err != nil {
		return err
	}
	if acked {
		return nil
	}
	w.stopFronts(true)
	said, err := w.tool(ctx, "tree replace", "--policy", w.policyFile())
	if err != nil {
		return err
	}
	_, number, ok := strings.Cut(said, w.trillian.Target()+"/")
	if !ok || number == "" {
		return fmt.Errorf("the new tree is not named: %s", said)
	}
	w.tree = strings.Fields(number)[0]
	r.Outcomes["stopped for a leaf that was there twice, and went on in a new tree"]++
	return w.startBoth(ctx)
}
