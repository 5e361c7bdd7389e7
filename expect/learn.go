package expect

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Released is a metadata file that was published as a role's.
type Released struct {
	Role     string
	Metadata *tuf.Metadata
}

// Proposal is what Learn proposes.
type Proposal struct {
	// Expectations have the repository, a base for each role and the releases. The version
	// and the times are for a person.
	Expectations *Expectations `json:"-"`
	Repository   tuf.Digest    `json:"repository"`
	Releases     int           `json:"releases"` // that follow another of their role, and so were judged
	Expected     int           `json:"expected"` // of these
	Roles        []RoleHistory `json:"roles"`
	Outside      []Outside     `json:"outside"` // the others, in the order of the history
	Skipped      int           `json:"skipped"` // files that are not the next release of their role: drafts, copies, without enough signatures
}

// RoleHistory is what the releases of the roles of one line did.
type RoleHistory struct {
	Role        string   `json:"role"` // as in the release line
	Roles       int      `json:"roles"`
	Releases    int      `json:"releases"` // that follow another
	Expected    int      `json:"expected"` // of these
	SignedAgain int      `json:"signed_again"`
	Versions    string   `json:"versions"`
	Paths       []string `json:"paths,omitempty"`   // where files were added or changed
	Removed     []string `json:"removed,omitempty"` // and where they were only removed
}

// Outside is a release that the proposal would not have expected.
type Outside struct {
	Role    string `json:"role"`
	Version int64  `json:"version"`
	Why     string `json:"why"` // as Judge says
}

// Limits of what Learn proposes: more names are said by patterns.
const (
	maxNames = 16   // paths in one folder, or roles that are named alike
	maxBases = 1024 // more roles are given none
)

// Learn proposes the tightest expectations that a history of one repository would have met,
// and says which of its releases these would not have expected. The history begins with the
// repository's first root. What gives power is never proposed, so that a person has to write
// it: keys, delegations, and members that TUF does not define. So releases that changed these
// are outside.
//
// A file counts as a release if it has a higher version than the one before of its role, and
// enough signatures of the keys that the history gave the role before it.
func Learn(history []Released) *Proposal {
	p := &Proposal{Outside: []Outside{}, Roles: []RoleHistory{}, Expectations: &Expectations{}}
	releases := p.releases(history)
	// Of a root that nothing followed nothing was learnt, and a line would give power.
	groups := slices.DeleteFunc(group(releases), func(g *roleGroup) bool { return g.line == tuf.RoleRoot && !g.follow })
	for _, g := range groups {
		p.Expectations.Releases = append(p.Expectations.Releases, g.propose())
	}
	p.Expectations.Repository = p.Repository
	p.Expectations.Sort()
	p.rehearse(releases, groups)
	newest := map[string]*tuf.Metadata{}
	for _, r := range releases {
		newest[r.Role] = r.Metadata
	}
	if len(newest) <= maxBases {
		p.Expectations.Bases = BasesOf(newest)
		p.Expectations.Sort()
	}
	return p
}

// BasesOf returns the bases that metadata gives by role.
func BasesOf(newest map[string]*tuf.Metadata) (bases []Base) {
	for role, m := range newest {
		bases = append(bases, Base{Role: role, Version: m.Version, Payload: m.PayloadDigest})
	}
	slices.SortFunc(bases, func(a, b Base) int { return compareRoles(a.Role, b.Role) })
	return bases
}

// releases returns the files of a history that are releases.
func (p *Proposal) releases(history []Released) (releases []Released) {
	newest := map[string]*tuf.Metadata{}
	for _, r := range history {
		before := newest[r.Role]
		switch {
		case r.Metadata == nil || r.Metadata.Type != tuf.TypeOf(r.Role),
			before != nil && r.Metadata.Version <= before.Version,
			!signed(r, newest):
			p.Skipped++
			continue
		}
		if p.Repository.IsZero() {
			p.Repository = r.Metadata.PayloadDigest // only a root is signed at first
		}
		newest[r.Role] = r.Metadata
		releases = append(releases, r)
	}
	return releases
}

// signed reports whether the keys of its role have signed a file.
func signed(r Released, newest map[string]*tuf.Metadata) bool {
	root := newest[tuf.RoleRoot]
	switch {
	case r.Role == tuf.RoleRoot:
		return r.Metadata.Meets(r.Metadata.Root.KeySet(tuf.RoleRoot)) == nil &&
			(root == nil || r.Metadata.Meets(root.Root.KeySet(tuf.RoleRoot)) == nil)
	case root == nil:
		return false
	case tuf.IsTopLevel(r.Role):
		return r.Metadata.Meets(root.Root.KeySet(r.Role)) == nil
	}
	for _, m := range newest {
		if m.Targets == nil || m.Targets.Delegations == nil {
			continue
		}
		if _, keys, ok := m.Targets.Delegations.Find(r.Role); ok && r.Metadata.Meets(keys) == nil {
			return true
		}
	}
	return false
}

// roleGroup is roles that one release line is about.
type roleGroup struct {
	line    string // the role, or a pattern
	roles   map[string]bool
	gap     bool
	follow  bool     // a release followed another
	added   []string // paths that were added
	changed []string // paths of which the file changed
	removed []string
}

// group gathers what the releases of each role did, in one group for roles that are named
// alike and are many.
func group(releases []Released) []*roleGroup {
	alike := map[string][]string{} // roles by the shape of their names
	newest := map[string]*tuf.Metadata{}
	for _, r := range releases {
		if newest[r.Role] == nil {
			alike[shape(r.Role)] = append(alike[shape(r.Role)], r.Role)
		}
		newest[r.Role] = r.Metadata
	}
	var groups []*roleGroup
	of := map[string]*roleGroup{}
	for _, r := range releases {
		if of[r.Role] != nil {
			continue
		}
		g := &roleGroup{line: r.Role, roles: map[string]bool{}}
		if s := shape(r.Role); len(alike[s]) > maxNames && !tuf.IsTopLevel(r.Role) {
			g.line = s
			for _, role := range alike[s] {
				g.roles[role], of[role] = true, g
			}
		}
		g.roles[r.Role], of[r.Role] = true, g
		groups = append(groups, g)
	}
	clear(newest)
	for _, r := range releases {
		if before := newest[r.Role]; before != nil {
			of[r.Role].add(before, r.Metadata)
		}
		newest[r.Role] = r.Metadata
	}
	return groups
}

// add notes what a release did.
func (g *roleGroup) add(before, m *tuf.Metadata) {
	g.follow = true
	g.gap = g.gap || m.Version != before.Version+1
	if m.Targets == nil {
		return
	}
	for path, file := range m.Targets.Files() {
		if was, ok := before.Targets.File(path); !ok {
			g.added = append(g.added, path)
		} else if !same(was, file) {
			g.changed = append(g.changed, path)
		}
	}
	for path := range before.Targets.Paths() {
		if _, ok := m.Targets.File(path); !ok {
			g.removed = append(g.removed, path)
		}
	}
}

// propose returns the line for a group.
func (g *roleGroup) propose() Release {
	r := Release{Role: g.line, Versions: NextVersion}
	if g.gap {
		r.Versions = AnyVersion
	}
	r.Paths = patterns(g.changed, g.added)
	free := tuf.DelegatedRole{Paths: r.Paths}
	r.Removed = patterns(slices.DeleteFunc(slices.Clone(g.removed), free.Covers), nil)
	for len(r.Paths)+len(r.Removed) > MaxPatterns {
		// Folders by the thousand: whatever has as many slashes.
		r.Paths, r.Removed = everywhere(r.Paths), everywhere(r.Removed)
	}
	return r
}

// patterns returns patterns for paths whose files changed, which keep their names, and for
// paths that were added, which are named by their shapes: others will be.
func patterns(changed, added []string) []string {
	list := sorted(slices.Clone(changed))
	for _, path := range sorted(slices.Clone(added)) {
		list = append(list, shape(path))
	}
	list = sorted(list)
	folders := map[string][]string{}
	for _, p := range list {
		dir := p[:strings.LastIndexByte(p, '/')+1]
		folders[dir] = append(folders[dir], p)
	}
	var all []string
	for dir, in := range folders {
		if len(in) > maxNames {
			in = []string{dir + "*" + commonEnd(in)}
		}
		all = append(all, in...)
	}
	return uncovered(all)
}

// uncovered returns the patterns that no other of the list includes.
func uncovered(list []string) []string {
	list = sorted(list)
	if len(list) > 4*MaxPatterns {
		return list
	}
	var left []string
	for i, p := range list {
		others := tuf.DelegatedRole{Paths: slices.Delete(slices.Clone(list), i, i+1)}
		// A pattern matches its own text, in which a star is then any character; none has
		// a question mark that could stand for another's star, but from a path.
		if strings.ContainsAny(p, "?") || !others.Covers(p) {
			left = append(left, p)
		}
	}
	return left
}

// everywhere returns for each number of slashes one pattern.
func everywhere(list []string) []string {
	var all []string
	for _, p := range list {
		all = append(all, strings.Repeat("*/", strings.Count(p, "/"))+"*")
	}
	return sorted(all)
}

// commonEnd returns the extension that all names have.
func commonEnd(names []string) string {
	end := ""
	for i, name := range names {
		dot := strings.LastIndexByte(name, '.')
		if dot < strings.LastIndexByte(name, '/') || strings.Contains(name[dot+1:], "*") || dot < 0 || i > 0 && name[dot:] != end {
			return ""
		}
		end = name[dot:]
	}
	return end
}

// shape replaces what differs from release to release in a name by stars: numbers, and
// hexadecimal digits that are at least eight and have a number among them.
func shape(name string) string {
	var b strings.Builder
	hex := func(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' }
	for i := 0; i < len(name); {
		n := i
		for n < len(name) && hex(name[n]) {
			n++
		}
		if run := name[i:n]; n-i < 8 || !strings.ContainsAny(run, "0123456789") {
			for n = i; n < len(name) && '0' <= name[n] && name[n] <= '9'; {
				n++
			}
		}
		if n > i {
			b.WriteByte('*')
			i = n
			continue
		}
		b.WriteByte(name[i])
		i++
	}
	s := b.String()
	for strings.Contains(s, "**") {
		s = strings.ReplaceAll(s, "**", "*")
	}
	// Versions have more or fewer parts: 1.2 and 1.2.3.
	for _, join := range []string{"*.*", "*-*", "*_*"} {
		for strings.Contains(s, join) {
			s = strings.ReplaceAll(s, join, "*")
		}
	}
	return s
}

// rehearse judges the history by the proposal, without bases.
func (p *Proposal) rehearse(releases []Released, groups []*roleGroup) {
	newest := map[string]*tuf.Metadata{}
	did := map[string]*RoleHistory{}
	order := []string{}
	lineOf := map[string]string{}
	for _, g := range groups {
		r := p.Expectations.Releases[slices.IndexFunc(p.Expectations.Releases, func(r Release) bool { return r.Role == g.line })]
		did[g.line] = &RoleHistory{Role: g.line, Roles: len(g.roles), Versions: r.Versions.String(), Paths: r.Paths, Removed: r.Removed}
		order = append(order, g.line)
		for role := range g.roles {
			lineOf[role] = g.line
		}
	}
	for _, r := range releases {
		before := newest[r.Role]
		newest[r.Role] = r.Metadata
		if before == nil {
			continue
		}
		h := did[lineOf[r.Role]]
		h.Releases++
		p.Releases++
		l := leaf.Leaf{Kind: leaf.Release, Repository: p.Repository, Role: r.Role, Version: r.Metadata.Version, Payload: r.Metadata.PayloadDigest}
		if again := (&Release{}).unlike(r.Role, r.Metadata, before); again == "" {
			h.SignedAgain++
		}
		why, ok := p.Expectations.Judge(l, r.Metadata, before)
		if !ok {
			p.Outside = append(p.Outside, Outside{Role: r.Role, Version: r.Metadata.Version, Why: why})
			continue
		}
		h.Expected++
		p.Expected++
	}
	for _, line := range order {
		p.Roles = append(p.Roles, *did[line])
	}
	slices.SortFunc(p.Roles, func(a, b RoleHistory) int { return compareRoles(a.Role, b.Role) })
}

// Draft returns the proposal as a draft, with comments that say what it is made from.
func (p *Proposal) Draft() string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, "# "+format+"\n", args...) }
	if p.Releases == 0 {
		say("Proposed from a history in which no release followed another of its role: nothing was learnt.")
	} else {
		say("Proposed from a history: of %s that followed another it would have expected %d, and not %d.", plural(p.Releases, "release"), p.Expected, len(p.Outside))
	}
	for _, o := range p.Outside[:min(len(p.Outside), maxNames)] {
		say("  %s %d: %s", tuf.Word(o.Role), o.Version, o.Why)
	}
	if n := len(p.Outside) - maxNames; n > 0 {
		say("  and %d more", n)
	}
	say("Edit it: say what you know of the next releases, and take out what you do not want.")
	line := func(words ...string) { b.WriteString(strings.Join(words, " ") + "\n") }
	line("repository", p.Repository.String())
	bases := Expectations{Bases: p.Expectations.Bases}
	bases.body(line)
	for i := range p.Expectations.Releases {
		r := &p.Expectations.Releases[i]
		j := slices.IndexFunc(p.Roles, func(h RoleHistory) bool { return h.Role == r.Role })
		h := p.Roles[j]
		b.WriteByte('\n')
		who := tuf.Word(h.Role)
		if h.Roles > 1 {
			who = fmt.Sprintf("%d roles %s", h.Roles, who)
		}
		if h.Releases == 0 {
			say("%s: nothing followed the first release. This line is what most need.", who)
		} else {
			say("%s: %s that followed another, %d of them signed again without a change.", who, plural(h.Releases, "release"), h.SignedAgain)
		}
		r.lines(line)
	}
	return b.String()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
