package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// This file looks at who may sign what. Targets metadata does not name its role, so
// where roles share keys that suffice for either, a file of one may be taken for the
// other's: hygiene, before anything has happened.

// keyGroup is the roles to which one file gives the same keys and threshold.
type keyGroup struct {
	keys      map[tuf.KeyIdentity]bool
	threshold int
	roles     []string // the first ones
	count     int      // of all

	joined *keyGroup // a group with which it shares keys; nil: it stands for its own
}

func (g *keyGroup) leader() *keyGroup {
	for g.joined != nil {
		g = g.joined
	}
	return g
}

func (g *keyGroup) join(other *keyGroup) {
	if a, b := g.leader(), other.leader(); a != b {
		b.joined = a
	}
}

// shares reports whether keys that both have suffice for either.
func (g *keyGroup) shares(other *keyGroup) bool {
	both := 0
	for key := range g.keys {
		if other.keys[key] {
			both++
		}
	}
	return both >= max(g.threshold, other.threshold)
}

// maxWithThreshold is how many groups that ask for several signatures are compared
// with all others.
const maxWithThreshold = 64

// noteDelegations notes what a release says of delegations, and whether other
// delegations than before may be in force now. They are not only where a release of a
// role follows the one in force before it, under a higher version, and says the same:
// after a root, or a change by another role, it is not known what was in force.
func (r *repository) noteDelegations(l *loaded) {
	r.redelegates = false
	switch {
	case l.leaf.Kind != leaf.Release:
		return
	case l.leaf.Role == tuf.RoleRoot:
		r.unsay()
		return
	case l.metadata.Targets == nil:
		return
	}
	var says tuf.Digest
	if text := l.metadata.Member("delegations"); text != nil {
		says = tuf.Sum(text)
	}
	if before, known := r.says[l.leaf.Role]; known && before == says && r.newest {
		return
	}
	r.redelegates = true
	r.unsay()
	if r.newest {
		r.says[l.leaf.Role] = says
		r.fact(factOf("says", l.leaf.Role), says)
	}
}

// unsay forgets what roles say of delegations.
func (r *repository) unsay() {
	for role := range r.says {
		r.fact(factOf("says", role), nil)
	}
	clear(r.says)
}

// What is kept of who may sign is bounded: of hygiene some may go unsaid.
const (
	maxGroups  = 1024 // groups of one file
	maxSharing = 64   // delegating roles
)

// sharedKeyFindings compares the roles of a root or of delegations with the others of
// the repository.
func (r *repository) sharedKeyFindings(l *loaded) []Finding {
	if l.leaf.Kind != leaf.Release || l.leaf.Version < r.roles[l.leaf.Role].highest {
		return nil
	}
	switch m := l.metadata; {
	case m.Root != nil:
		r.sharing[l.leaf.Role] = groupsOf(m.Root.Keys, map[string]tuf.Role{tuf.RoleTargets: m.Root.Roles[tuf.RoleTargets]}, []string{tuf.RoleTargets})
	case m.Targets == nil || !r.redelegates:
		return nil
	case m.Targets.Delegations == nil:
		delete(r.sharing, l.leaf.Role)
		r.fact(factOf("sharing", l.leaf.Role), nil)
		return nil
	default:
		if _, known := r.sharing[l.leaf.Role]; !known && len(r.sharing) > maxSharing {
			return nil
		}
		r.sharing[l.leaf.Role] = groupsOfDelegations(m.Targets.Delegations)
	}
	r.fact(factOf("sharing", l.leaf.Role), r.sharing[l.leaf.Role])
	var found []Finding
	for _, roles := range r.sharers() {
		sentence := fmt.Sprintf("roles %s share keys that suffice for any of them: where a snapshot lists versions only, a file of one may be taken for another's", roles)
		if sum := tuf.Sum([]byte(sentence)); !r.shared[sum] {
			r.shared[sum] = true
			r.fact("shared/"+sum.String(), true)
			found = append(found, aboutLeaf(SharedKeys, l.index, l.leaf, "%s", sentence))
		}
	}
	return found
}

func groupsOfDelegations(d *tuf.Delegations) []*keyGroup {
	roles := map[string]tuf.Role{}
	var order []string
	for _, role := range d.Roles {
		roles[role.Name] = role.Role
		order = append(order, role.Name)
	}
	groups := groupsOf(d.Keys, roles, order)
	if s := d.Succinct; s != nil {
		name := s.NamePrefix + "-*"
		groups = append(groups, groupsOf(d.Keys, map[string]tuf.Role{name: s.Role}, []string{name})...)
		groups[len(groups)-1].count = 1 << s.BitLength
	}
	return groups
}

// groupsOf puts the roles of a file together that have the same keys and threshold,
// in the file's order.
func groupsOf(keys map[string]*tuf.Key, roles map[string]tuf.Role, order []string) []*keyGroup {
	known := map[string]*keyGroup{}
	var groups []*keyGroup
	for _, name := range order {
		role := roles[name]
		alike := strconv.Itoa(role.Threshold) + " " + strings.Join(slices.Sorted(slices.Values(role.KeyIDs)), "\x00")
		g := known[alike]
		if g == nil && len(groups) == maxGroups {
			continue
		}
		if g == nil {
			g = &keyGroup{keys: map[tuf.KeyIdentity]bool{}, threshold: role.Threshold}
			for _, id := range tuf.NewKeySet(keys, role).Identities() {
				g.keys[id] = true
			}
			known[alike] = g
			groups = append(groups, g)
		}
		if g.count++; g.count <= maxListed {
			g.roles = append(g.roles, name)
		}
	}
	return groups
}

// sharers words which roles of the repository share keys.
func (r *repository) sharers() []string {
	var all []*keyGroup
	for _, role := range slices.Sorted(maps.Keys(r.sharing)) {
		for _, g := range r.sharing[role] {
			g.joined = nil
			if len(g.keys) >= g.threshold && g.threshold > 0 {
				all = append(all, g)
			}
		}
	}
	single := map[tuf.KeyIdentity]*keyGroup{} // of groups for which one key suffices
	several := 0
	for _, g := range all {
		if g.threshold == 1 {
			for key := range g.keys {
				if other := single[key]; other != nil {
					other.join(g)
				} else {
					single[key] = g
				}
			}
			continue
		}
		if several++; several > maxWithThreshold {
			continue
		}
		for _, other := range all {
			if other != g && g.shares(other) {
				g.join(other)
			}
		}
	}
	sharing := map[*keyGroup][]*keyGroup{}
	var leaders []*keyGroup
	for _, g := range all {
		leader := g.leader()
		if sharing[leader] == nil {
			leaders = append(leaders, leader)
		}
		sharing[leader] = append(sharing[leader], g)
	}
	var list []string
	for _, leader := range leaders {
		names := map[string]bool{}
		count := 0
		for _, g := range sharing[leader] {
			for _, name := range g.roles {
				names[name] = true
			}
			count += max(0, g.count-len(g.roles))
		}
		if count += len(names); count > 1 {
			list = append(list, some(slices.SortedFunc(maps.Keys(names), compareRoles), count))
		}
	}
	return list
}

// some lists the first of several names, and says how many there are.
func some(names []string, count int) string {
	var shown []string
	for _, name := range names[:min(len(names), maxListed)] {
		shown = append(shown, tuf.Word(name))
	}
	list := strings.Join(shown, ", ")
	if more := count - len(shown); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// noteSnapshot notes the newest snapshot that vouches for a release.
func (r *repository) noteSnapshot(l *loaded) {
	if l.snapshot != nil && l.snapshot.Version > r.snapshot.Version {
		r.snapshot = snapshotAt{l.leaf.Snapshot, l.snapshot.Version}
		r.fact("snapshot", r.snapshot)
	}
}

// neverLogged finds the roles to which current releases delegate and that the newest
// snapshot lists, of which nothing is logged: a device that asks for proofs of
// delegated roles cannot use them.
func (a *Auditor) neverLogged(ctx context.Context, repo *repository) ([]Finding, error) {
	if repo.snapshot.Sum.IsZero() {
		return nil, nil
	}
	m, err := a.file(ctx, "a snapshot", repo.snapshot.Sum, repo.Encoding())
	if err != nil || m.Snapshot == nil {
		return nil, err
	}
	listed := map[string]bool{}
	for name := range m.Snapshot.Files() {
		role, ok := strings.CutSuffix(name, ".json")
		if state := repo.roles[role]; ok && !tuf.IsTopLevel(role) && (state == nil || state.releases == 0) {
			listed[role] = true
		}
	}
	if len(listed) == 0 {
		return nil, nil
	}
	missing, err := repo.Delegated(ctx, func(role string) bool { return listed[role] })
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	slices.Sort(missing)
	return []Finding{aboutLeaf(NeverLogged, -1, leaf.Leaf{Repository: repo.ID()}, "delegated, and listed by snapshot %d, but never logged: %s", m.Version, some(missing, len(missing)))}, nil
}
