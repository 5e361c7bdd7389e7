package publish

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// explain says of the files that were refused which of them no device asks for any
// more, and which were refused only because another was.
func (j *job) explain() {
	for _, f := range j.all {
		if f.verdict.Status == api.StatusRefused {
			f.verdict.Past = j.past(f)
		}
	}
	for _, f := range j.all {
		if cause := j.cause(f); cause != nil {
			f.verdict.Because = cause.name
		}
	}
}

// past says why no device asks for f any more, though it was refused; empty if one
// may. Only what is at hand counts, and of snapshots those that the newest root's keys
// have signed.
func (j *job) past(f *file) string {
	if f.isRoot() {
		return j.pastRoot(f)
	}
	newest := j.newestSnapshot()
	if newest == nil || f.verdict.NotLoggedHere() {
		return ""
	}
	if f.role == tuf.RoleSnapshot && f.version < newest.version {
		return fmt.Sprintf("snapshot %d is newer", newest.version)
	}
	if tuf.IsTopLevel(f.role) && f.role != tuf.RoleTargets {
		return ""
	}
	listed, ok := newest.meta.Snapshot.File(f.role + ".json")
	switch {
	case ok && listed.Version > f.version && f.version > 0:
		return fmt.Sprintf("snapshot %d lists version %d", newest.version, listed.Version)
	case !ok && slices.ContainsFunc(j.snapshots, f.isListedInOrBefore):
		return fmt.Sprintf("snapshot %d lists no %s any more", newest.version, f.role)
	case f.verdict.Code == api.CodeNotDelegated && j.withdrawn(f.role, newest):
		return fmt.Sprintf("the files that snapshot %d lists no longer delegate to %s", newest.version, f.role)
	}
	return ""
}

// withdrawn reports whether a role was delegated by earlier metadata at hand, and is not
// by what a snapshot lists.
func (j *job) withdrawn(role string, newest *file) bool {
	was, hasTargets := false, false
	for _, f := range j.all {
		if !f.needsVoucher() {
			continue
		}
		switch listed := f.isListedIn(newest); {
		case listed && f.role == tuf.RoleTargets:
			hasTargets = true
			fallthrough
		case listed:
			if f.mayDelegateTo(role) {
				return false
			}
		case f.mayDelegateTo(role):
			if !slices.ContainsFunc(j.snapshots, f.isListedInOrBefore) {
				return false // newer than what is listed
			}
			was = true
		}
	}
	return was && hasTargets
}

// isListedInOrBefore reports whether a snapshot lists f, or a later version.
func (f *file) isListedInOrBefore(s *file) bool {
	listed, ok := s.meta.Snapshot.File(f.role + ".json")
	return ok && f.version > 0 && listed.Version >= f.version
}

// pastRoot is past for a root: those before a repository's first are of no use to it.
func (j *job) pastRoot(f *file) string {
	for _, first := range j.all {
		if first.isReadableRoot() && first.meta.PayloadDigest == j.cfg.Repository && f.version < first.version && f.version > 0 {
			return fmt.Sprintf("the repository begins with root %d", first.version)
		}
	}
	return ""
}

// newestSnapshot returns the snapshot of the highest version that the newest root at
// hand vouches for, nil if there is none.
func (j *job) newestSnapshot() *file {
	roots := j.rootsByVersion()
	if len(roots) == 0 {
		return nil
	}
	keys := roots[len(roots)-1].meta.Root.KeySet(tuf.RoleSnapshot)
	var newest *file
	for _, f := range j.all {
		if f.isVoucher() && (newest == nil || f.version > newest.version) && f.meta.Meets(keys) == nil {
			newest = f
		}
	}
	return newest
}

// cause returns the refused file that is why f was refused, nil if there is none.
func (j *job) cause(f *file) *file {
	if f.verdict.Status != api.StatusRefused || f.verdict.Past != "" || f.meta == nil {
		return nil
	}
	var is func(*file) bool
	switch f.verdict.Code {
	case api.CodeUnknownRepo, api.CodeNoParent:
		is = func(g *file) bool { return g.isRoot() && (!f.isRoot() || g.version < f.version) }
	case api.CodeSnapshotNeeded:
		is = func(g *file) bool { return g.role == tuf.RoleSnapshot }
	case api.CodeNotDelegated, api.CodeNotCovered, api.CodeThreshold, api.CodeSuperseded:
		is = func(g *file) bool {
			if g.isRoot() {
				return tuf.IsTopLevel(f.role) && !f.isRoot()
			}
			return !tuf.IsTopLevel(f.role) && g.mayDelegateTo(f.role)
		}
	default:
		return nil
	}
	for _, g := range j.all {
		refused := g.verdict.Status == api.StatusRefused && !g.verdict.NotLoggedHere() && g.verdict.Past == ""
		if refused && g != f && is(g) {
			return g
		}
	}
	return nil
}

// mayDelegateTo reports whether f is targets metadata that delegates to a role, or
// could not be read and may.
func (f *file) mayDelegateTo(role string) bool {
	if f.meta == nil {
		return f.role == tuf.RoleTargets || !tuf.IsTopLevel(f.role)
	}
	if f.meta.Targets == nil || f.meta.Targets.Delegations == nil {
		return false
	}
	_, _, ok := f.meta.Targets.Delegations.Find(role)
	return ok
}

// versionIn returns the version in the name VERSION.ROLE.json of a file that could not
// be read; 0 if there is none.
func versionIn(base, role string) int64 {
	prefix, _, _ := strings.Cut(base, ".")
	version, err := proofs.ParseDecimal(prefix)
	if err != nil || version < 1 || base != api.FileName(role, version) {
		return 0
	}
	return version
}
