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
	// retiredLedger is the name of a ledger whose log was moved away.
	retiredLedger = "ledger.migrated"
	// movedNote names the new place. In a ledger's directory it counts only
	// beside a retired ledger.
	movedNote = "migrated.json"
)

// Moved names the place to which a log was moved. Only that place may sign for
// the log.
type Moved struct {
	Origin string `json:"origin"`
	// Target names the place permanently, whatever the names of its servers
	// are.
	Target string `json:"target"`
	// Where describes the place for people.
	Where string    `json:"where"`
	Time  time.Time `json:"time"`
	// Arrived means that the ledger's record was written to the new place. It
	// is written there once: a place without it was restored from an old copy.
	Arrived bool `json:"arrived"`
}

// MovedError means that a log has been moved away and must not be written here.
type MovedError struct {
	Moved
	Path string // of the note
}

func (e *MovedError) Error() string {
	return fmt.Sprintf("%s: the log %q was moved on %s to %s: serve it there. It must never be written here again: two logs that sign with one key show two histories",
		e.Path, e.Origin, e.Time.UTC().Format(time.DateOnly), e.Where)
}

// Write writes the note to a directory, durably.
func (m Moved) Write(dir string) error {
	note, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, movedNote), append(note, '\n'), 0o600)
}

// ReadMovedNote returns a *MovedError with the note that Write left in a
// directory, or nil if there is none.
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

// Retire ends the use of the ledger permanently and durably: it is never used to
// sign again, and OpenLedger returns the place of the log. It is one step, the
// renaming of the ledger; a note alone, from an interrupted attempt, does not
// count.
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

// OpenRetiredLedger opens a retired ledger, only to be read, and locks it until
// Close. The error is fs.ErrNotExist if no ledger was retired.
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
	// The renaming may not be durable yet, and the caller relies on it.
	_, err = l.read()
	if err := errors.Join(err, durable.SyncDir(dir)); err != nil {
		return nil, Moved{}, errors.Join(err, lock.Release())
	}
	return l, moved.Moved, nil
}
