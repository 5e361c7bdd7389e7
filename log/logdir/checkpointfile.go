package logdir

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/tuflog/tuflog/internal/durable"
)

// Checkpoint implements log.Checkpoints in a file.
type Checkpoint struct {
	path string
	file *durable.File
}

// NewCheckpoint returns the file at path, which need not exist.
func NewCheckpoint(path string) *Checkpoint {
	return &Checkpoint{path, durable.NewFile(path, 0o644)}
}

// Path returns the path of the file.
func (f *Checkpoint) Path() string { return f.path }

// Load implements Checkpoints.
func (f *Checkpoint) Load(context.Context) ([]byte, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// Store implements Checkpoints.
func (f *Checkpoint) Store(_ context.Context, note []byte) error { return f.file.Write(note) }
