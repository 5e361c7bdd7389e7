package log

import (
	"context"
	"errors"

	"github.com/tuflog/tuflog/proofs"
)

// Checkpoints keeps the published checkpoint, the newest one alone. Its methods
// are not called at the same time.
type Checkpoints interface {
	// Load returns the note that was stored last, or nil.
	Load(ctx context.Context) ([]byte, error)
	// Store replaces the note durably.
	Store(ctx context.Context, note []byte) error
}

// Published is a checkpoint that devices accept.
type Published struct {
	Tree proofs.Tree
	Note []byte // with cosignatures; nil before the first publication
}

// ErrNotPublished means that no published checkpoint includes an entry yet, if
// the entry exists at all.
var ErrNotPublished = errors.New("not published")
