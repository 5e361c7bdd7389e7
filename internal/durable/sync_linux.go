package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// SyncAll makes everything durable that was written to the file system of a directory:
// many files that were written without a sync of their own.
func SyncAll(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
