package serverlog

import (
	"context"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/cluster"
	"github.com/tuflog/tuflog/log/follower"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/trillianlog"
)

// Follow puts into cfg the parts of the log, as a front end reads them while any leads.
func (l *Log) Follow(cfg *follower.Config) {
	cfg.Storage, cfg.Checkpoints = trillianlog.OpenReader(l.db.Tiles(nil)), l.db.Checkpoints(nil)
	cfg.Blobs, cfg.State, cfg.Tokens = l.db.Blobs(), l.db.State(nil), l.db.Tokens()
}

// Secret returns the secret that front ends of the log know each other by.
func (l *Log) Secret(ctx context.Context) (string, error) { return l.db.Secret(ctx) }

// Origin returns the log's origin.
func (l *Log) Origin(ctx context.Context) (string, error) {
	origin, _, err := l.db.Log(ctx)
	return origin, err
}

// Campaign implements cluster.Leases.
func (l *Log) Campaign(ctx context.Context, who cluster.Candidate) (cluster.Lease, error) {
	right, err := l.db.Campaign(ctx, postgres.Candidate(who))
	if err != nil {
		return nil, err
	}
	return &lease{right, l}, nil
}

// Leader implements cluster.Leases.
func (l *Log) Leader(ctx context.Context) (cluster.Leader, bool, error) {
	leader, ok, err := l.db.Leader(ctx)
	return cluster.Leader(leader), ok, err
}

// Tell implements cluster.FrontEnds.
func (l *Log) Tell(ctx context.Context, own cluster.FrontEnd) ([]cluster.FrontEnd, error) {
	rows, err := l.db.Tell(ctx, postgres.FrontEnd(own))
	all := make([]cluster.FrontEnd, len(rows))
	for i, f := range rows {
		all[i] = cluster.FrontEnd(f)
	}
	return all, err
}

// Forget implements cluster.FrontEnds.
func (l *Log) Forget(ctx context.Context, gone cluster.FrontEnd) error {
	return l.db.Forget(ctx, postgres.FrontEnd(gone))
}

// Reach is cluster.Config's: Trillian does not answer, or the log has another tree by now.
func (l *Log) Reach(ctx context.Context) error {
	err := l.db.CheckStorage(ctx, nameOf(l.storage.TreeID))
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
	return trillianlog.Reach(ctx, l.storage)
}

// lease is the right to write the log on these servers.
type lease struct {
	*postgres.Lease
	log *Log
}

// Open implements cluster.Lease.
func (l *lease) Open(ctx context.Context, cfg *leader.Config) (cluster.Storage, error) {
	storage, err := l.log.openStorage(ctx, l.Lease, l.Kept)
	if err != nil {
		return nil, err
	}
	if err := l.log.finish(ctx, storage); err != nil {
		return nil, errors.Join(err, storage.Close())
	}
	db := l.log.db
	cfg.Publisher.Storage, cfg.Publisher.Ledger, cfg.Publisher.Checkpoints = l.log.Metrics.Storage(storage), db.Ledger(l.Lease), db.Checkpoints(l.Lease)
	blobs := db.Blobs().Fenced(l.Lease)
	cfg.Blobs, cfg.Batches, cfg.State, cfg.Holds = blobs, blobs, db.State(l.Lease), db.Holds(l.Lease)
	return storage, nil
}
