package logdir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Ledger implements log.Ledger in a file of a directory of its own.
type Ledger struct {
	path string
	file *durable.File // nil: retired
	lock *lockfile.Lock
}

// CreateLedger creates the ledger of a log that has not signed anything. It
// refuses a directory that has a ledger, or had one before its log was moved
// away.
func CreateLedger(dir, origin string) error {
	if err := ReadMoved(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	path := filepath.Join(dir, "ledger")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return fmt.Errorf("ledger %s: %w", path, err)
	}
	b, err := log.LedgerRecord{Origin: origin, Edge: new(proofs.Edge)}.Marshal()
	if err != nil {
		return err
	}
	if err := durable.WriteFile(path, b, 0o600); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(filepath.Clean(dir)))
}

// OpenLedger opens a ledger that CreateLedger made, and locks it until Close. The
// error is a *MovedError if the log was moved away.
func OpenLedger(dir string) (*Ledger, error) {
	if err := ReadMoved(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "ledger")
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("the ledger, which says what this log has signed, is not there: %w; without it the log could sign a second history: bring it back (never from a backup), or see logserver status", err)
	}
	lock, err := lockfile.AcquireDir(dir)
	if err != nil {
		return nil, err
	}
	l := &Ledger{path: path, file: durable.NewFile(path, 0o600), lock: lock}
	// It may have been retired before it was locked.
	if err := ReadMoved(dir); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	if _, err := l.read(); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return l, nil
}

// Load implements Ledger.
func (l *Ledger) Load(context.Context) (log.LedgerRecord, error) { return l.read() }

// Swap implements Ledger.
func (l *Ledger) Swap(_ context.Context, old, new log.LedgerRecord) error {
	if err := old.CheckNext(new); err != nil {
		return err
	}
	want, err := old.Marshal()
	if err != nil {
		return err
	}
	have, err := os.ReadFile(l.path)
	if err != nil {
		return err
	}
	if l.file == nil || !bytes.Equal(have, want) {
		return fmt.Errorf("%s: %w", l.path, log.ErrLedgerConflict)
	}
	next, err := new.Marshal()
	if err != nil {
		return err
	}
	return l.file.Write(next)
}

// Close unlocks the ledger.
func (l *Ledger) Close() error { return l.lock.Release() }

func (l *Ledger) read() (log.LedgerRecord, error) {
	b, err := os.ReadFile(l.path)
	if err != nil {
		return log.LedgerRecord{}, err
	}
	r, err := log.ParseLedgerRecord(b)
	if err != nil {
		return log.LedgerRecord{}, fmt.Errorf("%s: %w", l.path, err)
	}
	return r, nil
}
