package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// Folder is a repository's metadata in files: in folders, as a repository or a device has
// them, or named one by one. It is the Origin of a device that is updated from there. As a
// verify.Source it fetches from there, does not keep files, and has only Root of the device.
type Folder struct {
	// Root is the device's root, with which trust begins.
	Root         []byte
	RootSidecars verify.Sidecars
	// Targets is the directory of the targets. It is needed only to copy them.
	Targets string
	// Own, if not nil, is the state of the device whose own files these are. Then they are
	// what it keeps as well, and a release that waits is not one that is missing.
	Own *verify.State
	// Given are the metadata files, without the proofs, that were fetched, in order.
	Given []Given

	paths  map[string]string // of files, by name
	device *Store
}

// Given is a file that a Folder has given.
type Given struct {
	Role string
	Name string
	File []byte
}

// OpenFolder looks at folders and files.
func OpenFolder(paths ...string) (*Folder, error) {
	f := &Folder{paths: map[string]string{}}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			f.paths[filepath.Base(path)] = path
			// A proof lies beside its file whether it is named or not.
			for _, suffix := range []string{verify.SidecarSuffix, verify.LatestSuffix} {
				f.paths[filepath.Base(path)+suffix] = path + suffix
			}
			continue
		}
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			f.paths[e.Name()] = filepath.Join(path, e.Name())
		}
		if len(paths) == 1 && (f.has(stateName) || f.has(copyName)) {
			f.device = &Store{Dir: path}
		}
	}
	return f, nil
}

// Device returns the device if its directory is the only named one, else nil.
func (f *Folder) Device() *Store { return f.device }

func (f *Folder) has(name string) bool {
	path, ok := f.paths[name]
	if !ok {
		return false
	}
	_, err := os.Stat(path)
	return err == nil
}

// read returns a file, nil if it is not there.
func (f *Folder) read(name string) ([]byte, error) {
	path, ok := f.paths[name]
	if !ok {
		return nil, nil
	}
	// What is longer is refused for its length, as if it had been fetched.
	b, err := regular.ReadSome(path, tuf.MaxFileSize+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// LowestRoot returns the root with the lowest version in its name, or root.json. The name
// is empty if the folder does not have one.
func (f *Folder) LowestRoot() (name string, file []byte, err error) {
	lowest := int64(0)
	for candidate := range f.paths {
		digits, ok := strings.CutSuffix(candidate, ".root.json")
		v, err := proofs.ParseDecimal(digits)
		if ok && err == nil && (name == "" || v < lowest) {
			name, lowest = candidate, v
		}
	}
	if name == "" && f.has("root.json") {
		name = "root.json"
	}
	if name != "" {
		file, err = f.read(name)
	}
	return name, file, err
}

// Kept is verify.Source's.
func (f *Folder) Kept(_ context.Context, role string) (file []byte, sidecars verify.Sidecars, err error) {
	if role == tuf.RoleRoot {
		return f.Root, f.RootSidecars, nil
	}
	if f.Own == nil {
		return nil, verify.Sidecars{}, nil
	}
	name := fileName(role)
	if file, err = f.read(name); file == nil || err != nil {
		return nil, verify.Sidecars{}, err
	}
	if sidecars.Proof, err = f.read(name + verify.SidecarSuffix); err == nil {
		sidecars.Latest, err = f.read(name + verify.LatestSuffix)
	}
	f.give(Given{Role: role, Name: name, File: file})
	return file, sidecars, err
}

// give notes a file that was given, once.
func (f *Folder) give(g Given) {
	if !slices.ContainsFunc(f.Given, func(b Given) bool { return b.Role == g.Role && b.Name == g.Name }) {
		f.Given = append(f.Given, g)
	}
}

// Keep is verify.Source's.
func (f *Folder) Keep(context.Context, verify.Accepted) error { return nil }

// Fetch is verify.Source's.
func (f *Folder) Fetch(_ context.Context, r verify.Request) ([]byte, error) {
	if f.Own != nil && r.Role != tuf.RoleRoot {
		for _, w := range f.Own.Waiting {
			if w.Role == r.Role && w.Version == r.Listed {
				return nil, &verify.Refusal{Code: w.Code, Role: w.Role, Detail: w.Detail}
			}
		}
	}
	name, err := f.nameOf(r)
	if err != nil {
		return nil, err
	}
	var file []byte
	if name != "" {
		file, err = f.read(name + r.Suffix)
	}
	if r.Suffix == verify.SidecarSuffix && err == nil {
		// It is read whether it is wanted or not: a folder in which a pipe takes its place
		// is not what a repository has.
		_, err = f.read(name + verify.LatestSuffix)
	}
	switch {
	case err != nil:
		return nil, err
	case file == nil:
		return nil, missing(r.FileName())
	case r.Suffix == "":
		f.give(Given{Role: r.Role, Name: name, File: file})
	}
	return file, nil
}

// missing is the error of a file of this name that is not there.
type missing string

func (name missing) Error() string {
	return string(name) + " is not there: without it the files after it cannot be checked"
}

func (missing) Is(target error) bool { return target == fs.ErrNotExist }

// nameOf finds a file, without its suffix, under the names that repositories and devices
// use; empty if it is not there.
func (f *Folder) nameOf(r verify.Request) (string, error) {
	prefix := strconv.FormatInt(r.Listed, 10) + "."
	if r.Role == tuf.RoleRoot {
		return f.rootName(prefix+"root.json", r)
	}
	for _, name := range []string{prefix + r.Role + ".json", prefix + tuf.EscapeRole(r.Role) + ".json", r.Role + ".json", fileName(r.Role)} {
		if f.has(name) {
			return name, nil
		}
	}
	return "", nil
}

// rootName finds a version of the root. root.json is the newest root; it may be a copy of
// one that was given already.
func (f *Folder) rootName(name string, r verify.Request) (string, error) {
	if f.has(name) {
		return name, nil
	}
	file, err := f.read("root.json")
	if err != nil {
		return "", err
	}
	m, err := tuf.ParseJSON(file)
	if err != nil || m.Version < r.Version || m.Version > r.Version && r.Suffix != "" {
		return "", nil
	}
	return "root.json", nil
}

// Target looks in dir for the file of a target, under the name that a device or a
// repository gives it, and checks it. It returns the role that lists it and where the
// file is.
func (f *Folder) Target(ctx context.Context, c *verify.Client, name, dir string) (role, path string, err error) {
	found, err := c.Locate(ctx, name)
	if err != nil {
		if found.Need != nil {
			err = fmt.Errorf("target %q cannot be looked for: metadata of role %q is not there, or refused", name, found.Need.Role)
		}
		return "", "", err
	}
	for _, path = range targetPaths(dir, name, found) {
		if err = checkTarget(path, *found.Target); !errors.Is(err, fs.ErrNotExist) {
			return found.Role, path, err
		}
	}
	return found.Role, "", notInFolder(dir, name, found)
}

// targetPaths are the places where a folder may have a target.
func targetPaths(dir, name string, found verify.Lookup) []string {
	names := []string{targetFileName(name), filepath.FromSlash(name)}
	if found.Name != "" {
		names = append(names, filepath.FromSlash(found.Name))
	}
	var paths []string
	for _, n := range names {
		if filepath.IsLocal(n) {
			paths = append(paths, filepath.Join(dir, n))
		}
	}
	return paths
}

func notInFolder(dir, name string, found verify.Lookup) error {
	return notThere{fmt.Errorf("target %q is not in %s: looked for %s", name, dir, strings.Join(targetPaths("", name, found), ", "))}
}

// CopyTarget is Origin's.
func (f *Folder) CopyTarget(ctx context.Context, w io.Writer, name string, found verify.Lookup, from int64) error {
	// Under the hash lies this one, and under the name perhaps the one before.
	for _, path := range slices.Backward(targetPaths(f.Targets, name, found)) {
		file, err := regular.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return &readError{err}
		}
		defer file.Close()
		return CopyFile(ctx, w, file, from, found.Target.Length)
	}
	return notInFolder(f.Targets, name, found)
}

// CopyFile is Origin.CopyTarget of a file with at most length bytes. Its read errors are no
// errors of w's.
func CopyFile(ctx context.Context, w io.Writer, file io.ReadSeeker, from, length int64) error {
	if size, err := file.Seek(0, io.SeekEnd); err != nil {
		return &readError{err}
	} else if size < from {
		return fmt.Errorf("%w: %d bytes", ErrShort, size)
	}
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return &readError{err}
	}
	_, err := io.Copy(w, io.LimitReader(&reader{file, ctx.Err}, max(0, length-from)+1))
	return err
}

// reader reads a file until ended returns an error.
type reader struct {
	io.Reader
	ended func() error
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ended(); err != nil {
		return 0, err
	}
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = &readError{err}
	}
	return n, err
}

// readError is that of a file that is read, such as on a stick that was pulled out. It does
// not wrap its cause: that would look like an error of the file that is written.
type readError struct{ error }

// AdoptPolicy is Device's, with the trust policy that dir has. The error for one that is not
// there is as of Target.
func (f *Folder) AdoptPolicy(ctx context.Context, c *verify.Client, next, dir string) (adopted bool, err error) {
	_, path, err := f.Target(ctx, c, next, dir)
	if err != nil {
		return false, err
	}
	found, err := c.Locate(ctx, next)
	if err != nil {
		return false, err
	}
	content, err := regular.ReadSome(path, proofs.MaxPolicySize+1)
	if err != nil {
		return false, err
	}
	return c.Adopt(ctx, found, content)
}
