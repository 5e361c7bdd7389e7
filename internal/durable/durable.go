// Package durable writes files so that a reader, or a machine that lost power,
// finds either the old content or the new one and never a part of either.
package durable

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// WriteFile replaces the file at path with data: it writes a temporary file in
// the same directory, syncs it, renames it over path and syncs the directory.
// When it returns nil the new content survives a power cut. The directory must
// exist.
func WriteFile(path string, data []byte, perm os.FileMode) error {
	return Write(path, perm, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// Write is WriteFile for content that does not fit into memory: it is what write
// writes. If that returns an error the file stays as it is, and the error is wrapped.
func Write(path string, perm os.FileMode, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*"+temporarySuffix)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, withoutPath(err))
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("write %s: %w", path, withoutPath(err)), withoutPath(discard(f)))
		}
	}()
	if err := f.Chmod(perm); err != nil {
		return err
	}
	if err := write(f); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// withoutPath returns an error without the name of the temporary file, which is another each time:
// who is told again and again cannot see that it is the same trouble.
func withoutPath(err error) error {
	switch e := err.(type) {
	case *os.PathError:
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	case *os.LinkError:
		return fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	return err
}

const temporarySuffix = ".tmp"

// Sweep removes the temporary files that WriteFile leaves in a directory when its
// process is killed. Each has another name, so they could fill the disk. No other
// process may be writing there. Subdirectories are left alone.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !e.Type().IsRegular() || !isTemporary(e.Name()) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// isTemporary reports whether a name is one of those that WriteFile gives.
func isTemporary(name string) bool {
	rest, ok := strings.CutSuffix(name, temporarySuffix)
	dot := strings.LastIndexByte(rest, '.')
	return ok && dot > 1 && rest[0] == '.' && dot < len(rest)-1 && strings.Trim(rest[dot+1:], "0123456789") == ""
}

// SyncDir makes the names in a directory durable: files created in it,
// renamed or removed.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// discard closes and removes a temporary file that will not be used. The file
// may be closed already, and may have been renamed away.
func discard(f *os.File) error {
	var errs []error
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		errs = append(errs, err)
	}
	if err := os.Remove(f.Name()); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
