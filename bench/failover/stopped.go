package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// manyTargets make a file of about 7 MB.
const manyTargets = 60000

// stopSending is a part: the leader is stopped while it sends the nth of what is this
// large, in bytes, of a large release to the database, until another one leads, and
// longer. What it has begun must not keep the lease from its successor.
func stopSending(nth, large int) func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	return func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		leader, err := w.leader(ctx)
		if err != nil {
			return err
		}
		v, err := rehearsal.NewVendor()
		if err != nil {
			return err
		}
		if err := w.insist(ctx, v.Genesis()); err != nil {
			return err
		}
		stopped := make(chan time.Time, 1)
		seen := 0
		var mu sync.Mutex
		leader.database.onSending(func(request int, chunk []byte) {
			mu.Lock()
			defer mu.Unlock()
			if request < large || request-len(chunk) >= large {
				return
			}
			if seen++; seen == nth {
				if err := leader.process.Signal(syscall.SIGSTOP); err != nil {
					w.rec.Fail("stop %s: %v", leader.name, err)
				}
				stopped <- time.Now()
			}
		})
		defer leader.database.onSending(nil)
		release := v.NextOf(manyTargets)
		acked := make(chan error, 1)
		go func() { acked <- w.insist(ctx, release) }()
		var at time.Time
		select {
		case at = <-stopped:
		case <-time.After(process.Patience):
			return fmt.Errorf("%s has sent nothing large %d times%s", leader.name, nth, w.lastWords())
		}
		err = w.takenOver(ctx, l, leader, at)
		if err == nil {
			err = w.ledWithin(at, mostPause, "longest until another led, in ms", r)
		}
		slow := errors.Is(err, errSlow)
		process.Pause(ctx, time.Until(at.Add(w.h.hang)))
		if cont := leader.process.Signal(syscall.SIGCONT); cont != nil || err != nil && !slow {
			return errors.Join(err, cont)
		}
		if err := errors.Join(<-acked, w.leadsNoMore(ctx, l, leader, at, r)); err != nil {
			return err
		}
		return err
	}
}

// insist submits a release until it is acknowledged.
func (w *world) insist(ctx context.Context, rel rehearsal.Release) error {
	var last error
	err := process.Eventually(ctx, "a release is acknowledged", 2*process.Patience, func() bool {
		for _, f := range w.fronts {
			if last = w.client().Submit(ctx, f.url(), rel, wait); last == nil {
				return true
			}
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("%w: %w%s", err, last, w.lastWords())
	}
	return nil
}
