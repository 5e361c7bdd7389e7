package logdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/lockfile"
)

const (
	// retiredLedger is what a ledger is called once its log has moved away.
	retiredLedger = "ledger.migrated"
	// movedNote says where to. In a ledger's directory it counts only beside a
	// retired ledger.
	movedNote = "migrated.json"
)

// Moved says where a log has been moved to, and so who alone may sign for it.
type Moved struct {
	Origin string `json:"origin"`
	// Target names the place for ever, whatever its servers are called.
	Target string `json:"target"`
	// Where says how people find it.
	Where string    `json:"where"`
	Time  time.Time `json:"time"`
	// Arrived is that the record of what was signed is there. It is there once:
	// a place that has forgotten it was restored from an old copy.
	Arrived bool `json:"arrived"`
}

// MovedError means that a log has been moved away and must not be written here.
type MovedError struct {
	Moved
	Path string // of the file that says so
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("%s: the log %q was moved on %s to %s: serve it there. It must never be written here again: two logs that sign with one key show two histories",
		e.Path, e.Origin, e.Time.UTC().Format(time.DateOnly), e.Where)
}

// Write leaves a note in a directory, durably.
func (m Moved) Write(dir string) error {
	note, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, movedNote), append(note, '\n'), 0o600)
}

// ReadMovedNote returns a *MovedError with what Write has left in a directory, or
// nil where there is no note.
func ReadMovedNote(dir string) error {
	moved := MovedError{Path: filepath.Join(dir, movedNote)}
	b, err := os.ReadFile(moved.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &moved.Moved)
	}
	if err != nil {
		return fmt.Errorf("%s: the log was moved away, and where to cannot be read: %w", moved.Path, err)
	}
	return &moved
}

// ReadMoved returns a *MovedError if the ledger of a directory was retired, and
// nil if it was not.
func ReadMoved(dir string) error {
	path := filepath.Join(dir, retiredLedger)
	if _, err := os.Lstat(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := ReadMovedNote(dir); err != nil {
		return err
	}
	return fmt.Errorf("%s: the log was moved away, and %s, which says where to, is lost", path, movedNote)
}

// Retire ends the use of the ledger for ever, durably: nothing signs by it again,
// and who opens it is told where the log is. It is one step, the renaming of the
// ledger; a note alone, of an attempt that was broken off before, means nothing.
func (l *Ledger) Retire(moved Moved) error {
	if l.file == nil {
		return errors.New("the ledger is retired already")
	}
	dir := filepath.Dir(l.path)
	if err := moved.Write(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, retiredLedger)
	if err := os.Rename(l.path, path); err != nil {
		return err
	}
	l.path, l.file = path, nil
	return durable.SyncDir(dir)
}

// OpenRetiredLedger opens a ledger that was retired, to be read and never swapped.
// It is fs.ErrNotExist where none was. Others are kept from it until Close.
func OpenRetiredLedger(dir string) (*Ledger, Moved, error) {
	err := ReadMoved(dir)
	var moved *MovedError
	switch {
	case err == nil:
		return nil, Moved{}, fmt.Errorf("%s: %w", filepath.Join(dir, retiredLedger), fs.ErrNotExist)
	case !errors.As(err, &moved):
		return nil, Moved{}, err
	}
	lock, err := lockfile.AcquireDir(dir)
	if err != nil {
		return nil, Moved{}, err
	}
	l := &Ledger{path: filepath.Join(dir, retiredLedger), lock: lock}
	// The renaming may not be durable yet: whoever goes on relies on it.
	_, err = l.read()
	if err := errors.Join(err, durable.SyncDir(dir)); err != nil {
		return nil, Moved{}, errors.Join(err, lock.Release())
	}
	return l, moved.Moved, nil
}
