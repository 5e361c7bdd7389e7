package room

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Disk returns a function that returns an error if the directories have no room for
// more data. A file system with less than least bytes free counts as full.
func Disk(least uint64, dirs ...string) func() error {
	return func() error {
		for _, dir := range dirs {
			if err := roomIn(dir, least); err != nil {
				return err
			}
		}
		return nil
	}
}

// Free returns how many bytes of the file system of a directory are free, and how many it has.
func Free(dir string) (free, all uint64, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return 0, 0, fmt.Errorf("%s: %w", dir, err)
	}
	return uint64(fs.Bavail) * uint64(fs.Bsize), uint64(fs.Blocks) * uint64(fs.Bsize), nil
}

// roomIn asks the file system, and tries: quotas, and file systems that have become
// read-only, do not show otherwise.
func roomIn(dir string, least uint64) error {
	free, _, err := Free(dir)
	if err != nil {
		return err
	}
	if free < least {
		return fmt.Errorf("%s: %w: %d MiB are free, but %d are needed", dir, unix.ENOSPC, free>>20, least>>20)
	}
	probe := filepath.Join(dir, ".room.tmp")
	if err := os.WriteFile(probe, make([]byte, 4096), 0o600); err != nil {
		return errors.Join(err, os.RemoveAll(probe))
	}
	return os.Remove(probe)
}
