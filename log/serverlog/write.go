package serverlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
	"github.com/tuflog/tuflog/proofs"
)

// Write opens a log for this process to write, instead of any front end, and puts what
// leader.Open needs of it into cfg.
func (l *Log) Write(ctx context.Context, cfg *leader.Config) error {
	if err := l.take(ctx); err != nil {
		return err
	}
	storage, err := l.appendTo(ctx)
	if err == nil && cfg.Publisher.Ending {
		err = l.finish(ctx, storage) // nothing may come behind the end
	}
	if err != nil {
		return err
	}
	cfg.Publisher.Storage, cfg.Publisher.Ledger, cfg.Publisher.Checkpoints = storage, l.db.Ledger(l.lease), l.db.Checkpoints(l.lease)
	cfg.Blobs, cfg.State, cfg.Right = l.db.Blobs(), l.db.State(l.lease), l.lease.Context()
	return nil
}

// appendTo opens Trillian for this process until Close.
func (l *Log) appendTo(ctx context.Context) (*trillianlog.Log, error) {
	storage, err := l.openStorage(ctx, l.lease, nil)
	if err == nil {
		l.closers = append(l.closers, storage.Close)
	}
	return storage, err
}

// Forward opens what maintain.Forward needs, instead of any front end. With lost the ledger
// is made anew, when it is written; the database knows the log's origin.
func (l *Log) Forward(ctx context.Context, lost bool, _ string) (ledger log.Ledger, storage log.Storage, err error) {
	if err := l.take(ctx); err != nil {
		return nil, nil, err
	}
	if storage, err = l.appendTo(ctx); err != nil {
		return nil, nil, err
	}
	if lost {
		ledger, err = l.db.LostLedger(ctx, l.lease)
		return ledger, storage, err
	}
	return l.db.Ledger(l.lease), storage, nil
}

// Reindex makes the derived state anew as far as the log was signed, and returns how many
// entries it has. With tiles the copy of Trillian's entries is made anew before that.
func (l *Log) Reindex(ctx context.Context, tiles bool, watch maintain.Watch) (n int64, err error) {
	if err := l.take(ctx); err != nil {
		return 0, err
	}
	ctx, end := underLease(ctx, l.lease)
	defer end()
	rec, err := l.db.Ledger(l.lease).Load(ctx)
	if err != nil {
		return 0, err
	}
	tree := rec.Edge.Tree()
	if tiles {
		if err := l.rebuild(ctx, tree, watch); err != nil {
			return 0, err
		}
	}
	storage, err := l.appendTo(ctx)
	if err != nil {
		return 0, err
	}
	return tree.N, l.indexAnew(ctx, storage, tree, watch)
}

// indexAnew makes the derived state anew for a tree.
func (l *Log) indexAnew(ctx context.Context, storage log.Storage, tree proofs.Tree, watch maintain.Watch) error {
	anew, err := l.db.Scratch(ctx, l.lease)
	if err != nil {
		return err
	}
	return (&maintain.Reindex{
		Storage: storage, Blobs: l.db.Blobs(), Tree: tree, Anew: anew, Replace: anew.Replace, Drop: anew.Drop,
		Watch: watch, Logger: l.logger,
	}).Run(ctx)
}

// rebuild makes the copy of Trillian's entries anew.
func (l *Log) rebuild(ctx context.Context, tree proofs.Tree, watch maintain.Watch) (err error) {
	cfg := l.storage
	cfg.Tiles, cfg.Until = l.db.Tiles(l.lease), l.lease.Until
	trillian, err := trillianlog.Connect(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	add, done := watch.Begin("tiles", 0)
	defer done()
	return trillian.Rebuild(ctx, tree, add)
}

// takeTime is how long a command waits for the lease of a front end that was killed. One
// that runs, and renews it, is not waited for.
const takeTime = 30 * time.Second

// releaseTime is how long giving the lease up may take. Not given up it expires.
const releaseTime = 2 * time.Second

// take gives this process the right to write the log, instead of any front end, until Close.
func (l *Log) take(ctx context.Context) (err error) {
	if l.lease, err = takeLease(ctx, l.db); err != nil {
		return err
	}
	l.closers = append(l.closers, func() error { giveUp(ctx, l.lease, l.logger); return nil })
	// While it waited, another command may have put the log elsewhere.
	return l.db.CheckStorage(ctx, nameOf(l.storage.TreeID))
}

// giveUp gives a lease up that may be lost already.
func giveUp(ctx context.Context, lease *postgres.Lease, logger *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		logger.Warn("the lease was not given up; it expires by itself", "err", err)
		return
	}
	logger.Info("not leading the log any more")
}

// underLease returns a context that ends, with the reason, when the lease is lost: nothing
// is written after that. The caller calls end.
func underLease(ctx context.Context, lease *postgres.Lease) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(lease.Context(), func() { cancel(context.Cause(lease.Context())) })
	return ctx, func() { stop(); cancel(nil) }
}

// takeLease takes the lease for a command.
func takeLease(ctx context.Context, db *postgres.DB) (*postgres.Lease, error) {
	id, err := cluster.ProcessID()
	if err != nil {
		return nil, err
	}
	waiting, cancel := context.WithTimeout(ctx, takeTime)
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() {
		defer cancel()
		waitRenewal(waiting, db)
	})
	lease, err := db.Campaign(waiting, postgres.Candidate{ID: id})
	cancel()
	watching.Wait()
	if err == nil {
		return lease, nil
	}
	switch leader, ok, _ := db.Leader(ctx); {
	case ok && leader.URL != "":
		err = fmt.Errorf("the front end at %s serves the log: stop all front ends that have its key first", fetch.Redacted(leader.URL))
	case ok:
		err = fmt.Errorf("another command writes the log, in the process %s", leader.ID)
	}
	return nil, err
}

// waitRenewal returns when somebody has renewed the lease, or ctx ends.
func waitRenewal(ctx context.Context, db *postgres.DB) {
	const often = 100 * time.Millisecond
	var first postgres.Leader
	for seen := false; ; {
		leader, ok, err := db.Leader(ctx)
		switch {
		case err != nil || !ok:
		case !seen:
			first, seen = leader, true
		case leader.Epoch == first.Epoch && leader.Renewals > first.Renewals:
			return
		default:
			first = leader
		}
		if wait.For(ctx, often) != nil {
			return
		}
	}
}

// finish appends what a former leader was about to, and may still.
func (l *Log) finish(ctx context.Context, storage *trillianlog.Log) error {
	first, entries, err := l.db.Batch(ctx)
	if err != nil {
		return err
	}
	return verdict(storage.Finish(ctx, first, entries))
}

// openStorage opens Trillian for the holder of the lease to append to. kept is trillianlog.Config's.
func (l *Log) openStorage(ctx context.Context, lease *postgres.Lease, kept func(int64, [][]byte) error) (*trillianlog.Log, error) {
	cfg := l.storage
	cfg.Tiles, cfg.Until, cfg.Kept = l.db.Tiles(lease), lease.Until, kept
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
