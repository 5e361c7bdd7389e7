package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/metrics"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
)

// servers are the database and Trillian's tree of a log that several front ends share. To
// log/cluster they are Leases and FrontEnds.
type servers struct {
	db      *postgres.DB
	storage trillianlog.Config
	logger  *slog.Logger
	metrics *metrics.Metrics // of the one that serves the log; nil in commands
}

// storageName is what the database calls Trillian's tree: by its number alone,
// because servers move.
func storageName(tree int64) string { return fmt.Sprintf("trillian tree %d", tree) }

// connect opens the database and checks that it belongs to the storage. The
// caller closes it.
func (s *shared) connect(ctx context.Context, logger *slog.Logger) (*servers, error) {
	storage, err := trillianlog.ParseURL(s.storageURL)
	if err != nil {
		return nil, err
	}
	storage.Logger = logger
	db, err := postgres.Open(ctx, postgres.Config{URL: s.stateURL, Logger: logger})
	if err != nil {
		return nil, err
	}
	if err := db.CheckStorage(ctx, storageName(storage.TreeID)); err != nil {
		db.Close()
		var lost *postgres.LostLogError
		if errors.As(err, &lost) {
			name := storageName(storage.TreeID)
			err = fmt.Errorf("%w. The log is not lost, and logserver init would be refused: if its entries are in %s, as --storage says, stop all front ends, make the row again (%s), see what logserver status says, and start them", err, name, lost.Restore(name))
		} else if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: logserver init --storage --state makes a log", err)
		} else if errors.As(err, new(*postgres.OtherStorageError)) {
			err = fmt.Errorf("%w. If the database is of a date before logserver tree replace made that tree, have it take the place of the old one: logserver tree replace --to %s, with the old one's --storage", err, s.storageURL)
		}
		return nil, err
	}
	return &servers{db: db, storage: storage, logger: logger}, nil
}

// Campaign implements cluster.Leases.
func (s *servers) Campaign(ctx context.Context, who cluster.Candidate) (cluster.Lease, error) {
	l, err := s.db.Campaign(ctx, postgres.Candidate(who))
	if err != nil {
		return nil, err
	}
	return &lease{l, s}, nil
}

// Leader implements cluster.Leases.
func (s *servers) Leader(ctx context.Context) (cluster.Leader, bool, error) {
	l, ok, err := s.db.Leader(ctx)
	return cluster.Leader(l), ok, err
}

// Tell implements cluster.FrontEnds.
func (s *servers) Tell(ctx context.Context, own cluster.FrontEnd) ([]cluster.FrontEnd, error) {
	rows, err := s.db.Tell(ctx, postgres.FrontEnd(own))
	all := make([]cluster.FrontEnd, len(rows))
	for i, f := range rows {
		all[i] = cluster.FrontEnd(f)
	}
	return all, err
}

// Forget implements cluster.FrontEnds.
func (s *servers) Forget(ctx context.Context, gone cluster.FrontEnd) error {
	return s.db.Forget(ctx, postgres.FrontEnd(gone))
}

// reach is cluster.Config's: Trillian does not answer, or the log has another tree by now.
func (s *servers) reach(ctx context.Context) error {
	err := s.db.CheckStorage(ctx, storageName(s.storage.TreeID))
	var replaced *postgres.ReplacedError
	if errors.As(err, &replaced) {
		return &cluster.MovedError{Err: err, Halt: &log.Halt{
			Code: maintain.HaltReplaced,
			What: fmt.Sprintf("log %q has got a new tree, and is in %s now", replaced.Origin, replaced.Storage),
			Do:   "Start this front end again with --storage " + replaced.URL,
		}}
	}
	if err != nil {
		return err
	}
	return trillianlog.Reach(ctx, s.storage)
}

// lease is the right to write the log on these servers.
type lease struct {
	*postgres.Lease
	s *servers
}

// Open implements cluster.Lease.
func (l *lease) Open(ctx context.Context, cfg *leader.Config) (cluster.Storage, error) {
	storage, err := l.s.openStorage(ctx, l.Lease, l.Kept)
	if err == nil {
		err = l.s.finish(ctx, storage)
	}
	if err != nil {
		return nil, err
	}
	db := l.s.db
	cfg.Publisher.Storage, cfg.Publisher.Ledger, cfg.Publisher.Checkpoints = l.s.metrics.Storage(storage), db.Ledger(l.Lease), db.Checkpoints(l.Lease)
	blobs := db.Blobs().Fenced(l.Lease)
	cfg.Blobs, cfg.Batches, cfg.State, cfg.Holds = blobs, blobs, db.State(l.Lease), db.Holds(l.Lease)
	return storage, nil
}

// finish appends what a former leader was about to, and may still. It closes the storage if
// it fails.
func (s *servers) finish(ctx context.Context, storage *trillianlog.Log) error {
	first, entries, err := s.db.Batch(ctx)
	if err == nil {
		err = verdict(storage.Finish(ctx, first, entries))
	}
	if err != nil {
		return errors.Join(err, storage.Close())
	}
	return nil
}

// openStorage opens Trillian for the one who appends. kept is trillianlog.Config's.
func (s *servers) openStorage(ctx context.Context, lease *postgres.Lease, kept func(int64, [][]byte) error) (*trillianlog.Log, error) {
	cfg := s.storage
	cfg.Tiles, cfg.Until, cfg.Kept = s.db.Tiles(lease), lease.Until, kept
	storage, err := trillianlog.Open(ctx, cfg)
	return storage, verdict(err)
}

// verdict is a *log.Halt, with what can be done, where the copy contradicts Trillian.
func verdict(err error) error {
	if errors.Is(err, trillianlog.ErrContradiction) {
		halt := &log.Halt{Code: log.HaltStorageForked, What: err.Error(), Do: "Find out which of the two was changed"}
		errors.As(err, &halt) // mostly it says itself why
		return withCommands(halt)
	}
	return err
}

// withCommands adds to what contradicts Trillian which commands help.
func withCommands(h *log.Halt) *log.Halt {
	more := ". logserver fsck says what differs, logserver reindex --tiles makes the copy anew"
	if h.Code == log.HaltStorageBehind {
		more = ". If there is none, logserver tree replace makes a new tree from the copy. Only if all that Trillian lacks was never signed, logserver reindex --tiles drops it from the copy; it refuses otherwise"
	}
	return &log.Halt{Code: h.Code, What: h.What, Do: h.Do + more}
}
