package explain

import (
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Shadowed returns the delegated roles that no search for a target ever asks, though they
// are trusted for paths: terminating delegations before them take all these paths. It
// reports false if not all patterns were compared with each other, because there are too
// many; then there may be more such roles.
func Shadowed(d *tuf.Delegations) (roles []string, all bool) {
	if d == nil {
		return nil, true
	}
	taken := taken{prefixes: map[string]bool{}, paths: map[string]bool{}, budget: work{left: maxPatterns / 16}}
	for _, role := range d.Roles {
		if len(role.Paths)+len(role.PathHashPrefixes) > 0 && taken.has(role) {
			roles = append(roles, role.Name)
		}
		if taken.budget.left < 0 {
			break
		}
		if role.Terminating {
			taken.add(role)
		}
	}
	return roles, taken.budget.left >= 0
}

// taken is the paths that some delegations cover.
type taken struct {
	prefixes map[string]bool // of hashes; sixteen siblings are their parent
	paths    map[string]bool // patterns
	wide     []string        // those of them that match more than themselves
	budget   work
}

func (t *taken) add(role tuf.DelegatedRole) {
	for _, prefix := range role.PathHashPrefixes {
		addPrefix(t.prefixes, prefix)
	}
	for _, pattern := range role.Paths {
		if !t.paths[pattern] && strings.ContainsAny(pattern, "*?") {
			t.wide = append(t.wide, pattern)
		}
		t.paths[pattern] = true
	}
}

// has reports whether all that a role is trusted for is seen to be taken.
func (t *taken) has(role tuf.DelegatedRole) bool {
	if t.prefixes[""] {
		return true // every path has a hash
	}
	for _, prefix := range role.PathHashPrefixes {
		if !begins(t.prefixes, prefix) {
			return false
		}
	}
	for _, pattern := range role.Paths {
		if !t.includes(pattern) {
			return false
		}
	}
	return true
}

func (t *taken) includes(pattern string) bool {
	if t.paths[pattern] {
		return true
	}
	for _, wide := range t.wide {
		if !t.budget.spend(len(wide) + len(pattern) + 1) {
			return false
		}
		if includes(wide, pattern) {
			return true
		}
	}
	return false
}

// addPrefix adds a hash prefix to a set in which sixteen siblings are their parent.
func addPrefix(set map[string]bool, prefix string) {
	set[prefix] = true
	for prefix != "" {
		prefix = prefix[:len(prefix)-1]
		for _, digit := range "0123456789abcdef" {
			if !set[prefix+string(digit)] {
				return
			}
		}
		set[prefix] = true
	}
}
