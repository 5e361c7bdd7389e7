package explain

import (
	"fmt"

	"github.com/tuflog/tuflog/tuf"
)

// First returns what the first metadata file of a role says, as changes against nothing. The
// error wraps ErrMetadata if it is not of the role's type.
func First(role string, m *tuf.Metadata) (*Changes, error) {
	if m == nil || m.Type != tuf.TypeOf(role) {
		return nil, fmt.Errorf("%w: want a file of %s", ErrMetadata, tuf.Word(role))
	}
	c := &Changes{Role: role, To: m.Version, Changes: []Change{}, keyName: keyNames(listedKeys(m)), first: true}
	switch {
	case m.Root != nil:
		for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
			c.keys(role, tuf.KeySet{}, m.Root.KeySet(role))
		}
	case m.Targets != nil:
		c.delegations(nil, m.Targets.Delegations)
		c.targets(&tuf.Targets{}, m.Targets)
	case m.Snapshot != nil:
		c.files(&tuf.Meta{}, m.Snapshot)
	default:
		c.files(&tuf.Meta{}, m.Timestamp)
	}
	c.list()
	return c, nil
}

// Diff compares two metadata files of a role. The error wraps ErrMetadata if one of them is
// not of the role's type. Their signatures are not looked at.
func Diff(role string, before, after *tuf.Metadata) (*Changes, error) {
	for _, m := range []*tuf.Metadata{before, after} {
		if m == nil || m.Type != tuf.TypeOf(role) {
			return nil, fmt.Errorf("%w: want two files of %s", ErrMetadata, tuf.Word(role))
		}
	}
	c := &Changes{Role: role, From: before.Version, To: after.Version, Changes: []Change{}}
	if before.PayloadDigest == after.PayloadDigest {
		return c, nil
	}
	c.keyName = keyNames(append(listedKeys(before), listedKeys(after)...))
	switch {
	case before.Root != nil:
		c.root(before.Root, after.Root)
	case before.Targets != nil:
		c.delegations(before.Targets.Delegations, after.Targets.Delegations)
		c.targets(before.Targets, after.Targets)
	case before.Snapshot != nil:
		c.files(before.Snapshot, after.Snapshot)
	default:
		c.files(before.Timestamp, after.Timestamp)
	}
	c.header(before, after)
	c.list()
	return c, nil
}

// header compares what all metadata has.
func (c *Changes) header(before, after *tuf.Metadata) {
	if before.SpecVersion != after.SpecVersion {
		c.add(Change{Kind: SpecVersion, Before: before.SpecVersion, After: after.SpecVersion},
			"It follows version %s of the specification, before %s.", tuf.Word(after.SpecVersion), tuf.Word(before.SpecVersion))
	}
	if before.Expiry() != after.Expiry() {
		const form = "2006-01-02T15:04:05Z07:00"
		change := Change{Kind: ExpiryChanged, Before: before.Expires.UTC().Format(form), After: after.Expires.UTC().Format(form)}
		c.add(change, "It expires at %s, %s than before (%s).", change.After, moved(before.Expires, after.Expires), change.Before)
	}
	if len(c.found) == 0 && len(c.Limits) == 0 && !sameButVersion(before, after) {
		c.add(Change{Kind: OtherChange}, "It says the same in other words, or differs in fields that TUF does not define.")
	}
	if after.Version <= before.Version {
		c.add(Change{Kind: VersionBack, Before: fmt.Sprint(before.Version), After: fmt.Sprint(after.Version)},
			"Its version is %d, not above %d, and its content is another.", after.Version, before.Version)
	}
}

// DiffRepositories compares all files of two complete sets of metadata: those that differ,
// in the order root, targets, delegated roles, snapshot, timestamp.
func DiffRepositories(before, after Repository) ([]*Changes, error) {
	for _, repo := range []Repository{before, after} {
		if err := repo.check(); err != nil {
			return nil, err
		}
	}
	old, current := map[string]*tuf.Metadata{}, map[string]*tuf.Metadata{}
	union := Repository{Root: after.Root, Delegated: map[string]*tuf.Metadata{}}
	for role, m := range before.files() {
		old[role] = m
		union.Put(role, m)
	}
	for role, m := range after.files() {
		current[role] = m
		union.Put(role, m)
	}
	all := []*Changes{}
	for role := range union.files() {
		was, is := old[role], current[role]
		switch {
		case is == nil:
			c := &Changes{Role: role, From: was.Version}
			c.add(Change{Kind: MetadataRemoved, Role: role}, "There is no metadata of %s any more; version %d was the last.", tuf.Word(role), was.Version)
			c.list()
			all = append(all, c)
		case was == nil:
			c := &Changes{Role: role, To: is.Version}
			c.add(Change{Kind: MetadataAdded, Role: role}, "There is metadata of %s for the first time: version %d%s.", tuf.Word(role), is.Version, contents(is))
			c.list()
			all = append(all, c)
		case was.FileDigest != is.FileDigest:
			c, err := Diff(role, was, is)
			if err != nil {
				return nil, err
			}
			all = append(all, c)
		}
	}
	return all, nil
}

// contents says how much a file of targets lists.
func contents(m *tuf.Metadata) string {
	if m.Targets == nil {
		return ""
	}
	text := " with " + count(m.Targets.Len(), "target")
	if d := m.Targets.Delegations; d != nil {
		n := len(d.Roles)
		if d.Succinct != nil {
			n = 1 << d.Succinct.BitLength
		}
		text += " and " + count(n, "delegation")
	}
	return text
}
