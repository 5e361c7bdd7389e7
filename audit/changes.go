package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// This file compares a release with the one before it: of its role, with the highest
// version that was logged until then. What the release before says as well is not said
// again, and what a late release says is not in force.

// lookAtChanges records what is odd about a leaf that was applied, compared with the
// release before it.
func (a *Auditor) lookAtChanges(ctx context.Context, l *loaded) error {
	repo := a.repos[l.leaf.Repository]
	if repo == nil || l.leaf.Kind != leaf.Release {
		return nil
	}
	if repo.prior >= 0 {
		before, err := a.logged(ctx, repo.prior)
		if err != nil {
			return err
		}
		if list := otherContent(l.metadata, before, true); list.count > 0 {
			a.record(aboutLeaf(Rebound, l.index, l.leaf, "%s %d lists other content than the release of the same version at index %d for targets: %s",
				plain(l.leaf.Role), l.leaf.Version, repo.prior, list))
		}
		return nil
	}
	if !repo.newest {
		return nil
	}
	a.recent.keep(l.metadata)
	var before *tuf.Metadata
	index := int64(-1)
	if repo.before > 0 {
		index = repo.roles[l.leaf.Role].versions[repo.before].index
		var err error
		if before, err = a.logged(ctx, index); err != nil {
			return err
		}
	}
	revoked, err := repo.revokedFindings(ctx, l)
	if err != nil {
		return err
	}
	if l.metadata.Root != nil {
		chain, err := a.rootFindings(ctx, l, repo)
		if err != nil {
			return err
		}
		a.recordAll(chain)
	}
	a.recordAll(revoked)
	a.recordAll(keySpellings(l, before))
	switch m := l.metadata; {
	case m.Root != nil:
		var was *tuf.Root
		if before != nil {
			was = before.Root
		}
		a.recordAll(sharedTopLevel(l, was))
		if was != nil {
			for _, role := range topLevel {
				old, now := was.KeySet(role), m.Root.KeySet(role)
				repo.past.change(l, role, old, now)
				if role != tuf.RoleRoot && role != tuf.RoleTargets && old.Fingerprint() != now.Fingerprint() {
					repo.rekeyed = l.index
				}
			}
		}
	case m.Targets != nil:
		a.recordAll(repo.delegationFindings(l, before, index))
		a.recordAll(targetFindings(l, before, index))
	default:
		a.recordAll(repo.listedBack(l, before, index))
	}
	return nil
}

func (a *Auditor) recordAll(found []Finding) {
	for _, f := range found {
		a.record(f)
	}
}

// after words with what a release is compared.
func after(before *tuf.Metadata, index int64) string {
	if before == nil {
		return "it is the first release"
	}
	return fmt.Sprintf("unlike version %d at index %d", before.Version, index)
}

// delegationFindings says what a release changes about its delegations, besides who may
// sign and how many of them must.
func (r *repository) delegationFindings(l *loaded, before *tuf.Metadata, index int64) (found []Finding) {
	now := l.metadata.Targets.Delegations
	add := func(kind Kind, format string, args ...any) {
		found = append(found, aboutLeaf(kind, l.index, l.leaf, "%s %d %s (%s)", plain(l.leaf.Role), l.leaf.Version, fmt.Sprintf(format, args...), after(before, index)))
	}
	var was *tuf.Delegations
	if before != nil && before.Targets != nil {
		text, _ := member(string(l.metadata.Payload), "delegations")
		if other, _ := member(string(before.Payload), "delegations"); other == text {
			return nil
		}
		was = before.Targets.Delegations
		changes, err := explain.Diff(l.leaf.Role, before, l.metadata)
		if err != nil {
			return nil
		}
		for _, c := range changes.Changes {
			switch c.Kind {
			case explain.DelegationWidened:
				add(DelegationWidened, "trusts %s for more paths: %s", plain(c.Name), plain(c.After))
			case explain.DelegationTerminating:
				how := "no longer ends"
				if c.After == "true" {
					how = "ends"
				}
				add(TerminatingChanged, "changes who answers for the paths of %s: a search that enters it %s there", plain(c.Name), how)
			case explain.DelegationOrder:
				add(DelegationOrder, "asks its delegated roles in another order: %s, before %s", plain(c.After), plain(c.Before))
			}
		}
		old := map[string]tuf.KeySet{}
		for _, role := range rolesOf(before) {
			old[role.name] = role.keys
		}
		for _, role := range rolesOf(l.metadata) {
			if keys, ok := old[role.name]; ok {
				r.past.change(l, role.name, keys, role.keys)
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

// targetFindings says what is odd about the targets that a release lists, and the one
// before it does not list so.
func targetFindings(l *loaded, before *tuf.Metadata, index int64) (found []Finding) {
	var was *tuf.Targets
	if before != nil && before.Targets != nil {
		was = before.Targets
	}
	lists := map[Kind]*listOf{}
	add := func(kind Kind, format string, args ...any) {
		if lists[kind] == nil {
			lists[kind] = &listOf{}
		}
		lists[kind].add(format, args...)
	}
	for path, is := range l.metadata.Targets.Files() {
		var old tuf.TargetFile
		known := false
		if was != nil {
			old, known = was.File(path)
		}
		if is.Length < 0 && (!known || old.Length >= 0) {
			add(NoLength, "%s", plain(path))
		}
		if !known {
			if why := outside(path); why != "" {
				add(OddName, "target %s (%s)", plain(path), why)
			}
			if why := singles(path); why != "" {
				add(SingledOut, "%s (%s)", plain(path), why)
			}
		}
		if len(is.Custom) > 0 && (!known || string(old.Custom) != string(is.Custom)) {
			if field := singlingField(is.Custom); field != "" && (!known || singlingField(old.Custom) == "") {
				add(SingledOut, "%s (its custom data has %s)", plain(path), plain(field))
			}
		}
	}
	if d := l.metadata.Targets.Delegations; d != nil {
		for _, role := range d.Roles {
			if before != nil && before.Targets != nil {
				if _, _, ok := before.Targets.Delegations.Find(role.Name); ok {
					continue
				}
			}
			if why := outside(role.Name); why != "" {
				add(OddName, "role %s (%s)", plain(role.Name), why)
			}
		}
	}
	for _, kind := range []Kind{NoLength, OddName, SingledOut} {
		if list := lists[kind]; list != nil {
			found = append(found, aboutLeaf(kind, l.index, l.leaf, "%s %d %s: %s (%s)", plain(l.leaf.Role), l.leaf.Version, says[kind], list, after(before, index)))
		}
	}
	if list := otherContent(l.metadata, before, false); list.count > 0 {
		found = append(found, aboutLeaf(Rebound, l.index, l.leaf, "%s %d lists other content for targets whose own version is the same: %s (%s)",
			plain(l.leaf.Role), l.leaf.Version, list, after(before, index)))
	}
	return found
}

// says is what a release does of which targetFindings lists the cases.
var says = map[Kind]string{
	NoLength:   "lists targets without their length",
	OddName:    "has names that lead out of a folder",
	SingledOut: "lists targets that name a device, a customer or a group of them",
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
// Where the versions differ it lists those that carry a version of their own, which is the
// same: in the path, or as the custom field version.
func otherContent(now, before *tuf.Metadata, oneVersion bool) *listOf {
	list := &listOf{}
	if now.Targets == nil || before == nil || before.Targets == nil {
		return list
	}
	for path, is := range now.Targets.Files() {
		if !oneVersion && !versioned(path) && len(is.Custom) == 0 {
			continue
		}
		was, ok := before.Targets.File(path)
		if !ok || !explain.OtherContent(was, is) {
			continue
		}
		if v := customVersion(is.Custom); oneVersion || versioned(path) || v != "" && v == customVersion(was.Custom) {
			list.add("%s", plain(path))
		}
	}
	return list
}

// listedBack says which files a snapshot or a timestamp lists in an older version than the
// one before it, or no longer. Clients refuse that.
func (r *repository) listedBack(l *loaded, before *tuf.Metadata, index int64) []Finding {
	files := func(m *tuf.Metadata) *tuf.Meta {
		if m.Snapshot != nil {
			return m.Snapshot
		}
		return m.Timestamp
	}
	if before == nil || r.rekeyed > index {
		return nil
	}
	back, gone := &listOf{}, &listOf{}
	now := files(l.metadata)
	for name, was := range files(before).Files() {
		switch is, ok := now.File(name); {
		case !ok:
			gone.add("%s", plain(name))
		case is.Version < was.Version:
			back.add("%s %d after %d", plain(name), is.Version, was.Version)
		}
	}
	var found []Finding
	say := func(what string, list *listOf) {
		if list.count > 0 {
			found = append(found, aboutLeaf(ListedBack, l.index, l.leaf, "%s %d %s: %s (%s), which clients refuse", l.leaf.Role, l.leaf.Version, what, list, after(before, index)))
		}
	}
	say("lists older versions", back)
	say("no longer lists files", gone)
	return found
}
