package explain

import (
	"fmt"
	"slices"
	"strings"
)

// String returns the need in words, such as "any 3 of {1a2b3c4d, …}".
func (n Need) String() string { return n.text(keyNames(n.Keys)) }

func (n Need) text(keyName func(string) string) string {
	what := "{" + list(n.Keys, keyName) + "}"
	switch {
	case len(n.Keys) == 1 && n.Count == 1:
		return "key " + keyName(n.Keys[0])
	case n.Count == len(n.Keys):
		return fmt.Sprintf("all %d of %s", n.Count, what)
	}
	return fmt.Sprintf("any %d of %s", n.Count, what)
}

// String returns the keys in words, such as "any 2 of {…} and key 5e6f7a8b".
func (w Way) String() string { return w.text(keyNames(w.keys())) }

func (w Way) text(keyName func(string) string) string {
	var needs []string
	for _, n := range w.Needs {
		needs = append(needs, n.text(keyName))
	}
	return strings.Join(needs, " and ")
}

func (w Way) keys() (ids []string) {
	for _, n := range w.Needs {
		ids = append(ids, n.Keys...)
	}
	return ids
}

// keys returns the keys of all ways.
func (r *Replace) keys() (ids []string) {
	for _, w := range slices.Concat(r.Ways, r.Covered, r.Behind) {
		ids = append(ids, w.keys()...)
	}
	return ids
}

// sentence is String with the roles for which each key signs.
func (w Way) sentence(keyName func(string) string) string {
	var needs []string
	for _, n := range w.Needs {
		var names []string
		for _, role := range n.Roles {
			names = append(names, name(role))
			if role == w.Roles[0] {
				names[len(names)-1] = either(w.Roles)
			}
		}
		needs = append(needs, fmt.Sprintf("%s (%s)", n.text(keyName), strings.Join(names, " and ")))
	}
	return strings.Join(needs, " and ")
}

// either returns roles of which any will do.
func either(roles []string) string {
	var names []string
	for _, role := range roles[:min(len(roles), shown)] {
		names = append(names, name(role))
	}
	if len(roles) > shown {
		names = append(names, count(len(roles)-shown, "other role"))
	}
	return strings.Join(names, " or ")
}

// same reports whether two ways need the same keys.
func (w Way) same(other Way) bool {
	return slices.EqualFunc(w.Needs, other.Needs, func(a, b Need) bool { return a.Count == b.Count && slices.Equal(a.Keys, b.Keys) })
}

// verb says what is done to the path: a file that is listed is replaced.
func (r *Replace) verb() string {
	if r.ListedBy == "" {
		return "put a file at"
	}
	return "replace"
}

// Sentences returns the answer in plain English, one sentence a line: a verdict, then the
// ways, then what a reader has to know about them.
func (r *Replace) Sentences() []string {
	path := name(r.Path)
	if len(r.Ways) == 0 {
		return append([]string{fmt.Sprintf("Nobody can %s %s: no role has as many readable keys as its threshold.", r.verb(), path)}, r.notes()...)
	}
	lines := []string{fmt.Sprintf("%s can %s %s:", number(r.Smallest), r.verb(), path)}
	keyName := keyNames(r.keys())
	for _, w := range r.Ways {
		lines = append(lines, "  "+w.sentence(keyName))
	}
	for _, w := range r.Covered {
		lines = append(lines, "  "+w.sentence(keyName)+", which includes one of the above")
	}
	for _, w := range r.Behind {
		lines = append(lines, "  "+w.sentence(keyName)+" of a device that does not have the present version yet: the snapshot lists it by version alone")
	}
	switch {
	case r.MoreSets:
		lines = append(lines, fmt.Sprintf("That makes more than %d different sets of keys, none of which has a key to spare; the smallest has %s.", len(r.Sets)-1, count(r.Smallest, "key")))
	case len(r.Sets) > 1:
		lines = append(lines, fmt.Sprintf("That makes %d different sets of keys, none of which has a key to spare.", len(r.Sets)))
	}
	if r.ListedBy == "" {
		lines = append(lines, "No role that a device asks lists the path today.")
	} else {
		lines = append(lines, fmt.Sprintf("Today %s lists the path.", name(r.ListedBy)))
	}
	return append(lines, r.notes()...)
}

func (r *Replace) notes() []string {
	var lines []string
	if len(r.Unknown) > 0 {
		lines = append(lines, fmt.Sprintf("Without metadata: %s. What that lists or delegates is not known.", list(r.Unknown, name)))
	}
	for _, limit := range r.Limits {
		lines = append(lines, "Limited: "+limit+".")
	}
	return lines
}

func number(n int) string {
	switch n {
	case 0:
		return "Some number of keys"
	case 1:
		return "A single key"
	}
	return fmt.Sprintf("%d keys together", n)
}
