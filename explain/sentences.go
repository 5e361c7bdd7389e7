package explain

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
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
		needs = append(needs, fmt.Sprintf("%s (%s)", n.text(keyName), w.signs(n)))
	}
	return strings.Join(needs, " and ")
}

// signs returns the roles for which the keys of a need sign.
func (w Way) signs(n Need) string {
	var names []string
	for _, role := range n.Roles {
		names = append(names, tuf.Word(role))
		if role == w.Roles[0] {
			names[len(names)-1] = either(w.Roles)
		}
	}
	return strings.Join(names, " and ")
}

// brief counts the keys, and names only those that are alone: "any 2 of the 7 doi keys with
// the timestamp key 5e6f7a8b".
func (w Way) brief(keyName func(string) string) string {
	var needs []string
	for _, n := range w.Needs {
		switch {
		case len(n.Keys) == 1 && n.Count == 1:
			needs = append(needs, fmt.Sprintf("the %s key %s", w.signs(n), keyName(n.Keys[0])))
		case n.Count == len(n.Keys):
			needs = append(needs, fmt.Sprintf("all %d %s keys", n.Count, w.signs(n)))
		default:
			needs = append(needs, fmt.Sprintf("any %d of the %d %s keys", n.Count, len(n.Keys), w.signs(n)))
		}
	}
	if len(needs) == 1 {
		return needs[0]
	}
	return needs[0] + " with " + strings.Join(needs[1:], " and ")
}

// either returns roles of which any will do.
func either(roles []string) string {
	var names []string
	for _, role := range roles[:min(len(roles), shown)] {
		names = append(names, tuf.Word(role))
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
	if len(r.Ways) == 0 {
		return append([]string{r.nobody(tuf.Word(r.Path))}, r.notes()...)
	}
	lines := []string{fmt.Sprintf("%s can %s %s:", number(r.Smallest), r.verb(), tuf.Word(r.Path))}
	lines = append(lines, r.ways(keyNames(r.keys()), nil)...)
	if r.ListedBy == "" {
		lines = append(lines, "No role that a device asks lists the path today.")
	} else {
		lines = append(lines, fmt.Sprintf("Today %s lists the path.", tuf.Word(r.ListedBy)))
	}
	return append(lines, r.notes()...)
}

func (r *Replace) nobody(what string) string {
	return fmt.Sprintf("Nobody can %s %s: no role has as many readable keys as its threshold.", r.verb(), what)
}

// ways returns a line for each way. The ways that v says are new begin with a plus, and those
// that are gone, with a minus, are added.
func (r *Replace) ways(keyName func(string) string, v *Verdict) []string {
	var lines []string
	mark := func(w Way) string {
		if v != nil && slices.ContainsFunc(v.New, w.same) {
			return "+ "
		}
		return "  "
	}
	for _, w := range r.Ways {
		lines = append(lines, mark(w)+w.sentence(keyName))
	}
	if v != nil {
		for _, w := range v.Gone {
			lines = append(lines, "- "+w.sentence(keyName))
		}
	}
	for _, w := range r.Covered {
		lines = append(lines, "  "+w.brief(keyName)+": these include one of the above")
	}
	for _, w := range r.Behind {
		lines = append(lines, fmt.Sprintf("  %s alone, for a device that has not fetched the present version yet: the snapshot lists it without a hash", w.brief(keyName)))
	}
	return lines
}

func (r *Replace) notes() []string {
	var lines []string
	if len(r.Also) > 0 {
		var also []string
		for _, id := range slices.Sorted(maps.Keys(r.Also)) {
			also = append(also, fmt.Sprintf("%s as %s", keyName(id), list(r.Also[id], keyName)))
		}
		lines = append(lines, fmt.Sprintf("Keys that are listed under other ids, too: %s.", list(also, func(s string) string { return s })))
	}
	if len(r.Unknown) > 0 {
		lines = append(lines, fmt.Sprintf("Without metadata: %s. What that lists or delegates is not known.", list(r.Unknown, tuf.Word)))
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
