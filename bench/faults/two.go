package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// twoServers starts a second server: on the same directory, on a copy with the
// same ledger, and on a copy of both, which is what a clone of the machine is.
func twoServers(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
	w, l, err := h.newLoaded(ctx, "two", 3, 2, place{}, 2)
	if err != nil {
		return nil, err
	}
	defer w.close()
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
	same, ledger := rehearsal.NewRow("second server on the same directory"), rehearsal.NewRow("second server on a copy, same ledger")
	for _, v := range []struct {
		r   *rehearsal.Row
		dir string
	}{{&same, w.logDir}, {&ledger, filepath.Join(clone, "log")}} {
		for range h.restores {
			v.r.Held = errors.Join(v.r.Held, w.second(ctx, l, v.dir, v.r))
		}
	}
	l.stop()
	if _, err := w.check(ctx); err != nil {
		same.Held = errors.Join(same.Held, err)
	}
	cloned := rehearsal.NewRow("log directory and ledger cloned, both running")
	cloned.Held = w.clone(ctx, clone, &cloned)
	return []rehearsal.Row{same, ledger, cloned}, nil
}

// second starts a second server, which has to refuse; the first goes on.
func (w *world) second(ctx context.Context, l *load, dir string, r *rehearsal.Row) error {
	r.Injected++
	p, err := process.Start(ctx, w.serving(dir, w.ledgerDir, "127.0.0.1:0"), nil)
	if err == nil {
		p.Kill()
		return errors.New("it started")
	}
	if !process.IsEnded(err) {
		return err
	}
	if err := rehearsal.Says(err.Error(), "in use by logserver serve (process "); err != nil {
		return err
	}
	r.Outcomes["refused to start, and said why"]++
	return l.progress(ctx, 3)
}

// clone runs a server on a clone beside the first one, both under load. Only
// witnesses can tell: one of the two gets no quorum any more.
func (w *world) clone(ctx context.Context, dir string, r *rehearsal.Row) error {
	r.Injected++
	p, err := process.Start(ctx, w.serving(filepath.Join(dir, "log"), filepath.Join(dir, "ledger"), "127.0.0.1:0"), nil)
	if err != nil {
		if process.IsEnded(err) {
			r.Outcomes["refused to start"]++
			return nil
		}
		return err
	}
	defer p.Kill()
	before := len(w.rec.Acked)
	acked := [2]int{}
	for n := range 6 {
		v, err := rehearsal.NewVendor()
		if err != nil {
			return err
		}
		i := n % 2
		if err := w.submit(ctx, []string{w.url(), p.URL}[i], v.Genesis(), 1); err == nil {
			acked[i]++
		}
	}
	if acked[0] > 0 && acked[1] > 0 {
		return fmt.Errorf("both acknowledged entries: %d and %d", acked[0], acked[1])
	}
	if acked[1] > 0 {
		w.addr = strings.TrimPrefix(p.URL, "http://")
	}
	whole, err := w.read(ctx)
	if err != nil {
		return err
	}
	if len(w.rec.Acked) != before+acked[0]+acked[1] {
		return errors.New("two entries were acknowledged at one index")
	}
	if err := w.rec.Err(); err != nil {
		return err
	}
	w.rec.Lock()
	defer w.rec.Unlock()
	for t := range w.rec.Published {
		if !whole.Has(t) {
			return fmt.Errorf("checkpoints of two histories were published, one of size %d", t.N)
		}
	}
	for t := range w.rec.Signed {
		if t.N <= whole.Size() && !whole.Has(t) {
			r.Outcomes["both signed; witnesses cosigned one of them, the other published and acknowledged nothing"] = 1
		}
	}
	if len(r.Outcomes) == 0 {
		r.Outcomes["one went on, the other published and acknowledged nothing"]++
	}
	return nil
}
