package admit

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// This file is for auditors: it asks of what is logged what a judgement asks of one
// file. What stands changes with every root and every delegation, so two payloads of
// one version, of which the second was a release because the first did not stand, may
// both stand later.

// Together returns the releases of a role and version that meet one present place,
// one for each payload, in log order. Where several places take more than one payload
// it returns those of the place that takes the most bound ones, of several the first.
// It returns none if no place takes two payloads, and for roots, which are released
// once per version.
func (r *Repository) Together(ctx context.Context, role string, version int64) ([]Record, error) {
	var releases []int
	payloads := map[tuf.Digest]bool{}
	position := lastOf(r.byVersion, roleVersion{role, version})
	for ; position != none; position = r.links[position].version {
		if entry := r.records[position].Leaf; entry.Kind == leaf.Release {
			releases = append(releases, position)
			payloads[entry.Payload] = true
		}
	}
	if role == tuf.RoleRoot || len(payloads) < 2 {
		return nil, nil
	}
	all, err := r.allPlaces(ctx, role)
	if err != nil {
		return nil, err
	}
	var best []Record
	mostBound := 0
	for _, p := range all {
		standing := map[tuf.Digest]int{}
		bound := 0
		for _, position := range releases { // the last first
			leaf := r.records[position].Leaf
			other, known := standing[leaf.Payload]
			if known && (r.records[other].Leaf.Bound() || !leaf.Bound()) {
				continue
			}
			stands, err := r.stands(ctx, position, p.keys)
			if err != nil {
				return nil, err
			}
			if !stands {
				continue
			}
			standing[leaf.Payload] = position
			if leaf.Bound() {
				bound++
			}
		}
		if len(standing) < 2 || best != nil && bound <= mostBound {
			continue
		}
		best, mostBound = nil, bound
		for _, position := range standing {
			best = append(best, r.records[position])
		}
	}
	slices.SortFunc(best, func(a, b Record) int { return cmp.Compare(a.Index, b.Index) })
	return best, nil
}

// allPlaces returns all places of a role, however many there are.
func (r *Repository) allPlaces(ctx context.Context, role string) ([]place, error) {
	if tuf.IsTopLevel(role) {
		return r.places(ctx, role, &listing{})
	}
	return r.everyPlace(ctx, role)
}

// MayBe returns another role for which the payload of a release may pass, because it
// is also released as that role's or fits one of its places. It is empty if there is
// no such role, and for bound releases.
func (r *Repository) MayBe(ctx context.Context, release Record) (role string, err error) {
	position, ok := slices.BinarySearchFunc(r.records, release.Index, func(rec Record, index int64) int { return cmp.Compare(rec.Index, index) })
	if !ok {
		return "", fmt.Errorf("leaf %d is not one of repository %v", release.Index, r.id)
	}
	j := &judgement{r: r, m: &tuf.Metadata{}, leaf: r.records[position].Leaf}
	return j.explainedBy(ctx, position)
}

// Delegated returns the roles among those wanted to which current releases delegate,
// in the order of the walk, each once.
func (r *Repository) Delegated(ctx context.Context, wants func(role string) bool) ([]string, error) {
	var found []string
	seen := map[string]bool{}
	w := &walk{wants: wants}
	w.visit = func(p place) (bool, error) {
		if p.role != tuf.RoleTargets && !seen[p.role] {
			seen[p.role] = true
			found = append(found, p.role)
		}
		return true, nil
	}
	err := r.walk(ctx, w)
	return found, err
}
