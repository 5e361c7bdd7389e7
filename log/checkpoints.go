package log

import (
	"errors"
	"io/fs"
	"os"

	"github.com/tuflog/tuflog/internal/durable"
)

// Checkpoints keeps the published checkpoint, the newest one alone.
type Checkpoints interface {
	// Load returns what Store has kept last, or nil.
	Load() ([]byte, error)
	// Store replaces it durably.
	Store(note []byte) error
}

// CheckpointFile is Checkpoints in the file of that path.
type CheckpointFile string

// Load implements Checkpoints.
func (f CheckpointFile) Load() ([]byte, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Store implements Checkpoints.
func (f CheckpointFile) Store(note []byte) error { return durable.WriteFile(string(f), note, 0o644) }
