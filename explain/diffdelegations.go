package explain

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// delegations compares the delegations of two files; nil: none.
func (c *Changes) delegations(before, after *tuf.Delegations) {
	if before == nil {
		before = &tuf.Delegations{}
	}
	if after == nil {
		after = &tuf.Delegations{}
	}
	c.bins(before, after)
	old, current := byName(before), byName(after)
	for i, role := range after.Roles {
		if _, ok := old[role.Name]; !ok {
			scope := scopeOf(role)
			c.add(Change{Kind: DelegationAdded, Name: role.Name, After: strings.Join(scope, " ")},
				c.now("It delegates %s to %s, which takes %s keys%s.", "It newly delegates %s to %s, which takes %s keys%s."), paths(scope), tuf.Word(role.Name),
				takes(tuf.NewKeySet(after.Keys, role.Role)), asked(role, i, len(after.Roles)))
		}
	}
	for _, role := range before.Roles {
		if _, ok := current[role.Name]; !ok {
			scope := scopeOf(role)
			c.add(Change{Kind: DelegationRemoved, Name: role.Name, Before: strings.Join(scope, " ")},
				"It no longer delegates %s to %s.", paths(scope), tuf.Word(role.Name))
		}
	}
	budget := work{left: maxPatterns}
	for _, is := range after.Roles {
		was, ok := old[is.Name]
		if !ok {
			continue
		}
		c.keys(is.Name, tuf.NewKeySet(before.Keys, was.Role), tuf.NewKeySet(after.Keys, is.Role))
		c.scope(was, is, &budget)
		if was.Terminating != is.Terminating {
			ends := "goes on after it if it does not list the path"
			if is.Terminating {
				ends = "ends with it"
			}
			c.add(Change{Kind: DelegationTerminating, Name: is.Name, Before: strconv.FormatBool(was.Terminating), After: strconv.FormatBool(is.Terminating)},
				"A search that enters %s now %s.", tuf.Word(is.Name), ends)
		}
	}
	if budget.left < 0 {
		c.Limits = append(c.Limits, "not all patterns of delegations were compared with each other: a delegation that is said to be wider or narrower may not be")
	}
	both := func(roles []tuf.DelegatedRole, other map[string]tuf.DelegatedRole) (names []string) {
		for _, role := range roles {
			if _, ok := other[role.Name]; ok {
				names = append(names, role.Name)
			}
		}
		return names
	}
	was, is := both(before.Roles, current), both(after.Roles, old)
	if !slices.Equal(was, is) {
		c.add(Change{Kind: DelegationOrder, Before: strings.Join(was, " "), After: strings.Join(is, " ")},
			"A search now asks in the order %s, before %s.", list(is, tuf.Word), list(was, tuf.Word))
	}
}

func byName(d *tuf.Delegations) map[string]tuf.DelegatedRole {
	roles := make(map[string]tuf.DelegatedRole, len(d.Roles))
	for _, role := range d.Roles {
		roles[role.Name] = role
	}
	return roles
}

// bins compares succinct delegations.
func (c *Changes) bins(before, after *tuf.Delegations) {
	text := func(s *tuf.Succinct) string {
		if s == nil {
			return ""
		}
		return fmt.Sprintf("%d bins %s-*", 1<<s.BitLength, tuf.Word(s.NamePrefix))
	}
	was, is := text(before.Succinct), text(after.Succinct)
	if was != is {
		none := func(s string) string {
			if s == "" {
				return "none"
			}
			return s
		}
		if c.first {
			c.add(Change{Kind: BinsChanged, After: is}, "It delegates by hash to %s.", is)
			return
		}
		c.add(Change{Kind: BinsChanged, Before: was, After: is}, "It delegates by hash to %s, before to %s.", none(is), none(was))
	}
	if before.Succinct != nil && after.Succinct != nil {
		c.keys(after.Succinct.NamePrefix+"-*", tuf.NewKeySet(before.Keys, before.Succinct.Role), tuf.NewKeySet(after.Keys, after.Succinct.Role))
	}
}

// paths returns patterns for a sentence.
func paths(scope []string) string {
	if len(scope) == 0 {
		return "no paths"
	}
	return list(scope, tuf.Word)
}

// asked says when a device asks a role that is at a place among several, and whether it asks
// another after it.
func asked(role tuf.DelegatedRole, at, of int) string {
	text := ""
	switch {
	case of == 1:
	case at == 0:
		text = "is asked before the others"
	case at == of-1:
		text = "is asked after the others"
	default:
		text = fmt.Sprintf("is asked after %s", count(at, "other"))
	}
	const ends = " and ends the search for these paths"
	switch {
	case text == "" && role.Terminating:
		return ends
	case text == "":
		return ""
	case role.Terminating:
		return ", " + text + ends
	}
	return " and " + text
}

// scopeOf returns the patterns of a role; hash prefixes are written as "sha256:1a*".
func scopeOf(role tuf.DelegatedRole) []string {
	if len(role.PathHashPrefixes) == 0 {
		return role.Paths
	}
	scope := make([]string, 0, len(role.PathHashPrefixes))
	for _, prefix := range role.PathHashPrefixes {
		scope = append(scope, "sha256:"+prefix+"*")
	}
	return scope
}

// scope compares the paths of a role.
func (c *Changes) scope(was, is tuf.DelegatedRole, budget *work) {
	if added := uncovered(was, is, budget); len(added) > 0 {
		c.add(Change{Kind: DelegationWidened, Name: is.Name, After: strings.Join(added, " ")},
			"Role %s is now also trusted for %s.", tuf.Word(is.Name), list(added, tuf.Word))
	}
	if removed := uncovered(is, was, budget); len(removed) > 0 {
		c.add(Change{Kind: DelegationNarrowed, Name: is.Name, Before: strings.Join(removed, " ")},
			"Role %s is no longer trusted for %s.", tuf.Word(is.Name), list(removed, tuf.Word))
	}
}

// uncovered returns the patterns or hash prefixes of one role that no pattern of the other
// includes.
func uncovered(by, role tuf.DelegatedRole, budget *work) []string {
	if len(role.PathHashPrefixes) > 0 {
		prefixes := whole(by.PathHashPrefixes)
		var left []string
		for _, prefix := range role.PathHashPrefixes {
			if !begins(prefixes, prefix) {
				left = append(left, "sha256:"+prefix+"*")
			}
		}
		return left
	}
	has := map[string]bool{}
	for _, pattern := range by.Paths {
		has[pattern] = true
	}
	var left []string
	for _, pattern := range role.Paths {
		if has[pattern] {
			continue
		}
		included := false
		for _, wide := range by.Paths {
			if included || !budget.spend(len(wide)+len(pattern)+1) {
				break
			}
			included = includes(wide, pattern)
		}
		if !included {
			left = append(left, pattern)
		}
	}
	return left
}

// includes reports whether one pattern is seen to match all that another matches: it matches
// the other's own text, in which a star is then within a star. A ? could stand for that star,
// which may be no character or many.
func includes(wide, narrow string) bool {
	if strings.Contains(wide, "?") && strings.Contains(narrow, "*") {
		return false
	}
	return tuf.DelegatedRole{Paths: []string{wide}}.Covers(narrow)
}

// whole returns a set of hash prefixes in which sixteen siblings are their parent.
func whole(prefixes []string) map[string]bool {
	set := map[string]bool{}
	for _, prefix := range prefixes {
		addPrefix(set, prefix)
	}
	return set
}

// begins reports whether a prefix, or the beginning of it, is in the set.
func begins(set map[string]bool, prefix string) bool {
	for n := range len(prefix) + 1 {
		if set[prefix[:n]] {
			return true
		}
	}
	return false
}
