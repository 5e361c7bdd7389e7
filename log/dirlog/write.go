package dirlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/tesseralog"
)

// Write opens a log for this process alone to write, and puts what leader.Open needs of it
// into cfg.
func (l *Log) Write(ctx context.Context, cfg *leader.Config) error {
	if err := l.Moved(); err != nil {
		return err
	}
	storage, err := l.lockTree(ctx)
	if err != nil {
		return err
	}
	ledger, err := l.lockLedger()
	if err != nil {
		return err
	}
	blobs, err := l.openBlobs()
	if err != nil {
		return err
	}
	state, err := l.openState()
	if err != nil {
		return fmt.Errorf("%w; logserver reindex makes a new one", err)
	}
	cfg.Publisher.Storage, cfg.Publisher.Ledger, cfg.Blobs, cfg.State = storage, ledger, blobs, state
	cfg.Tokens, cfg.Holds = blobs, blobs
	cfg.Publisher.Checkpoints = logdir.NewCheckpoint(l.Checkpoint())
	return nil
}

// lockTree opens the entries, which keeps every other process from the log.
func (l *Log) lockTree(ctx context.Context) (*tesseralog.Log, error) {
	storage, err := tesseralog.Open(ctx, tesseralog.Config{Dir: l.Tree()})
	if err == nil {
		l.closers = append(l.closers, storage.Close)
	}
	return storage, err
}

func (l *Log) lockLedger() (*logdir.Ledger, error) {
	ledger, err := logdir.OpenLedger(l.Dir.Ledger)
	if err == nil {
		l.closers = append(l.closers, ledger.Close)
	}
	return ledger, err
}

// Forward opens what maintain.Forward needs, for this process alone. With lost the ledger is
// made anew, when it is written, for a log with this origin.
func (l *Log) Forward(ctx context.Context, lost bool, origin string) (log.Ledger, log.Storage, error) {
	if err := l.Moved(); err != nil {
		return nil, nil, err
	}
	if lost {
		if _, err := os.Stat(l.ledger()); err == nil {
			return nil, nil, fmt.Errorf("there is a ledger at %s: move it away first if it is damaged", l.ledger())
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
	}
	storage, _, err := l.Storage(ctx)
	if err != nil {
		return nil, nil, err
	}
	if lost {
		return lostLedger{l.Dir.Ledger, origin}, storage, nil
	}
	ledger, err := l.lockLedger()
	return ledger, storage, err
}

// Reindex makes the derived state anew as far as the log was signed, and returns how many
// entries it has. Nothing else may have the log open.
func (l *Log) Reindex(ctx context.Context, watch maintain.Watch) (int64, error) {
	storage, err := l.lockTree(ctx)
	if err != nil {
		return 0, err
	}
	blobs, err := l.openBlobs()
	if err != nil {
		return 0, err
	}
	rec, err := l.Ledger(ctx)
	if err != nil {
		return 0, fmt.Errorf("%w: only what was signed is indexed, and the ledger knows what that is; logserver status says more", err)
	}
	// What one that was broken off has left is of no use.
	path := l.Dir.state() + ".new"
	if err := sqlite.RemoveState(path); err != nil {
		return 0, err
	}
	anew, err := sqlite.Build(path)
	if err != nil {
		return 0, err
	}
	r := maintain.Reindex{
		Storage: storage, Blobs: blobs, Tree: rec.Edge.Tree(), Anew: anew,
		Replace: func(ctx context.Context) error {
			add, done := watch.Begin("indices", sqlite.BuildSteps)
			defer done()
			if err := anew.Finish(ctx, func() { add(1) }); err != nil {
				return err
			}
			return sqlite.ReplaceState(l.Dir.state(), path)
		},
		Drop:  func(context.Context) error { return errors.Join(anew.Close(), sqlite.RemoveState(path)) },
		Watch: watch, Logger: l.logger,
	}
	return r.Tree.N, r.Run(ctx)
}
