package device

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// installedName is the file with what was installed. No role's file has such a name.
const installedName = "updater.installed"

const maxInstalled = 4 << 20 // bytes of that file

// Installed is a target that a command has installed.
type Installed struct {
	Name    string            `json:"name"`
	Role    string            `json:"role"`
	Version int64             `json:"version"` // of the role's file that listed it then
	Length  int64             `json:"length"`
	Hashes  map[string]string `json:"hashes"`
}

// Is reports whether it is the content that is listed of a target.
func (i Installed) Is(listed tuf.TargetFile) bool {
	return i.Length == listed.Length && maps.Equal(i.Hashes, listed.Hashes)
}

// begun is a target that was accepted and downloaded for a command which has not succeeded.
type begun struct {
	Installed
	// Transparency is the mode in which it was accepted.
	Transparency string `json:"transparency"`
	// Root and Top are the versions of the root and of the top-level targets file then.
	Root int64 `json:"root_version"`
	Top  int64 `json:"targets_version"`
}

// installedFile is what the file has.
type installedFile struct {
	Format  int         `json:"format"`
	Targets []Installed `json:"targets"` // by name
	Begun   []begun     `json:"begun,omitempty"`
}

// Installed returns the targets that were installed last, by name.
func (s Store) Installed() ([]Installed, error) {
	file, err := s.installed()
	return file.Targets, err
}

func (s Store) installed() (installedFile, error) {
	b, err := regular.ReadSome(s.path(installedName), maxInstalled+1)
	if errors.Is(err, fs.ErrNotExist) {
		return installedFile{}, nil
	}
	if err != nil {
		return installedFile{}, err
	}
	var file installedFile
	err = json.Unmarshal(b, &file)
	if err == nil && file.Format != 1 {
		err = fmt.Errorf("its format is %d, want 1", file.Format)
	}
	if err != nil {
		return installedFile{}, fmt.Errorf("%s: %w", s.path(installedName), err)
	}
	return file, nil
}

// SetInstalled remembers that a target was installed, in the place of what was remembered of
// its name. The caller has the directory's lock. A file that makes no sense is replaced; one
// that cannot be read now may be whole.
func (s Store) SetInstalled(i Installed) error {
	file, err := s.installed()
	if errors.As(err, new(*fs.PathError)) {
		return err
	}
	file.Begun = slices.DeleteFunc(file.Begun, func(b begun) bool { return b.Name == i.Name })
	file.Targets = slices.DeleteFunc(file.Targets, func(b Installed) bool { return b.Name == i.Name })
	at, _ := slices.BinarySearchFunc(file.Targets, i.Name, func(b Installed, name string) int { return strings.Compare(b.Name, name) })
	file.Targets = slices.Insert(file.Targets, at, i)
	return s.setInstalled(file)
}

func (s Store) setInstalled(file installedFile) error {
	file.Format = 1
	if file.Targets == nil {
		file.Targets = []Installed{}
	}
	b, err := json.Marshal(file)
	if err != nil {
		return err
	}
	if len(b) > maxInstalled {
		return fmt.Errorf("%s would have %d bytes, and the limit is %d", s.path(installedName), len(b), maxInstalled)
	}
	return durable.WriteFile(s.path(installedName), append(b, '\n'), 0o644)
}

// Begin remembers the targets that Download has put in their places for a command, before
// that is run: Unfinished returns them until SetInstalled. Those that are installed are left
// out. The caller has the directory's lock.
func (d *Device) Begin(targets []Target, mode verify.Transparency) error {
	file, err := d.Store.installed()
	if err != nil {
		return err
	}
	before, err := json.Marshal(file)
	if err != nil {
		return err
	}
	for _, t := range targets {
		if t.Err != nil {
			continue
		}
		file.Begun = slices.DeleteFunc(file.Begun, func(b begun) bool { return b.Name == t.Name })
		b := begun{t.Installed(), mode.String(), d.client.Metadata(tuf.RoleRoot).Version, d.client.Metadata(tuf.RoleTargets).Version}
		if !slices.ContainsFunc(file.Targets, func(i Installed) bool { return i.Name == t.Name && i.Is(t.Listed) }) {
			file.Begun = append(file.Begun, b)
		}
	}
	if after, err := json.Marshal(file); err == nil && bytes.Equal(before, after) {
		return nil
	}
	return d.Store.setInstalled(file)
}

// Installed is what is remembered of the target.
func (t Target) Installed() Installed {
	return Installed{Name: t.Name, Role: t.Role, Version: t.Version, Length: t.Listed.Length, Hashes: t.Listed.Hashes}
}

// Unfinished returns those of the named targets for which a command has yet to succeed, and
// may be run though no update is to be had now: they were accepted, in this mode or in
// Enforce, nothing that was accepted since lists another content, and their files are in dir.
func (s Store) Unfinished(names []string, dir string, mode verify.Transparency) ([]Target, error) {
	file, err := s.installed()
	if err != nil {
		return nil, err
	}
	state, _, err := s.State()
	if err != nil {
		return nil, err
	}
	var targets []Target
	for _, name := range names {
		i := slices.IndexFunc(file.Begun, func(b begun) bool { return b.Name == name })
		if i < 0 {
			continue
		}
		b := file.Begun[i]
		if b.Transparency != mode.String() && b.Transparency != verify.Enforce.String() || !s.stillLists(state, b) {
			continue
		}
		t := Target{Name: name, Role: b.Role, Version: b.Version, Listed: tuf.TargetFile{Length: b.Length, Hashes: b.Hashes}, Path: filepath.Join(dir, targetFileName(name))}
		if have, err := haveTarget(t.Path, t.Listed); err == nil && have {
			targets = append(targets, t)
		}
	}
	return targets, nil
}

// stillLists reports whether the metadata that was accepted last lists what was begun. A
// newer root could have taken the keys away that listed it, and where a delegated role lists
// it a newer top-level targets file could have given the path to another.
func (s Store) stillLists(state verify.State, b begun) bool {
	accepted := func(role string) *tuf.Metadata {
		file, _, err := s.read(role)
		if err != nil || file == nil {
			return nil
		}
		m, err := tuf.ParseJSON(file)
		if err != nil || m.Targets == nil {
			return nil
		}
		is := func(a verify.AcceptedRelease) bool { return a.Payload == m.PayloadDigest }
		if releases := state.Accepted[role]; len(releases) > 0 && !slices.ContainsFunc(releases, is) {
			return nil
		}
		return m
	}
	top, m := accepted(tuf.RoleTargets), accepted(b.Role)
	if top == nil || m == nil || state.Root.Version != b.Root || b.Role != tuf.RoleTargets && top.Version != b.Top {
		return false
	}
	listed, ok := m.Targets.File(b.Name)
	return ok && b.Is(listed)
}
