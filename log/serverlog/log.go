package serverlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/metrics"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
	"github.com/tuflog/tuflog/proofs"
)

// Servers says where the servers of a log are.
type Servers struct {
	// Storage is the URL of the tree at Trillian's log server, as trillianlog.ParseURL reads
	// it, and State that of the database.
	Storage, State string
}

// Log is a log on servers that several front ends share. It implements maintain.Log, and
// cluster.Leases and cluster.FrontEnds.
type Log struct {
	// Metrics are of the process that serves the log; nil in others.
	Metrics *metrics.Metrics

	db      *postgres.DB
	storage trillianlog.Config
	logger  *slog.Logger
	lease   *postgres.Lease // nil: this process does not write the log
	closers []func() error
}

// nameOf is what the database calls Trillian's tree: by its number alone, because servers
// move.
func nameOf(tree int64) string { return fmt.Sprintf("trillian tree %d", tree) }

// Open opens the database and checks that it belongs to the storage. The caller closes the
// log.
func Open(ctx context.Context, at Servers, logger *slog.Logger) (*Log, error) {
	storage, err := trillianlog.ParseURL(at.Storage)
	if err != nil {
		return nil, err
	}
	storage.Logger = logger
	db, err := postgres.Open(ctx, postgres.Config{URL: at.State, Logger: logger})
	if err != nil {
		return nil, err
	}
	name := nameOf(storage.TreeID)
	if err := db.CheckStorage(ctx, name); err != nil {
		db.Close()
		var lost *postgres.LostLogError
		if errors.As(err, &lost) {
			err = fmt.Errorf("%w. The log is not lost, and logserver init would be refused: if its entries are in %s, as --storage says, stop all front ends, make the row again (%s), see what logserver status says, and start them", err, name, lost.Restore(name))
		} else if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: logserver init --storage --state makes a log", err)
		} else if errors.As(err, new(*postgres.OtherStorageError)) {
			err = fmt.Errorf("%w. If the database is of a date before logserver tree replace made that tree, let it take the place of the old one: logserver tree replace --to %s, with the old one's --storage", err, at.Storage)
		}
		return nil, err
	}
	return &Log{db: db, storage: storage, logger: logger}, nil
}

// Close gives up what Write has taken, and closes the database.
func (l *Log) Close() error {
	var err error
	for len(l.closers) > 0 {
		last := len(l.closers) - 1
		err = errors.Join(err, l.closers[last]())
		l.closers = l.closers[:last]
	}
	l.db.Close()
	return err
}

// Ledger implements maintain.Log.
func (l *Log) Ledger(ctx context.Context) (log.LedgerRecord, error) {
	return l.db.Ledger(nil).Load(ctx)
}

// Published implements maintain.Log.
func (l *Log) Published(ctx context.Context) ([]byte, error) {
	return l.db.Checkpoints(nil).Load(ctx)
}

// Storage implements maintain.Log. It is the copy of Trillian's entries that front ends read.
func (l *Log) Storage(ctx context.Context) (log.Storage, proofs.Tree, error) {
	storage := trillianlog.OpenReader(l.db.Tiles(nil))
	stored, err := storage.Integrated(ctx)
	return storage, stored, err
}

// Blobs implements maintain.Log.
func (l *Log) Blobs() (log.Blobs, error) { return l.db.Blobs(), nil }

// State implements maintain.Log.
func (l *Log) State() (log.State, error) { return l.db.State(nil), nil }

// Vendors implements maintain.Log.
func (l *Log) Vendors() (log.Tokens, log.Holds, error) { return l.db.Tokens(), l.db.Holds(nil), nil }

// Record records what is about to be done by hand, in the database.
func (l *Log) Record(ctx context.Context, a maintain.Action) error { return l.db.AppendAction(ctx, a) }

// Requests counts the requests to witnesses, for all front ends. It is a budget.Store.
func (l *Log) Requests() *postgres.Requests { return l.db.Requests() }

// Scratch implements maintain.Log.
func (l *Log) Scratch(ctx context.Context) (*maintain.Scratch, error) {
	second, err := l.db.Scratch(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &maintain.Scratch{
		StateWriter: second,
		Differences: func(ctx context.Context) ([]string, error) { return l.db.State(nil).Differences(ctx, second) },
		Drop:        second.Drop,
	}, nil
}

// Beneath implements maintain.Log: the copy is compared with Trillian's leaves.
func (l *Log) Beneath(ctx context.Context, size int64, watch maintain.Watch) (found []string, err error) {
	cfg := l.storage
	cfg.Tiles = l.db.Tiles(nil)
	trillian, err := trillianlog.Connect(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	add, done := watch.Begin("Trillian", size)
	err = trillian.Check(ctx, add)
	done()
	if errors.Is(err, trillianlog.ErrContradiction) {
		return strings.Split(err.Error(), "\n"), nil
	}
	return nil, err
}

// Diagnose says in d what is wrong with Trillian's tree, beside a copy of it, and returns the
// tree; nil: it could not be read.
func (l *Log) Diagnose(ctx context.Context, copied proofs.Tree, d *maintain.Diagnosis) (tree *proofs.Tree, err error) {
	trillian, err := trillianlog.Connect(l.storage)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	root, err := trillian.Compare(ctx, copied)
	var halt *log.Halt
	switch {
	case errors.As(err, &halt):
		halt = withCommands(halt)
		d.Explain(halt.Code, halt.What, halt.Do)
		return &root, nil
	case err != nil:
		d.Explain(maintain.HaltTrillianAway, err.Error(), fmt.Sprintf("See whether Trillian's log server runs at %s, has its database and, with TLS, a certificate for that host that is of ca or of the system's authorities. What is published can be read meanwhile", l.storage.Target))
		return nil, nil
	}
	if state, err := trillian.TreeState(ctx); err == nil && state != "ACTIVE" {
		d.Explain(maintain.HaltTreeFrozen, fmt.Sprintf("Trillian's tree is %s: nothing can be appended to it", state), "Find out who has changed it, and set it to ACTIVE again (Trillian's updatetree)")
	}
	return &root, nil
}

// FrontEnd is what a front end that may lead says of itself.
type FrontEnd struct {
	postgres.FrontEnd
	// Heard reports whether it has just said so.
	Heard bool
}

// FrontEnds reads what the front ends say of themselves.
func (l *Log) FrontEnds(ctx context.Context) ([]FrontEnd, error) {
	rows, err := l.db.FrontEnds(ctx)
	if err != nil {
		return nil, err
	}
	heard := func(f postgres.FrontEnd) bool { return f.Ago >= 0 && f.Ago <= cluster.Fresh }
	doubt := len(rows) > 0
	for _, f := range rows {
		doubt = doubt && !(heard(f) && f.Able)
	}
	if doubt {
		// The database's clock may have been set: a front end that changes its row lives.
		before := map[string]int64{}
		for _, f := range rows {
			before[f.ID] = f.Writes
		}
		wait.For(ctx, 2*cluster.Beat)
		if rows, err = l.db.FrontEnds(ctx); err != nil {
			return nil, err
		}
		heard = func(f postgres.FrontEnd) bool { writes, ok := before[f.ID]; return !ok || writes != f.Writes }
	}
	list := make([]FrontEnd, len(rows))
	for i, f := range rows {
		list[i] = FrontEnd{f, heard(f)}
	}
	return list, nil
}
