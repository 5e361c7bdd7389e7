package device

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/tuf"
)

// A target is fetched into a file beside its place, whose name has a hash of what is listed
// of the target: what a run has left of a large one the next goes on with. Each is locked as
// long as its process is at work on it. A run that finds the file locked makes one under
// another name, which is of no use to others.
const (
	partPrefix  = ".download."
	partSuffix  = ".part"
	partPattern = partPrefix + "*.tmp"
	leftPattern = partPrefix + "[0-9]*.tmp"
)

// partName is the name of the file into which a target is fetched.
func partName(t tuf.TargetFile) string {
	listed := fmt.Appendf(nil, "%d\n", t.Length)
	for _, algorithm := range slices.Sorted(maps.Keys(t.Hashes)) {
		listed = fmt.Appendf(listed, "%s %s\n", algorithm, t.Hashes[algorithm])
	}
	return partPrefix + tuf.Sum(listed).String() + partSuffix
}

// openPart opens the file into which a target is fetched, or makes it.
func openPart(dir string, t tuf.TargetFile) (*os.File, error) {
	path := filepath.Join(dir, partName(t))
	const flags = os.O_RDWR | os.O_CREATE | syscall.O_NONBLOCK
	f, err := os.OpenFile(path, flags, 0o600)
	if errors.Is(err, fs.ErrPermission) {
		// Another user's run has left it, as root's when somebody tried the command: nobody
		// but that user could ever go on with it.
		if err := os.Remove(path); err != nil {
			return createPart(dir)
		}
		f, err = os.OpenFile(path, flags, 0o600)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		err = lockfile.Hold(f)
		if !errors.Is(err, lockfile.ErrHeld) && names(path, f) {
			return f, nil // where a file system has no locks nobody sweeps
		}
	}
	f.Close()
	return createPart(dir)
}

// createPart makes a file to fetch into.
func createPart(dir string) (*os.File, error) {
	const attempts = 8
	for range attempts {
		f, err := os.CreateTemp(dir, partPattern)
		if err != nil {
			return nil, err
		}
		err = lockfile.Hold(f)
		if !errors.Is(err, lockfile.ErrHeld) && names(f.Name(), f) {
			return f, nil
		}
		// Another run found it before it was locked, and takes it for one that was left.
		f.Close()
		os.Remove(f.Name())
	}
	return nil, fmt.Errorf("%s: other runs remove each file that is made there", dir)
}

// leavePart closes a part whose target is not complete, because of err. It is kept only if
// another run can go on with it: what was refused is wrong, and what has filled a disk would
// stay in the way.
func leavePart(f *os.File, err error) error {
	info, err2 := f.Stat()
	if isWrong(err) || onDisk(err) || err2 != nil || info.Size() == 0 || !strings.HasSuffix(f.Name(), partSuffix) {
		os.Remove(f.Name())
	}
	f.Close()
	return err
}

// sweepParts removes the files that runs have left, except those that this one goes on with:
// a device that loses its power now and then would fill its disk with them. Other devices'
// runs may be using the directory, too.
func sweepParts(dir string, keep map[string]bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		left, err := filepath.Match(leftPattern, e.Name())
		part := strings.HasPrefix(e.Name(), partPrefix) && strings.HasSuffix(e.Name(), partSuffix)
		if err != nil || !left && !part || keep[e.Name()] || !e.Type().IsRegular() {
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
	if !names(f.Name(), f) { // another user's run has taken it for one that was left
		f.Close()
		return fmt.Errorf("%s is not the file any more that was fetched: another run has removed it", f.Name())
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return f.Close()
}
