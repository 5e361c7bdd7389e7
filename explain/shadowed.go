package explain

import "github.com/tuflog/tuflog/tuf"

// Shadowed returns the delegated roles that no search for a target ever asks, though they
// are trusted for paths: terminating delegations before them take all these paths. It
// reports false if not all patterns were compared with each other, because there are too
// many; then there may be more such roles.
func Shadowed(d *tuf.Delegations) (roles []string, all bool) {
	if d == nil {
		return nil, true
	}
	budget := work{maxPatterns / 16} // whoever compares releases asks of each
	var earlier tuf.DelegatedRole  // all paths of terminating delegations
	prefixes := map[string]bool{} // and hash prefixes, of which sixteen siblings are their parent
	for _, role := range d.Roles {
		if len(role.Paths)+len(role.PathHashPrefixes) > 0 && taken(prefixes, role, earlier, &budget) {
			roles = append(roles, role.Name)
		}
		if !role.Terminating {
			continue
		}
		earlier.Paths = append(earlier.Paths, role.Paths...)
		for _, prefix := range role.PathHashPrefixes {
			addPrefix(prefixes, prefix)
		}
	}
	return roles, budget.left >= 0
}

// taken reports whether hash prefixes and paths of earlier delegations include all that a
// role is trusted for.
func taken(prefixes map[string]bool, role, earlier tuf.DelegatedRole, budget *work) bool {
	if prefixes[""] {
		return true // every path has a hash
	}
	for _, prefix := range role.PathHashPrefixes {
		if !begins(prefixes, prefix) {
			return false
		}
	}
	role.PathHashPrefixes = nil
	return len(uncovered(earlier, role, budget)) == 0 && budget.left >= 0
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
