package maintain

import (
	"context"
	"errors"
	"log/slog"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Reindex makes the derived state of a log anew, up to a tree, which is what was signed:
// nobody is known to have judged what comes behind it.
type Reindex struct {
	Storage log.Storage
	Blobs   log.Blobs
	Tree    proofs.Tree
	// Anew is an empty state. Replace puts it in the place of the old one, and Drop
	// removes it.
	Anew    log.StateWriter
	Replace func(ctx context.Context) error
	Drop    func(ctx context.Context) error
	Watch   Watch
	Logger  *slog.Logger
}

// Run makes the state. Before the end nothing has changed.
func (r *Reindex) Run(ctx context.Context) error {
	add, done := r.Watch.Begin("reindex", r.Tree.N)
	err := IndexUpTo(ctx, r.Storage, r.Blobs, r.Anew, r.Tree, add, r.Logger)
	done()
	if err == nil {
		err = r.Replace(ctx)
	}
	if err != nil {
		return errors.Join(err, r.Drop(context.WithoutCancel(ctx)))
	}
	return nil
}
