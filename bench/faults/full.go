package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// diskFull fills the disk of the log, or of its ledger, under load, and frees it
// again. The log has to come back without a restart; in every second round it is
// also killed and started while the disk is full.
func diskFull(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
	if why := noDisks(); why != "" {
		return []rehearsal.Row{{Fault: "disk full, then freed", Skipped: why}}, nil
	}
	var rows []rehearsal.Row
	for _, ledger := range []bool{false, true} {
		r := rehearsal.NewRow("disk full under load, then freed: the log's")
		if ledger {
			r.Fault = "disk full under load, then freed: the ledger's"
		}
		r.Held = h.fillDisk(ctx, &r, ledger)
		rows = append(rows, r)
	}
	return rows, nil
}

func (h *harness) fillDisk(ctx context.Context, r *rehearsal.Row, ledger bool) (err error) {
	size := int64(64)
	if ledger {
		size = 8
	}
	d, err := h.newDisk(ctx, "small", size)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.remove()) }()
	at := place{log: filepath.Join(d.dir, "log")}
	if ledger {
		at = place{ledger: filepath.Join(d.dir, "ledger")}
	}
	w, l, err := h.newLoaded(ctx, "full", 1, 1, at, loadClients)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	for n := range h.full {
		if err := l.progress(ctx, 20); err != nil {
			return fmt.Errorf("after %d full disks: %w", n, err)
		}
		if err := h.fillOnce(ctx, w, l, d, r, ledger, n%2 == 1); err != nil {
			return fmt.Errorf("full disk %d: %w", n+1, err)
		}
	}
	l.stop()
	_, err = w.check(ctx)
	return err
}

func (h *harness) fillOnce(ctx context.Context, w *world, l *load, d *disk, r *rehearsal.Row, ledger, restart bool) error {
	ballast := filepath.Join(d.dir, "ballast")
	if err := fill(ballast); err != nil {
		return err
	}
	r.Injected++
	// Until nothing is acknowledged any more: what fits into allocated blocks
	// still is. A ledger that has its spare file mostly needs no more of them.
	patience := process.Patience
	if ledger {
		patience = 2 * time.Second
	}
	last, since := w.rec.Count(), time.Now()
	err := process.Eventually(ctx, "the log notices that its disk is full", patience, func() bool {
		if n := w.rec.Count(); n != last {
			last, since = n, time.Now()
			_ = fill(ballast) // what has been freed since
		}
		return time.Since(since) > 400*time.Millisecond
	})
	switch {
	case err != nil && ledger && ctx.Err() == nil && w.log.Alive():
		r.Outcomes["went on in the room that it has"]++
	case err != nil:
		return err
	case !w.log.Alive():
		r.Outcomes["ended"]++
	default:
		r.Outcomes["stopped acknowledging"]++
	}
	if restart {
		w.killLog()
		if err := w.startLog(ctx); err == nil {
			r.Outcomes["started on a full disk"]++
		} else if process.IsEnded(err) {
			r.Outcomes["refused to start on a full disk"]++
		} else {
			return err
		}
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if !w.log.Alive() {
		if !restart {
			return fmt.Errorf("the log did not survive a full disk: %s", w.lastWords())
		}
		if err := w.startLog(ctx); err != nil {
			return fmt.Errorf("the log does not start with space again: %w", err)
		}
	}
	if err := l.progress(ctx, 20); err != nil {
		return fmt.Errorf("with space again: %w", err)
	}
	r.Outcomes["went on by itself"]++
	return nil
}

// fill writes until nothing fits any more.
func fill(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) >= 512; {
		if _, err := f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	return nil
}
