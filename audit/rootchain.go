package audit

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// This file looks at chains of roots, and at keys.

var topLevel = []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp}

// maxChains is with how many other repositories that have its keys a root is compared: with
// the first ones.
const maxChains = 8

// rootFindings says if a root shares its keys with another
// repository: then one of the two is the other begun anew or split off, or one vendor has
// both. Metadata does not name its repository, so nobody can tell, and nobody is accused.
func (a *Auditor) rootFindings(ctx context.Context, l *loaded, repo *repository) ([]Finding, error) {
	keys := l.metadata.Root.KeySet(tuf.RoleRoot)
	var others []*repository
	for _, key := range keys.Identities() {
		ids, err := a.db.UnderRootKey(ctx, key, maxChains+1)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			other, err := a.repository(ctx, id)
			if err != nil {
				return nil, err
			}
			if other != nil && other != repo && !slices.Contains(others, other) {
				others = append(others, other)
			}
		}
	}
	slices.SortFunc(others, func(a, b *repository) int { return cmp.Compare(a.genesis, b.genesis) })
	others = others[:min(len(others), maxChains)]
	if a.rejudging != nil {
		others = slices.DeleteFunc(others, func(other *repository) bool {
			later := other.genesis > l.index
			if later {
				a.judgeAgain(other.ID()) // what it shares with this one was not known: both come once more
			}
			return later
		})
	}
	var found []Finding
	for i, other := range others {
		if i == 0 && l.index == repo.genesis {
			newest := other.roles[tuf.RoleRoot].highest
			found = append(found, aboutLeaf(SecondChain, l.index, l.leaf, "root %d begins a repository under keys that may also sign the root of repository %s (at index %d, now at root %d): devices of one do not follow the other, and who has the keys has both",
				l.leaf.Version, other.ID().Short(), other.genesis, newest))
		}
		forked, err := a.forkedRoot(ctx, l, repo, other)
		if err != nil {
			return nil, err
		}
		found = append(found, forked...)
	}
	return found, nil
}

// forkedRoot says if a device with a root of one repository takes the next root of either.
func (a *Auditor) forkedRoot(ctx context.Context, l *loaded, repo, other *repository) ([]Finding, error) {
	version := l.leaf.Version
	same, ok := other.roles[tuf.RoleRoot].versions[version]
	if !ok || same.payload == l.leaf.Payload || repo.forked[other.ID()] || other.forked[repo.ID()] {
		return nil, nil
	}
	rival, err := a.logged(ctx, same.index)
	if err != nil {
		return nil, err
	}
	for _, way := range []struct {
		parents *repository
		taken   *tuf.Metadata
		of      *repository
		own     int64
	}{{other, l.metadata, repo, same.index}, {repo, rival.Metadata, other, l.index}} {
		before, parent, ok := way.parents.rootBefore(version)
		if !ok {
			continue
		}
		root, err := a.logged(ctx, parent.index)
		if err != nil {
			return nil, err
		}
		if way.taken.Meets(root.Root.KeySet(tuf.RoleRoot)) != nil {
			continue
		}
		repo.forked[other.ID()] = true
		repo.fact("forked/"+other.ID().String(), true)
		return []Finding{aboutLeaf(ForkedRoot, l.index, l.leaf, "root %d of repository %s is signed by the keys of root %d of repository %s at index %d, whose own root %d at index %d is another: a device that has that root takes either",
			version, way.of.ID().Short(), before, way.parents.ID().Short(), parent.index, version, way.own)}, nil
	}
	return nil, nil
}

// rootBefore returns the released root that a root of a version follows, and its version: the
// one below it, of Pigweed the highest below it.
func (r *repository) rootBefore(version int64) (before int64, root released, ok bool) {
	versions := r.roles[tuf.RoleRoot].versions
	before = version - 1
	if r.Encoding() == tuf.Pigweed {
		before = 0
		for v := range versions {
			if v < version {
				before = max(before, v)
			}
		}
	}
	root, ok = versions[before]
	return before, root, ok
}

// sharedTopLevel says which top-level roles have keys in common that suffice for either.
func (c comparison) sharedTopLevel() []Finding {
	is := sharing(c.now.Root)
	if c.before != nil {
		was := sharing(c.before.Root)
		is = slices.DeleteFunc(is, func(s string) bool { return slices.Contains(was, s) })
	}
	if len(is) == 0 {
		return nil
	}
	return []Finding{c.find(SharedTopLevel, "gives roles keys in common that suffice for either: %s", strings.Join(is, ", "))}
}

// sharing lists pairs of top-level roles that have keys in common that suffice for either.
func sharing(root *tuf.Root) (pairs []string) {
	of := map[string]map[tuf.KeyIdentity]bool{}
	for _, role := range topLevel {
		of[role] = map[tuf.KeyIdentity]bool{}
		for _, key := range root.KeySet(role).Identities() {
			of[role][key] = true
		}
	}
	for i, one := range topLevel {
		for _, two := range topLevel[i+1:] {
			both := 0
			for key := range of[one] {
				if of[two][key] {
					both++
				}
			}
			if root.KeySet(one).MetBy(both) && root.KeySet(two).MetBy(both) {
				pairs = append(pairs, one+" and "+two)
			}
		}
	}
	return pairs
}

// keySpellings says which keys a file lists twice for one role, and which in a form that
// some clients do not read.
func (c comparison) keySpellings() (found []Finding) {
	keys := keysOf(c.now.Metadata)
	if len(keys) == 0 {
		return nil
	}
	known := map[string]bool{} // ids of keys, and of those under several ids with their roles
	if c.before != nil {
		for _, r := range rolesOf(c.before.Metadata) {
			for _, ids := range twice(r) {
				known[r.name+"\x00"+ids] = true
			}
		}
		for id := range keysOf(c.before.Metadata) {
			known[id] = true
		}
	}
	several := &listOf{}
	for _, r := range rolesOf(c.now.Metadata) {
		for _, ids := range twice(r) {
			if !known[r.name+"\x00"+ids] {
				several.add("%s of %s", ids, tuf.Word(r.name))
			}
		}
	}
	hexadecimal, unreadable := &listOf{}, &listOf{}
	for _, id := range slices.Sorted(maps.Keys(keys)) {
		if known[id] {
			continue
		}
		key := keys[id]
		if _, readable := key.Identity(); !readable {
			unreadable.add("%s (%s)", tuf.Word(clip(id, 12)), tuf.Word(clip(key.Type, 32)))
		} else if c.now.Encoding == tuf.JSON && strings.HasPrefix(key.Type, "ecdsa") && !strings.HasPrefix(strings.TrimSpace(key.Public), "-----BEGIN") {
			hexadecimal.add("%s", tuf.Word(clip(id, 12)))
		}
	}
	say := func(kind Kind, what string, list *listOf) {
		if list.count > 0 {
			found = append(found, c.find(kind, "lists %s: %s", what, list))
		}
	}
	say(TwoIDs, "one key under several ids, which some clients take for several signers", several)
	say(KeyForm, "ECDSA keys in hexadecimal instead of PEM, which some clients cannot read", hexadecimal)
	say(KeyForm, "keys that sign nothing here, because their type is not known or they cannot be read", unreadable)
	return found
}

// namedKeys is the keys of a role.
type namedKeys struct {
	name string
	keys tuf.KeySet
}

// rolesOf returns the roles to which a file gives keys. Of hash bins, which all have the
// same, it is one.
func rolesOf(m *tuf.Metadata) (roles []namedKeys) {
	switch {
	case m.Root != nil:
		for _, role := range topLevel {
			roles = append(roles, namedKeys{role, m.Root.KeySet(role)})
		}
	case m.Targets != nil && m.Targets.Delegations != nil:
		d := m.Targets.Delegations
		for _, role := range d.Roles {
			roles = append(roles, namedKeys{role.Name, tuf.NewKeySet(d.Keys, role.Role)})
		}
		if d.Succinct != nil {
			roles = append(roles, namedKeys{d.Succinct.NamePrefix + "-*", tuf.NewKeySet(d.Keys, d.Succinct.Role)})
		}
	}
	return roles
}

func keysOf(m *tuf.Metadata) map[string]*tuf.Key {
	switch {
	case m.Root != nil:
		return m.Root.Keys
	case m.Targets != nil && m.Targets.Delegations != nil:
		return m.Targets.Delegations.Keys
	}
	return nil
}

// twice returns the ids of each key that a role lists under several.
func twice(r namedKeys) (list []string) {
	identities := r.keys.Identities()
	if r.keys.Len() == len(identities) {
		return nil
	}
	for _, key := range identities {
		if ids := r.keys.IDs(key); len(ids) > 1 {
			for i := range ids {
				ids[i] = tuf.Word(clip(ids[i], 12))
			}
			list = append(list, strings.Join(ids, " and "))
		}
	}
	return list
}

// removedKey is a key that could sign a role and no longer can.
type removedKey struct {
	Role   string `json:"role"`
	ID     string `json:"id"`
	Type   string `json:"type"`
	Scheme string `json:"scheme"`
	Public string `json:"public"`
	By     string `json:"by"`    // the release that removed it, in words
	Index  int64  `json:"index"` // and its leaf
}

// maxRemoved is how many removed keys are remembered of a repository: the last ones.
const maxRemoved = 256

// past is what is remembered of a repository besides what its releases say.
type past struct {
	Removed []removedKey `json:"removed,omitempty"`
}

// removes notes which keys of a role a release removed, or brought back.
func (r *repository) removes(l *loaded, role string, was, is tuf.KeySet) {
	if was.Fingerprint() == is.Fingerprint() {
		return
	}
	r.fact("past", &r.past)
	p := &r.past
	now := is.Identities()
	p.Removed = slices.DeleteFunc(p.Removed, func(r removedKey) bool {
		if r.Role != role {
			return false
		}
		identity, _ := r.key().Identity()
		return slices.Contains(now, identity)
	})
	for _, key := range was.Identities() {
		if slices.Contains(now, key) {
			continue
		}
		for _, id := range was.IDs(key) {
			k := was.Key(id)
			p.Removed = append(p.Removed, removedKey{role, id, k.Type, k.Scheme, k.Public, fmt.Sprintf("%s %d", tuf.Word(l.leaf.Role), l.leaf.Version), l.index})
		}
	}
	p.Removed = p.Removed[max(0, len(p.Removed)-maxRemoved):]
}

func (r removedKey) key() *tuf.Key {
	return &tuf.Key{ID: r.ID, Type: r.Type, Scheme: r.Scheme, Public: r.Public}
}

// revokedFindings says which keys signed a release that could sign its role once and no
// longer can.
func (r *repository) revokedFindings(ctx context.Context, l *loaded) ([]Finding, error) {
	var keys tuf.KeySet
	list := &listOf{}
	for _, removed := range r.past.Removed {
		if removed.Role != l.leaf.Role {
			continue
		}
		i := slices.IndexFunc(l.metadata.Signatures, func(s tuf.Signature) bool { return s.KeyID == removed.ID })
		if i < 0 || !removed.key().Verify(l.metadata.Payload, l.metadata.Signatures[i].Sig) {
			continue
		}
		identity, _ := removed.key().Identity()
		if l.leaf.Role != tuf.RoleRoot {
			var err error
			if keys, _, err = r.KeysFor(ctx, l.leaf.Role, l.metadata); err != nil {
				return nil, err
			}
		}
		if len(keys.IDs(identity)) == 0 {
			list.add("key %s, removed by %s at index %d", tuf.Word(clip(removed.ID, 12)), removed.By, removed.Index)
		}
	}
	if list.count == 0 {
		return nil, nil
	}
	return []Finding{aboutLeaf(RevokedKey, l.index, l.leaf, "%s %d is still signed by keys that may no longer sign it: %s", tuf.Word(l.leaf.Role), l.leaf.Version, list)}, nil
}
