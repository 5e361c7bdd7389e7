package admit

import (
	"context"
	"slices"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// explainCoverage bounds what comparing the paths of all rivals may cost in one
// judgement, as MaxCoverage does for one walk.
const explainCoverage = 4 * MaxCoverage

// rivals returns the releases of a leaf's role and version with another payload,
// in log order.
func (r *Repository) rivals(entry leaf.Leaf) []int {
	var rivals []int
	position := lastOf(r.byVersion, roleVersion{entry.Role, entry.Version})
	for ; position != none; position = r.links[position].version {
		if other := r.records[position].Leaf; other.Kind == leaf.Release && other.Payload != entry.Payload {
			rivals = append(rivals, position)
		}
	}
	slices.Reverse(rivals)
	return rivals
}

// byPayloads puts records of one payload side by side, each payload where its first
// record is.
func (r *Repository) byPayloads(positions []int) []int {
	first := map[tuf.Digest]int{}
	for i, position := range positions {
		if _, ok := first[r.records[position].Leaf.Payload]; !ok {
			first[r.records[position].Leaf.Payload] = i
		}
	}
	slices.SortStableFunc(positions, func(a, b int) int {
		return first[r.records[a].Leaf.Payload] - first[r.records[b].Leaf.Payload]
	})
	return positions
}

// boundRival returns the first bound rival that stands at a place that the file
// meets, or none. Here every place counts, however many of the name there are: a
// delegatee could hide the one where the rival stands behind others. The rival is not
// certain if the file may meet such a place, but has signatures that are not looked at
// any more.
func (j *judgement) boundRival(ctx context.Context, meets []place) (rival int, certain bool, err error) {
	rivals := slices.DeleteFunc(j.r.rivals(j.leaf), func(position int) bool { return !j.r.records[position].Leaf.Bound() })
	if len(rivals) == 0 {
		return none, true, nil
	}
	if !tuf.IsTopLevel(j.leaf.Role) {
		if meets, err = j.r.everyPlace(ctx, j.leaf.Role); err != nil {
			return none, false, err
		}
	}
	unsure := none
	for _, rival := range rivals {
		for _, p := range meets {
			stands, err := j.r.stands(ctx, rival, p.keys)
			if err != nil {
				return none, false, err
			}
			switch {
			case !stands:
			case p.keys.MetBy(len(j.signedBy(p))):
				return rival, true, nil
			case j.outOfLooks[p.keys.Fingerprint()] && unsure == none:
				unsure = rival
			}
		}
	}
	return unsure, false, nil
}

// contradiction is the verdict on a file that contradicts a release: evidence, once
// per role and version.
func (r *Repository) contradiction(entry leaf.Leaf, rival int) Decision {
	if evidence, ok := r.evidence[roleVersion{entry.Role, entry.Version}]; ok {
		return r.already(evidence)
	}
	entry.Kind, entry.Contradicts = leaf.Evidence, r.records[rival].Index
	return Decision{Leaf: entry}
}

// second refuses a file because of a rival.
func (j *judgement) second(rival int, why string) error {
	return refused(RefusedSecondPayload, "another payload of %s %d is released at index %d and stands (%s): publish version %d, and list hashes in the snapshot from then on",
		j.leaf.Role, j.leaf.Version, j.r.records[rival].Index, why, j.leaf.Version+1)
}

// explained returns nil if at some place that the file fits every rival that stands
// there is explained.
func (j *judgement) explained(ctx context.Context, fits []place) error {
	rivals := j.r.byPayloads(j.r.rivals(j.leaf))
	if len(rivals) == 0 {
		return nil
	}
	explained := map[int]bool{} // of the rivals that have been asked
	unexplained := none
	for _, p := range fits {
		free := true
		for _, rival := range rivals {
			stands, err := j.r.stands(ctx, rival, p.keys)
			if err != nil {
				return err
			}
			if !stands {
				continue
			}
			is, asked := explained[rival]
			if !asked {
				if is, err = j.explains(ctx, rival); err != nil {
					return err
				}
				explained[rival] = is
			}
			if !is {
				free, unexplained = false, rival
				break
			}
		}
		if free {
			return nil
		}
	}
	return j.second(unexplained, "nothing says that it is another role's")
}

// explains reports whether a rival is explained: it is not bound, and it is
// released as another role's, too, or fits a place of another role. What the file
// that is judged delegates is counted: in a new repository nothing else says whose
// the rival is.
func (j *judgement) explains(ctx context.Context, rival int) (bool, error) {
	role, err := j.explainedBy(ctx, rival)
	return role != "", err
}

// explainedBy names the role that explains a rival; empty: none does.
func (j *judgement) explainedBy(ctx context.Context, rival int) (string, error) {
	leaf := j.r.records[rival].Leaf
	if leaf.Bound() {
		return "", nil
	}
	if role := j.r.releasedElsewhere(leaf.Role, leaf.Payload); role != "" {
		return role, nil
	}
	lists, err := j.listingOf(ctx, rival)
	if err != nil {
		return "", err
	}
	fits := ""
	w := &walk{of: lists, as: leaf.Role, cost: j.cost, limit: explainCoverage}
	defer func() { j.cost = w.cost }()
	w.wants = func(name string) bool { return name != leaf.Role }
	w.extra = j.delegates()
	w.wantsPlace = func(p place) (bool, error) { return j.r.stands(ctx, rival, p.keys) }
	w.visit = func(p place) (bool, error) {
		if p.role == leaf.Role {
			return true, nil
		}
		found, err := w.wantsPlace(p)
		if found {
			fits = p.role
		}
		return !found, err
	}
	if err := j.r.walk(ctx, w); err != nil {
		return "", err
	}
	return fits, nil
}

// delegates returns what the file delegates, nil if nothing. The names of bins are
// kept for the judgement and not with the file, of which thousands may wait.
func (j *judgement) delegates() *tuf.Delegations {
	if j.extra == nil && j.m.Targets != nil && j.m.Targets.Delegations != nil {
		j.extra = j.m.Targets.Delegations.KeepNames()
	}
	return j.extra
}

// listingOf returns what a rival lists. The next one may have the same payload,
// signed again: it is not read again.
func (j *judgement) listingOf(ctx context.Context, rival int) (*listing, error) {
	s, err := j.r.summary(ctx, rival)
	if err != nil || s.lists == 0 {
		return &listing{}, err
	}
	if payload := j.r.records[rival].Leaf.Payload; j.rivalLists == nil || j.rival != payload {
		m, err := j.r.read(ctx, rival)
		if err != nil {
			return nil, err
		}
		j.rival, j.rivalLists = payload, listingOf(m)
	}
	return j.rivalLists, nil
}
