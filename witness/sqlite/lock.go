//go:build unix

package sqlite

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Lock makes this process the only one that cosigns with the state in dir,
// until unlock or the end of the process, however it ends. Two processes would
// each keep the other's order of check and update, but not its locks per log.
func Lock(dir string) (unlock func() error, err error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = fmt.Errorf("another process serves the witness in %s", dir)
		}
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
