package log

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrLocked means that another process has the directory open.
var ErrLocked = errors.New("in use by another process")

// DirLock keeps a directory to one process.
type DirLock struct{ file *os.File }

// LockDir takes the lock of a directory that exists, without waiting. The
// kernel releases it when the process ends, however it ends.
func LockDir(dir string) (*DirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return &DirLock{f}, nil
}

// Unlock releases the lock.
func (l *DirLock) Unlock() error { return l.file.Close() }
