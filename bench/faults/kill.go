package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

const loadClients = 4

// killed kills the log with SIGKILL under load, again and again, one process
// after another, and once in a while before it has even opened.
func killed(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
	r := rehearsal.NewRow("`kill -9` under load, three witnesses")
	w, l, err := h.newLoaded(ctx, "kill", 3, 2, place{}, loadClients)
	if err != nil {
		return nil, err
	}
	defer w.close()
	r.Held = h.killLoop(ctx, w, l, &r)
	l.stop()
	if r.Held == nil {
		_, r.Held = w.check(ctx)
	}
	r.Outcomes["releases acknowledged"] = len(w.rec.Acked)
	return []rehearsal.Row{r}, nil
}

func (h *harness) killLoop(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	var slowest time.Duration
	for n := 0; n < h.kills; n++ {
		// The first kill of a process comes at any time after the first
		// acknowledgement; every fourth comes while it starts.
		if err := l.progress(ctx, 1); err != nil {
			return fmt.Errorf("after kill %d: %w", n, err)
		}
		process.Pause(ctx, h.between(0, 200*time.Millisecond))
		w.killLog()
		r.Injected++
		if n%4 == 3 && n+1 < h.kills {
			if err := h.killStarting(ctx, w); err != nil {
				return err
			}
			n++
			r.Injected++
			r.Outcomes["killed while it started"]++
		}
		began := time.Now()
		if err := w.startLog(ctx); err != nil {
			return fmt.Errorf("after kill %d the log does not start: %w", n+1, err)
		}
		slowest = max(slowest, time.Since(began))
		r.Outcomes["went on by itself"]++
		if (n+1)/50 > n/50 {
			h.Say("%d kills, %d acknowledgements, slowest start %v", n+1, w.rec.Count(), slowest.Round(time.Millisecond))
		}
	}
	return l.progress(ctx, 1)
}

// killStarting kills a log that is being opened.
func (h *harness) killStarting(ctx context.Context, w *world) error {
	p, err := process.Launch(w.serving(w.logDir, w.ledgerDir, w.addr), nil)
	if err != nil {
		return err
	}
	process.Pause(ctx, h.between(0, 60*time.Millisecond))
	p.Kill()
	return nil
}

// mustRefuse starts the log, which has to refuse with a word of explanation.
func (w *world) mustRefuse(ctx context.Context, reason string) error {
	err := w.startLog(ctx)
	if err == nil {
		w.killLog()
		return errors.New("the log started, and should have refused: " + reason)
	}
	if !process.IsEnded(err) {
		return err
	}
	return rehearsal.Says(err.Error(), reason)
}
