package device

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/regular"
)

// partPattern names the files into which targets are downloaded, beside their place, and
// leftPattern those of them that may be removed. Each is locked as long as its process is
// at work on it.
const (
	partPattern = ".download.*.tmp"
	leftPattern = ".download.[0-9]*.tmp"
)

// createPart makes a file to download into. Those of runs that were killed are removed
// first: a device that loses its power now and then would fill its disk with them.
func createPart(dir string) (*os.File, error) {
	if err := sweepParts(dir); err != nil {
		return nil, err
	}
	const attempts = 8
	for range attempts {
		f, err := os.CreateTemp(dir, partPattern)
		if err != nil {
			return nil, err
		}
		err = lockfile.Hold(f)
		if !errors.Is(err, lockfile.ErrHeld) && names(f.Name(), f) {
			return f, nil // where a file system has no locks nobody sweeps
		}
		// Another run found it before it was locked, and takes it for one that was left.
		f.Close()
		os.Remove(f.Name())
	}
	return nil, fmt.Errorf("%s: other runs remove each file that is made there", dir)
}

// sweepParts removes the files to download into whose processes have ended. Other
// devices' runs may be using the directory, too.
func sweepParts(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if match, err := filepath.Match(leftPattern, e.Name()); err != nil || !match || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(dir, e.Name())
		f, err := regular.Open(path)
		if err != nil {
			continue
		}
		if lockfile.Hold(f) == nil && names(path, f) {
			_ = os.Remove(path) // it takes room, and nothing else
		}
		f.Close()
	}
	return nil
}

// names reports whether a path leads to an open file.
func names(path string, f *os.File) bool {
	there, err := os.Lstat(path)
	if err != nil {
		return false
	}
	own, err := f.Stat()
	return err == nil && os.SameFile(there, own)
}

// renamePart puts a file that was downloaded in its place, under its lock where that can
// be, and closes it.
func renamePart(f *os.File, path string) error {
	if runtime.GOOS == "windows" { // nothing that is open is renamed there, nor removed
		if err := f.Close(); err != nil {
			return err
		}
		return os.Rename(f.Name(), path)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return f.Close()
}
