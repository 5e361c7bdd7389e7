package dirlog

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/tesseralog"
	"github.com/tuflog/tuflog/proofs"
)

// Log is a log in its directory. It implements maintain.Log.
type Log struct {
	Dir
	logger  *slog.Logger
	blobs   *sqlite.Blobs // nil: not opened yet
	state   *sqlite.State
	closers []func() error
}

// Open opens a log. What it takes no lock for, another process may write. Close is to be
// called in the end.
func Open(dir Dir, logger *slog.Logger) *Log { return &Log{Dir: dir, logger: logger} }

// Close closes what was opened; the locks, which were taken first, come last.
func (l *Log) Close() error {
	var err error
	for len(l.closers) > 0 {
		last := len(l.closers) - 1
		err = errors.Join(err, l.closers[last]())
		l.closers = l.closers[:last]
	}
	return err
}

// Ledger implements maintain.Log. The ledger's lock is not taken.
func (l *Log) Ledger(context.Context) (log.LedgerRecord, error) {
	if err := l.Moved(); err != nil {
		return log.LedgerRecord{}, err
	}
	b, err := os.ReadFile(l.ledger())
	if err != nil {
		return log.LedgerRecord{}, err
	}
	return log.ParseLedgerRecord(b)
}

// Published implements maintain.Log.
func (l *Log) Published(ctx context.Context) ([]byte, error) {
	return logdir.NewCheckpoint(l.Checkpoint()).Load(ctx)
}

// Storage implements maintain.Log. It keeps others from the entries until Close.
func (l *Log) Storage(context.Context) (log.Storage, proofs.Tree, error) {
	storage, err := tesseralog.OpenReader(l.Tree())
	if err != nil {
		return nil, proofs.Tree{}, err
	}
	l.closers = append(l.closers, storage.Close)
	return storage, storage.State(), nil
}

// Blobs implements maintain.Log.
func (l *Log) Blobs() (log.Blobs, error) { return l.openBlobs() }

func (l *Log) openBlobs() (_ *sqlite.Blobs, err error) {
	if l.blobs != nil {
		return l.blobs, nil
	}
	if l.blobs, err = sqlite.OpenBlobs(l.Dir.blobs()); err != nil {
		l.blobs = nil
		return nil, err
	}
	l.closers = append(l.closers, l.blobs.Close)
	return l.blobs, nil
}

// State implements maintain.Log.
func (l *Log) State() (log.State, error) { return l.openState() }

func (l *Log) openState() (_ *sqlite.State, err error) {
	if l.state != nil {
		return l.state, nil
	}
	if l.state, err = sqlite.OpenState(l.Dir.state()); err != nil {
		l.state = nil
		return nil, err
	}
	l.closers = append(l.closers, l.state.Close)
	return l.state, nil
}

// Vendors implements maintain.Log: they are beside the files.
func (l *Log) Vendors() (log.Tokens, log.Holds, error) {
	blobs, err := l.openBlobs()
	return blobs, blobs, err
}

// Scratch implements maintain.Log, in a temporary directory beside the first state.
func (l *Log) Scratch(context.Context) (*maintain.Scratch, error) {
	first, err := l.openState()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(l.Path, "fsck-*.tmp")
	if err != nil {
		return nil, err
	}
	second, err := sqlite.Build(filepath.Join(dir, "state.db"))
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return &maintain.Scratch{
		StateWriter: second,
		Differences: func(ctx context.Context) ([]string, error) { return first.Differences(ctx, second) },
		Drop:        func(context.Context) error { return errors.Join(second.Close(), os.RemoveAll(dir)) },
	}, nil
}

// Beneath implements maintain.Log: the entries are a copy of nothing.
func (l *Log) Beneath(context.Context, int64, maintain.Watch) ([]string, error) { return nil, nil }

// Record records what is about to be done by hand, in the directory of the ledger, which may
// be lost with it.
func (l *Log) Record(_ context.Context, a maintain.Action) error {
	if err := os.MkdirAll(l.Dir.Ledger, 0o700); err != nil {
		return err
	}
	return maintain.AppendAction(l.Dir.Ledger, a)
}

// Departing opens a log to be moved to servers. The caller closes it.
func Departing(dir Dir) (*maintain.Departing, error) {
	l := Open(dir, nil)
	storage, err := tesseralog.OpenReader(dir.Tree())
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, storage.Close)
	blobs, err := l.openBlobs()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &maintain.Departing{Storage: storage, Stored: storage.State(), Files: blobs, Close: l.Close}, nil
}

// lostLedger stands in for a ledger that is lost: it loads as one that has signed nothing,
// and the first Swap makes it.
type lostLedger struct {
	dir, origin string
}

// Load implements log.Ledger.
func (l lostLedger) Load(context.Context) (log.LedgerRecord, error) {
	return log.LedgerRecord{Origin: l.origin, Edge: new(proofs.Edge)}, nil
}

// Swap implements log.Ledger.
func (l lostLedger) Swap(ctx context.Context, old, new log.LedgerRecord) error {
	if err := logdir.CreateLedger(l.dir, l.origin); err != nil {
		return err
	}
	ledger, err := logdir.OpenLedger(l.dir)
	if err != nil {
		return err
	}
	return errors.Join(ledger.Swap(ctx, old, new), ledger.Close())
}
