package explain

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Impact says who could replace the files whose paths a pattern matches, and what a release
// changed about that.
type Impact struct {
	// Groups are the listed paths, those with the same answer together: first those that
	// are easier to replace than before, then by the smallest number of keys.
	Groups []Group `json:"groups"`
	// New are examples of paths that no role lists, as of Replaces.
	New []Group `json:"new,omitempty"`
	// Limits says what was left out because there was too much of it.
	Limits []string `json:"limits,omitempty"`
}

// Group is the answer for paths that have the same one.
type Group struct {
	Paths   []string `json:"paths"`
	Before  *Replace `json:"before,omitempty"`  // of the first path; nil: nothing is compared
	After   *Replace `json:"after"`             // of the first path
	Verdict *Verdict `json:"verdict,omitempty"` // on all paths; its Path is the first
}

// ImpactOf answers for all paths that a pattern matches, as RadiusOf does, and compares with
// before if that is not nil. The errors wrap ErrMetadata.
func ImpactOf(before *Repository, after Repository, pattern string) (*Impact, error) {
	is, err := newSession(after)
	if err != nil {
		return nil, err
	}
	if before == nil {
		return impactOf(nil, is, pattern)
	}
	was, err := newSession(*before)
	if err != nil {
		return nil, err
	}
	return impactOf(was, is, pattern)
}

func impactOf(was, is *session, pattern string) (*Impact, error) {
	now := is.radiusOf(pattern)
	impact := &Impact{Groups: []Group{}, Limits: now.Limits}
	if was == nil {
		return impact, impact.add(nil, now)
	}
	then, left := was.radiusOf(pattern), 0
	// What only one of them lists is asked of both.
	listed := map[string]bool{}
	for _, r := range now.Paths {
		listed[r.Path] = true
	}
	for _, r := range then.Paths {
		if !listed[r.Path] {
			gone := is.radius(r.Path)
			if gone == nil {
				left++
				continue
			}
			now.Paths = append(now.Paths, gone)
		}
	}
	for _, limit := range then.Limits {
		if !slices.Contains(impact.Limits, limit) {
			impact.Limits = append(impact.Limits, "before: "+limit)
		}
	}
	if err := impact.add(was, now); err != nil {
		return nil, err
	}
	impact.Limits = leftOut(impact.Limits, left)
	return impact, nil
}

// add groups the answers, compared with those before unless that is nil.
func (i *Impact) add(before *session, now *Replaces) error {
	left := 0
	group := func(answers []*Replace) ([]Group, error) {
		at := map[string]int{}
		alike := map[[2]*Replace]int{} // groups of answers that are the same
		groups := []Group{}
		for _, r := range answers {
			g := Group{Paths: []string{r.Path}, After: r}
			pair := [2]*Replace{r.same}
			if before != nil {
				if g.Before = before.radius(r.Path); g.Before == nil {
					left++
					continue
				}
				pair[1] = g.Before.same
			}
			if n, ok := alike[pair]; ok {
				groups[n].Paths = append(groups[n].Paths, r.Path)
				continue
			}
			if before != nil {
				v := Compare(g.Before, r)
				g.Verdict = &v
			}
			key, err := g.key()
			if err != nil {
				return nil, err
			}
			if n, ok := at[key]; ok {
				alike[pair] = n
				groups[n].Paths = append(groups[n].Paths, r.Path)
				continue
			}
			alike[pair], at[key] = len(groups), len(groups)
			groups = append(groups, g)
		}
		slices.SortStableFunc(groups, func(a, b Group) int {
			if n := a.rank() - b.rank(); n != 0 {
				return n
			}
			return a.After.Smallest - b.After.Smallest
		})
		for n := range groups {
			if g := &groups[n]; g.Verdict != nil {
				g.Verdict.Text = g.Verdict.text(g.Before, g.After, g.what())
			}
		}
		return groups, nil
	}
	var err error
	if i.Groups, err = group(now.Paths); err == nil {
		i.New, err = group(now.New)
	}
	i.Limits = leftOut(i.Limits, left)
	return err
}

// key is the same for answers that differ in their paths alone.
func (g Group) key() (string, error) {
	after := *g.After
	after.Path = ""
	texts := []any{after, g.After.ListedBy == ""}
	if g.Before != nil {
		texts = append(texts, g.Verdict.Change, g.Before.Ways)
	}
	b, err := json.Marshal(texts)
	return string(b), err
}

// rank orders groups: what a reader should look at first.
func (g Group) rank() int {
	if g.Verdict == nil {
		return 0
	}
	return slices.Index([]Shift{Easier, Other, Harder, Same}, g.Verdict.Change)
}

// what names the paths in a sentence.
func (g Group) what() string {
	if len(g.Paths) == 1 {
		return tuf.Word(g.Paths[0])
	}
	if g.After.ListedBy == "" {
		return "any of these paths"
	}
	return fmt.Sprintf("any of these %d files", len(g.Paths))
}

// Sentences returns the answers in plain English: a verdict on all of it, then for each group
// its verdict and the ways.
func (i *Impact) Sentences() []string {
	lines := []string{i.head()}
	for _, g := range i.Groups {
		lines = append(lines, g.sentences()...)
	}
	if len(i.New) > 0 {
		lines = append(lines, "", "New files:")
	}
	for _, g := range i.New {
		lines = append(lines, i.example(g)...)
	}
	for _, limit := range i.Limits {
		lines = append(lines, "Limited: "+limit+".")
	}
	return lines
}

// example returns the answer for new files: where it is that for listed ones, just that.
func (i *Impact) example(g Group) []string {
	at := "  at paths such as " + tuf.Word(g.Paths[0])
	if n := len(g.Paths) - 1; n > 0 {
		at += fmt.Sprintf(", and %s", count(n, "more pattern"))
	}
	like := ""
	for _, listed := range i.Groups {
		if g.Verdict != nil && g.Verdict.Change != listed.Verdict.Change {
			continue
		}
		sameRoles := slices.EqualFunc(listed.After.Ways, g.After.Ways, func(a, b Way) bool { return a.same(b) && slices.Equal(a.Roles, b.Roles) })
		if sameRoles || like == "" && slices.EqualFunc(listed.After.Ways, g.After.Ways, Way.same) {
			like = listed.Paths[0]
			if sameRoles {
				break
			}
		}
	}
	if like != "" {
		return []string{at + ": as for " + tuf.Word(like)}
	}
	lines := []string{at + ":"}
	for _, line := range g.sentences()[2:] {
		lines = append(lines, "  "+line)
	}
	return lines
}

// head is the verdict on all groups.
func (i *Impact) head() string {
	files := map[Shift]int{}
	all, least, most := 0, 0, 0
	for n, g := range i.Groups {
		all += len(g.Paths)
		if g.Verdict != nil {
			files[g.Verdict.Change] += len(g.Paths)
		}
		if n == 0 || g.After.Smallest < least {
			least = g.After.Smallest
		}
		most = max(most, g.After.Smallest)
	}
	switch {
	case all == 0:
		return "No role lists such a file yet."
	case i.Groups[0].Verdict == nil && least == most:
		return fmt.Sprintf("It takes %s to replace %s.", keysTogether(least), of(all))
	case i.Groups[0].Verdict == nil:
		return fmt.Sprintf("It takes from %d to %s to replace one of %s.", least, count(most, "key"), count(all, "file"))
	case files[Same] == all:
		return fmt.Sprintf("This release does not change who can replace %s: it takes %s.", of(all), fromTo(least, most))
	}
	var parts []string
	for _, p := range []struct {
		shift Shift
		text  string
	}{{Easier, "fewer keys than before suffice to replace %s"}, {Other, "other keys than before can replace %s"}, {Harder, "it takes more keys than before to replace %s"}, {Same, "nothing changes for %s"}} {
		if n := files[p.shift]; n > 0 {
			parts = append(parts, fmt.Sprintf(p.text, count(n, "file")))
		}
	}
	return capital(strings.Join(parts, "; ")) + "."
}

func keysTogether(n int) string {
	if n == 0 {
		return "some number of keys"
	}
	return count(n, "key")
}

func fromTo(least, most int) string {
	if least == most {
		return count(least, "key")
	}
	return fmt.Sprintf("from %d to %s", least, count(most, "key"))
}

// of names a number of files.
func of(n int) string {
	if n == 1 {
		return "the file"
	}
	return fmt.Sprintf("any of the %d files", n)
}

func (g Group) sentences() []string {
	lines := []string{"", list(g.Paths, tuf.Word) + ":"}
	keyName := keyNames(g.After.keys())
	if g.Before != nil {
		keyName = keyNames(slices.Concat(g.Before.keys(), g.After.keys()))
	}
	switch {
	case g.Verdict != nil:
		lines = append(lines, "  "+g.Verdict.Text)
	case len(g.After.Ways) == 0:
		lines = append(lines, "  "+g.After.nobody(g.what()))
	default:
		lines = append(lines, fmt.Sprintf("  It takes %s to %s %s.", keysTogether(g.After.Smallest), g.After.verb(), g.what()))
	}
	lines = append(lines, g.keys(keyName)...)
	for _, line := range g.After.ways(keyName, g.Verdict) {
		lines = append(lines, "    "+line)
	}
	for _, line := range g.After.notes() {
		lines = append(lines, "    "+line)
	}
	return lines
}

// keys says of the ways that were there before, with other keys, which keys these are.
func (g Group) keys(keyName func(string) string) (lines []string) {
	if g.Verdict == nil {
		return nil
	}
	for _, is := range g.Verdict.New {
		at := slices.IndexFunc(g.Verdict.Gone, func(was Way) bool { return was.Roles[0] == is.Roles[0] })
		if at < 0 {
			continue
		}
		had, has := g.Verdict.Gone[at].keys(), is.keys()
		lack := func(ids, others []string) []string {
			return slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(ids))), func(id string) bool { return slices.Contains(others, id) })
		}
		var parts []string
		if added := lack(has, had); len(added) > 0 {
			parts = append(parts, "new: "+list(added, keyName))
		}
		if removed := lack(had, has); len(removed) > 0 {
			parts = append(parts, "gone: "+list(removed, keyName))
		}
		if len(parts) > 0 {
			lines = append(lines, fmt.Sprintf("  Of the keys for %s, %s.", either(is.Roles), strings.Join(parts, "; ")))
		}
	}
	return lines
}
