package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Signed says who has signed what so far: the keys that signed a release of a role.
type Signed map[string][]tuf.KeyIdentity

// Power is a key that may sign a role and never has.
type Power struct {
	Role string `json:"role"`
	Key  string `json:"key"` // its id
	// Elsewhere are other roles that the key has signed, the first 16 of them; empty: the
	// key has never signed anything.
	Elsewhere []string `json:"elsewhere,omitempty"`
}

// String returns the sentence for one key.
func (p Power) String() string {
	if len(p.Elsewhere) == 0 {
		return fmt.Sprintf("Key %s may sign %s and has never signed anything.", keyName(p.Key), tuf.Word(p.Role))
	}
	return fmt.Sprintf("Key %s may sign %s and never has; it has signed %s.", keyName(p.Key), tuf.Word(p.Role), list(p.Elsewhere, tuf.Word))
}

// UnusedSentences returns a line for each role, in the order of Unused.
func UnusedSentences(unused []Power) []string {
	var all []string
	for _, p := range unused {
		all = append(all, p.Key)
	}
	short := keyNames(all)
	var lines []string
	for len(unused) > 0 {
		n := 1
		for n < len(unused) && unused[n].Role == unused[0].Role {
			n++
		}
		var elsewhere, nowhere []string
		for _, p := range unused[:n] {
			if len(p.Elsewhere) > 0 {
				elsewhere = append(elsewhere, p.Key)
			} else {
				nowhere = append(nowhere, p.Key)
			}
		}
		var parts []string
		if len(elsewhere) > 0 {
			parts = append(parts, list(elsewhere, short)+", which signed other roles")
		}
		if len(nowhere) > 0 {
			parts = append(parts, list(nowhere, short)+", which never signed anything")
		}
		lines = append(lines, fmt.Sprintf("%s was never signed by %s.", tuf.Word(unused[0].Role), strings.Join(parts, "; nor by ")))
		unused = unused[n:]
	}
	return lines
}

// MaxUnused is how many keys Unused returns.
const MaxUnused = 10_000

const maxElsewhere = 16 // roles of a Power

// Unused returns the keys that may sign a role by the metadata in force and never have, by
// role as Rank orders roles, then by key id; more reports whether there are more than
// MaxUnused. The keys of bins count as used once they have signed any bin of the
// delegation, and are given for the first bin. The errors wrap ErrMetadata.
func Unused(repo Repository, signed Signed) (unused []Power, more bool, err error) {
	if err := repo.check(); err != nil {
		return nil, false, err
	}
	type use struct {
		key  tuf.KeyIdentity
		role string
	}
	has, uses := map[tuf.KeyIdentity][]string{}, map[use]bool{}
	for _, role := range slices.Sorted(maps.Keys(signed)) {
		for _, key := range signed[role] {
			if !uses[use{key, role}] {
				uses[use{key, role}] = true
				has[key] = append(has[key], role)
			}
		}
	}
	type pair struct{ role, id string }
	seen := map[pair]bool{} // a role may be delegated to twice
	add := func(role string, ks tuf.KeySet, used func(tuf.KeyIdentity) bool) bool {
		for _, identity := range ks.Identities() {
			id := ks.IDs(identity)[0]
			if used(identity) || seen[pair{role, id}] {
				continue
			}
			seen[pair{role, id}] = true
			if len(unused) == MaxUnused {
				return false
			}
			unused = append(unused, Power{Role: role, Key: id, Elsewhere: slices.Clip(has[identity][:min(len(has[identity]), maxElsewhere)])})
		}
		return true
	}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		more = more || !add(role, repo.Root.Root.KeySet(role), func(key tuf.KeyIdentity) bool { return uses[use{key, role}] })
	}
	for _, m := range repo.files() {
		if m.Targets == nil || m.Targets.Delegations == nil {
			continue
		}
		d := m.Targets.Delegations
		if d.Succinct != nil {
			bin := func(role string) bool { _, _, ok := d.Find(role); return ok }
			first := d.Succinct.NamePrefix + "-" + strings.Repeat("0", (d.Succinct.BitLength+3)/4)
			more = more || !add(first, tuf.NewKeySet(d.Keys, d.Succinct.Role), func(key tuf.KeyIdentity) bool { return slices.ContainsFunc(has[key], bin) })
		}
		for _, role := range d.Roles {
			more = more || !add(role.Name, tuf.NewKeySet(d.Keys, role.Role), func(key tuf.KeyIdentity) bool { return uses[use{key, role.Name}] })
		}
	}
	slices.SortStableFunc(unused, func(a, b Power) int {
		if n := tuf.Rank(a.Role) - tuf.Rank(b.Role); n != 0 {
			return n
		}
		if n := strings.Compare(a.Role, b.Role); n != 0 {
			return n
		}
		return strings.Compare(a.Key, b.Key)
	})
	return unused, more, nil
}
