package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about which repositories are in memory, and how much of them. A log may have
// leaves of very many in turn, so that each is read from the state again for its next leaf.
// Of one that is in good order, which means that each of its releases has a higher version
// than those of its role before it, only the last releases of each role are read, and all
// roots. A leaf of a higher version has no rivals and no payload of an earlier one, so that
// the verdict on it depends on nothing but the keys of its role. Those of a top-level role
// follow from the roots; those of a delegated role from the current releases on the way to
// it, which are known if each is among the last ones of its role: a lower version cannot be
// current then. For every other leaf the whole repository is read.

const (
	// maxInMemory is about how many bytes the repositories in memory may take, but for the
	// one of the leaf at hand.
	maxInMemory = 20 << 20

	// lastReleases is how many releases of a role are read of a repository in good order.
	// One that takes more than a share of maxInMemory is cut down to these.
	lastReleases = 4
	wholeShare   = 8

	// What a repository takes, and a leaf of it, about.
	perRepository = 7 << 10
	perRecord     = 1 << 10
)

// size is about how many bytes a repository takes.
func (r *repository) size() int {
	return perRepository + perRecord*len(r.Records()) + r.Cached()
}

// repository returns a repository with a right leaf, nil if there is none. It may have the
// last releases alone: see judging and whole.
func (a *Auditor) repository(ctx context.Context, id tuf.Digest) (*repository, error) {
	a.uses++
	if r := a.repos[id]; r != nil {
		r.used = a.uses
		return r, nil
	}
	return a.readRepository(ctx, id, a.lastReleases)
}

// whole returns a repository with all its leaves, nil if there is none.
func (a *Auditor) whole(ctx context.Context, id tuf.Digest) (*repository, error) {
	r, err := a.repository(ctx, id)
	if err != nil || r == nil || r.floors == nil {
		return r, err
	}
	return a.reload(ctx, r, 0)
}

// judging returns a repository with as much as the verdict on a leaf depends on.
func (a *Auditor) judging(ctx context.Context, l *loaded) (*repository, error) {
	r, err := a.repository(ctx, l.leaf.Repository)
	if err != nil || r == nil {
		return r, err
	}
	// Where most are roots, or releases of many roles, little can be cut.
	if !r.odd && r.size() > max(a.maxInMemory/wholeShare, 2*r.cut) {
		if r, err = a.reload(ctx, r, a.lastReleases); err != nil {
			return nil, err
		}
		r.cut = r.size()
	}
	if r.floors == nil || l.err != nil {
		return r, nil
	}
	suffices, err := a.suffices(ctx, l, r)
	if err != nil || suffices {
		return r, err
	}
	return a.reload(ctx, r, 0)
}

// suffices reports whether the verdict on a leaf is the same as with the whole repository.
func (a *Auditor) suffices(ctx context.Context, l *loaded, r *repository) (bool, error) {
	m, role := l.metadata, l.leaf.Role
	if own := r.roles[role]; own != nil && m.Version <= own.highest {
		return false, nil
	}
	if tuf.TypeOf(role) != tuf.RoleTargets {
		return true, nil // the versions of other roles are not those of its payload
	}
	for name, other := range r.roles {
		if tuf.TypeOf(name) == tuf.RoleTargets && m.Version <= other.highest {
			_, logged, err := a.db.FirstWith(ctx, m.PayloadDigest, false)
			if err != nil || logged {
				return false, err
			}
			break
		}
	}
	if role == tuf.RoleTargets {
		return true, nil
	}
	return r.settled(ctx, tuf.RoleSnapshot, tuf.RoleTimestamp), nil
}

// settled reports whether what is current is what is current in the whole repository, of
// all roles but some.
func (r *repository) settled(ctx context.Context, but ...string) bool {
	floors := maps.Clone(r.floors)
	for _, role := range but {
		delete(floors, role)
	}
	settled, err := r.Settled(ctx, floors)
	return settled && err == nil // where a file cannot be read, the whole says so
}

// readRepository reads a repository from the state: its last releases, most of each role, if it is
// in good order, otherwise all of it; most 0: all of it.
func (a *Auditor) readRepository(ctx context.Context, id tuf.Digest, most int) (*repository, error) {
	known, ok, err := a.db.Repository(ctx, id)
	if err != nil || !ok || known.Genesis < 0 {
		return nil, err
	}
	facts, err := readFacts(ctx, a.db, id)
	if err != nil {
		return nil, err
	}
	if facts.odd || !facts.counted() {
		most = 0
	}
	var r *repository
	apply := func(l state.Leaf) error {
		if l.Verdict != Right {
			return nil
		}
		if r == nil {
			repo, err := admit.NewRepository(l.Leaf, l.Index, stepBlobs{a})
			if err != nil {
				return err
			}
			r = newRepository(repo, l.Index)
		} else if err := r.Apply(l.Index, l.Leaf); err != nil {
			return err
		}
		r.versionFindings(l.Index, l.Leaf)
		return nil
	}
	if most > 0 {
		err = a.db.NewestOf(ctx, id, most, apply)
	} else {
		err = a.db.LeavesOf(ctx, id, apply)
	}
	if err != nil {
		return nil, err
	}
	if r == nil || r.genesis != known.Genesis {
		return nil, fmt.Errorf("auditor state: %w: repository %v has no leaf at index %d", state.ErrDamaged, id, known.Genesis)
	}
	if err := facts.restore(r); err != nil {
		return nil, err
	}
	if most > 0 && !r.noteFloors() {
		return nil, fmt.Errorf("auditor state: %w: it is not kept how many releases some role of repository %v has", state.ErrDamaged, id)
	}
	a.hold(r)
	return r, nil
}

// noteFloors notes of which roles there are releases that were not read, and takes over how
// many there are. It returns false if that is not kept.
func (r *repository) noteFloors() bool {
	for role, s := range r.roles {
		have, life := s.releases, r.lives[role]
		if life == nil || life.Releases < have {
			return false
		}
		if s.releases = life.Releases; s.releases == have {
			continue
		}
		if r.floors == nil {
			r.floors = map[string]int64{}
		}
		r.floors[role] = slices.Min(slices.Collect(maps.Keys(s.versions)))
	}
	return true
}

// reload reads a repository again, with its last releases, or all of it. Nothing of it is
// lost.
func (a *Auditor) reload(ctx context.Context, r *repository, most int) (*repository, error) {
	if err := a.keep(ctx, r); err != nil {
		return nil, err
	}
	again, err := a.readRepository(ctx, r.ID(), most)
	if err != nil {
		return nil, err
	}
	again.prior, again.newest, again.before, again.redelegates = r.prior, r.newest, r.before, r.redelegates
	return again, nil
}

// hold keeps a repository in memory.
func (a *Auditor) hold(r *repository) {
	a.drop(r.ID())
	a.uses++
	r.used = a.uses
	a.repos[r.ID()] = r
	a.weigh(r)
}

// weigh counts what a repository takes.
func (a *Auditor) weigh(r *repository) {
	size := r.size()
	a.held += size - r.counted
	r.counted = size
}

// evict drops the repositories that were not used for the longest time, if those in
// memory take too much. That of the leaf at hand stays.
func (a *Auditor) evict(ctx context.Context) error {
	if a.held <= a.maxInMemory {
		return nil
	}
	byUse := make([]*repository, 0, len(a.repos))
	for _, r := range a.repos {
		byUse = append(byUse, r)
	}
	slices.SortFunc(byUse, func(x, y *repository) int { return cmp.Compare(x.used, y.used) })
	for _, r := range byUse {
		if a.held <= a.maxInMemory/4*3 || r.used == a.uses || a.due != nil && a.due.leaf.Repository == r.ID() {
			return nil
		}
		if err := a.keep(ctx, r); err != nil {
			return err
		}
		a.drop(r.ID())
	}
	return nil
}

// drop forgets what memory has of a repository.
func (a *Auditor) drop(id tuf.Digest) {
	if r := a.repos[id]; r != nil {
		a.held -= r.counted
		delete(a.repos, id)
	}
}
