package publish

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// ErrNoRepository means that the repository of the files is not known.
var ErrNoRepository = errors.New("no root among the files identifies their repository")

// UndecidedError means that a person has to choose the repository, because its
// first root cannot be changed later. No file was sent.
type UndecidedError struct {
	Why string
	// Genesis is the version of an available root that would open a repository
	// as Config.Genesis. 0: none, or several.
	Genesis int64
	// Repositories are those of the log that hold some of the roots: one of them
	// may be Config.Repository.
	Repositories []string
}

func (e *UndecidedError) Error() string { return e.Why }

// begins reports whether f may be a repository's first root.
func (j *job) begins(f *file) bool {
	return f.isReadableRoot() && f.version == cmp.Or(j.cfg.Genesis, 1)
}

// geneses returns the roots that may be a repository's first, one of each payload.
func (j *job) geneses() []*file {
	var found []*file
	for _, f := range j.all {
		if j.begins(f) && !slices.ContainsFunc(found, f.samePayload) {
			found = append(found, f)
		}
	}
	return found
}

// settleRepository finds the one repository that the roots belong to, or opens it.
func (j *job) settleRepository(ctx context.Context) error {
	if err := j.needRoots(); err != nil {
		return err
	}
	if err := j.find(ctx); err != nil {
		return err
	}
	joined := j.joined()
	if len(joined) > 1 {
		return &UndecidedError{Why: fmt.Sprintf("the roots belong to %d repositories of the log", len(joined)), Repositories: texts(joined)}
	}
	if len(joined) == 0 {
		genesis, err := j.opening()
		if err != nil {
			return err
		}
		if err := j.register(ctx, genesis); err != nil {
			return err
		}
	} else {
		j.know(joined[0])
	}
	if len(j.repos) > 0 {
		j.cfg.Repository = j.repos[0].id
	}
	return nil
}

// needRoots returns an error if no file is a root that can be read.
func (j *job) needRoots() error {
	err := ErrNoRepository
	for _, f := range j.all {
		switch {
		case f.isReadableRoot():
			return nil
		case !f.isRoot():
		case f.meta == nil:
			err = fmt.Errorf("%s cannot be read: %w; %w", f.name, f.unread, err)
		default:
			err = fmt.Errorf("%s is %s metadata; %w", f.name, f.meta.Type, err)
		}
	}
	return err
}

// find asks the log for the repositories that have any of the roots.
func (j *job) find(ctx context.Context) error {
	if j.found != nil {
		return nil
	}
	j.found = map[tuf.Digest][]tuf.Digest{}
	for _, f := range j.all {
		if !f.isReadableRoot() {
			continue
		}
		payload := f.meta.PayloadDigest
		if _, asked := j.found[payload]; asked {
			continue
		}
		ids, err := j.repositoriesOf(ctx, f)
		if err != nil {
			return err
		}
		j.found[payload] = ids
	}
	return nil
}

// repositoriesOf returns the repositories in which f's payload is a released root.
func (j *job) repositoriesOf(ctx context.Context, f *file) ([]tuf.Digest, error) {
	ctx, cancel := context.WithTimeout(ctx, j.cfg.Timeout)
	defer cancel()
	payload := f.meta.PayloadDigest.String()
	found, err := j.cfg.Log.Lookup(ctx, payload)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", f.name, err)
	}
	ids := []tuf.Digest{}
	for _, logged := range found.Leaves {
		if logged.Payload != payload || logged.Role != tuf.RoleRoot || logged.Kind != string(leaf.Release) {
			continue
		}
		id, err := tuf.ParseDigest(logged.Repository)
		if err != nil {
			return nil, fmt.Errorf("look up %s: repository: %w", f.name, err)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// mayJoin reports whether a repository is one to publish to. Its first root must be
// at hand: anybody can add a signature of his own to a root that is public, and so
// have it follow a root of his own in a repository of his own.
func (j *job) mayJoin(id tuf.Digest) bool {
	return slices.ContainsFunc(j.all, func(f *file) bool { return j.begins(f) && f.meta.PayloadDigest == id })
}

// joined returns the repositories of the log that have some of the roots and may be
// joined, and others those that may not.
func (j *job) joined() []tuf.Digest { return j.inLog(j.mayJoin) }

func (j *job) others() []tuf.Digest {
	return j.inLog(func(id tuf.Digest) bool { return !j.mayJoin(id) })
}

// inLog returns the repositories that were found, in the order of the roots' versions.
func (j *job) inLog(wanted func(tuf.Digest) bool) []tuf.Digest {
	var ids []tuf.Digest
	for _, f := range j.rootsByVersion() {
		for _, id := range j.found[f.meta.PayloadDigest] {
			if wanted(id) && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// rootsByVersion returns the roots that can be read, the lowest version first.
func (j *job) rootsByVersion() []*file {
	var roots []*file
	for _, f := range j.all {
		if f.isReadableRoot() {
			roots = append(roots, f)
		}
	}
	slices.SortStableFunc(roots, func(a, b *file) int { return cmp.Compare(a.version, b.version) })
	return roots
}

// opening returns the root with which to open a repository, if that is beyond doubt.
func (j *job) opening() (*file, error) {
	lowest := j.rootsByVersion()[0]
	geneses := j.geneses()
	if len(geneses) > 1 {
		signed := slices.DeleteFunc(slices.Clone(geneses), func(f *file) bool {
			_, err := admit.JudgeGenesis(f.meta)
			return err != nil
		})
		if len(signed) > 0 {
			geneses = signed
		}
	}
	switch others := j.others(); {
	case j.cfg.Genesis == 0 && len(others) > 0:
		e := &UndecidedError{Repositories: texts(others)}
		for _, f := range j.rootsByVersion() {
			if slices.Contains(j.found[f.meta.PayloadDigest], others[0]) {
				e.Why = fmt.Sprintf("the log has %s in repository %v, whose first root is not among these files, or is not version 1", f.name, others[0])
				break
			}
		}
		if len(geneses) == 1 {
			e.Genesis = 1
		}
		return nil, e
	case len(geneses) == 1:
		return geneses[0], nil
	case len(geneses) > 1:
		return nil, &UndecidedError{Why: fmt.Sprintf("%s and %s are different roots of version %d, and only one can be a repository's first", geneses[0].name, geneses[1].name, geneses[0].version)}
	case j.cfg.Genesis != 0:
		return nil, &UndecidedError{Why: fmt.Sprintf("no root of version %d is among the files", j.cfg.Genesis)}
	}
	why := fmt.Sprintf("%s is version %d, and the files and the log do not have an older root. A repository begins with its first root forever: devices with an older root than %d could not use its proofs",
		lowest.name, lowest.version, lowest.version)
	if beside := lowest.olderRootsBeside(); beside != "" {
		why += "; there are older roots in " + beside
	}
	return nil, &UndecidedError{Why: why, Genesis: lowest.version}
}

// olderRootsBeside returns a folder that has roots of older versions than f, in or
// beside the folder that f is in; empty if there is none.
func (f *file) olderRootsBeside() string {
	for _, path := range f.paths {
		dir := filepath.Dir(path)
		for _, dir := range []string{dir, filepath.Join(dir, rootHistory)} {
			entries, err := os.ReadDir(dir)
			if err != nil {
				continue // a hint less
			}
			for _, entry := range entries {
				number, isRoot := strings.CutSuffix(entry.Name(), ".root.json")
				if version, err := proofs.ParseDecimal(number); isRoot && err == nil && version < f.version {
					return dir
				}
			}
		}
	}
	return ""
}

// settleGenesis asks the log about the roots of a history, and returns an error where
// none of them may open a repository or belongs to one that may be joined.
func (j *job) settleGenesis(ctx context.Context) error {
	if err := j.needRoots(); err != nil {
		if slices.ContainsFunc(j.all, (*file).isRoot) {
			return nil // each has a verdict of its own
		}
		return err
	}
	if err := j.find(ctx); err != nil {
		return err
	}
	if len(j.joined()) > 0 || len(j.geneses()) > 0 && (j.cfg.Genesis != 0 || len(j.others()) == 0) {
		return nil // a history may begin several times
	}
	_, err := j.opening()
	return err
}

// twins tells of repositories that hold some of the roots and were not joined.
func (j *job) twins() []string {
	var notes []string
	for _, id := range j.others() {
		if id != j.cfg.Repository {
			notes = append(notes, fmt.Sprintf("repository %v of the log also holds some of these roots, but is another one: its first root is not among the files, or not the first one here. No file was sent to it", id))
		}
	}
	return notes
}

// samePayload reports whether both are one root, if perhaps in other words.
func (f *file) samePayload(g *file) bool {
	return bytes.Equal(f.meta.PayloadDigest[:], g.meta.PayloadDigest[:])
}

func texts(ids []tuf.Digest) []string {
	var list []string
	for _, id := range ids {
		list = append(list, id.String())
	}
	return list
}
