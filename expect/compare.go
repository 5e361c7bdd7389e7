package expect

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// unlike says what of a release a line does not allow, or returns "". Before is nil if the
// role had nothing.
func (r *Release) unlike(role string, m, before *tuf.Metadata) string {
	if !r.Payload.IsZero() {
		if r.Payload != m.PayloadDigest {
			return fmt.Sprintf("its payload is not the one expected: sha256 %s, not %s", m.PayloadDigest.Short(), r.Payload.Short())
		}
		return ""
	}
	var why string
	switch {
	case m.Root != nil:
		why = r.unlikeRoot(m.Root, before)
	case m.Targets != nil:
		was := &tuf.Targets{}
		if before != nil {
			was = before.Targets
		}
		if why = r.unlikeTargets(was, m.Targets); why == "" {
			why = r.unlikeDelegations(was.Delegations, m.Targets.Delegations)
		}
	default:
		return ""
	}
	if why != "" {
		return why
	}
	return r.unlikeMembers(m, before)
}

// judged are the members of "signed" that are compared by what they mean, or may change.
var judged = []string{"_type", "spec_version", "version", "expires", "keys", "roles", "targets", "delegations"}

// unlikeMembers compares what else a file says.
func (r *Release) unlikeMembers(m, before *tuf.Metadata) string {
	free := func(name string) bool { return slices.Contains(judged, name) || slices.Contains(r.Members, name) }
	for name, is := range m.Members() {
		if free(name) {
			continue
		}
		if before == nil {
			return fmt.Sprintf("it has a member %s", tuf.Word(name))
		}
		if was := before.Member(name); !bytes.Equal(was, is) {
			if was == nil {
				return fmt.Sprintf("it has a member %s, which was not there before", tuf.Word(name))
			}
			return fmt.Sprintf("its member %s is %s, before %s", tuf.Word(name), tuf.Word(string(is)), tuf.Word(string(was)))
		}
	}
	if before == nil {
		return ""
	}
	for name := range before.Members() {
		if !free(name) && m.Member(name) == nil {
			return fmt.Sprintf("its member %s is gone", tuf.Word(name))
		}
	}
	return ""
}

func (r *Release) unlikeRoot(is *tuf.Root, before *tuf.Metadata) string {
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		i := slices.IndexFunc(r.Keys, func(k Keys) bool { return k.Role == role })
		switch {
		case i >= 0:
			if why := unlikeKeys(role, is.KeySet(role), r.Keys[i].Keys, r.Keys[i].Threshold, "expected"); why != "" {
				return why
			}
		case before == nil:
			return fmt.Sprintf("nothing says which keys of %s to expect", role)
		default:
			was := before.Root.KeySet(role)
			if why := unlikeKeys(role, is.KeySet(role), was.Identities(), was.Threshold(), "before"); why != "" {
				return why
			}
		}
	}
	return ""
}

// unlikeKeys compares the keys of a role with those that are wanted.
func unlikeKeys(role string, is tuf.KeySet, want []tuf.KeyIdentity, threshold int, whose string) string {
	for _, id := range is.Identities() {
		if !slices.Contains(want, id) {
			return fmt.Sprintf("key %s may sign %s", keyWord(id, is), tuf.Word(role))
		}
	}
	for _, id := range want {
		if len(is.IDs(id)) == 0 {
			return fmt.Sprintf("key %s may not sign %s", id.String()[:idDigits], tuf.Word(role))
		}
	}
	if is.Threshold() != threshold {
		return fmt.Sprintf("%s takes %d of %d keys, %s %d", tuf.Word(role), is.Threshold(), len(want), whose, threshold)
	}
	return ""
}

// idDigits is how much of a key's identity a sentence names.
const idDigits = 16

// keyWord names a key by its identity and, as others know it, by an id.
func keyWord(id tuf.KeyIdentity, of tuf.KeySet) string {
	text := id.String()[:idDigits]
	if ids := of.IDs(id); len(ids) > 0 && !strings.HasPrefix(ids[0], text) {
		text += " (listed as " + tuf.Word(ids[0][:min(len(ids[0]), idDigits)]) + ")"
	}
	return text
}

// unlikeTargets compares target files: first those that are new or others, by path, then
// those that are gone, then those that have to be there.
func (r *Release) unlikeTargets(was, is *tuf.Targets) string {
	wanted := make(map[string]*File, len(r.Files))
	for i := range r.Files {
		wanted[r.Files[i].Path] = &r.Files[i]
	}
	free, removed := tuf.DelegatedRole{Paths: r.Paths}, tuf.DelegatedRole{Paths: r.Removed}
	for path, file := range is.Files() {
		if f := wanted[path]; f != nil {
			if why := f.unlike(file); why != "" {
				return why
			}
			continue
		}
		old, ok := was.File(path)
		switch {
		case ok && same(old, file), free.Covers(path):
		case !ok:
			return fmt.Sprintf("it lists %s (%s)", tuf.Word(path), describe(file))
		case old.Length == file.Length && maps.Equal(old.Hashes, file.Hashes):
			return fmt.Sprintf("the custom data of %s is %s, before %s", tuf.Word(path), custom(file), custom(old))
		default:
			return fmt.Sprintf("%s is another file (%s), before %s", tuf.Word(path), describe(file), describe(old))
		}
	}
	for path := range was.Paths() {
		if _, ok := is.File(path); !ok && wanted[path] == nil && !removed.Covers(path) && !free.Covers(path) {
			return fmt.Sprintf("it no longer lists %s", tuf.Word(path))
		}
	}
	for _, f := range r.Files {
		if _, ok := is.File(f.Path); !ok {
			return fmt.Sprintf("it does not list %s", tuf.Word(f.Path))
		}
	}
	return ""
}

func same(a, b tuf.TargetFile) bool {
	return a.Length == b.Length && maps.Equal(a.Hashes, b.Hashes) && bytes.Equal(a.Custom, b.Custom)
}

// unlike compares the file that a release lists with the one that it has to list.
func (f *File) unlike(is tuf.TargetFile) string {
	hash, ok := is.Hashes[f.Algorithm]
	switch {
	case !ok:
		return fmt.Sprintf("it lists %s without its %s", tuf.Word(f.Path), f.Algorithm)
	case hash != f.Hash:
		return fmt.Sprintf("%s is another file (%s) than expected, which has %s %s", tuf.Word(f.Path), describe(is), f.Algorithm, short(f.Hash))
	case f.Length >= 0 && is.Length != f.Length:
		return fmt.Sprintf("%s has %d bytes, expected were %d", tuf.Word(f.Path), is.Length, f.Length)
	}
	return ""
}

func short(hash string) string { return hash[:min(len(hash), idDigits)] }

// describe returns a target's length and its first hash.
func describe(t tuf.TargetFile) string {
	text := "no length"
	if t.Length >= 0 {
		text = fmt.Sprintf("%d bytes", t.Length)
	}
	for _, algorithm := range slices.Sorted(maps.Keys(t.Hashes)) {
		return text + ", " + tuf.Word(algorithm) + " " + tuf.Word(short(t.Hashes[algorithm]))
	}
	return text
}

func custom(t tuf.TargetFile) string {
	if t.Custom == nil {
		return "none"
	}
	return tuf.Word(string(t.Custom))
}

// unlikeDelegations compares delegations; nil: none.
func (r *Release) unlikeDelegations(was, is *tuf.Delegations) string {
	if r.AnyDelegations {
		return ""
	}
	if was == nil {
		was = &tuf.Delegations{}
	}
	if is == nil {
		is = &tuf.Delegations{}
	}
	if why := unlikeBins(was, is); why != "" {
		return why
	}
	old := byName(was)
	current := byName(is)
	for _, role := range is.Roles {
		i := slices.IndexFunc(r.Delegations, func(d Delegation) bool { return d.Role == role.Name })
		var why string
		if i >= 0 {
			why = r.Delegations[i].unlike(role, is)
		} else if before, ok := old[role.Name]; ok {
			why = delegationOf(before, was).unlike(role, is)
		} else {
			why = fmt.Sprintf("it delegates %s to %s", tuf.Word(scope(role)), tuf.Word(role.Name))
		}
		if why != "" {
			return why
		}
	}
	for _, role := range was.Roles {
		if _, ok := current[role.Name]; !ok && !slices.Contains(r.NoDelegations, role.Name) {
			return fmt.Sprintf("it no longer delegates to %s", tuf.Word(role.Name))
		}
	}
	for _, d := range r.Delegations {
		if _, ok := current[d.Role]; !ok {
			return fmt.Sprintf("it does not delegate to %s", tuf.Word(d.Role))
		}
	}
	both := func(roles []tuf.DelegatedRole, other map[string]tuf.DelegatedRole) (names []string) {
		for _, role := range roles {
			if _, ok := other[role.Name]; ok {
				names = append(names, role.Name)
			}
		}
		return names
	}
	before, now := both(was.Roles, current), both(is.Roles, old)
	for i := range now {
		if now[i] != before[i] {
			return fmt.Sprintf("a search asks %s before %s", tuf.Word(now[i]), tuf.Word(before[i]))
		}
	}
	return ""
}

func byName(d *tuf.Delegations) map[string]tuf.DelegatedRole {
	roles := make(map[string]tuf.DelegatedRole, len(d.Roles))
	for _, role := range d.Roles {
		roles[role.Name] = role
	}
	return roles
}

// unlikeBins compares succinct delegations.
func unlikeBins(was, is *tuf.Delegations) string {
	a, b := was.Succinct, is.Succinct
	switch {
	case a == nil && b == nil:
		return ""
	case b == nil:
		return "it no longer delegates to hash bins"
	case a == nil || a.BitLength != b.BitLength || a.NamePrefix != b.NamePrefix:
		return fmt.Sprintf("it delegates to %d hash bins %s-*", 1<<b.BitLength, tuf.Word(b.NamePrefix))
	}
	keys := tuf.NewKeySet(was.Keys, a.Role)
	return unlikeKeys(b.NamePrefix+"-*", tuf.NewKeySet(is.Keys, b.Role), keys.Identities(), keys.Threshold(), "before")
}

// delegationOf returns what a file says of a delegation.
func delegationOf(role tuf.DelegatedRole, of *tuf.Delegations) Delegation {
	keys := tuf.NewKeySet(of.Keys, role.Role)
	return Delegation{
		Keys:        Keys{Role: role.Name, Threshold: keys.Threshold(), Keys: keys.Identities()},
		Paths:       sorted(slices.Clone(role.Paths)),
		Hashes:      sorted(slices.Clone(role.PathHashPrefixes)),
		Terminating: role.Terminating,
	}
}

// unlike compares a delegation with the one that has to be.
func (d Delegation) unlike(is tuf.DelegatedRole, of *tuf.Delegations) string {
	name := tuf.Word(is.Name)
	if why := unlikeKeys(is.Name, tuf.NewKeySet(of.Keys, is.Role), d.Keys.Keys, d.Threshold, "expected"); why != "" {
		return why
	}
	now := delegationOf(is, of)
	for added := range without(now.Paths, d.Paths) {
		return fmt.Sprintf("%s is trusted for %s", name, tuf.Word(added))
	}
	for added := range without(now.Hashes, d.Hashes) {
		return fmt.Sprintf("%s is trusted for paths with a hash %s*", name, added)
	}
	for gone := range without(d.Paths, now.Paths) {
		return fmt.Sprintf("%s is not trusted for %s", name, tuf.Word(gone))
	}
	for gone := range without(d.Hashes, now.Hashes) {
		return fmt.Sprintf("%s is not trusted for paths with a hash %s*", name, gone)
	}
	if d.Terminating != is.Terminating {
		if is.Terminating {
			return fmt.Sprintf("the delegation to %s is terminating", name)
		}
		return fmt.Sprintf("the delegation to %s is not terminating", name)
	}
	return ""
}

// without yields what is in a sorted list and not in another.
func without(list, other []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, s := range list {
			if _, ok := slices.BinarySearch(other, s); !ok && !yield(s) {
				return
			}
		}
	}
}

// scope returns what a role is trusted for, in a few words.
func scope(role tuf.DelegatedRole) string {
	switch {
	case len(role.Paths) == 1:
		return role.Paths[0]
	case len(role.Paths) > 1:
		return fmt.Sprintf("%s and %d more patterns", role.Paths[0], len(role.Paths)-1)
	case len(role.PathHashPrefixes) > 0:
		return fmt.Sprintf("hash %s*", role.PathHashPrefixes[0])
	}
	return "no paths"
}
