package admit

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// This file finds places. A place of a role is a delegation to its name that the
// walk reaches; root's entry is the one place of each top-level role. The walk
// begins at targets and goes on, breadth-first and in listed order, with what the
// current releases at each place delegate.

// MaxPlaces is how many places of one name count. The holder of a delegation
// may delegate to any name any number of times.
const MaxPlaces = 64

// MaxCoverage bounds the cost of comparing the paths that a file lists with
// delegations in one walk; a delegation that would exceed it covers no path. A
// pattern costs one and one more for each 16 bytes, so does a path, and comparing
// many of them costs the product of their sums.
const MaxCoverage = 1 << 24

// place is a delegation to a role, or root's entry.
type place struct {
	role string
	keys tuf.KeySet
}

// keysOf returns the keys of places.
func keysOf(places []place) (sets []tuf.KeySet) {
	for _, p := range places {
		sets = append(sets, p.keys)
	}
	return sets
}

// placeKey tells places apart. Two delegations to one name that the same files
// meet are one place; whether the way to it covers a file is asked before.
type placeKey struct {
	role string
	keys tuf.Digest
}

// walk is one search for places.
type walk struct {
	// of, if not nil, are the paths that every delegation on the way must cover.
	of *listing
	// as is the role as whose file extra delegations count, if they are not nil.
	as    string
	extra *tuf.Delegations
	// wants says for which names of delegated roles places are visited.
	wants func(role string) bool
	// wantsPlace narrows wants down, if it is not nil.
	wantsPlace func(place) (bool, error)
	// visit is called for each place, targets included, until it is false.
	visit func(place) (bool, error)

	// every asks for every place, also of a name that has more than count.
	every bool
	cost  int64 // of coverage so far
	limit int64 // of cost; zero: MaxCoverage
	full  bool  // there may be more places of some name than count
}

// isExtra reports whether extra delegations count as those of a role's file.
func (w *walk) isExtra(role string) bool { return w.extra != nil && role == w.as }

// walk visits places. The order, and so what limits leave out, follows from the
// log alone: it does not depend on what is remembered.
func (r *Repository) walk(ctx context.Context, w *walk) error {
	root, err := r.Root(ctx)
	if err != nil {
		return err
	}
	first := place{tuf.RoleTargets, r.keysOf(root, tuf.RoleTargets)}
	if more, err := w.visit(first); err != nil || !more {
		return err
	}
	seen := map[placeKey]bool{}
	count := map[string]int{}
	expanded := map[int]bool{}
	for queue := []place{first}; len(queue) > 0; queue = queue[1:] {
		sources, err := r.sources(ctx, queue[0], w, expanded)
		if err != nil {
			return err
		}
		for _, d := range sources {
			for role, to := range d.Among(func(name string) bool { return w.wants(name) || r.delegate[name] > 0 || w.isExtra(name) }) {
				// Nothing else is asked about a place that does not count: there may
				// be thousands.
				if count[role] == MaxPlaces && !w.every {
					w.full = true
					continue
				}
				p := place{role, to.Keys()}
				key := placeKey{role, p.keys.Fingerprint()}
				if seen[key] {
					continue
				}
				wanted, goesOn, err := r.useful(ctx, p, w)
				switch {
				case err != nil:
					return err
				case !wanted && !goesOn, !w.covers(to):
					continue
				}
				seen[key] = true
				count[role]++
				if wanted {
					if more, err := w.visit(p); err != nil || !more {
						return err
					}
				}
				if goesOn {
					queue = append(queue, p)
				}
			}
		}
	}
	return nil
}

// useful says whether a place is to be visited, and whether anything is delegated
// from there.
func (r *Repository) useful(ctx context.Context, p place, w *walk) (wanted, goesOn bool, err error) {
	wanted = w.wants(p.role)
	if wanted && w.wantsPlace != nil {
		if wanted, err = w.wantsPlace(p); err != nil {
			return false, false, err
		}
	}
	if w.isExtra(p.role) {
		return wanted, true, nil
	}
	if r.delegate[p.role] == 0 {
		return wanted, false, nil
	}
	current, err := r.currentAt(ctx, p)
	for _, position := range current {
		s, err := r.summary(ctx, position)
		if err != nil {
			return false, false, err
		}
		goesOn = goesOn || s.delegates
	}
	return wanted, goesOn, err
}

// sources returns what is delegated from a place and has not been walked yet.
func (r *Repository) sources(ctx context.Context, p place, w *walk, expanded map[int]bool) ([]*tuf.Delegations, error) {
	var sources []*tuf.Delegations
	current, err := r.currentAt(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, position := range current {
		if expanded[position] {
			continue
		}
		expanded[position] = true
		d, err := r.delegations(ctx, position, w.of != nil && w.of.file != nil)
		if err != nil {
			return nil, err
		}
		if d != nil {
			sources = append(sources, d)
		}
	}
	if w.isExtra(p.role) && !expanded[none] {
		expanded[none] = true
		sources = append(sources, w.extra)
	}
	return sources, nil
}

// listing is the paths that a file lists. They are read when they are first needed:
// mostly they never are.
type listing struct {
	file   *tuf.Targets // nil: nothing is listed
	paths  []string
	hashes []string // hex, of each path; filled when first needed
	size   int64    // what comparing them costs
}

func listingOf(m *tuf.Metadata) *listing {
	if m.Targets == nil || m.Targets.Len() == 0 {
		return &listing{}
	}
	return &listing{file: m.Targets}
}

func (l *listing) read() {
	if l.paths != nil {
		return
	}
	for path := range l.file.Paths() {
		l.paths = append(l.paths, path)
		l.size += int64(1 + len(path)/16)
	}
}

// covers reports whether a delegation covers all paths.
func (w *walk) covers(d tuf.Delegee) bool {
	if w.of == nil || w.of.file == nil {
		return true
	}
	w.of.read()
	// What it costs is counted in full, however soon it is known.
	cost := w.of.size
	if d.Role != nil {
		patterns := int64(len(d.Role.PathHashPrefixes))
		for _, p := range d.Role.Paths {
			patterns += int64(1 + len(p)/16)
		}
		if cost *= patterns; patterns > MaxCoverage {
			return false
		}
	}
	if w.cost+cost > cmp.Or(w.limit, MaxCoverage) {
		return false
	}
	w.cost += cost
	return w.of.within(d)
}

func (l *listing) within(d tuf.Delegee) bool {
	if d.Role != nil && len(d.Role.PathHashPrefixes) == 0 {
		return !slices.ContainsFunc(l.paths, func(path string) bool { return !d.Role.Covers(path) })
	}
	if l.hashes == nil {
		for _, path := range l.paths {
			sum := sha256.Sum256([]byte(path))
			l.hashes = append(l.hashes, hex.EncodeToString(sum[:]))
		}
	}
	return !slices.ContainsFunc(l.hashes, func(hash string) bool { return !d.CoversHash(hash) })
}

// places returns the places of a role, at most MaxPlaces: first those of which
// every delegation on the way covers all paths of of, if there are too many.
func (r *Repository) places(ctx context.Context, role string, of *listing) ([]place, error) {
	if tuf.IsTopLevel(role) {
		root, err := r.Root(ctx)
		if err != nil {
			return nil, err
		}
		return []place{{role, r.keysOf(root, role)}}, nil
	}
	all, full, err := r.find(ctx, role, nil)
	if err != nil || !full {
		return all, err
	}
	first, _, err := r.find(ctx, role, of)
	for _, p := range all {
		if len(first) < MaxPlaces && !slices.ContainsFunc(first, func(q place) bool { return q.keys.Fingerprint() == p.keys.Fingerprint() }) {
			first = append(first, p)
		}
	}
	return first, err
}

// covering returns those places of a role of which every delegation on the way
// covers all paths of of.
func (r *Repository) covering(ctx context.Context, role string, of *listing) ([]place, error) {
	if tuf.IsTopLevel(role) {
		return r.places(ctx, role, of)
	}
	found, _, err := r.find(ctx, role, of)
	return found, err
}

// everyPlace returns all places of a role, however many there are.
func (r *Repository) everyPlace(ctx context.Context, role string) (found []place, err error) {
	w := &walk{every: true, wants: func(name string) bool { return name == role }}
	w.visit = func(p place) (bool, error) {
		if p.role == role {
			found = append(found, p)
		}
		return true, nil
	}
	err = r.walk(ctx, w)
	return found, err
}

// find walks to the places of a delegated role. It is full if there are more of
// some name than count.
func (r *Repository) find(ctx context.Context, role string, of *listing) (found []place, full bool, err error) {
	w := &walk{of: of, wants: func(name string) bool { return name == role }}
	w.visit = func(p place) (bool, error) {
		if p.role == role {
			found = append(found, p)
		}
		return true, nil
	}
	err = r.walk(ctx, w)
	return found, w.full, err
}

// RootKeys returns the keys that the current root gives to a top-level role.
func (r *Repository) RootKeys(ctx context.Context, role string) (tuf.KeySet, error) {
	root, err := r.Root(ctx)
	if err != nil {
		return tuf.KeySet{}, err
	}
	return r.keysOf(root, role), nil
}

// KeysFor returns the keys of the first place of a role that m meets; if m meets
// none, met is false and the keys are those of the first place, if any.
func (r *Repository) KeysFor(ctx context.Context, role string, m *tuf.Metadata) (keys tuf.KeySet, met bool, err error) {
	j := &judgement{r: r, m: m, leaf: leafOf(leaf.Release, r.id, role, m), lists: listingOf(m)}
	all, err := r.places(ctx, role, j.lists)
	if err != nil || len(all) == 0 {
		return tuf.KeySet{}, false, err
	}
	if meets := j.met(all); len(meets) > 0 {
		return meets[0].keys, true, nil
	}
	return all[0].keys, false, nil
}

// eachPlace visits the places of all roles of which anything is released, but root.
// It is full if there are more of some name than count.
func (r *Repository) eachPlace(ctx context.Context, visit func(place) (bool, error)) (full bool, err error) {
	root, err := r.Root(ctx)
	if err != nil {
		return false, err
	}
	for _, role := range []string{tuf.RoleSnapshot, tuf.RoleTimestamp} {
		if more, err := visit(place{role, r.keysOf(root, role)}); err != nil || !more {
			return false, err
		}
	}
	w := &walk{wants: func(name string) bool { return len(r.releases[name]) > 0 }, visit: visit}
	err = r.walk(ctx, w)
	return w.full, err
}
