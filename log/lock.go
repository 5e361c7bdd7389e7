package log

import (
	"path/filepath"

	"github.com/tuflog/tuflog/internal/lockfile"
)

// ErrLocked means that another process has the directory open; the error that wraps
// it names the process.
var ErrLocked = lockfile.ErrHeld

// LockDir takes the lock of a directory that exists, without waiting. The
// kernel releases it when the process ends, however it ends.
func LockDir(dir string) (*lockfile.Lock, error) {
	return lockfile.Acquire(filepath.Join(dir, "lock"), "")
}
