package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// powerCut cuts the power of the disk that the log is on, under load: with the
// ledger on the same disk, on one that is cut with it, and on one that goes on.
func powerCut(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
	if why := noDisks(); why != "" {
		return []rehearsal.Row{{Fault: "power cut (ext4 shut down) under load", Skipped: why}}, nil
	}
	var rows []rehearsal.Row
	for i, v := range []struct {
		name   string
		ledger bool // has a disk of its own
		both   bool // which is cut with the log's
	}{{"ledger on the same disk", false, false}, {"ledger on a second disk, both cut", true, true}, {"ledger on a second disk, the log's cut", true, false}} {
		n := h.cuts/3 + max(0, min(1, h.cuts%3-i))
		if n == 0 {
			continue
		}
		r := rehearsal.NewRow("power cut (ext4 shut down) under load, " + v.name)
		r.Held = h.cutPower(ctx, &r, n, v.ledger, v.both)
		rows = append(rows, r)
	}
	return rows, nil
}

func (h *harness) cutPower(ctx context.Context, r *rehearsal.Row, n int, second, both bool) (err error) {
	log, err := h.newDisk(ctx, "disk", 256)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.remove()) }()
	disks, at := []*disk{log}, place{filepath.Join(log.dir, "log"), filepath.Join(log.dir, "ledger")}
	if second {
		ledger, err := h.newDisk(ctx, "disk", 16)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, ledger.remove()) }()
		at.ledger = filepath.Join(ledger.dir, "ledger")
		if both {
			disks = append(disks, ledger)
		}
	}
	w, l, err := h.newLoaded(ctx, "power", 1, 1, at, loadClients)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }() // before the disks are removed
	for range n {
		if err := l.progress(ctx, 1); err != nil {
			return fmt.Errorf("after cut %d: %w", r.Injected, err)
		}
		process.Pause(ctx, h.between(0, 120*time.Millisecond))
		if err := h.cutOnce(ctx, w, disks, r); err != nil {
			return fmt.Errorf("cut %d: %w", r.Injected, err)
		}
	}
	if err := l.progress(ctx, 1); err != nil {
		return err
	}
	l.stop()
	_, err = w.check(ctx)
	r.Outcomes["releases acknowledged"] = len(w.rec.Acked)
	return err
}

// cutOnce cuts the disks off and starts the log again.
func (h *harness) cutOnce(ctx context.Context, w *world, disks []*disk, r *rehearsal.Row) error {
	// Half of the processes are frozen before the disk stops, as in a real
	// cut; the others see their writes fail, which is worse.
	frozen := h.rand.IntN(2) == 0
	if frozen {
		if err := w.log.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
	}
	how := flushNone
	if h.rand.IntN(4) == 0 {
		how = flushLog
	}
	for _, i := range h.rand.Perm(len(disks)) {
		if err := disks[i].cut(how); err != nil {
			return fmt.Errorf("shut down ext4: %w", err)
		}
	}
	r.Injected++
	if !frozen {
		process.Pause(ctx, h.between(0, 60*time.Millisecond))
	}
	w.killLog()
	for _, d := range disks {
		if err := errors.Join(d.unmount(ctx), d.mount(ctx)); err != nil {
			return err
		}
	}
	if err := w.startLog(ctx); err != nil {
		return fmt.Errorf("the log does not start: %w", err)
	}
	r.Outcomes["went on by itself"]++
	return nil
}
