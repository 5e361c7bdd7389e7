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
		why = r.unlikeRoot(m, before)
	case m.Targets != nil:
		was := &tuf.Targets{}
		if before != nil {
			was = before.Targets
		}
		if why = r.unlikeTargets(was, m.Targets); why == "" {
			why = r.unlikeDelegations(m, before)
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
	return unlikeObject("", payload(m), payload(before), r.free(judged...))
}

// payload returns the payload of metadata as an object; nil: it is none.
func payload(m *tuf.Metadata) []byte {
	if m == nil || m.Encoding != tuf.JSON {
		return nil
	}
	return m.Payload
}

// member returns a member of metadata; nil: it has none.
func member(m *tuf.Metadata, name string) []byte {
	if m == nil {
		return nil
	}
	return m.Member(name)
}

// free returns what reports whether a member is judged elsewhere, or may change.
func (r *Release) free(names ...string) func(string) bool {
	return func(name string) bool { return slices.Contains(names, name) || slices.Contains(r.Members, name) }
}

// unlikeObject compares the members of an object of a payload, but for those that are free.
// Nil is an object without members. of is what it is about, for the sentence; empty: the file.
func unlikeObject(of string, is, was []byte, free func(name string) bool) string {
	it, its := "it", "its"
	if of != "" {
		it, its = of, of+": its"
	}
	old := map[string][]byte{}
	for name, value := range objectMembers(was) {
		if !free(name) {
			old[name] = value
		}
	}
	for name, value := range objectMembers(is) {
		before, ok := old[name]
		delete(old, name)
		switch {
		case free(name), ok && bytes.Equal(before, value):
		case ok:
			return fmt.Sprintf("%s member %s is %s, before %s", its, tuf.Word(name), tuf.Word(string(value)), tuf.Word(string(before)))
		case was == nil:
			return fmt.Sprintf("%s has a member %s", it, tuf.Word(name))
		default:
			return fmt.Sprintf("%s has a member %s, which was not there before", it, tuf.Word(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		return fmt.Sprintf("%s member %s is gone", its, tuf.Word(name))
	}
	return ""
}

func objectMembers(object []byte) iter.Seq2[string, []byte] {
	if object == nil {
		return func(func(string, []byte) bool) {}
	}
	return tuf.ObjectMembers(object)
}

// objectMember returns a member of an object of a payload; nil: there is none.
func objectMember(object []byte, name string) []byte {
	for of, value := range objectMembers(object) {
		if of == name {
			return value
		}
	}
	return nil
}

func (r *Release) unlikeRoot(m, before *tuf.Metadata) string {
	is := m.Root
	roles, rolesBefore := m.Member("roles"), member(before, "roles")
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		want := roleKeys{is: is.KeySet(role), listed: listedKeys{m.Member("keys"), is.Keys, is.Roles[role]}}
		i := slices.IndexFunc(r.Keys, func(k Keys) bool { return k.Role == role })
		switch {
		case i >= 0:
			want.want, want.threshold, want.whose = r.Keys[i].Keys, r.Keys[i].Threshold, "expected"
		case before == nil:
			return fmt.Sprintf("nothing says which keys of %s to expect", role)
		default:
			was := before.Root.KeySet(role)
			want.want, want.threshold, want.whose = was.Identities(), was.Threshold(), "before"
			want.before = listedKeys{before.Member("keys"), before.Root.Keys, before.Root.Roles[role]}
		}
		if why := want.unlike(role); why != "" {
			return why
		}
		if why := unlikeObject("the role "+role, objectMember(roles, role), objectMember(rolesBefore, role), r.free("keyids", "threshold")); why != "" {
			return why
		}
	}
	return unlikeObject("roles", roles, rolesBefore, r.free(tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp))
}

// roleKeys are the keys of a role, and those that are wanted.
type roleKeys struct {
	is             tuf.KeySet
	want           []tuf.KeyIdentity
	threshold      int
	whose          string // who wants them, for the sentence
	listed, before listedKeys
}

// listedKeys are the keys of a role as a file lists them.
type listedKeys struct {
	text []byte // the object that lists all keys
	keys map[string]*tuf.Key
	role tuf.Role
}

// unreadable returns those keys that this program cannot read, as they are written: other
// readers may.
func (l listedKeys) unreadable() map[string]bool {
	var list map[string]bool
	for _, id := range l.role.KeyIDs {
		key := l.keys[id]
		if key == nil {
			continue
		}
		if _, ok := key.Identity(); !ok {
			if list == nil {
				list = map[string]bool{}
			}
			list[string(objectMember(l.text, canonicalName.Replace(id)))] = true
		}
	}
	return list
}

// canonicalName writes a name as canonical JSON does.
var canonicalName = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// unlike compares the keys of a role with those that are wanted.
func (k *roleKeys) unlike(role string) string {
	for _, id := range k.is.Identities() {
		if !slices.Contains(k.want, id) {
			return fmt.Sprintf("key %s may sign %s", keyWord(id, k.is), tuf.Word(role))
		}
	}
	for _, id := range k.want {
		if len(k.is.IDs(id)) == 0 {
			return fmt.Sprintf("key %s may not sign %s", id.String()[:idDigits], tuf.Word(role))
		}
	}
	is, was := k.listed.unreadable(), k.before.unreadable()
	for _, text := range slices.Sorted(maps.Keys(is)) {
		if !was[text] {
			return fmt.Sprintf("a key that cannot be read, %s, may sign %s", tuf.Word(text), tuf.Word(role))
		}
	}
	for _, text := range slices.Sorted(maps.Keys(was)) {
		if !is[text] {
			return fmt.Sprintf("a key that cannot be read, %s, may not sign %s", tuf.Word(text), tuf.Word(role))
		}
	}
	if k.is.Threshold() != k.threshold {
		return fmt.Sprintf("%s takes %d of %d keys, %s %d", tuf.Word(role), k.is.Threshold(), len(k.want), k.whose, k.threshold)
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
		old, ok := was.File(path)
		if f := wanted[path]; f != nil {
			if why := f.unlike(file, old); why != "" {
				return why
			}
			continue
		}
		switch {
		case ok && same(old, file), free.Covers(path):
		case !ok:
			return fmt.Sprintf("it lists %s (%s)", tuf.Word(path), describe(file))
		case old.Length == file.Length && maps.Equal(old.Hashes, file.Hashes):
			return unlikeEntry(path, old, file, nothing)
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

func same(a, b tuf.TargetFile) bool { return bytes.Equal(a.Value, b.Value) }

func nothing(string) bool { return false }

// unlikeEntry compares what is said of a target file, but for the members that are free.
func unlikeEntry(path string, was, is tuf.TargetFile, free func(string) bool) string {
	if !free("custom") && !bytes.Equal(was.Custom, is.Custom) {
		return fmt.Sprintf("the custom data of %s is %s, before %s", tuf.Word(path), custom(is), custom(was))
	}
	return unlikeObject("the entry of "+tuf.Word(path), is.Value, was.Value, free)
}

// unlike compares the file that a release lists with the one that it has to list. What is not
// named has to be as in the entry that was there before, if any.
func (f *File) unlike(is, was tuf.TargetFile) string {
	path := tuf.Word(f.Path)
	known := false
	for _, algorithm := range slices.Sorted(maps.Keys(is.Hashes)) {
		hash := is.Hashes[algorithm]
		i := slices.IndexFunc(f.Hashes, func(h Hash) bool { return h.Algorithm == algorithm })
		switch {
		case i < 0:
			return fmt.Sprintf("%s has a %s, which is not expected: %s:%s", path, tuf.Word(algorithm), tuf.Word(algorithm), hash)
		case f.Hashes[i].Hex != hash:
			return fmt.Sprintf("%s is another file (%s) than expected, which has %s %s", path, describe(is), tuf.Word(algorithm), short(f.Hashes[i].Hex))
		}
		known = known || hashSize[algorithm] > 0
	}
	if !known {
		return fmt.Sprintf("it lists %s without a sha256 or sha512", path)
	}
	free := []string{"length", "hashes"}
	switch {
	case f.Length >= 0 && is.Length != f.Length:
		return fmt.Sprintf("%s has %d bytes, expected were %d", path, is.Length, f.Length)
	case !f.Custom.IsZero() && is.Custom == nil:
		return fmt.Sprintf("it lists %s without its custom data", path)
	case !f.Custom.IsZero() && tuf.Sum(is.Custom) != f.Custom:
		return fmt.Sprintf("the custom data of %s is %s, which is not the data expected: custom:%s", path, custom(is), tuf.Sum(is.Custom))
	case f.Custom.IsZero() && !f.AnyCustom && is.Custom != nil && !bytes.Equal(is.Custom, was.Custom):
		return fmt.Sprintf("the custom data of %s is %s, before %s, and no line expects custom:%s", path, custom(is), custom(was), tuf.Sum(is.Custom))
	case f.AnyCustom || !f.Custom.IsZero():
		free = append(free, "custom")
	}
	return unlikeEntry(f.Path, was, is, func(name string) bool { return slices.Contains(free, name) })
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

// unlikeDelegations compares delegations.
func (r *Release) unlikeDelegations(m, before *tuf.Metadata) string {
	if r.AnyDelegations {
		return ""
	}
	is, was := delegationsOf(m), delegationsOf(before)
	if why := r.unlikeBins(was, is); why != "" {
		return why
	}
	if why := unlikeObject("delegations", is.text, was.text, r.free("keys", "roles", "succinct_roles")); why != "" {
		return why
	}
	old := byName(was)
	current := byName(is)
	for _, role := range is.Roles {
		i := slices.IndexFunc(r.Delegations, func(d Delegation) bool { return d.Role == role.Name })
		var why string
		if i >= 0 {
			why = r.Delegations[i].unlike(role, is, listedKeys{})
		} else if before, ok := old[role.Name]; ok {
			why = delegationOf(before, was).unlike(role, is, was.listed(before.Role))
		} else {
			why = fmt.Sprintf("it delegates %s to %s", tuf.Word(scope(role)), tuf.Word(role.Name))
		}
		if why == "" {
			why = unlikeObject("the delegation to "+tuf.Word(role.Name), is.roles[role.Name], was.roles[role.Name], r.free(delegated...))
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
	then, now := both(was.Roles, current), both(is.Roles, old)
	for i := range now {
		if now[i] != then[i] {
			return fmt.Sprintf("a search asks %s before %s", tuf.Word(now[i]), tuf.Word(then[i]))
		}
	}
	return ""
}

// delegated are the members of a delegation that are compared by what they mean.
var delegated = []string{"name", "keyids", "threshold", "paths", "path_hash_prefixes", "terminating"}

// delegating is what a file delegates, with the text of each.
type delegating struct {
	*tuf.Delegations
	text  []byte            // nil: there are none
	roles map[string][]byte // by name
}

func delegationsOf(m *tuf.Metadata) delegating {
	d := delegating{&tuf.Delegations{}, member(m, "delegations"), map[string][]byte{}}
	if m == nil || m.Targets == nil || m.Targets.Delegations == nil {
		return d
	}
	d.Delegations = m.Targets.Delegations
	if roles := objectMember(d.text, "roles"); roles != nil {
		i := 0
		for text := range tuf.ArrayElements(roles) {
			d.roles[d.Roles[i].Name] = text
			i++
		}
	}
	return d
}

func (d *delegating) listed(role tuf.Role) listedKeys {
	return listedKeys{objectMember(d.text, "keys"), d.Keys, role}
}

func byName(d delegating) map[string]tuf.DelegatedRole {
	roles := make(map[string]tuf.DelegatedRole, len(d.Roles))
	for _, role := range d.Roles {
		roles[role.Name] = role
	}
	return roles
}

// unlikeBins compares succinct delegations.
func (r *Release) unlikeBins(was, is delegating) string {
	a, b := was.Succinct, is.Succinct
	switch {
	case a == nil && b == nil:
		return ""
	case b == nil:
		return "it no longer delegates to hash bins"
	case a == nil || a.BitLength != b.BitLength || a.NamePrefix != b.NamePrefix:
		return fmt.Sprintf("it delegates to %d hash bins %s-*", 1<<b.BitLength, tuf.Word(b.NamePrefix))
	}
	before := tuf.NewKeySet(was.Keys, a.Role)
	k := roleKeys{tuf.NewKeySet(is.Keys, b.Role), before.Identities(), before.Threshold(), "before", is.listed(b.Role), was.listed(a.Role)}
	if why := k.unlike(b.NamePrefix + "-*"); why != "" {
		return why
	}
	return unlikeObject("the delegation to hash bins", objectMember(is.text, "succinct_roles"), objectMember(was.text, "succinct_roles"),
		r.free("keyids", "threshold", "bit_length", "name_prefix"))
}

// delegationOf returns what a file says of a delegation.
func delegationOf(role tuf.DelegatedRole, of delegating) Delegation {
	keys := tuf.NewKeySet(of.Keys, role.Role)
	return Delegation{
		Keys:        Keys{Role: role.Name, Threshold: keys.Threshold(), Keys: keys.Identities()},
		Paths:       sorted(slices.Clone(role.Paths)),
		Hashes:      sorted(slices.Clone(role.PathHashPrefixes)),
		Terminating: role.Terminating,
	}
}

// unlike compares a delegation with the one that has to be. before are the keys that the role
// had, if these have to stay.
func (d Delegation) unlike(is tuf.DelegatedRole, of delegating, before listedKeys) string {
	name := tuf.Word(is.Name)
	k := roleKeys{tuf.NewKeySet(of.Keys, is.Role), d.Keys.Keys, d.Threshold, "expected", of.listed(is.Role), before}
	if why := k.unlike(is.Name); why != "" {
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
