package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Limits of Radius. What they cut off is said in Limits of the result.
const (
	MaxSearched = 1024        // roles that a search visits; most devices visit 32
	MaxKeys     = 4096        // distinct keys of all of them together
	MaxWays     = 64          // ways with different keys or thresholds
	MaxSets     = 64          // minimal sets of keys
	MaxPaths    = 1000        // paths for which RadiusOf answers; fewer in a very large repository
	maxWork     = 4 << 20     // steps of comparing the ways for one path, and of finding sets
	maxLeast    = 4 * maxWork // steps of finding the smallest numbers of keys of all ways
)

// Replace says who could replace the file at a target's path.
type Replace struct {
	Path string `json:"path"`
	// ListedBy is the role in which a device finds the path today; empty: it is not listed.
	ListedBy string `json:"listed_by,omitempty"`
	// Searched are the roles that a device asks for the path, in order, up to ListedBy.
	Searched []string `json:"searched"`
	// Ways are the ways to replace the file, that of root first. No way needs all that
	// another needs: of two such ways, that with more is in Covered. None at all: nobody
	// can.
	Ways []Way `json:"ways"`
	// Covered are ways that need the keys of one of Ways and more. They are how the file is
	// usually replaced where root and targets share their keys.
	Covered []Way `json:"covered,omitempty"`
	// Sets are the minimal sets of keys that suffice, each as sorted key ids, the smallest
	// sets first, at most MaxSets.
	Sets [][]string `json:"sets"`
	// MoreSets reports whether there are more sets, or may be.
	MoreSets bool `json:"more_sets,omitempty"`
	// Smallest is how many keys the smallest set has; 0: there is none, or it is not known,
	// as Limits then says.
	Smallest int `json:"smallest"`
	// Behind are the ways that need no keys of snapshot and timestamp, for a device that does
	// not have the version in force of the role yet, where the snapshot lists that by its
	// version alone: such a device cannot tell two files of the version apart. They are given
	// only if Repository.Snapshot is.
	Behind []Way `json:"behind,omitempty"`
	// Also are the other ids under which keys are listed, of keys that have several, by the
	// id that stands in Ways and Sets.
	Also map[string][]string `json:"also,omitempty"`
	// Unknown are the searched roles without metadata: roles after them count as if these
	// did not list the path.
	Unknown []string `json:"unknown,omitempty"`
	// Limits says what was left out because there was too much of it.
	Limits []string `json:"limits,omitempty"`

	same *Replace // the answer that this path shares with others of a call
}

// Way is one way to replace a file.
type Way struct {
	// Roles are the roles that would sign the other file, any one of them: root, which can
	// replace all keys, or a role that a search visits.
	Roles []string `json:"roles"`
	// Needs are all needed. They may have keys in common, each of which counts for both.
	Needs []Need `json:"needs"`
	// Smallest is the smallest number of keys that suffices; 0: it is not known.
	Smallest int `json:"smallest"`
}

// Need is a number of keys of some.
type Need struct {
	// Roles are the roles whose threshold it is. The first of Way.Roles stands for all of
	// those.
	Roles []string `json:"roles"`
	Count int      `json:"count"`
	Keys  []string `json:"keys"` // sorted key ids
}

// Radius says who could replace the file at a path, or put one there. The errors wrap
// ErrMetadata.
func Radius(repo Repository, path string) (*Replace, error) {
	s, err := newSession(repo)
	if err != nil {
		return nil, err
	}
	return s.radius(path), nil
}

// calculation is the work of one answer.
type calculation struct {
	result *Replace
	roles  []speaker
	index  map[tuf.KeyIdentity]int
	labels labels
	names  map[tuf.KeyIdentity][]string // all of a key's ids, if there are several
	order  []tuf.KeyIdentity            // of the universe
	call   *work                        // of all of the call
	budget work                         // of comparing ways
	least  work                         // of their smallest numbers of keys

	alone     bool     // devices ask for no snapshot and timestamp: Pigweed's
	byVersion []string // roles that the snapshot lists without a hash
}

// speaker is a role that can speak for the path, with the keys under which it is reached.
type speaker struct {
	name string
	keys tuf.KeySet
}

// within returns a part of the work of the call, which takes it from that.
func (c *calculation) within(most int) work {
	most = max(0, min(most, c.call.left))
	return work{left: most, of: c.call}
}

func (c *calculation) limit(format string, args ...any) {
	c.result.Limits = append(c.result.Limits, fmt.Sprintf(format, args...))
}

// role adds a role that may speak, and reports whether there is room for its keys.
func (c *calculation) role(role string, ks tuf.KeySet) bool {
	identities := ks.Identities()
	if len(c.index)+len(identities) > MaxKeys {
		c.limit("the roles from %s on are left out: together they have more than %d keys", tuf.Word(role), MaxKeys)
		return false
	}
	c.label(ks)
	c.call.spend(stepsPerKey * len(identities))
	for _, identity := range identities {
		if _, ok := c.index[identity]; !ok {
			c.index[identity] = 0
		}
	}
	c.roles = append(c.roles, speaker{role, ks})
	return true
}

// label notes the ids of keys.
func (c *calculation) label(ks tuf.KeySet) {
	for _, identity := range ks.Identities() {
		before, known := c.labels[identity]
		all := append(ks.IDs(identity), c.names[identity]...)
		if known {
			all = append(all, before)
		}
		slices.Sort(all)
		if all = slices.Compact(all); len(all) > 1 {
			c.names[identity] = all
		}
	}
	c.labels.add(ks)
}

// search goes through the roles that a device asks for the path, as TUF 5.6.7 says.
func (c *calculation) search(repo Repository, visited []visit) {
	r := c.result
	for _, visit := range visited {
		if len(r.Searched) == MaxSearched {
			c.limit("the search ends after %d roles", MaxSearched)
			return
		}
		if !c.role(visit.role, visit.keys.KeySet) {
			return
		}
		r.Searched = append(r.Searched, visit.role)
		if repo.byVersion(visit.role) {
			c.byVersion = append(c.byVersion, visit.role)
		}
		if visit.listed {
			r.ListedBy = visit.role
		}
		if visit.unknown {
			r.Unknown = append(r.Unknown, visit.role)
		}
	}
}

// endsAt reports whether a search ends at a role without metadata because a snapshot does
// not list it: a device then fails.
func (r Repository) endsAt(role string) bool {
	if r.Snapshot == nil {
		return false
	}
	_, listed := r.Snapshot.Snapshot.File(role + ".json")
	return !listed
}

// byVersion reports whether a snapshot lists a role without a hash that tells its files
// apart.
func (r Repository) byVersion(role string) bool {
	if r.Snapshot == nil {
		return false
	}
	file, listed := r.Snapshot.Snapshot.File(role + ".json")
	return listed && len(file.Hashes) == 0
}

// finish makes the result of the roles that speak.
func (c *calculation) finish(snapshot, timestamp tuf.KeySet) {
	for _, ks := range []tuf.KeySet{snapshot, timestamp} {
		c.label(ks)
		for _, identity := range ks.Identities() {
			c.index[identity] = 0
		}
	}
	c.labels.distinct()
	// The universe is in the order of the ids, so that sets are found in that of their text.
	c.order = slices.SortedFunc(maps.Keys(c.index), func(a, b tuf.KeyIdentity) int {
		if n := strings.Compare(c.labels[a], c.labels[b]); n != 0 {
			return n
		}
		return strings.Compare(a.String(), b.String())
	})
	for i, identity := range c.order {
		c.index[identity] = i
		if ids := c.names[identity]; len(ids) > 1 {
			if c.result.Also == nil {
				c.result.Also = map[string][]string{}
			}
			c.result.Also[c.labels[identity]] = ids[1:]
		}
	}
	var beside []clause
	if !c.alone {
		beside = []clause{c.clause(tuf.RoleSnapshot, snapshot), c.clause(tuf.RoleTimestamp, timestamp)}
	}
	ways, covered := c.reduce(c.group(c.roles, beside))
	r := c.result
	c.least = c.within(maxLeast)
	for _, g := range ways {
		r.Ways = append(r.Ways, c.way(g))
	}
	for _, g := range covered {
		r.Covered = append(r.Covered, c.way(g))
	}
	c.sizes(ways)
	behind := slices.DeleteFunc(slices.Clone(c.roles), func(s speaker) bool {
		return s.name != tuf.RoleRoot && !slices.Contains(c.byVersion, s.name)
	})
	ways, _ = c.reduce(c.group(behind, nil))
	for _, g := range ways {
		if g.role != tuf.RoleRoot {
			r.Behind = append(r.Behind, c.way(g))
		}
	}
}

func (c *calculation) clause(role string, ks tuf.KeySet) clause {
	k := clause{[]string{role}, ks.Threshold(), newKeys(len(c.order))}
	for _, identity := range ks.Identities() {
		k.of.set(c.index[identity])
	}
	return k
}

// group is a way and the roles that have it.
type group struct {
	way
	roles []string
}

// group returns the ways of roles, the first of which is root, that can be taken, alike ones
// together. The others need the clauses beside their own.
func (c *calculation) group(roles []speaker, beside []clause) []group {
	var groups []group
	for i, s := range roles {
		own := c.clause(s.name, s.keys)
		clauses := []clause{own}
		if i > 0 { // root needs nobody
			clauses = append(clauses, beside...)
		}
		if slices.ContainsFunc(clauses, func(k clause) bool { return k.of.len() < k.need || k.need < 1 }) {
			continue // nobody can sign it
		}
		at := slices.IndexFunc(groups, func(g group) bool {
			return (i > 0) == (g.role != tuf.RoleRoot) && g.clauses[0].need == own.need && g.clauses[0].of.equal(own.of)
		})
		switch {
		case at >= 0:
			groups[at].roles = append(groups[at].roles, s.name)
		case len(groups) == MaxWays:
			c.limit("the roles from %s on are left out: more than %d ways", tuf.Word(s.name), MaxWays)
			return groups
		default:
			groups = append(groups, group{way{s.name, clauses}, []string{s.name}})
		}
	}
	return groups
}

// reduce parts the ways that no other covers from the rest. Of two that cover each other
// the first stays.
func (c *calculation) reduce(groups []group) (ways, covered []group) {
	gone := make([]bool, len(groups))
	for i := range groups {
		groups[i].way = groups[i].simplify(&c.budget)
	}
	for i, g := range groups {
		for j, other := range groups {
			if i == j || gone[j] || !other.covers(g.way, &c.budget) {
				continue
			}
			if j < i || !g.covers(other.way, &c.budget) {
				gone[i] = true
				break
			}
		}
	}
	for i, g := range groups {
		if gone[i] {
			covered = append(covered, g)
		} else {
			ways = append(ways, g)
		}
	}
	return ways, covered
}

func (c *calculation) way(g group) Way {
	w := Way{Roles: g.roles}
	for _, k := range g.clauses {
		w.Needs = append(w.Needs, Need{Roles: k.roles, Count: k.need, Keys: c.ids(k.of)})
	}
	if size, ok := least(g.clauses, &c.least); ok {
		w.Smallest = size
	}
	return w
}

func (c *calculation) ids(set keys) []string {
	ids := []string{}
	c.call.spend(stepsPerKey * set.len())
	for _, i := range set.members() {
		ids = append(ids, c.labels[c.order[i]])
	}
	return ids
}

// sizes adds the sets and the size of the smallest.
func (c *calculation) sizes(groups []group) {
	r := c.result
	ways := make([]way, len(groups))
	known := len(groups) > 0
	for i, g := range groups {
		ways[i] = g.way
		known = known && r.Ways[i].Smallest > 0
	}
	if known {
		r.Smallest = slices.MinFunc(r.Ways, func(a, b Way) int { return a.Smallest - b.Smallest }).Smallest
	} else if len(groups) > 0 {
		c.limit("the smallest number of keys is not known: too many thresholds to try")
	}
	if c.budget.left < 0 {
		c.limit("some of the ways may need the keys of another and more: too many thresholds to compare")
	}
	sets := c.within(maxWork)
	e := minimal(ways, len(c.order), MaxSets, &sets)
	r.MoreSets = e.more
	for _, set := range e.found {
		r.Sets = append(r.Sets, c.ids(set))
	}
}
