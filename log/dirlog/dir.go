package dirlog

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/tesseralog"
)

// Dir says where the files of a log are.
type Dir struct {
	// Path is the directory of the log, and Ledger that of its ledger.
	Path, Ledger string
}

// Tree is the directory of the entries.
func (d Dir) Tree() string { return filepath.Join(d.Path, "tree") }

// Checkpoint is the file of the published checkpoint.
func (d Dir) Checkpoint() string { return filepath.Join(d.Path, "checkpoint") }

func (d Dir) blobs() string  { return filepath.Join(d.Path, "blobs.db") }
func (d Dir) state() string  { return filepath.Join(d.Path, "state.db") }
func (d Dir) ledger() string { return filepath.Join(d.Ledger, "ledger") }

// Check refuses a ledger inside the log's directory: a backup would carry both.
func (d Dir) Check() error {
	dir, err := filepath.Abs(d.Path)
	if err != nil {
		return err
	}
	ledger, err := filepath.Abs(d.Ledger)
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(dir, ledger); err == nil && filepath.IsLocal(rel) {
		return fmt.Errorf("the ledger %s is inside the log's directory %s: restoring one from an old copy would restore both", ledger, dir)
	}
	return nil
}

// Moved returns a *logdir.MovedError if the log was moved to servers: then nothing
// writes it in its directory any more.
func (d Dir) Moved() error {
	if err := logdir.ReadMoved(d.Ledger); err != nil {
		return err
	}
	return logdir.ReadMovedNote(d.Path)
}

// Create makes the parts of a log where there is none. The directory exists.
func (d Dir) Create(ctx context.Context, origin string) error {
	for _, step := range []func() error{
		func() error { return logdir.CreateLedger(d.Ledger, origin) },
		func() error { return tesseralog.Create(ctx, d.Tree()) },
		func() error { return sqlite.CreateBlobs(d.blobs()) },
		func() error { return sqlite.CreateState(d.state()) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}
