package log

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/tuflog/tuflog/internal/durable"
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

// CheckpointFile is Checkpoints in a file.
type CheckpointFile struct {
	path string
	file *durable.File
}

// NewCheckpointFile returns the file at path, which need not exist.
func NewCheckpointFile(path string) *CheckpointFile {
	return &CheckpointFile{path, durable.NewFile(path, 0o644)}
}

// Path returns where the file is.
func (f *CheckpointFile) Path() string { return f.path }

// Load implements Checkpoints.
func (f *CheckpointFile) Load(context.Context) ([]byte, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Store implements Checkpoints.
func (f *CheckpointFile) Store(_ context.Context, note []byte) error { return f.file.Write(note) }

// Published is a checkpoint that devices accept.
type Published struct {
	Tree proofs.Tree
	Note []byte // with cosignatures; nil before the first publication
}

// ErrNotPublished means that an entry is not under a published checkpoint yet,
// if there is such an entry.
var ErrNotPublished = errors.New("not published")
