package admit

import (
	"context"
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// current is what is current at a place, as far as its role's releases have been
// looked at.
type current struct {
	version   int64
	positions []int // the releases that stand of the highest version; none: 0
	seen      int   // how many of the role's releases, in log order, have been looked at
}

// maxCurrents is of how many places it is kept what is current there. A walk meets
// all places of a repository in one order, so that dropping the oldest would drop
// what is asked for next: all are dropped instead, which costs little for each.
const maxCurrents = 1 << 16

// currentAt returns the releases that are current at a place: of those that meet
// it, all of the highest version, in log order. The search among all releases is
// made once for the keys; after that only new releases are looked at.
func (r *Repository) currentAt(ctx context.Context, p place) ([]int, error) {
	released := r.released[p.role]
	if len(released) == 0 {
		return nil, nil
	}
	key := placeKey{p.role, p.keys.Fingerprint()}
	c := r.currents[key]
	if c == nil {
		var err error
		if c, err = r.findCurrent(ctx, p); err != nil {
			return nil, err
		}
		if len(r.currents) >= maxCurrents {
			clear(r.currents)
		}
		r.currents[key] = c
	}
	for ; c.seen < len(released); c.seen++ {
		position := released[c.seen]
		version := r.records[position].Leaf.Version
		if len(c.positions) > 0 && version < c.version {
			continue
		}
		ok, err := r.stands(ctx, position, p.keys)
		switch {
		case err != nil:
			return nil, err
		case !ok:
		case version == c.version:
			c.positions = append(c.positions, position)
		default:
			c.version, c.positions = version, []int{position}
		}
	}
	return c.positions, nil
}

func (r *Repository) findCurrent(ctx context.Context, p place) (*current, error) {
	c := &current{seen: len(r.released[p.role])}
	for _, position := range slices.Backward(r.releases[p.role]) {
		version := r.records[position].Leaf.Version
		if len(c.positions) > 0 && version != c.version {
			break
		}
		ok, err := r.stands(ctx, position, p.keys)
		if err != nil {
			return nil, err
		}
		if ok {
			c.version, c.positions = version, append(c.positions, position)
		}
	}
	slices.Sort(c.positions)
	return c, nil
}

// Current returns the current release of a role: at the first of its places that
// has one, the highest that meets the place, or the last of several of one version.
// It is false if the role has no current release.
func (r *Repository) Current(ctx context.Context, role string) (Record, bool, error) {
	if role == tuf.RoleRoot {
		return r.records[r.root], true, nil
	}
	all, err := r.places(ctx, role, &listing{})
	if err != nil {
		return Record{}, false, err
	}
	for _, p := range all {
		current, err := r.currentAt(ctx, p)
		if err != nil {
			return Record{}, false, err
		}
		if len(current) > 0 {
			return r.records[current[len(current)-1]], true, nil
		}
	}
	return Record{}, false, nil
}

// Currents returns the current releases of all roles that have one, as Current does
// for each, in no particular order.
func (r *Repository) Currents(ctx context.Context) ([]Record, error) {
	list := []Record{r.records[r.root]}
	have := map[string]bool{}
	_, err := r.eachPlace(ctx, func(p place) (bool, error) {
		current, err := r.currentAt(ctx, p)
		if err == nil && len(current) > 0 && !have[p.role] {
			have[p.role] = true
			list = append(list, r.records[current[len(current)-1]])
		}
		return true, err
	})
	return list, err
}

// Settled reports whether leaves that are not in r cannot change what is current
// at any place: floors[role] is the lowest version from which r has all leaves
// of the role; roles with all leaves are absent.
func (r *Repository) Settled(ctx context.Context, floors map[string]int64) (bool, error) {
	settled := true
	full, err := r.eachPlace(ctx, func(p place) (bool, error) {
		floor, cut := floors[p.role]
		if !cut {
			return true, nil
		}
		current, err := r.currentAt(ctx, p)
		settled = len(current) > 0 && r.records[current[0]].Leaf.Version >= floor
		return settled, err
	})
	// Of more places than count a file's paths decide which they are.
	return settled && !full && err == nil, err
}
