package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// folder is the metadata files in a directory, and in those below it. Their signatures are
// not checked when they are read.
type folder struct {
	dir     string
	files   map[string]map[int64]*tuf.Metadata // by role and version
	paths   map[*tuf.Metadata]string
	leftOut []string // JSON that is not metadata
}

// Limits of a folder.
const (
	maxFolderFiles = 100_000
	maxFolderBytes = 1 << 30
)

// readFolder reads the metadata in a directory: files named as in a TUF repository, such as
// 14.targets.json or timestamp.json.
func readFolder(dir string) (*folder, error) {
	f := &folder{dir: dir, files: map[string]map[int64]*tuf.Metadata{}, paths: map[*tuf.Metadata]string{}}
	files, bytes := 0, 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || filepath.Ext(path) != ".json" {
			return err
		}
		role, m, err := readMetadata(path)
		if errors.Is(err, errNotMetadata) {
			f.leftOut = append(f.leftOut, filepath.Base(path))
			return nil
		}
		if err != nil {
			return err
		}
		files, bytes = files+1, bytes+len(m.File)
		if files > maxFolderFiles || bytes > maxFolderBytes {
			return fmt.Errorf("%s: more than %d files or %d bytes of metadata", dir, maxFolderFiles, maxFolderBytes)
		}
		return f.add(role, m, path)
	})
	if err != nil {
		return nil, err
	}
	if len(f.files) == 0 {
		return nil, fmt.Errorf("%s: no metadata in JSON there", dir)
	}
	return f, nil
}

// errNotMetadata is wrapped by the error for a file that is not TUF metadata, and has not the
// name of any that a device reads first.
var errNotMetadata = errors.New("not metadata")

// pigweedIn reads metadata of Pigweed's, of a bundle its targets.
func pigweedIn(file []byte) (*tuf.Metadata, error) {
	if m, err := pigweed.Parse(file); err == nil {
		return m, nil
	}
	b, err := pigweed.ParseBundle(file)
	if err != nil {
		return nil, fmt.Errorf("neither metadata of Pigweed's nor a bundle: %w", err)
	}
	if b.Targets == nil {
		return nil, errors.New("the bundle has no targets metadata")
	}
	return b.Targets, nil
}

// parseFile reads metadata in the encoding that the name of its file says.
func parseFile(path string, file []byte) (*tuf.Metadata, error) {
	if api.EncodingOf(path) == tuf.Pigweed {
		return pigweedIn(file)
	}
	return tuf.ParseJSON(file)
}

// largestOf returns how many bytes a file of metadata, or a bundle, may have.
func largestOf(path string) int64 {
	if api.EncodingOf(path) == tuf.Pigweed {
		return pigweed.MaxBundle
	}
	return tuf.MaxFileSize
}

// readMetadata reads a file and returns the role that its name means. A file *.pb is
// Pigweed's, which says its role itself; of a bundle it is the targets metadata.
func readMetadata(path string) (string, *tuf.Metadata, error) {
	b, err := cli.ReadAtMost(path, largestOf(path))
	if err != nil {
		return "", nil, err
	}
	if api.EncodingOf(path) == tuf.Pigweed {
		m, err := pigweedIn(b)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", path, err)
		}
		return m.Type, m, nil
	}
	m, err := tuf.ParseJSON(b)
	if err != nil {
		role, nameErr := api.RoleOf(filepath.Base(path), b, 0)
		if nameErr == nil && tuf.IsTopLevel(role) {
			return "", nil, fmt.Errorf("%s: %w", path, err)
		}
		return "", nil, fmt.Errorf("%s: %w: %w", path, errNotMetadata, err)
	}
	role, err := api.RoleOf(filepath.Base(path), b, m.Version)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	if m.Type != tuf.TypeOf(role) && !tuf.IsTopLevel(role) {
		return "", nil, fmt.Errorf("%s: %w of role %q: it is %s", path, errNotMetadata, role, m.Type)
	}
	if m.Type != tuf.TypeOf(role) {
		return "", nil, fmt.Errorf("%s: is %s metadata, and not that of role %q", path, m.Type, role)
	}
	return role, m, nil
}

func (f *folder) add(role string, m *tuf.Metadata, path string) error {
	if f.files[role] == nil {
		f.files[role] = map[int64]*tuf.Metadata{}
	}
	other := f.files[role][m.Version]
	switch {
	case other == nil:
		f.files[role][m.Version] = m
		f.paths[m] = path
	case other.PayloadDigest != m.PayloadDigest:
		return fmt.Errorf("two payloads of %s %d: %s and %s (auditor diff compares them)", role, m.Version, f.paths[other], path)
	}
	return nil
}

// inForce returns what a device would have in force, as far as the folder has it: the newest
// root and the newest snapshot, and of the other roles the versions that the snapshot lists,
// or else the newest that enough of their keys signed. Where too few signed all of them it is
// the newest. If at is given, it is that release, with the newest root under which it is
// signed and the newest snapshot that lists it. dropped are the roles to which nothing in
// force delegates.
func (f *folder) inForce(at *release) (repo explain.Repository, dropped []string) {
	repo.Delegated = map[string]*tuf.Metadata{}
	repo.Root = f.root(at)
	if repo.Root == nil {
		return repo, nil
	}
	repo.Snapshot = f.pick(tuf.RoleSnapshot, repo, at, func(m *tuf.Metadata) bool {
		if at == nil || tuf.IsTopLevel(at.role) && at.role != tuf.RoleTargets {
			return true
		}
		file, ok := m.Snapshot.File(at.role + ".json")
		return ok && file.Version == at.version
	})
	for _, role := range []string{tuf.RoleTargets, tuf.RoleTimestamp} {
		repo.Put(role, f.pick(role, repo, at, nil))
	}
	for more := true; more; {
		more = false
		for _, role := range slices.Sorted(maps.Keys(f.files)) {
			if !tuf.IsTopLevel(role) && repo.Delegated[role] == nil && len(keySets(repo, role)) > 0 {
				repo.Delegated[role], more = f.pick(role, repo, at, nil), true
			}
		}
	}
	for _, role := range slices.Sorted(maps.Keys(f.files)) {
		if !tuf.IsTopLevel(role) && repo.Delegated[role] == nil {
			dropped = append(dropped, role)
		}
	}
	return repo, dropped
}

// newestFirst returns the versions of a role.
func (f *folder) newestFirst(role string) []*tuf.Metadata {
	return slices.SortedFunc(maps.Values(f.files[role]), func(a, b *tuf.Metadata) int { return cmp.Compare(b.Version, a.Version) })
}

// root returns the newest root, or the newest under which a release of another top-level role
// is signed; nil: there is none.
func (f *folder) root(at *release) *tuf.Metadata {
	roots := f.newestFirst(tuf.RoleRoot)
	for _, root := range roots {
		switch {
		case at == nil || !tuf.IsTopLevel(at.role):
			return root
		case at.role == tuf.RoleRoot && root.Version == at.version:
			return root
		case at.role != tuf.RoleRoot && f.files[at.role][at.version].Meets(root.Root.KeySet(at.role)) == nil:
			return root
		}
	}
	if len(roots) == 0 {
		return nil
	}
	return roots[0]
}

// pick returns the version of a role that inForce takes, of those that are wanted, if any is.
func (f *folder) pick(role string, repo explain.Repository, at *release, wanted func(*tuf.Metadata) bool) *tuf.Metadata {
	if at != nil && at.role == role {
		return f.files[role][at.version]
	}
	if repo.Snapshot != nil {
		if file, ok := repo.Snapshot.Snapshot.File(role + ".json"); ok && f.files[role][file.Version] != nil {
			return f.files[role][file.Version]
		}
	}
	all := f.newestFirst(role)
	if wanted != nil && slices.ContainsFunc(all, wanted) {
		all = slices.DeleteFunc(all, func(m *tuf.Metadata) bool { return !wanted(m) })
	}
	for _, m := range all {
		if slices.ContainsFunc(keySets(repo, role), func(ks tuf.KeySet) bool { return m.Meets(ks) == nil }) {
			return m
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[0]
}

// at returns a version of a role.
func (f *folder) at(r release) (*tuf.Metadata, error) {
	m := f.files[r.role][r.version]
	if m == nil {
		return nil, fmt.Errorf("%s has no version %d of %s", f.dir, r.version, r.role)
	}
	return m, nil
}

// before returns the highest version of a role below one; nil: there is none.
func (f *folder) before(r release) *tuf.Metadata {
	var best *tuf.Metadata
	for version, m := range f.files[r.role] {
		if version < r.version && (best == nil || version > best.Version) {
			best = m
		}
	}
	return best
}

// signed says who has signed what of the folder's files, of the keys in force in repo.
func (f *folder) signed(repo explain.Repository) explain.Signed {
	signed := explain.Signed{}
	for role, versions := range f.files {
		for _, ks := range keySets(repo, role) {
			for _, m := range versions {
				signed[role] = append(signed[role], m.Signers(ks)...)
			}
		}
	}
	return signed
}

// keySets returns the keys of a role: those of the root, or of each delegation to it.
func keySets(repo explain.Repository, role string) []tuf.KeySet {
	if tuf.IsTopLevel(role) {
		return []tuf.KeySet{repo.Root.Root.KeySet(role)}
	}
	var sets []tuf.KeySet
	delegating := slices.Collect(maps.Values(repo.Delegated))
	if repo.Targets != nil {
		delegating = append(delegating, repo.Targets)
	}
	for _, m := range delegating {
		if m.Targets.Delegations == nil {
			continue
		}
		if _, ks, ok := m.Targets.Delegations.Find(role); ok {
			sets = append(sets, ks)
		}
	}
	return sets
}

// notes says what a reader should know about repo, which was made of the folder's files:
// what was left out, and what too few keys signed.
func (f *folder) notes(repo explain.Repository, dropped []string) []string {
	var lines []string
	check := func(role string, m *tuf.Metadata) {
		if m == nil {
			return
		}
		var short error
		for _, ks := range keySets(repo, role) {
			if short = m.Meets(ks); short == nil {
				return
			}
		}
		lines = append(lines, fmt.Sprintf("%s %d is not signed as it should be: %v.", role, m.Version, short))
	}
	check(tuf.RoleRoot, repo.Root)
	check(tuf.RoleTargets, repo.Targets)
	for _, role := range slices.Sorted(maps.Keys(repo.Delegated)) {
		check(role, repo.Delegated[role])
	}
	check(tuf.RoleSnapshot, repo.Snapshot)
	check(tuf.RoleTimestamp, repo.Timestamp)
	if len(dropped) > 0 {
		lines = append(lines, fmt.Sprintf("Nothing in force delegates to %s.", several(dropped)))
	}
	if len(f.leftOut) > 0 {
		lines = append(lines, fmt.Sprintf("Not metadata of the role that the name says, and left out: %s.", several(f.leftOut)))
	}
	return lines
}

// several lists the first of some texts.
func several(texts []string) string {
	const most = 3
	if n := len(texts) - most; n > 0 {
		return strings.Join(texts[:most], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(texts, ", ")
}

// release names a release: a role and a version, or an entry of the log.
type release struct {
	role    string
	version int64
	index   int64 // -1: by role and version
}

// parseRelease reads ROLE:VERSION, or the index of an entry.
func parseRelease(s string) (release, error) {
	if index, err := strconv.ParseInt(s, 10, 64); err == nil && index >= 0 {
		return release{index: index}, nil
	}
	at := strings.LastIndexByte(s, ':')
	if at > 0 {
		if version, err := strconv.ParseInt(s[at+1:], 10, 64); err == nil && version > 0 {
			return release{role: s[:at], version: version, index: -1}, nil
		}
	}
	return release{}, fmt.Errorf("%q is not a release: want ROLE:VERSION, such as targets:14, or the index of an entry", s)
}
