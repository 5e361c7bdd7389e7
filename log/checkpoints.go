package log

import (
	"context"
	"errors"

	"github.com/tuflog/tuflog/proofs"
)

// Checkpoints keeps the published checkpoint, the newest one alone. Its methods
// are not called at the same time.
type Checkpoints interface {
	// Load returns what Store has kept last, or nil.
	Load(ctx context.Context) ([]byte, error)
	// Store replaces it durably.
	Store(ctx context.Context, note []byte) error
}

// Published is a checkpoint that devices accept.
type Published struct {
	Tree proofs.Tree
	Note []byte // with cosignatures; nil before the first publication
}

// ErrNotPublished means that an entry is not under a published checkpoint yet,
// if there is such an entry.
var ErrNotPublished = errors.New("not published")
