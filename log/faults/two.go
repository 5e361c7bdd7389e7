package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// twoServers starts a second server: on the same directory, on a copy with the
// same ledger, and on a copy of both, which is what a clone of the machine is.
func twoServers(ctx context.Context, h *harness) ([]row, error) {
	w, err := h.newWorld(ctx, "two", 3, 2, place{})
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.startLog(ctx); err != nil {
		return nil, err
	}
	l := w.load(ctx, 2)
	defer l.stop()
	if err := l.progress(ctx, 10); err != nil {
		return nil, err
	}
	// The copy is of a log at rest.
	w.stopLog()
	clone, err := w.save(ctx, "clone")
	if err == nil {
		err = w.startLog(ctx)
	}
	if err != nil {
		return nil, err
	}
	same, ledger := newRow("second server on the same directory"), newRow("second server on a copy, same ledger")
	for _, v := range []struct {
		r   *row
		dir string
	}{{&same, w.logDir}, {&ledger, filepath.Join(clone, "log")}} {
		for range h.restores {
			v.r.held = errors.Join(v.r.held, w.second(ctx, l, v.dir, v.r))
		}
	}
	l.stop()
	if _, err := w.check(ctx); err != nil {
		same.held = errors.Join(same.held, err)
	}
	cloned := newRow("log directory and ledger cloned, both running")
	cloned.held = w.clone(ctx, clone, &cloned)
	return []row{same, ledger, cloned}, nil
}

// second starts a second server, which has to refuse; the first goes on.
func (w *world) second(ctx context.Context, l *load, dir string, r *row) error {
	r.injected++
	p, err := start(ctx, w.h.bin, "logserver", w.serveArgs(dir, w.ledgerDir, "127.0.0.1:0")...)
	if err == nil {
		p.kill()
		return errors.New("it started")
	}
	if !isEnded(err) {
		return err
	}
	if err := says(err.Error(), "in use by another process"); err != nil {
		return err
	}
	r.outcomes["refused to start, and said why"]++
	return l.progress(ctx, 3)
}

// clone runs a server on a clone beside the first one, both under load. Only
// witnesses can tell: one of the two gets no quorum any more.
func (w *world) clone(ctx context.Context, dir string, r *row) error {
	r.injected++
	p, err := start(ctx, w.h.bin, "logserver", w.serveArgs(filepath.Join(dir, "log"), filepath.Join(dir, "ledger"), "127.0.0.1:0")...)
	if err != nil {
		if isEnded(err) {
			r.outcomes["refused to start"]++
			return nil
		}
		return err
	}
	defer p.kill()
	before := len(w.rec.acked)
	acked := [2]int{}
	for n := range 6 {
		v, err := newVendor()
		if err != nil {
			return err
		}
		i := n % 2
		if err := w.submit(ctx, []string{w.url(), p.url}[i], v.genesis(), 1); err == nil {
			acked[i]++
		}
	}
	if acked[0] > 0 && acked[1] > 0 {
		return fmt.Errorf("both acknowledged entries: %d and %d", acked[0], acked[1])
	}
	if acked[1] > 0 {
		w.addr = strings.TrimPrefix(p.url, "http://")
	}
	whole, err := w.read(ctx)
	if err != nil {
		return err
	}
	if len(w.rec.acked) != before+acked[0]+acked[1] {
		return errors.New("two entries were acknowledged at one index")
	}
	w.rec.mu.Lock()
	defer w.rec.mu.Unlock()
	for t := range w.rec.published {
		if !whole.has(t) {
			return fmt.Errorf("checkpoints of two histories were published, one of size %d", t.N)
		}
	}
	for t := range w.rec.signed {
		if t.N <= whole.size() && !whole.has(t) {
			r.outcomes["both signed; witnesses cosigned one of them, the other published and acknowledged nothing"] = 1
		}
	}
	if len(r.outcomes) == 0 {
		r.outcomes["one went on, the other published and acknowledged nothing"]++
	}
	return w.rec.errLocked()
}
