package maintain

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Log is an opened log, in a directory or on servers. Each part is opened when it is first
// asked for, so that of a damaged log the others can be read; nothing is changed by that. An
// error that is log.ErrUnavailable says nothing about the log.
type Log interface {
	// Ledger and Published return what the log knows of itself; nil is published where
	// nothing is.
	Ledger(ctx context.Context) (log.LedgerRecord, error)
	Published(ctx context.Context) ([]byte, error)
	// Storage returns the entries, and the tree that the storage says it holds. The error
	// is log.ErrLocked where the log is served and they cannot be looked at.
	Storage(ctx context.Context) (log.Storage, proofs.Tree, error)
	Blobs() (log.Blobs, error)
	State() (log.State, error)
	// Vendors returns what is kept for the vendors.
	Vendors() (log.Tokens, log.Holds, error)
	// Scratch makes an empty state to be compared with that of State.
	Scratch(ctx context.Context) (*Scratch, error)
	// Beneath compares the first size entries with what the storage is a copy of, if it is
	// one, and returns what differs.
	Beneath(ctx context.Context, size int64, watch Watch) ([]string, error)
	io.Closer
}

// Scratch is a derived state that is made anew.
type Scratch struct {
	log.StateWriter
	// Differences returns how the log's state differs from this one, in plain words.
	Differences func(ctx context.Context) ([]string, error)
	Drop        func(ctx context.Context) error
}

// Watch is told of long work of total steps, and returns what is told of the steps that were
// done since the last call, and of the end. It may be nil.
type Watch func(what string, total int64) (add func(n int), done func())

// Begin calls w, if there is one.
func (w Watch) Begin(what string, total int64) (add func(n int), done func()) {
	if w == nil {
		return func(int) {}, func() {}
	}
	return w(what, total)
}

// Position is how far a derived state is: it has the entries of the tree, and the target
// files of the first Listed ones.
type Position struct {
	proofs.Tree
	Listed int64
}

// PositionOf reads how far a derived state is. Even while somebody writes the state, the
// position does not have more target files than entries.
func PositionOf(ctx context.Context, state log.StateWriter) (Position, error) {
	listed, err := state.Listed(ctx) // first what must not be the larger one
	if err != nil {
		return Position{}, err
	}
	edge, err := state.Position(ctx)
	if err != nil {
		return Position{}, err
	}
	return Position{edge.Tree(), listed}, nil
}

// position reads how far the derived state of a log is.
func position(ctx context.Context, l Log) (Position, error) {
	state, err := l.State()
	if err != nil {
		return Position{}, err
	}
	return PositionOf(ctx, state)
}

// Read reads the parts of a log, first what must not be larger than what is read after it:
// others may write the log. The error is that a part cannot be read just now, which says
// nothing about the log.
func (r *Reading) Read(ctx context.Context, l Log) (err error) {
	r.Position, r.NoState = position(ctx, l)
	r.Published, r.NoPublished = l.Published(ctx)
	r.Record, r.NoLedger = l.Ledger(ctx)
	r.Storage, r.Stored, r.NoStorage = l.Storage(ctx)
	for _, err := range []error{r.NoState, r.NoPublished, r.NoLedger, r.NoStorage} {
		if errors.Is(err, log.ErrUnavailable) || errors.Is(err, fs.ErrPermission) {
			return err
		}
	}
	if tokens, _, err := l.Vendors(); err == nil { // or else that is said of the files, which are beside them
		_, _, r.NoTokens = tokens.Tokens(ctx)
	}
	if !errors.Is(r.NoStorage, log.ErrLocked) {
		_, r.NoBlobs = l.Blobs()
	}
	return nil
}
