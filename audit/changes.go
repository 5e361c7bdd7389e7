package audit

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// This file compares a release with the one before it: of its role, with the highest
// version that was logged until then. What the release before says as well is not said
// again, and what a late release says is not in force.

// comparison is a release, and the one before it.
type comparison struct {
	l           *loaded
	now, before *parts // before is nil: it is the first release of its role
	index       int64  // of the release before
}

// lookAtChanges records what is odd about a leaf that was applied, compared with the
// release before it.
func (a *Auditor) lookAtChanges(ctx context.Context, l *loaded) error {
	repo, err := a.repository(ctx, l.leaf.Repository)
	if err != nil {
		return err
	}
	if repo == nil || l.leaf.Kind != leaf.Release {
		return nil
	}
	if repo.prior >= 0 {
		before, err := a.logged(ctx, repo.prior)
		if err != nil {
			return err
		}
		if list := otherContent(l.parts, before); list.count > 0 {
			a.record(aboutLeaf(Rebound, l.index, l.leaf, "%s %d lists other content than the release of the same version at index %d for targets: %s",
				tuf.Word(l.leaf.Role), l.leaf.Version, repo.prior, list))
		}
		return nil
	}
	if !repo.newest {
		return nil
	}
	c := comparison{l: l, now: l.parts, index: -1}
	if repo.before > 0 {
		c.index = repo.roles[l.leaf.Role].versions[repo.before].index
		var err error
		if c.before, err = a.logged(ctx, c.index); err != nil {
			return err
		}
	}
	a.keepRecent(l, c.now)
	found, err := repo.revokedFindings(ctx, l)
	if err != nil {
		return err
	}
	switch m := l.metadata; {
	case m.Root != nil:
		chain, err := a.rootFindings(ctx, l, repo)
		if err != nil {
			return err
		}
		found = slices.Concat(chain, found, c.keySpellings(), c.sharedTopLevel())
		repo.noteRoot(c)
	case m.Targets != nil:
		found = slices.Concat(found, c.keySpellings(), repo.delegationFindings(c), c.targetFindings())
	default:
		found = append(found, repo.listedBack(c)...)
	}
	for _, f := range found {
		a.record(f)
	}
	return nil
}

// noteRoot notes which keys a root removed.
func (r *repository) noteRoot(c comparison) {
	if c.before == nil {
		return
	}
	for _, role := range topLevel {
		was, is := c.before.Root.KeySet(role), c.now.Root.KeySet(role)
		r.removes(c.l, role, was, is)
		if role != tuf.RoleRoot && role != tuf.RoleTargets && was.Fingerprint() != is.Fingerprint() {
			r.rekeyed = c.l.index
			r.fact("rekeyed", r.rekeyed)
		}
	}
}

// find words a finding about the release. It says with what that is compared.
func (c comparison) find(kind Kind, format string, args ...any) Finding {
	against := "it is the first release"
	if c.before != nil {
		against = fmt.Sprintf("unlike version %d at index %d", c.before.Version, c.index)
	}
	return aboutLeaf(kind, c.l.index, c.l.leaf, "%s %d %s (%s)", tuf.Word(c.l.leaf.Role), c.l.leaf.Version, fmt.Sprintf(format, args...), against)
}

// delegationFindings says what a release changes about its delegations, besides who may
// sign and how many of them must.
func (r *repository) delegationFindings(c comparison) (found []Finding) {
	now := c.now.Targets.Delegations
	if now == nil {
		return nil
	}
	add := func(kind Kind, format string, args ...any) {
		found = append(found, c.find(kind, format, args...))
	}
	var was *tuf.Delegations
	if c.before != nil {
		if was = c.before.Targets.Delegations; bytes.Equal(c.before.delegations, c.now.delegations) {
			return nil
		}
		changes, err := explain.Diff(c.l.leaf.Role, c.before.Metadata, c.now.Metadata)
		if err != nil {
			return nil // two files of one role are of one type
		}
		for _, change := range changes.Changes {
			switch change.Kind {
			case explain.DelegationWidened:
				add(DelegationWidened, "trusts %s for more paths: %s", tuf.Word(change.Name), tuf.Word(change.After))
			case explain.DelegationTerminating:
				how := "no longer ends"
				if change.After == "true" {
					how = "ends"
				}
				add(TerminatingChanged, "changes who answers for the paths of %s: a search that enters it %s there", tuf.Word(change.Name), how)
			case explain.DelegationOrder:
				add(DelegationOrder, "asks its delegated roles in another order: %s, before %s", tuf.Word(change.After), tuf.Word(change.Before))
			}
		}
		old := map[string]tuf.KeySet{}
		for _, role := range rolesOf(c.before.Metadata) {
			old[role.name] = role.keys
		}
		for _, role := range rolesOf(c.now.Metadata) {
			if keys, ok := old[role.name]; ok {
				r.removes(c.l, role.name, keys, role.keys)
			}
		}
	}
	shadowed, _ := explain.Shadowed(now)
	known, _ := explain.Shadowed(was)
	shadowed = slices.DeleteFunc(shadowed, func(role string) bool { return slices.Contains(known, role) })
	if len(shadowed) > 0 {
		add(DelegationShadowed, "delegates to roles that no search reaches, because terminating delegations before them take all their paths: %s", some(shadowed, len(shadowed)))
	}
	return found
}

// listed is a target that a release lists and the one before it does not, or not so.
type listed struct {
	path    string
	is, was said // was is nil: the one before does not list the path
}

// said is what a release says of a target, in canonical JSON. Little of it is asked for.
type said []byte

func (s said) target() tuf.TargetFile { return tuf.ReadTarget(s) }

// has reports whether a member is said.
func (s said) has(name string) bool {
	_, ok := member(s, name)
	return ok
}

func (s said) custom() []byte {
	custom, _ := member(s, "custom")
	return custom
}

// newlyListed yields what a file lists that an earlier one does not list in the very same
// words. Most of a file is as it was, so texts are compared before anything is read.
func newlyListed(now, before *parts) iter.Seq[listed] {
	return func(yield func(listed) bool) {
		var old []byte
		if before != nil {
			old = before.targets
		}
		if bytes.Equal(now.targets, old) {
			return
		}
		// Both are sorted: in what is left of the old text no name comes before the last
		// one of the new text.
		left := newMembers(old)
		for is := newMembers(now.targets); is.ok; is.next() {
			for left.ok && spelledBefore(left.name, is.name) {
				left.next()
			}
			known := left.ok && bytes.Equal(left.name, is.name)
			if known && bytes.Equal(left.value, is.value) {
				if bytes.Equal(left.rest, is.rest) {
					return // nothing that follows is new
				}
				continue
			}
			path, ok := unspelled(is.name)
			if !ok {
				continue
			}
			l := listed{path: string(path), is: is.value}
			if known {
				l.was = left.value
			}
			if !yield(l) {
				return
			}
		}
	}
}

// spelledBefore reports whether one name of canonical JSON comes before another.
func spelledBefore(a, b []byte) bool {
	if bytes.IndexByte(a, '\\') >= 0 || bytes.IndexByte(b, '\\') >= 0 {
		a, _ = unspelled(a)
		b, _ = unspelled(b)
	}
	return bytes.Compare(a, b) < 0
}

// unspelled returns the name that canonical JSON spells so between quotes.
func unspelled(name []byte) ([]byte, bool) {
	if bytes.IndexByte(name, '\\') < 0 {
		return name, true
	}
	var b []byte
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' {
			if i++; i == len(name) {
				return nil, false
			}
		}
		b = append(b, name[i])
	}
	return b, true
}

// targetFindings says what is odd about the targets that a release lists, and the one
// before it does not list so.
func (c comparison) targetFindings() (found []Finding) {
	lists := map[Kind]*listOf{}
	add := func(kind Kind, format string, args ...any) {
		if lists[kind] == nil {
			lists[kind] = &listOf{}
		}
		lists[kind].add(format, args...)
	}
	marked := map[string]*listOf{} // targets and roles that name somebody, by how they do
	note := func(mark, format string, args ...any) {
		if marked[mark] == nil {
			marked[mark] = &listOf{}
		}
		marked[mark].add(format, args...)
	}
	for t := range newlyListed(c.now, c.before) {
		if !t.is.has("length") && (t.was == nil || t.was.has("length")) {
			add(NoLength, "%s", tuf.Word(t.path))
		}
		if t.was == nil {
			if why := outside(t.path); why != "" {
				add(OddName, "target %s (%s)", tuf.Word(t.path), why)
			}
		}
		for _, mark := range t.marks() {
			note(mark, "%s (%s)", tuf.Word(t.path), mark)
		}
		if t.was != nil && reboundTo(t, false) {
			add(Rebound, "%s", tuf.Word(t.path))
		}
	}
	for role := range c.newRoles() {
		if why := outside(role.Name); why != "" {
			add(OddName, "role %s (%s)", tuf.Word(role.Name), why)
		}
		for _, name := range append([]string{role.Name}, role.Paths...) {
			if mark := singles(name); mark != "" {
				note(mark, "role %s for %s (%s)", tuf.Word(role.Name), tuf.Word(name), mark)
			}
		}
	}
	c.dropHabits(marked)
	for _, mark := range slices.Sorted(maps.Keys(marked)) {
		found = append(found, c.find(SingledOut, "begins to name a device, a customer or a group of them: %s", marked[mark]))
	}
	for _, kind := range []Kind{Rebound, NoLength, OddName} {
		if list := lists[kind]; list != nil {
			found = append(found, c.find(kind, "%s: %s", says[kind], list))
		}
	}
	return found
}

// marks returns how a target says for whom it is, as far as it did not say the same before:
// that would be dropped as a habit.
func (t *listed) marks() []string {
	path, custom := t.path, t.is.custom()
	if t.was != nil {
		path = ""
		if bytes.Equal(custom, t.was.custom()) {
			custom = nil
		}
	}
	return marks(path, custom)
}

// newRoles yields the roles to which the release before does not delegate.
func (c comparison) newRoles() iter.Seq[tuf.DelegatedRole] {
	return func(yield func(tuf.DelegatedRole) bool) {
		known := map[string]bool{}
		if c.before != nil {
			if bytes.Equal(c.before.delegations, c.now.delegations) {
				return
			}
			if was := c.before.Targets.Delegations; was != nil {
				for _, role := range was.Roles {
					known[role.Name] = true
				}
			}
		}
		if c.now.Targets.Delegations == nil {
			return
		}
		for _, role := range c.now.Targets.Delegations.Roles {
			if !known[role.Name] && !yield(role) {
				return
			}
		}
	}
}

// dropHabits drops the marks that targets of the release before have: a vendor who always
// names files so does nothing new.
func (c comparison) dropHabits(marked map[string]*listOf) {
	if c.before == nil || len(marked) == 0 {
		return
	}
	for path, target := range c.before.Targets.Files() {
		for _, mark := range marks(path, target.Custom) {
			delete(marked, mark)
		}
		if len(marked) == 0 {
			return
		}
	}
	if c.before.Targets.Delegations == nil {
		return
	}
	for _, role := range c.before.Targets.Delegations.Roles {
		for _, name := range append([]string{role.Name}, role.Paths...) {
			delete(marked, singles(name))
		}
	}
}

// says is what a release does of which targetFindings lists the cases.
var says = map[Kind]string{
	Rebound:  "lists other content for targets whose own version is the same",
	NoLength: "lists targets without their length",
	OddName:  "has names that lead out of a folder",
}

// listOf is a list for a sentence, the first ones.
type listOf struct {
	shown []string
	count int
}

func (l *listOf) add(format string, args ...any) {
	if l.count++; l.count <= maxListed {
		l.shown = append(l.shown, fmt.Sprintf(format, args...))
	}
}

func (l *listOf) String() string {
	list := strings.Join(l.shown, ", ")
	if more := l.count - len(l.shown); more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// otherContent lists the targets that have other content in two files of one version.
func otherContent(now, before *parts) *listOf {
	list := &listOf{}
	if now.Targets == nil || before.Targets == nil {
		return list
	}
	for t := range newlyListed(now, before) {
		if t.was != nil && reboundTo(t, true) {
			list.add("%s", tuf.Word(t.path))
		}
	}
	return list
}

// reboundTo reports whether a target has other content under the same version: that of the
// metadata, or one of its own, in the path or as the custom field version.
func reboundTo(t listed, oneVersion bool) bool {
	if !oneVersion && !versioned(t.path) {
		if v := customVersion(t.is.custom()); len(v) == 0 || !bytes.Equal(v, customVersion(t.was.custom())) {
			return false
		}
	}
	return explain.OtherContent(t.was.target(), t.is.target())
}

// listedBack says which files a snapshot or a timestamp lists in an older version than the
// one before it, or no longer. Clients refuse that.
func (r *repository) listedBack(c comparison) (found []Finding) {
	files := func(m *parts) *tuf.Meta {
		if m.Snapshot != nil {
			return m.Snapshot
		}
		return m.Timestamp
	}
	if c.before == nil || r.rekeyed > c.index {
		return nil
	}
	back, gone := &listOf{}, &listOf{}
	now := files(c.now)
	for name, was := range files(c.before).Files() {
		switch is, ok := now.File(name); {
		case !ok:
			gone.add("%s", tuf.Word(name))
		case is.Version < was.Version:
			back.add("%s %d after %d", tuf.Word(name), is.Version, was.Version)
		}
	}
	if back.count > 0 {
		found = append(found, c.find(ListedBack, "lists older versions, which clients refuse: %s", back))
	}
	if gone.count > 0 {
		found = append(found, c.find(ListedBack, "no longer lists files, which clients refuse: %s", gone))
	}
	return found
}
