package publish

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// state is what a repository was once: a snapshot, and the targets metadata that no
// earlier snapshot lists.
type state struct {
	files []*file // the snapshot first
	root  int     // of the roots at hand, the last that was in force
}

// stages cuts files into what is sent together, in an order that works. As a rule
// that is all at once. A directory that was never logged may hold files of a time when
// other keys were in force: those of the top-level roles came with a root, and those of
// delegated roles with their delegator. So the roots and the states that snapshots list
// are put in the order in which they appeared, and cut where a root follows, or where
// what a role delegates changes.
func (j *job) stages(files []*file) [][]*file {
	var roots, rest []*file
	for _, f := range files {
		switch {
		case f.isReadableRoot():
			roots = append(roots, f)
		default:
			rest = append(rest, f)
		}
		if f.isVoucher() {
			j.snapshots = append(j.snapshots, f)
		}
	}
	byVersion := func(a, b *file) int { return cmp.Compare(a.version, b.version) }
	slices.SortStableFunc(roots, byVersion)
	slices.SortStableFunc(j.snapshots, byVersion)
	states, unlisted := j.states(rest, roots)
	after := map[*file]int{} // the root behind which what no snapshot lists is sent
	for _, f := range unlisted {
		after[f] = max(0, lastGood(f, roots, len(roots)-1))
	}
	var cut [][]*file
	var open []*file
	end := func() { // of a stage
		// Roots with nothing to send after them go with the next.
		if slices.ContainsFunc(open, func(f *file) bool { return !slices.Contains(roots, f) }) {
			cut, open = append(cut, open), nil
		}
	}
	delegates := map[string]tuf.Digest{}
	for i := range max(1, len(roots)) {
		if i < len(roots) {
			end()
			open = append(open, roots[i])
		}
		for _, s := range states {
			if s.root != i {
				continue
			}
			if slices.ContainsFunc(s.files, func(f *file) bool { return f.redelegates(delegates) }) {
				end()
			}
			for _, f := range s.files {
				f.delegates(delegates)
			}
			open = append(open, s.files...)
		}
		for _, f := range unlisted {
			if after[f] == i {
				open = append(open, f)
			}
		}
	}
	if len(open) > 0 {
		cut = append(cut, open)
	}
	return cut
}

// states sorts targets metadata under the first snapshot that lists it, and finds the
// root of each. What no snapshot lists is left over.
func (j *job) states(files, roots []*file) (states []state, rest []*file) {
	of := map[*file]*state{}
	for _, snapshot := range j.snapshots {
		of[snapshot] = &state{files: []*file{snapshot}}
	}
	for _, f := range files {
		first := slices.IndexFunc(j.snapshots, func(s *file) bool { return f.needsVoucher() && f.isListedIn(s) })
		switch {
		case of[f] != nil: // a snapshot
		case first < 0:
			rest = append(rest, f)
		default:
			s := of[j.snapshots[first]]
			s.files = append(s.files, f)
		}
	}
	last := len(roots) - 1
	for _, snapshot := range slices.Backward(j.snapshots) {
		s := of[snapshot]
		good := last
		for _, f := range files {
			// Also the targets of an earlier state lead to what they delegate.
			if f == snapshot || f.role == tuf.RoleTargets && f.isListedIn(snapshot) {
				good = min(good, lastGood(f, roots, last))
			}
		}
		// A key may come back: before one that is used by a later state, only
		// earlier roots count.
		last = good
		s.root = max(0, good)
		states = append(states, *s)
	}
	slices.Reverse(states)
	return states, rest
}

// lastGood returns the index of the last of roots[:last+1] with whose keys f may be
// accepted; last if none has them, or if its keys are not a root's to give.
func lastGood(f *file, roots []*file, last int) int {
	if f.meta == nil || !tuf.IsTopLevel(f.role) {
		return last
	}
	for i := last; i >= 0; i-- {
		if f.meta.Meets(roots[i].meta.Root.KeySet(f.role)) == nil {
			return i
		}
	}
	return last
}

// delegates notes in known to which roles f delegates, if it is targets metadata.
func (f *file) delegates(known map[string]tuf.Digest) {
	if f.meta != nil && f.meta.Targets != nil {
		known[f.role] = delegations(f.meta.Targets.Delegations)
	}
}

// redelegates reports whether f delegates otherwise than the file of its role that was
// noted last.
func (f *file) redelegates(known map[string]tuf.Digest) bool {
	if f.meta == nil || f.meta.Targets == nil {
		return false
	}
	before, ok := known[f.role]
	return ok && before != delegations(f.meta.Targets.Delegations)
}

// delegations is a digest that is the same for the same roles, keys and paths.
func delegations(d *tuf.Delegations) (sum tuf.Digest) {
	if d == nil {
		return sum
	}
	h := sha256.New()
	for _, id := range slices.Sorted(maps.Keys(d.Keys)) {
		identity, _ := d.Keys[id].Identity() // that of a key which cannot be read is zero
		fmt.Fprintf(h, "key %q %v\n", id, identity)
	}
	if d.Succinct != nil {
		fmt.Fprintf(h, "%d %q %q %d\n", d.Succinct.BitLength, d.Succinct.NamePrefix, d.Succinct.KeyIDs, d.Succinct.Threshold)
	}
	for _, role := range d.Roles {
		fmt.Fprintf(h, "%q %q %d %q %q\n", role.Name, role.KeyIDs, role.Threshold, role.Paths, role.PathHashPrefixes)
	}
	return tuf.Digest(h.Sum(nil))
}
