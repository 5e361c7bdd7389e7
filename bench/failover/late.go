package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
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

// lateBatch delivers a leader's batch when its successor has finished that batch and has
// appended more: all of it is there, and nothing of it is there twice.
func lateBatch(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	leader, err := w.leader(ctx)
	if err != nil {
		return err
	}
	held, err := w.holdBatch(ctx, leader)
	if err != nil {
		return err
	}
	first, batch, err := w.batch(ctx)
	if err != nil {
		return err
	}
	err = w.takenOver(ctx, l, leader, held)
	if err == nil {
		err = w.has(ctx, first, batch, r)
	}
	if err != nil {
		return errors.Join(err, leader.process.Signal(syscall.SIGCONT))
	}
	leader.trillian.mend()
	process.Pause(ctx, supervised) // it arrives
	if err := errors.Join(leader.process.Signal(syscall.SIGCONT), w.leadsNoMore(ctx, l, leader, held, r)); err != nil {
		return err
	}
	return w.unchanged(ctx, r)
}

// batch returns where the batch begins that a leader was about to append last, and how many
// leaves it has.
func (w *world) batch(ctx context.Context) (first, n int, err error) {
	said, err := w.postgres.Exec(ctx, stateDatabase, "SELECT first || ' ' || cardinality(entries) FROM batch")
	if err == nil {
		_, err = fmt.Sscan(said, &first, &n)
	}
	return first, n, err
}

// has checks that Trillian has all leaves of a batch.
func (w *world) has(ctx context.Context, first, n int, r *rehearsal.Row) error {
	leaves, err := w.leaves(ctx)
	if err != nil {
		return err
	}
	if n < 2 || leaves < first+n {
		return fmt.Errorf("the batch has %d leaves from %d on, and Trillian has %d%s", n, first, leaves, w.lastWords())
	}
	r.Outcomes["its successor finished the batch, of which nothing had arrived"]++
	return nil
}

// leaves counts those in Trillian's database.
func (w *world) leaves(ctx context.Context) (n int, err error) {
	said, err := w.postgres.Exec(ctx, trillianDatabase, "SELECT count(*) FROM SequencedLeafData WHERE TreeId = "+w.tree)
	if err == nil {
		_, err = fmt.Sscan(said, &n)
	}
	return n, err
}

// unchanged waits until releases are acknowledged through every front end.
func (w *world) unchanged(ctx context.Context, r *rehearsal.Row) error {
	acked, err := w.outcome(ctx, "the log must not go on")
	if err == nil && !acked {
		err = fmt.Errorf("the log has stopped%s", w.lastWords())
	}
	if err == nil {
		r.Outcomes["the late batch changed nothing"]++
	}
	return err
}
