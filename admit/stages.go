package admit

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
	files []int // the snapshot first
	root  int   // the last of the roots that was in force, as a position
}

// stages cuts files that were found together into what is submitted together. As a rule
// that is all at once. A directory that was never logged may hold files of a time when
// other keys were in force: those of the top-level roles came with a root, and those of
// delegated roles with their delegator. So the roots and the states that snapshots list
// are put in the order in which they appeared, and cut where a root follows, or where
// what a role delegates changes.
func (o *order) stages(files []int) [][]int {
	var roots, snapshots, rest []int
	for _, i := range files {
		switch m := o.files[i].File; {
		case o.files[i].Role == tuf.RoleRoot && m.Root != nil:
			roots = append(roots, i)
			continue
		case o.files[i].Role == tuf.RoleSnapshot && m.Snapshot != nil:
			snapshots = append(snapshots, i)
		}
		rest = append(rest, i)
	}
	byVersion := func(a, b int) int { return cmp.Compare(o.files[a].File.Version, o.files[b].File.Version) }
	slices.SortStableFunc(roots, byVersion)
	slices.SortStableFunc(snapshots, byVersion)
	states, unlisted := o.states(rest, roots, snapshots)
	after := map[int]int{} // the root behind which what no snapshot lists is sent
	for _, i := range unlisted {
		after[i] = max(0, o.lastGood(i, roots))
	}
	var cut [][]int
	var open []int
	end := func() { // of a stage
		// Roots with nothing to send after them go with the next.
		if slices.ContainsFunc(open, func(i int) bool { return !slices.Contains(roots, i) }) {
			cut, open = append(cut, open), nil
		}
	}
	known := map[string]tuf.Digest{} // what each role delegates
	for n := range max(1, len(roots)) {
		if n < len(roots) {
			end()
			open = append(open, roots[n])
		}
		for _, s := range states {
			if s.root != n {
				continue
			}
			if slices.ContainsFunc(s.files, func(i int) bool { return o.redelegates(i, known) }) {
				end()
			}
			for _, i := range s.files {
				if t := o.files[i].File.Targets; t != nil {
					known[o.files[i].Role] = delegations(t.Delegations)
				}
			}
			open = append(open, s.files...)
		}
		for _, i := range unlisted {
			if after[i] == n {
				open = append(open, i)
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
func (o *order) states(files, roots, snapshots []int) (states []state, rest []int) {
	of := map[int]*state{}
	for _, s := range snapshots {
		of[s] = &state{files: []int{s}}
	}
	for _, i := range files {
		first := slices.IndexFunc(snapshots, func(s int) bool { return NeedsSnapshot(o.files[i].Role, o.files[i].File) && o.lists(s, i) })
		switch {
		case of[i] != nil: // a snapshot
		case first < 0:
			rest = append(rest, i)
		default:
			s := of[snapshots[first]]
			s.files = append(s.files, i)
		}
	}
	for _, snapshot := range slices.Backward(snapshots) {
		s := of[snapshot]
		good := len(roots) - 1
		for _, i := range files {
			// Also the targets of an earlier state lead to what they delegate.
			if i == snapshot || o.files[i].Role == tuf.RoleTargets && NeedsSnapshot(o.files[i].Role, o.files[i].File) && o.lists(snapshot, i) {
				good = min(good, o.lastGood(i, roots))
			}
		}
		// A key may come back: before one that is used by a later state, only
		// earlier roots count.
		roots = roots[:good+1]
		s.root = max(0, good)
		states = append(states, *s)
	}
	slices.Reverse(states)
	return states, rest
}

// lastGood returns the position of the last root with whose keys a file may be accepted:
// of the last of all if none has them, or if its keys are not a root's to give.
func (o *order) lastGood(i int, roots []int) int {
	role := o.files[i].Role
	if tuf.IsTopLevel(role) {
		for n, root := range slices.Backward(roots) {
			if o.meets(i, o.keysOf(root, role)) {
				return n
			}
		}
	}
	return len(roots) - 1
}

// redelegates reports whether a file delegates otherwise than the file of its role that
// was noted last.
func (o *order) redelegates(i int, known map[string]tuf.Digest) bool {
	t := o.files[i].File.Targets
	if t == nil {
		return false
	}
	before, ok := known[o.files[i].Role]
	return ok && before != delegations(t.Delegations)
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
