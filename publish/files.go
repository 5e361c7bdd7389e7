package publish

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// Files is the metadata to submit, read from disk.
type Files struct {
	files   []*file
	bundles []*bundle // of Pigweed, whose metadata is among the files
	ignored []Ignored
}

// Each yields the role and the metadata of each file that could be read as metadata, in the
// order in which a repository is read, older versions first.
func (set *Files) Each() iter.Seq2[string, *tuf.Metadata] {
	files := slices.Clone(set.files)
	slices.SortStableFunc(files, func(a, b *file) int {
		return cmp.Or(cmp.Compare(tuf.Rank(a.role), tuf.Rank(b.role)), cmp.Compare(a.version, b.version))
	})
	return each(files)
}

// Ignored is a *.json file of a directory that is not metadata.
type Ignored struct {
	File string `json:"file"`
	Why  string `json:"why"`
}

// rootHistory is the folder in which tuf-on-ci keeps the roots VERSION.root.json,
// beside a root.json that is the newest.
const rootHistory = "root_history"

// ReadFiles reads metadata files: each path is a file, or a directory of which all *.json
// files are taken, and the roots in its folder root_history (but not files in other
// folders). The role follows from the file's name and the version in it (api.RoleOf), and
// from a snapshot where the name alone does not tell. Copies of one file under several
// names are one file with several paths. JSON that is not metadata and that no metadata
// mentions, such as mirrors.json, is ignored, and so are hidden files in a directory. A file
// *.pb is Pigweed's: root or targets metadata, or a bundle, of which both are taken.
func ReadFiles(paths []string) (*Files, error) {
	set := &Files{}
	var found []string // in directories
	seen := map[string]bool{}
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		names := []string{path}
		if info.IsDir() {
			if names, err = metadataIn(path); err != nil {
				return nil, err
			}
		}
		for _, name := range names {
			if name = filepath.Clean(name); seen[name] {
				continue
			}
			seen[name] = true
			if err := set.read(name); err != nil {
				return nil, err
			}
			if info.IsDir() {
				found = append(found, name)
			}
		}
	}
	nameByLists(set.files)
	set.files, set.ignored = ignoreOthers(set.files, func(f *file) bool {
		return !slices.ContainsFunc(f.paths, func(path string) bool { return !slices.Contains(found, path) })
	})
	return set, nil
}

// nameByLists gives files the role that a snapshot says they have where their name
// can be read in two ways: 1.x.json is version 1 of x, or, in a repository without
// versions in its files' names, version 1 of a role 1.x.
func nameByLists(files []*file) {
	lists := func(role string, f *file) bool {
		return slices.ContainsFunc(files, func(s *file) bool {
			if !s.isVoucher() {
				return false
			}
			listed, ok := s.meta.Snapshot.File(role + ".json")
			return ok && listed.Matches(f.data, f.version) == nil
		})
	}
	for _, f := range files {
		whole, err := url.PathUnescape(strings.TrimSuffix(f.base, ".json"))
		if err == nil && whole != f.role && len(f.paths) <= 1 && f.needsVoucher() && !lists(f.role, f) && lists(whole, f) {
			f.role = whole
		}
	}
}

// metadataIn returns the *.json files of a directory, and the roots in its
// root_history.
func metadataIn(dir string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(globEscape(dir), "*.json"))
	if err != nil {
		return nil, err
	}
	roots, err := filepath.Glob(filepath.Join(globEscape(dir), rootHistory, "*.root.json"))
	if err != nil {
		return nil, err
	}
	if names = append(names, roots...); len(names) == 0 {
		return nil, fmt.Errorf("%s: no *.json files there", dir)
	}
	// Editors lock a file by a link, beside it, that leads nowhere.
	return slices.DeleteFunc(names, func(name string) bool {
		_, err := os.Stat(name)
		return strings.HasPrefix(filepath.Base(name), ".#") && errors.Is(err, fs.ErrNotExist)
	}), nil
}

func globEscape(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

func (set *Files) read(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return nil // a folder called something.json
	}
	in, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	limit := int64(tuf.MaxFileSize)
	if api.EncodingOf(path) == tuf.Pigweed {
		limit = pigweed.MaxBundle
	}
	data, err := readAtMost(in, path, limit)
	if err != nil {
		return err
	}
	if api.EncodingOf(path) == tuf.Pigweed {
		return set.readPigweed(path, data)
	}
	f := namedFile(path, filepath.Base(path), data)
	set.add(f, path)
	return nil
}

// namedFile parses data, of which the role follows from a file's name without folders.
func namedFile(name, base string, data []byte) *file {
	f := newFile(name, "", 0, data)
	f.base = base
	var err error
	f.role, err = api.RoleOf(base, data, f.version)
	if f.meta == nil {
		f.version = versionIn(base, f.role)
	}
	if err != nil {
		f.verdict, f.done = refusal(f, nil, api.CodeRoleName, err.Error()), true
	}
	return f
}

// ignoreOthers takes out the files that are not metadata, of those that may be
// ignored. What cannot be read may be metadata that was damaged: it stays if its role
// is a top-level one, or other metadata lists or delegates it, or it is neither JSON nor
// hidden.
func ignoreOthers(files []*file, may func(*file) bool) (metadata []*file, ignored []Ignored) {
	mentioned := map[string]bool{}
	for _, f := range files {
		switch {
		case f.isVoucher():
			for name := range f.meta.Snapshot.Files() {
				mentioned[strings.TrimSuffix(name, ".json")] = true
			}
		case f.meta != nil && f.meta.Targets != nil && f.meta.Targets.Delegations != nil:
			for name := range f.meta.Targets.Delegations.All() {
				mentioned[name] = true
			}
		}
	}
	for _, f := range files {
		why := ""
		if f.meta == nil && !tuf.IsTopLevel(f.role) && !mentioned[f.role] && may(f) {
			why = notMetadata(f.data)
			if why == "" && strings.HasPrefix(f.base, ".") {
				why = "a hidden file"
			}
		}
		if why == "" {
			metadata = append(metadata, f)
			continue
		}
		paths := f.paths
		if paths == nil {
			paths = []string{f.name} // of a history
		}
		for _, path := range paths {
			ignored = append(ignored, Ignored{path, why})
		}
	}
	return metadata, ignored
}

// notMetadata says why a file is JSON and not metadata. Empty: it may be metadata.
func notMetadata(data []byte) string {
	if !json.Valid(data) {
		return ""
	}
	var top map[string]json.RawMessage
	if json.Unmarshal(data, &top) != nil || top["signed"] == nil || top["signatures"] == nil {
		return `not TUF metadata: it is not an object with "signed" and "signatures"`
	}
	var signed struct {
		Type *string `json:"_type"`
	}
	if json.Unmarshal(top["signed"], &signed) != nil || signed.Type == nil || tuf.IsTopLevel(strings.ToLower(*signed.Type)) {
		return ""
	}
	return fmt.Sprintf("its _type is %q: devices need root, timestamp, snapshot and targets", *signed.Type)
}
