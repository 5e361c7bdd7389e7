package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/tesseralog"
	"github.com/tuflog/tuflog/proofs"
)

// kept is a log to be looked at by commands: in its directory (dirLog), where nobody
// serves it meanwhile, or on servers (serverLog), where others may. Nothing of it is
// changed. An error that is log.ErrUnavailable says nothing about the log.
type kept interface {
	// ledger, published and state read what the log knows of itself; nil is
	// published where nothing is.
	ledger(ctx context.Context) (log.LedgerRecord, error)
	published(ctx context.Context) ([]byte, error)
	state(ctx context.Context) (stateSize, error)
	// storage opens the entries, with the tree that it says it holds. It is
	// log.ErrLocked where the log is served and cannot be looked at.
	storage(ctx context.Context) (log.Storage, proofs.Tree, error)
	blobs() (log.Blobs, error)
	reader() (log.State, error)
	// tokens says why the tokens of repositories cannot be read.
	tokens(ctx context.Context) error
	// anew makes an empty state to compare with the one that state reads.
	anew(ctx context.Context) (*secondState, error)
	// look adds to a status what only this kind of log has, and further checks
	// to a fsck.
	look(ctx context.Context, st *status) error
	further(ctx context.Context, size int64, stderr io.Writer) ([]string, error)
	io.Closer
}

// stateSize is how far a derived state is: of so many entries, the first of the tree,
// it has the target files.
type stateSize struct {
	proofs.Tree
	listed int64
}

// sizeOf reads how far a derived state is. In this order it has no more target files
// than entries, whoever writes it.
func sizeOf(ctx context.Context, state log.StateWriter) (stateSize, error) {
	listed, err := state.Listed(ctx)
	if err != nil {
		return stateSize{}, err
	}
	edge, err := state.Position(ctx)
	if err != nil {
		return stateSize{}, err
	}
	return stateSize{edge.Tree(), listed}, nil
}

// secondState is a derived state that is made anew.
type secondState struct {
	State       log.StateWriter
	differences func(ctx context.Context) ([]string, error) // of the first one
	drop        func(ctx context.Context) error
}

// openKept opens a log for looking.
func openKept(ctx context.Context, at place, on shared, stderr io.Writer) (kept, error) {
	if !on.on() {
		return &dirLog{at: at}, nil
	}
	return on.openKept(ctx, stderr)
}

// indexUpTo takes a derived state up to a tree.
func indexUpTo(ctx context.Context, storage log.Storage, blobs log.Blobs, state log.StateWriter, tree proofs.Tree, what string, stderr io.Writer) error {
	add, done := bars(stderr)(what, tree.N)
	defer done()
	return maintain.IndexUpTo(ctx, storage, blobs, state, tree, add, slog.New(slog.NewTextHandler(stderr, nil)))
}

// dirLog is kept in a directory. What it opens it closes in the end.
type dirLog struct {
	at      place
	closers []io.Closer
}

func (d *dirLog) Close() error {
	var err error
	for _, c := range d.closers {
		err = errors.Join(err, c.Close())
	}
	return err
}

func (d *dirLog) ledger(context.Context) (log.LedgerRecord, error) {
	if err := d.at.moved(); err != nil {
		return log.LedgerRecord{}, err
	}
	b, err := os.ReadFile(filepath.Join(d.at.ledgerDir(), "ledger")) // its lock is not taken
	if err != nil {
		return log.LedgerRecord{}, err
	}
	return log.ParseLedgerRecord(b)
}

func (d *dirLog) published(ctx context.Context) ([]byte, error) {
	return logdir.NewCheckpoint(d.at.checkpoint()).Load(ctx)
}

func (d *dirLog) openState() (*sqlite.State, error) {
	state, err := sqlite.OpenState(d.at.state())
	if err == nil {
		d.closers = append(d.closers, state)
	}
	return state, err
}

func (d *dirLog) reader() (log.State, error) { return d.openState() }

func (d *dirLog) state(ctx context.Context) (stateSize, error) {
	state, err := d.openState()
	if err != nil {
		return stateSize{}, err
	}
	return sizeOf(ctx, state)
}

func (d *dirLog) storage(context.Context) (log.Storage, proofs.Tree, error) {
	storage, err := tesseralog.OpenReader(d.at.tree())
	if err != nil {
		return nil, proofs.Tree{}, err
	}
	d.closers = append(d.closers, storage)
	return storage, storage.State(), nil
}

func (d *dirLog) blobs() (log.Blobs, error) {
	blobs, err := sqlite.OpenBlobs(d.at.blobs())
	if err != nil {
		return nil, err
	}
	d.closers = append(d.closers, blobs)
	return blobs, nil
}

func (d *dirLog) tokens(ctx context.Context) error {
	blobs, err := sqlite.OpenBlobs(d.at.blobs())
	if err != nil {
		return nil // that is said of the files, which are beside them
	}
	_, _, err = blobs.Tokens(ctx)
	return errors.Join(err, blobs.Close())
}

// anew makes the state in a temporary directory beside the first one.
func (d *dirLog) anew(context.Context) (*secondState, error) {
	first, err := d.openState()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(d.at.dir, "fsck-*.tmp")
	if err != nil {
		return nil, err
	}
	second, err := sqlite.Build(filepath.Join(dir, "state.db"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &secondState{
		State:       second,
		differences: func(ctx context.Context) ([]string, error) { return first.Differences(ctx, second) },
		drop:        func(context.Context) error { return errors.Join(second.Close(), os.RemoveAll(dir)) },
	}, nil
}

func (d *dirLog) look(context.Context, *status) error { return nil }

func (d *dirLog) further(context.Context, int64, io.Writer) ([]string, error) { return nil, nil }

// written is a log that a command, or serve, writes, and nobody else meanwhile.
type written struct {
	record  func(ctx context.Context, a maintain.Action) error
	lost    func() (log.Ledger, error) // of a log on servers: its ledger where that is lost
	closers []func() error
}

func (w *written) Close() error {
	var err error
	for i := len(w.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, w.closers[i]())
	}
	return err
}

// openWritten opens a log for writing, and puts what leader.Open needs into cfg.
func openWritten(ctx context.Context, at place, on shared, cfg *leader.Config) (*written, error) {
	if on.on() {
		keys, err := readKeys(at)
		if err != nil {
			return nil, err
		}
		if cfg.Publisher.Served, err = publisher.OpenServed(at.served(), keys, cfg.Logger); err != nil {
			return nil, err
		}
		w, err := on.openWritten(ctx, cfg)
		if err == nil {
			w.closers = append(w.closers, func() error { cfg.Publisher.Served.Close(); return nil })
		}
		return w, err
	}
	return openDir(ctx, at, cfg)
}

// openDir opens a log in its directory.
func openDir(ctx context.Context, at place, cfg *leader.Config) (w *written, err error) {
	if err := at.moved(); err != nil {
		return nil, err
	}
	w = &written{record: func(_ context.Context, a maintain.Action) error { return maintain.AppendAction(at.ledgerDir(), a) }}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.Close())
		}
	}()
	// What is closed last is opened first: the locks.
	storage, err := tesseralog.Open(ctx, tesseralog.Config{Dir: at.tree()})
	if err != nil {
		return w, err
	}
	w.closers = append(w.closers, storage.Close)
	ledger, err := logdir.OpenLedger(at.ledgerDir())
	if err != nil {
		return w, err
	}
	w.closers = append(w.closers, ledger.Close)
	blobs, err := sqlite.OpenBlobs(at.blobs())
	if err != nil {
		return w, err
	}
	w.closers = append(w.closers, blobs.Close)
	state, err := sqlite.OpenState(at.state())
	if err != nil {
		return w, fmt.Errorf("%w; logserver reindex makes a new one", err)
	}
	w.closers = append(w.closers, state.Close)
	cfg.Publisher.Storage, cfg.Publisher.Ledger, cfg.Blobs, cfg.State = storage, ledger, blobs, state
	cfg.Tokens, cfg.Holds = blobs, blobs
	cfg.Publisher.Checkpoints = logdir.NewCheckpoint(at.checkpoint())
	return w, nil
}

// actionNow is what a command is about to do.
func actionNow(action, detail string) maintain.Action {
	return maintain.Action{Time: time.Now().UTC(), Action: action, Detail: detail}
}
