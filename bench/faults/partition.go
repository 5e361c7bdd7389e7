package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// partitioned keeps two of three witnesses from the log, in each way that a
// witness can be away, while the load goes on. Nothing may be published or
// acknowledged without the quorum; what is published stays readable; and all of
// it goes on by itself when the witnesses are back.
func partitioned(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
	w, l, err := h.newLoaded(ctx, "partition", 3, 2, place{}, loadClients)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var rows []rehearsal.Row
	for _, v := range []struct {
		name       string
		away, back func(i int) error
	}{
		{"stopped (SIGSTOP)",
			func(i int) error { return w.witnesses.Processes[i].Signal(syscall.SIGSTOP) },
			func(i int) error { return w.witnesses.Processes[i].Signal(syscall.SIGCONT) }},
		{"killed",
			func(i int) error { w.witnesses.Processes[i].Kill(); return nil },
			func(i int) error { return w.witnesses.Start(ctx, i) }},
		{"unreachable",
			func(i int) error { w.taps[i].Torn.Store(true); return nil },
			func(i int) error { w.taps[i].Torn.Store(false); return nil }},
	} {
		r := rehearsal.NewRow("two of three witnesses " + v.name + " under load")
		for n := range h.partition {
			if r.Held = w.part(ctx, l, [2]int{n % 3, (n + 1) % 3}, v.away, v.back, &r); r.Held != nil {
				break
			}
		}
		rows = append(rows, r)
	}
	return append(rows, w.checkAll(ctx, "all partitions")...), nil
}

func (w *world) part(ctx context.Context, l *load, who [2]int, away, back func(int) error, r *rehearsal.Row) error {
	if err := l.progress(ctx, 10); err != nil {
		return err
	}
	for _, i := range who {
		if err := away(i); err != nil {
			return err
		}
	}
	r.Injected++
	// What two witnesses had in their hands may still come.
	last, since := w.rec.Count(), time.Now()
	err := process.Eventually(ctx, "without a quorum nothing is acknowledged", process.Patience, func() bool {
		if n := w.rec.Count(); n != last {
			last, since = n, time.Now()
		}
		return time.Since(since) > 600*time.Millisecond
	})
	if err != nil {
		return err
	}
	r.Outcomes["acknowledged nothing without a quorum"]++
	for _, path := range []string{"/checkpoint", "/v1/entries/0/proof", "/v1/repositories", "/healthz"} {
		if _, err := w.get(ctx, path); err != nil {
			return fmt.Errorf("reads do not go on: %w", err)
		}
	}
	// Ready or not, it says so at once.
	if _, err := w.get(ctx, "/readyz"); err != nil {
		r.Outcomes["was not ready"]++
	}
	for _, i := range who {
		if err := back(i); err != nil {
			return err
		}
	}
	if err := l.progress(ctx, 10); err != nil {
		return errors.Join(errors.New("with the witnesses back"), err)
	}
	r.Outcomes["went on by itself"]++
	return nil
}
