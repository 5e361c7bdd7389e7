package admit

import (
	"cmp"
	"math"
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// Submitted is a file for Order.
type Submitted struct {
	Role string
	File *tuf.Metadata
	// Since is the step of the history in which the file appeared. Files that were
	// found together have the same number.
	Since int
}

// Compare orders files that are judged together: roots, then targets, then delegated
// roles, which need both, then snapshots and timestamps; each by version.
func Compare(roleA string, versionA int64, roleB string, versionB int64) int {
	return cmp.Or(cmp.Compare(tuf.Rank(roleA), tuf.Rank(roleB)), cmp.Compare(versionA, versionB))
}

// MayComeLater reports whether a file that was refused with this code may be admitted
// once other files are in the log.
func MayComeLater(code string) bool {
	switch code {
	case RefusedThreshold, RefusedSuperseded, RefusedNoParent, RefusedNotDelegated, RefusedSnapshotNeeded:
		return true
	}
	return false
}

// Order returns the order in which to submit files so that the log has, for each, the files
// that it is judged by: the root that gives its role its keys, the file that delegates to
// it, and a snapshot that lists it. It returns the indexes of the files in stages. The
// files that a file needs are in an earlier stage or in its own. A stage ends before a
// root, and before a role changes its delegations, since files signed for the earlier state
// would be superseded. In a stage roles come by rank (tuf.Rank), delegators before the
// roles that they delegate to, and lower versions first.
//
// A file is never moved before the step in which it appeared, and after it only if it needs
// a file that appeared later. The order is advice from the files alone, and checking their
// signatures takes time. A log, which must bound that time, sorts by Compare and retries
// files that MayComeLater.
func Order(files []Submitted) [][]int {
	o := newOrder(files)
	groups := map[int][]int{}
	var times []int
	for i := range files {
		at := o.ready(i)
		if groups[at] == nil {
			times = append(times, at)
		}
		groups[at] = append(groups[at], i)
	}
	slices.Sort(times)
	var stages [][]int
	for _, at := range times {
		stages = append(stages, o.stages(groups[at])...)
	}
	for _, stage := range stages {
		slices.SortStableFunc(stage, func(a, b int) int {
			return cmp.Or(cmp.Compare(tuf.Rank(files[a].Role), tuf.Rank(files[b].Role)), cmp.Compare(o.depth[files[a].Role], o.depth[files[b].Role]), cmp.Compare(files[a].File.Version, files[b].File.Version))
		})
	}
	return stages
}

// order is the work of Order. Files are named by their indexes.
type order struct {
	files      []Submitted
	roots      []int
	snapshots  []int
	delegating map[string][]int      // by the role that is delegated; this and all others in the order of Since
	same       map[rolePayload][]int // files of one payload
	last       int                   // the highest Since
	at         []int                 // what ready says; notAsked, or beingAsked
	met        map[metBy]bool
	rootKeys   map[rootRole]tuf.KeySet
	genesis    map[int][]int  // what begins says
	depth      map[string]int // how many delegations are above a role, of those that targets leads to
}

// metBy is a file, and a set of keys that signed it or did not.
type metBy struct {
	file int
	keys tuf.Digest
}

// rootRole is a root, and a role of those it names.
type rootRole struct {
	root int
	role string
}

const (
	notAsked   = -1
	beingAsked = -2
)

func newOrder(files []Submitted) *order {
	o := &order{files: files, delegating: map[string][]int{}, same: map[rolePayload][]int{}, at: slices.Repeat([]int{notAsked}, len(files)), met: map[metBy]bool{}, rootKeys: map[rootRole]tuf.KeySet{}, genesis: map[int][]int{}}
	roles := map[string]bool{}
	for _, f := range files {
		roles[f.Role] = true
	}
	inTime := make([]int, len(files))
	for i := range files {
		inTime[i] = i
	}
	slices.SortStableFunc(inTime, func(a, b int) int { return cmp.Compare(files[a].Since, files[b].Since) })
	for _, i := range inTime {
		f := files[i]
		o.last = f.Since
		p := rolePayload{f.Role, f.File.PayloadDigest}
		o.same[p] = append(o.same[p], i)
		switch {
		case f.Role == tuf.RoleRoot && f.File.Root != nil:
			o.roots = append(o.roots, i)
		case f.Role == tuf.RoleSnapshot && f.File.Snapshot != nil:
			o.snapshots = append(o.snapshots, i)
		case f.File.Targets != nil && f.File.Targets.Delegations != nil:
			for role := range f.File.Targets.Delegations.Among(func(name string) bool { return roles[name] }) {
				o.delegating[role] = append(o.delegating[role], i)
			}
		}
	}
	o.findDepths()
	return o
}

// findDepths walks from targets to all roles.
func (o *order) findDepths() {
	below := map[string][]string{}
	for role, files := range o.delegating {
		for _, i := range files {
			below[o.files[i].Role] = append(below[o.files[i].Role], role)
		}
	}
	o.depth = map[string]int{tuf.RoleTargets: 0}
	for level, depth := []string{tuf.RoleTargets}, 1; len(level) > 0; depth++ {
		var next []string
		for _, role := range level {
			for _, child := range below[role] {
				if _, known := o.depth[child]; !known {
					o.depth[child] = depth
					next = append(next, child)
				}
			}
		}
		level = next
	}
}

// ready returns the step in which all that a file needs has appeared. What never
// appears is not waited for.
func (o *order) ready(i int) int {
	since := o.files[i].Since
	if since == o.last || o.at[i] == beingAsked {
		return since // beingAsked: roles that delegate to one another
	}
	if o.at[i] == notAsked {
		o.at[i] = beingAsked
		at := max(o.keys(i), since)
		if NeedsSnapshot(o.files[i].Role, o.files[i].File) {
			listed, _ := o.first(i, o.snapshots, func(s int) bool { return o.lists(s, i) && o.related(s, i) })
			at = max(at, listed)
		}
		o.at[i] = at
	}
	return o.at[i]
}

// lists reports whether a snapshot says that a file is its role's.
func (o *order) lists(snapshot, i int) bool {
	listed, ok := o.files[snapshot].File.Snapshot.File(o.files[i].Role + ".json")
	return ok && listed.Describes(o.files[i].File) == nil
}

// related reports whether a snapshot may be of one repository with file i: whether a
// repository that begins among the files gives both their keys. Where none begins, it may.
func (o *order) related(snapshot, i int) bool {
	if len(o.roots) == 0 {
		return true
	}
	of := o.begins(i)
	return slices.ContainsFunc(o.begins(snapshot), func(root int) bool { return of == nil || slices.Contains(of, root) })
}

// begins returns the roots that repositories begin with in which keys that signed file i
// are its role's; of a root, the one to which it chains.
func (o *order) begins(i int) []int {
	if found, known := o.genesis[i]; known {
		return found
	}
	o.genesis[i] = nil // roles that delegate to one another
	var found []int
	for _, giver := range o.givers(i) {
		if o.gives(giver, i) {
			for _, root := range o.begins(giver) {
				if !slices.Contains(found, root) {
					found = append(found, root)
				}
			}
		}
	}
	if found == nil && o.files[i].File.Root != nil {
		found = []int{i}
	}
	o.genesis[i] = found
	return found
}

// first returns the step in which the first of some files is ready that is of use to
// file i, and reports whether any is. Where one is ready before i appeared, it does not
// matter which.
func (o *order) first(i int, others []int, useful func(int) bool) (step int, found bool) {
	since := o.files[i].Since
	after, _ := slices.BinarySearchFunc(others, since+1, func(other, step int) int { return cmp.Compare(o.files[other].Since, step) })
	best := math.MaxInt
	look := func(other int) {
		if at := o.ready(other); other != i && at < best && useful(other) {
			best = at
		}
	}
	for n := after - 1; n >= 0 && best > since; n-- {
		look(others[n])
	}
	for n := after; n < len(others) && o.files[others[n]].Since < best; n++ {
		look(others[n])
	}
	if best == math.MaxInt {
		return since, false
	}
	return best, true
}

// keys returns the step in which keys that signed a file are its role's. A payload that
// was there before and is signed again waits for those of its keys that are new.
func (o *order) keys(i int) int {
	f := o.files[i]
	if !o.waits(i) {
		return f.Since
	}
	if before := o.before(i); len(before) > 0 && f.Role != tuf.RoleRoot {
		at, ok := o.first(i, o.givers(i), func(giver int) bool {
			return o.gives(giver, i) && o.newlySigned(i, before, o.keysOf(giver, f.Role))
		})
		if ok {
			return at
		}
	}
	at, _ := o.first(i, o.givers(i), func(giver int) bool { return o.gives(giver, i) })
	return at
}

// givers returns the files that may say which keys the role of file i has.
func (o *order) givers(i int) []int {
	if tuf.IsTopLevel(o.files[i].Role) {
		return o.roots
	}
	return o.delegating[o.files[i].Role]
}

// gives reports whether a file gives keys to the role of file i that signed it.
func (o *order) gives(giver, i int) bool {
	f := o.files[i]
	if f.Role == tuf.RoleRoot && !f.File.MayFollow(o.files[giver].File.Version) {
		return false
	}
	return o.meets(i, o.keysOf(giver, f.Role))
}

// waits reports whether there are keys that file i may have to wait for, without a look at
// its signatures.
func (o *order) waits(i int) bool {
	f := o.files[i]
	there := map[tuf.Digest]bool{}
	var coming []int
	for _, giver := range o.givers(i) {
		switch {
		case o.ready(giver) > f.Since:
			coming = append(coming, giver)
		case tuf.IsTopLevel(f.Role):
			there[o.keysOf(giver, f.Role).Fingerprint()] = true
		}
	}
	return slices.ContainsFunc(coming, func(giver int) bool { return f.Role == tuf.RoleRoot || !there[o.keysOf(giver, f.Role).Fingerprint()] })
}

// before returns the other files that have the payload of file i and come before it.
func (o *order) before(i int) (before []int) {
	f := o.files[i]
	for _, other := range o.same[rolePayload{f.Role, f.File.PayloadDigest}] {
		if other == i {
			break
		}
		if o.files[other].File.FileDigest != f.File.FileDigest {
			before = append(before, other)
		}
	}
	return before
}

// newlySigned reports whether one of some keys signed file i and none of those before.
func (o *order) newlySigned(i int, before []int, keys tuf.KeySet) bool {
	signers := o.files[i].File.Signers(keys)
	for _, other := range before {
		had := o.files[other].File.Signers(keys)
		signers = slices.DeleteFunc(signers, func(id tuf.KeyIdentity) bool { return slices.Contains(had, id) })
	}
	return len(signers) > 0
}

// keysOf returns the keys that a root or targets metadata gives to a role.
func (o *order) keysOf(giver int, role string) tuf.KeySet {
	m := o.files[giver].File
	if m.Root == nil {
		_, keys, _ := m.Targets.Delegations.Find(role)
		return keys
	}
	of := rootRole{giver, role}
	keys, known := o.rootKeys[of]
	if !known {
		keys = m.Root.KeySet(role)
		o.rootKeys[of] = keys
	}
	return keys
}

// meets reports whether enough of some keys signed file i.
func (o *order) meets(i int, keys tuf.KeySet) bool {
	by := metBy{i, keys.Fingerprint()}
	met, known := o.met[by]
	if !known {
		met = o.files[i].File.Meets(keys) == nil
		o.met[by] = met
	}
	return met
}
