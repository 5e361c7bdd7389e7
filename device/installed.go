package device

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/tuf"
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

// installedFile is what the file has.
type installedFile struct {
	Format  int         `json:"format"`
	Targets []Installed `json:"targets"` // by name
}

// Installed returns the targets that were installed last, by name.
func (s Store) Installed() ([]Installed, error) {
	b, err := regular.ReadSome(s.path(installedName), maxInstalled+1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var file installedFile
	err = json.Unmarshal(b, &file)
	if err == nil && file.Format != 1 {
		err = fmt.Errorf("its format is %d, want 1", file.Format)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path(installedName), err)
	}
	return file.Targets, nil
}

// SetInstalled remembers that a target was installed, in the place of what was remembered of
// its name. The caller has the directory's lock. A file that cannot be read is replaced.
func (s Store) SetInstalled(i Installed) error {
	before, _ := s.Installed()
	file := installedFile{Format: 1, Targets: slices.DeleteFunc(before, func(b Installed) bool { return b.Name == i.Name })}
	at, _ := slices.BinarySearchFunc(file.Targets, i.Name, func(b Installed, name string) int { return strings.Compare(b.Name, name) })
	file.Targets = slices.Insert(file.Targets, at, i)
	b, err := json.Marshal(file)
	if err != nil {
		return err
	}
	if len(b) > maxInstalled {
		return fmt.Errorf("%s would have %d bytes, and the limit is %d", s.path(installedName), len(b), maxInstalled)
	}
	return durable.WriteFile(s.path(installedName), append(b, '\n'), 0o644)
}
