package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/proofs"
)

// loss is something that happens to the files of a log that is not running. The
// folder old has them as they were some releases earlier.
type loss struct {
	name string
	do   func(ctx context.Context, w *world, old string) error
	// refuses is what the log must say when it refuses to start; empty: it has
	// to start and go on by itself.
	refuses string
	// stops is what it must say when it has started and its witnesses have shown it
	// more than it knows.
	stops string
	// older: the log serves an earlier checkpoint until it has published.
	older bool
	// repair is what a person does next; after it the log has to go on.
	repair func(ctx context.Context, w *world, now string) error
}

func fromOld(names ...string) func(context.Context, *world, string) error {
	return func(ctx context.Context, w *world, old string) error {
		return bring(ctx, w, old, names...)
	}
}

// bring replaces files of the log's directory, or the ledger, by those of a copy.
func bring(ctx context.Context, w *world, from string, names ...string) error {
	if err := os.MkdirAll(w.logDir, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		to := filepath.Join(w.logDir, name)
		if name == "ledger" {
			to = filepath.Join(w.ledgerDir, "ledger")
			name = filepath.Join("..", "ledger", "ledger")
		}
		if err := copyTree(ctx, filepath.Join(from, "log", name), to); err != nil {
			return err
		}
		// The write-ahead log of another time does not fit.
		if err := errors.Join(os.RemoveAll(to+"-wal"), os.RemoveAll(to+"-shm")); err != nil {
			return err
		}
		wal := filepath.Join(from, "log", name+"-wal")
		if _, err := os.Stat(wal); err == nil {
			if err := copyTree(ctx, wal, to+"-wal"); err != nil {
				return err
			}
		}
	}
	return nil
}

func without(names ...string) func(context.Context, *world, string) error {
	return func(_ context.Context, w *world, _ string) error {
		var errs []error
		for _, name := range names {
			path := filepath.Join(w.logDir, name)
			if name == "ledger" {
				path = filepath.Join(w.ledgerDir, name)
			}
			errs = append(errs, os.RemoveAll(path), os.RemoveAll(path+"-wal"), os.RemoveAll(path+"-shm"))
		}
		return errors.Join(errs...)
	}
}

func back(names ...string) func(context.Context, *world, string) error {
	return func(ctx context.Context, w *world, now string) error { return bring(ctx, w, now, names...) }
}

func reindex(ctx context.Context, w *world, _ string) error {
	_, err := process.Output(ctx, w.h.Program("logserver"), "reindex", "--dir", w.logDir, "--ledger", w.ledgerDir)
	return err
}

var losses = []loss{
	{name: "tree restored from an old copy", do: fromOld("tree"), refuses: "restored from an old copy", repair: back("tree")},
	{name: "log directory restored from an old copy", do: fromOld("tree", "blobs.db", "state.db", "checkpoint"), refuses: "restored from an old copy", repair: back("tree", "blobs.db", "state.db", "checkpoint")},
	{name: "ledger restored from an old copy", do: fromOld("ledger"), refuses: "the ledger was restored from an old copy", repair: back("ledger")},
	{name: "ledger restored, checkpoint lost", do: both(fromOld("ledger"), without("checkpoint")), stops: "the ledger was restored from an old copy", repair: back("ledger")},
	{name: "state.db restored from an old copy", do: fromOld("state.db")},
	{name: "checkpoint restored from an old copy", do: fromOld("checkpoint"), older: true},
	{name: "checkpoint lost", do: without("checkpoint")},
	{name: "tree emptied", do: without("tree"), refuses: "tree", repair: back("tree")},
	{name: "tree emptied, folder left", do: both(without("tree"), emptyDir("tree")), refuses: "treeState is lost", repair: back("tree")},
	{name: "tree state lost, tiles left", do: without("tree/.state"), refuses: "treeState is lost", repair: back("tree")},
	{name: "tiles lost, tree state left", do: without("tree/tile"), refuses: "tile", repair: back("tree")},
	{name: "log directory emptied", do: without(""), refuses: "log.key", repair: back("log.key", "log.vkey", "registration.token", "tree", "blobs.db", "state.db")},
	{name: "ledger lost", do: without("ledger"), refuses: "ledger", repair: back("ledger")},
	{name: "blobs.db lost", do: without("blobs.db"), refuses: "blobs.db", repair: back("blobs.db")},
	{name: "state.db lost", do: without("state.db"), refuses: "logserver reindex", repair: reindex},
	{name: "log.key lost", do: without("log.key"), refuses: "log.key", repair: back("log.key")},
	{name: "log.key of another log", do: otherKey, refuses: "lists logs, but not this one", repair: back("log.key")},
}

func both(first, second func(context.Context, *world, string) error) func(context.Context, *world, string) error {
	return func(ctx context.Context, w *world, old string) error {
		return errors.Join(first(ctx, w, old), second(ctx, w, old))
	}
}

func emptyDir(name string) func(context.Context, *world, string) error {
	return func(_ context.Context, w *world, _ string) error {
		return os.Mkdir(filepath.Join(w.logDir, name), 0o755)
	}
}

func otherKey(_ context.Context, w *world, _ string) error {
	s, err := proofs.GenerateSigner(rand.Reader, w.policy.Logs[0].Key.Name(), proofs.Ed25519)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(w.logDir, "log.key"), []byte(s.PrivateKey()+"\n"), 0o600)
}

// restored brings back old copies of a log's files, or takes files away, starts
// it, does what its refusal asks for, and goes on: one log has all of it done to
// it in turn.
func restored(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
	w, l, err := h.newLoaded(ctx, "restore", 1, 1, place{}, 2)
	if err != nil {
		return nil, err
	}
	defer w.close()
	rows := make([]rehearsal.Row, len(losses))
	for i, loss := range losses {
		rows[i] = rehearsal.NewRow(loss.name)
		for range h.restores {
			if rows[i].Held = w.lose(ctx, l, loss, &rows[i]); rows[i].Held != nil {
				// What follows would say nothing of its own.
				return append(rows[:i+1], w.rest(losses[i+1:])...), nil
			}
		}
	}
	rows = append(rows, w.checkAll(ctx, "all of these")...)
	return append(rows, h.forked(ctx)), nil
}

func (w *world) rest(left []loss) []rehearsal.Row {
	var rows []rehearsal.Row
	for _, l := range left {
		rows = append(rows, rehearsal.Row{Fault: l.name, Skipped: "the log did not survive the one before"})
	}
	return rows
}

func (w *world) save(ctx context.Context, name string) (string, error) {
	dir := filepath.Join(w.dir, name)
	if err := os.RemoveAll(dir); err != nil {
		return dir, err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return dir, err
	}
	return dir, errors.Join(copyTree(ctx, w.logDir, filepath.Join(dir, "log")), copyTree(ctx, w.ledgerDir, filepath.Join(dir, "ledger")))
}

func (w *world) lose(ctx context.Context, l *load, loss loss, r *rehearsal.Row) error {
	if err := l.progress(ctx, 5); err != nil {
		return err
	}
	w.killLog()
	old, err := w.save(ctx, "old")
	if err != nil {
		return err
	}
	if err := w.startLog(ctx); err != nil {
		return err
	}
	if err := l.progress(ctx, 5); err != nil {
		return err
	}
	w.killLog()
	now, err := w.save(ctx, "now")
	if err != nil {
		return err
	}
	if err := loss.do(ctx, w, old); err != nil {
		return err
	}
	r.Injected++
	if loss.older {
		w.rec.AllowOlder()
	}
	if loss.refuses != "" {
		if err := w.mustRefuse(ctx, loss.refuses); err != nil {
			return err
		}
		r.Outcomes["refused to start, and said why"]++
	}
	if loss.stops != "" {
		if err := w.mustStop(ctx, loss.stops); err != nil {
			return err
		}
		r.Outcomes["stopped, and said why"]++
	}
	if loss.repair != nil {
		if err := loss.repair(ctx, w, now); err != nil {
			return fmt.Errorf("repair: %w", err)
		}
	}
	if err := w.startLog(ctx); err != nil {
		return fmt.Errorf("the log does not start: %w", err)
	}
	if err := l.progress(ctx, 5); err != nil {
		return err
	}
	if loss.repair == nil {
		r.Outcomes["went on by itself"]++
	} else {
		r.Outcomes["went on after the repair"]++
	}
	return nil
}

// mustStop starts the log, which must find out that it may not go on, and kills it.
func (w *world) mustStop(ctx context.Context, reason string) error {
	if err := w.startLog(ctx); err != nil {
		return err
	}
	defer w.killLog()
	var said string
	err := process.Eventually(ctx, "the log stops: "+reason, process.Patience, func() bool {
		if _, err := w.get(ctx, "/readyz"); err != nil {
			said = err.Error()
		}
		return strings.Contains(said, reason)
	})
	if err != nil {
		return fmt.Errorf("%w; it said last: %s", err, said)
	}
	return nil
}

// forked restores everything, the ledger too, which no log can notice by itself. It
// must not sign a second history: its witnesses are asked before it signs anything.
func (h *harness) forked(ctx context.Context) rehearsal.Row {
	r := rehearsal.NewRow("log directory and ledger restored from an old copy")
	w, err := h.newWorld(ctx, "forked", 3, 2, place{})
	if err != nil {
		r.Held = err
		return r
	}
	defer w.close()
	r.Held = func() error {
		if err := w.grow(ctx, 2, 20); err != nil {
			return err
		}
		w.stopLog()
		old, err := w.save(ctx, "old")
		if err != nil {
			return err
		}
		if err := w.grow(ctx, 2, 20); err != nil {
			return err
		}
		whole, err := w.check(ctx)
		if err != nil {
			return err
		}
		w.stopLog()
		if err := errors.Join(copyTree(ctx, filepath.Join(old, "log"), w.logDir), copyTree(ctx, filepath.Join(old, "ledger"), w.ledgerDir)); err != nil {
			return err
		}
		r.Injected++
		return w.fork(ctx, whole, &r)
	}()
	return r
}

// fork lets a log that has lost its memory go on for a moment.
func (w *world) fork(ctx context.Context, whole *rehearsal.History, r *rehearsal.Row) error {
	w.rec = rehearsal.NewRecord()
	for _, t := range w.taps {
		t.Rec.Store(w.rec)
	}
	if err := w.startLog(ctx); err != nil {
		if process.IsEnded(err) {
			r.Outcomes["refused to start"]++
			return nil
		}
		return err
	}
	v, err := rehearsal.NewVendor()
	if err != nil {
		return err
	}
	if err := w.submit(ctx, w.url(), v.Genesis(), 3); err == nil {
		return errors.New("an entry of a second history was acknowledged")
	}
	w.rec.Lock()
	defer w.rec.Unlock()
	for t := range w.rec.Published {
		if !whole.Has(t) {
			return fmt.Errorf("a checkpoint of a second history was published: size %d", t.N)
		}
	}
	second := 0
	for t := range w.rec.Signed {
		if !whole.Has(t) {
			second++
		}
	}
	if second > 0 {
		return fmt.Errorf("%d trees of a second history were signed", second)
	}
	r.Outcomes["signed nothing"]++
	return nil
}

// copyTree makes to a copy of from, in place of what was there.
func copyTree(ctx context.Context, from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	_, err := process.Output(ctx, "cp", "-a", from, to)
	return err
}
