package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about leaves that cannot be judged because the log does not serve a
// file. Each step asks for such files again. When one is there, all leaves of its
// repository are judged again, from its first: what a missing file hides is hidden
// only while it is missing.

// unjudged is a leaf that could not be judged.
type unjudged struct {
	index   int64
	sum     tuf.Digest // of the file that is missing; zero: files of earlier leaves are
	finding *Finding   // nil: there are too many
}

// blindness is what an auditor cannot see of a repository.
type blindness struct {
	leaves []unjudged // in log order
	kept   map[Kind]int

	// What the leaves could be if their files were there.
	genesis  bool                 // the repository's first root
	roots    map[int64]bool       // releases of roots, by version
	targets  bool                 // releases of targets, or of delegated roles
	top      int64                // the highest version of those of targets that may delegate
	may      bool                 // some of those of delegated roles may delegate
	versions map[roleVersion]bool // of any kind
	payloads map[tuf.Digest]bool  // of releases
}

type roleVersion struct {
	role    string
	version int64
}

// blindOf returns what cannot be seen of a repository, to be added to.
func (a *Auditor) blindOf(repo tuf.Digest) *blindness {
	b := a.blind[repo]
	if b == nil {
		b = &blindness{kept: map[Kind]int{}, roots: map[int64]bool{}, versions: map[roleVersion]bool{}, payloads: map[tuf.Digest]bool{}}
		a.blind[repo] = b
	}
	return b
}

// add notes a leaf, and the finding that says so, nil where another finding does.
func (b *blindness) add(index int64, sum tuf.Digest, f *Finding, most int) {
	u := unjudged{index: index, sum: sum}
	if f != nil {
		if b.kept[f.Kind]++; b.kept[f.Kind] <= most {
			for i := range f.Evidence {
				f.Evidence[i].content = nil // nobody is accused: it is not written
			}
			u.finding = f
		}
	}
	b.leaves = append(b.leaves, u)
}

// blinds notes that a leaf cannot be judged, because of the file sum or, if that is
// zero, of what is missing of earlier leaves.
func (a *Auditor) blinds(l *loaded, sum tuf.Digest, f *Finding) entry {
	logged := l.leaf
	e := entry{NotJudged}
	b := a.blindOf(logged.Repository)
	b.add(l.index, sum, f, a.maxPerKind)
	b.versions[roleVersion{logged.Role, logged.Version}] = true
	if logged.Kind != leaf.Release {
		return e // what is evidence is never in force
	}
	b.payloads[logged.Payload] = true
	switch logged.Role {
	case tuf.RoleRoot:
		b.roots[logged.Version] = true
		b.genesis = b.genesis || logged.Payload == logged.Repository
		if _, ok := a.unseen[logged.Payload]; !ok {
			a.unseen[logged.Payload] = logged.Repository
		}
	case tuf.RoleSnapshot, tuf.RoleTimestamp:
	default:
		b.targets = true
		switch may := l.metadata == nil || l.metadata.Targets != nil && l.metadata.Targets.Delegations != nil; {
		case !may:
		case logged.Role == tuf.RoleTargets:
			b.top = max(b.top, logged.Version)
		default:
			b.may = true
		}
	}
	return e
}

// explains reports whether the files that are missing could make right a leaf that the
// rules do not give. code is why they refuse it, empty if they give another leaf or
// say that it is logged already. targets is the version of targets that is in force; 0:
// none.
func (b *blindness) explains(l *loaded, code string, targets int64) bool {
	if l.contradictsItself() {
		return false
	}
	switch code {
	case admit.RefusedMalformed, admit.RefusedWrongType, admit.RefusedEncoding, admit.RefusedRoleName:
		return false
	case refusedRepository:
		return b.genesis
	}
	same := b.versions[roleVersion{l.leaf.Role, l.leaf.Version}] || b.payloads[l.leaf.Payload]
	if l.leaf.Role == tuf.RoleRoot {
		if l.leaf.Encoding == tuf.Pigweed { // the root before it is any below it
			return same || b.rootBelow(l.leaf.Version)
		}
		if code == admit.RefusedThreshold {
			return false
		}
		// The keys of a root are those of the root before it.
		return same || code == admit.RefusedNoParent && b.roots[l.leaf.Version-1]
	}
	if len(b.roots) > 0 {
		return true // a root may name any key
	}
	if tuf.IsTopLevel(l.leaf.Role) {
		switch code {
		case admit.RefusedThreshold, admit.RefusedSuperseded, admit.RefusedSnapshotNeeded:
			return false // only roots name the keys of this role, and of snapshots
		case admit.RefusedSecondPayload:
			return b.targets // which may say whose the other payload is
		}
		return same
	}
	// What lies below the version in force delegates to nobody any more.
	return b.may || b.top >= max(targets, 1) || same || code == admit.RefusedSecondPayload && b.targets
}

// rootBelow reports whether a root of a lower version is missing.
func (b *blindness) rootBelow(version int64) bool {
	for v := range b.roots {
		if v < version {
			return true
		}
	}
	return false
}

// targetsInForce returns the version of targets that is in force; 0: none, or it cannot
// be said.
func (a *Auditor) targetsInForce(ctx context.Context, id tuf.Digest) int64 {
	repo, err := a.whole(ctx, id)
	if err != nil || repo == nil {
		return 0
	}
	current, ok, err := repo.Current(ctx, tuf.RoleTargets)
	if err != nil || !ok {
		return 0
	}
	return current.Leaf.Version
}

// contradictsItself reports whether a leaf says something else of its file than what
// is in it, which no other file can make right.
func (l *loaded) contradictsItself() bool {
	m := l.metadata
	return m != nil && (l.leaf.Version != m.Version || l.leaf.Payload != m.PayloadDigest || l.leaf.Size != int64(len(m.File)))
}

// unjudgedFindings words what cannot be judged now, in log order, and how much more
// there is.
func (a *Auditor) unjudgedFindings() (found []Finding, more []Suppressed) {
	for id, b := range a.blind {
		for _, u := range b.leaves {
			if u.finding != nil {
				found = append(found, *u.finding)
			}
		}
		for kind, n := range b.kept {
			if n > a.maxPerKind {
				more = append(more, Suppressed{kind, id, int64(n - a.maxPerKind)})
			}
		}
	}
	slices.SortStableFunc(found, func(x, y Finding) int { return cmp.Compare(x.Index, y.Index) })
	return found, more
}

// maxAskedAgain is how many missing files a step asks for again.
const maxAskedAgain = 256

// askAgain asks for missing files, and notes which repositories can be judged again.
func (a *Auditor) askAgain(ctx context.Context) error {
	type missing struct {
		index int64
		sum   tuf.Digest
		repo  tuf.Digest
	}
	var all []missing
	for id, b := range a.blind {
		for _, u := range b.leaves {
			if !u.sum.IsZero() {
				all = append(all, missing{u.index, u.sum, id})
			}
		}
	}
	slices.SortFunc(all, func(x, y missing) int { return cmp.Compare(x.index, y.index) })
	// Where there are very many the next step goes on behind those asked for now.
	from, _ := slices.BinarySearchFunc(all, a.askedTo, func(m missing, index int64) int { return cmp.Compare(m.index, index) })
	asked := map[tuf.Digest]bool{}     // whether they are there
	wrong := map[tuf.Digest]*badBlob{} // what is served in their place
	for _, m := range append(all[from:len(all):len(all)], all[:from]...) {
		there, known := asked[m.sum]
		if !known {
			if len(asked) == maxAskedAgain {
				break
			}
			_, err := a.blobs.get(ctx, m.sum)
			var bad *badBlob
			if err != nil && !errors.As(err, &bad) {
				return err
			}
			there, wrong[m.sum] = err == nil, bad
			asked[m.sum] = there
			a.askedTo = m.index + 1
		}
		switch bad := wrong[m.sum]; {
		case there:
			a.judgeAgain(m.repo)
		case bad.kind == BlobMismatch:
			a.wrongAgain(m.repo, m.index, bad)
		}
	}
	if len(asked) < maxAskedAgain {
		a.askedTo = 0
	}
	return nil
}

// rejudgement is the repositories whose leaves are judged again, from their first, and
// how far that has come.
type rejudgement struct {
	repos map[tuf.Digest]bool
	more  bool // some of them have been added since the last leaf was judged again
	next  int64
}

// awaits notes that the first root of a repository is, for all that can be seen, in
// the chain of another: a root of the other with its payload cannot be judged.
func (a *Auditor) awaits(l *loaded, other tuf.Digest) entry {
	a.waiting[other] = append(a.waiting[other], l.leaf.Repository)
	f := aboutLeaf(Unjudged, l.index, l.leaf, "leaf %d (%s %d) cannot be judged, because a leaf with the same root in repository %s could not be", l.index, tuf.Word(l.leaf.Role), l.leaf.Version, other.Short())
	return a.blinds(l, tuf.Digest{}, &f)
}

// judgeAgain asks for the leaves of a repository to be judged again, and for those of
// others whose first root may be in its chain.
func (a *Auditor) judgeAgain(repo tuf.Digest) {
	if a.rejudging == nil {
		a.rejudging = &rejudgement{repos: map[tuf.Digest]bool{}}
	}
	if a.rejudging.repos[repo] {
		return
	}
	a.rejudging.repos[repo], a.rejudging.more = true, true
	for _, other := range a.waiting[repo] {
		a.judgeAgain(other)
	}
}

// forget takes back all that follows from the leaves of repositories.
func (a *Auditor) forget(ctx context.Context, repos map[tuf.Digest]bool) error {
	if err := a.retract(ctx, repos); err != nil {
		return err
	}
	maps.DeleteFunc(a.unseen, func(_, of tuf.Digest) bool { return repos[of] })
	for id := range repos {
		delete(a.blind, id)
		delete(a.waiting, id)
		a.drop(id)
		if err := a.db.Forget(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// rejudge judges the leaves of the repositories whose missing files are there again.
func (a *Auditor) rejudge(ctx context.Context) error {
	if a.rejudging == nil {
		return nil
	}
	if a.rejudging.more {
		// What has been judged again so far of others is judged once more: releases
		// may be two repositories'.
		if err := a.forget(ctx, a.rejudging.repos); err != nil {
			return err
		}
		a.rejudging.more, a.rejudging.next = false, 0
	}
	items, err := a.leavesOf(ctx, a.rejudging.repos, a.rejudging.next)
	if err != nil {
		return err
	}
	if len(items) > 0 {
		items[len(items)-1].final = true
	}
	err = a.judgeAll(ctx, func(ctx context.Context, put func(item) bool) error {
		for _, it := range items {
			if !put(it) {
				return ctx.Err()
			}
		}
		return nil
	}, func(l *loaded, e entry) error {
		a.rejudging.next = l.index + 1
		return a.judged(ctx, l, e.verdict)
	})
	if err != nil {
		return err
	}
	if a.rejudging.more {
		return a.rejudge(ctx) // one that shares its keys was found on the way
	}
	if err := a.settle(ctx); err != nil {
		return err
	}
	if err := a.db.EndDoubt(ctx, a.cfg.Now()); err != nil {
		return err
	}
	a.rejudging = nil
	return a.commit(ctx)
}

// leavesOf returns the leaves of repositories from an index on, in log order.
func (a *Auditor) leavesOf(ctx context.Context, repos map[tuf.Digest]bool, from int64) ([]item, error) {
	var items []item
	for id := range repos {
		err := a.db.LeavesOf(ctx, id, func(l state.Leaf) error {
			if l.Index >= from {
				items = append(items, item{index: l.Index, raw: l.Entry()})
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(items, func(x, y item) int { return cmp.Compare(x.index, y.index) })
	return items, nil
}

// servedBlob is the name of evidence: what is served in the place of a file.
const servedBlob = "served-blob"

// trouble handles a file that is not there to be judged.
func (a *Auditor) trouble(ctx context.Context, l *loaded, err error) (entry, error) {
	var bad *badBlob
	var syntax *malformed
	switch {
	case errors.As(err, &bad):
		f := aboutLeaf(bad.kind, l.index, l.leaf, "leaf %d (%s %d) cannot be judged: %s", l.index, tuf.Word(l.leaf.Role), l.leaf.Version, bad.detail)
		f.Evidence = []Evidence{a.leafEvidence(ctx, l.index, l.raw)}
		if bad.served != nil {
			f.Evidence = append(f.Evidence, evidenceFile(servedBlob, bad.served))
		}
		if f.Class == Tampering {
			f.about = bad.sum.String()
			a.record(f)
			return a.blinds(l, bad.sum, nil), nil
		}
		return a.blinds(l, bad.sum, &f), nil
	case errors.As(err, &syntax):
		return a.wrong(ctx, l, FalseAdmission, admit.RefusedMalformed, "the rules refuse it: "+syntax.Error(), -1), nil
	}
	return entry{}, err
}

// wrong records a leaf that should not be there. Where files of earlier leaves of the
// repository are missing, and could make it right, nobody can say. earlier is the entry that
// it repeats, or -1.
func (a *Auditor) wrong(ctx context.Context, l *loaded, kind Kind, code, why string, earlier int64) entry {
	if b := a.blind[l.leaf.Repository]; b != nil && b.explains(l, code, a.targetsInForce(ctx, l.leaf.Repository)) {
		f := aboutLeaf(Unjudged, l.index, l.leaf, "leaf %d (%s %d) cannot be judged, because an earlier leaf of its repository could not be: %s", l.index, tuf.Word(l.leaf.Role), l.leaf.Version, why)
		return a.blinds(l, tuf.Digest{}, &f)
	}
	f := aboutLeaf(kind, l.index, l.leaf, "leaf %d (%s of %s %d) should not be in the log: %s", l.index, l.leaf.Kind, tuf.Word(l.leaf.Role), l.leaf.Version, why)
	if !a.accuseOf(ctx, &f, l, earlier) {
		f.Evidence = []Evidence{a.leafEvidence(ctx, l.index, l.raw)}
		if l.metadata != nil {
			f.Evidence = append(f.Evidence, metadataFile(fmt.Sprint(l.index), l.metadata))
		}
		if l.snapshot != nil {
			f.Evidence = append(f.Evidence, evidenceFile(fmt.Sprintf("%d.snapshot.json", l.index), l.snapshot.File))
		}
	}
	a.record(f)
	return entry{Wrong}
}
