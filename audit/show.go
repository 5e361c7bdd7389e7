package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Row is one leaf of a repository's history.
type Row struct {
	Index       int64        `json:"index"`
	Kind        leaf.Kind    `json:"kind"`
	Role        string       `json:"role"`
	Version     int64        `json:"version"`
	Payload     tuf.Digest   `json:"payload"`
	Expires     int64        `json:"expires"`   // POSIX seconds
	Signers     int          `json:"signers"`   // distinct keys of the role that signed
	SignedBy    []string     `json:"signed_by"` // their ids; of a key that has several the first
	Threshold   int          `json:"threshold"` // how many must; of a root, by itself
	Contradicts *int64       `json:"contradicts,omitempty"`
	Against     *int64       `json:"against,omitempty"` // index of the leaf that the changes are counted against
	Files       *Changes     `json:"files,omitempty"`   // targets, or the files that a snapshot or timestamp lists
	Delegations *Changes     `json:"delegations,omitempty"`
	Keys        []RoleChange `json:"keys,omitempty"` // of a root: the roles whose keys or threshold changed
}

// Changes counts the differences from the release before.
type Changes struct {
	Total   int `json:"total"`
	Added   int `json:"added"`
	Removed int `json:"removed"`
	Changed int `json:"changed"`
	// Names are the first names that differ, sorted, each after a sign: + added, -
	// removed, ~ changed.
	Names []string `json:"names,omitempty"`
}

// RoleChange is a root's change to the keys of a role.
type RoleChange struct {
	Role      string   `json:"role"`
	Added     []string `json:"added,omitempty"`   // identities of keys, in hex
	Removed   []string `json:"removed,omitempty"` // likewise
	Threshold int      `json:"threshold"`
	Before    int      `json:"before"` // threshold before; 0: no root before
}

// History is a repository's releases over time.
type History struct {
	Repository tuf.Digest `json:"repository"`
	Rows       []Row      `json:"rows"`

	last    map[string]map[int64]leafAt // by role and version, the last release
	highest map[string]leafAt           // by role
}

type leafAt struct {
	index int64
	leaf  leaf.Leaf
}

// Show collects the histories of the repositories whose id begins with a prefix.
// Its Observe is for Config.Observe.
type Show struct {
	prefix    string
	histories map[tuf.Digest]*History
}

// NewShow prepares the histories of every repository whose id begins with prefix,
// which is in lower-case hex.
func NewShow(prefix string) *Show {
	return &Show{prefix: prefix, histories: map[tuf.Digest]*History{}}
}

// Histories returns the collected histories, sorted by repository.
func (s *Show) Histories() []*History {
	return slices.SortedFunc(maps.Values(s.histories), func(a, b *History) int {
		return cmp.Compare(a.Repository.String(), b.Repository.String())
	})
}

// Observe adds a leaf to its history.
func (s *Show) Observe(ctx context.Context, o *Observation) error {
	if !strings.HasPrefix(o.Leaf.Repository.String(), s.prefix) {
		return nil
	}
	h := s.histories[o.Leaf.Repository]
	if h == nil {
		h = &History{Repository: o.Leaf.Repository, last: map[string]map[int64]leafAt{}, highest: map[string]leafAt{}}
		s.histories[o.Leaf.Repository] = h
	}
	row := Row{
		Index: o.Index, Kind: o.Leaf.Kind, Role: o.Leaf.Role, Version: o.Leaf.Version, Payload: o.Leaf.Payload,
		Expires: o.Metadata.Expires.Unix(), SignedBy: []string{}, Threshold: o.Keys.Threshold(),
	}
	for _, signer := range o.Metadata.Signers(o.Keys) {
		row.SignedBy = append(row.SignedBy, o.Keys.IDs(signer)[0])
	}
	row.Signers = len(row.SignedBy)
	if o.Leaf.Kind == leaf.Evidence {
		row.Contradicts = &o.Leaf.Contradicts
	}
	var before *tuf.Metadata
	if at, ok := h.before(o.Leaf); ok {
		var bad *badBlob
		m, err := o.File(ctx, at.leaf)
		switch {
		case err == nil:
			before, row.Against = m, &at.index
		case errors.As(err, &bad): // it was there before; without it there is nothing to compare with
		default:
			return fmt.Errorf("compare leaf %d with leaf %d: %w", o.Index, at.index, err)
		}
	}
	row.compare(before, o.Metadata)
	h.Rows = append(h.Rows, row)
	if o.Leaf.Kind == leaf.Release {
		if h.last[o.Leaf.Role] == nil {
			h.last[o.Leaf.Role] = map[int64]leafAt{}
		}
		h.last[o.Leaf.Role][o.Leaf.Version] = leafAt{o.Index, o.Leaf}
		if o.Leaf.Version >= h.highest[o.Leaf.Role].leaf.Version {
			h.highest[o.Leaf.Role] = leafAt{o.Index, o.Leaf}
		}
	}
	return nil
}

// before returns the release that a leaf is compared with: for evidence the one
// that it contradicts, for a version released again the earlier one, otherwise
// the highest below it.
func (h *History) before(leaf leaf.Leaf) (leafAt, bool) {
	best, found := h.highest[leaf.Role]
	if best.leaf.Version <= leaf.Version {
		return best, found
	}
	best, found = leafAt{}, false
	for version, at := range h.last[leaf.Role] {
		if version <= leaf.Version && (!found || version > best.leaf.Version) {
			best, found = at, true
		}
	}
	return best, found
}

func (r *Row) compare(before, now *tuf.Metadata) {
	switch {
	case now.Root != nil:
		r.Keys = rootChanges(before, now)
	case now.Targets != nil:
		var old *tuf.Targets
		if before != nil {
			old = before.Targets
		}
		r.compareTargets(old, now.Targets)
	default:
		was := map[string]tuf.MetaFile{}
		if before != nil {
			was = listed(before)
		}
		r.Files = count(was, listed(now), func(a, b tuf.MetaFile) bool {
			return a.Version == b.Version && a.Length == b.Length && maps.Equal(a.Hashes, b.Hashes)
		})
	}
}

func listed(m *tuf.Metadata) map[string]tuf.MetaFile {
	if m.Snapshot != nil {
		return maps.Collect(m.Snapshot.Files())
	}
	if m.Timestamp != nil {
		return maps.Collect(m.Timestamp.Files())
	}
	return nil
}

func (r *Row) compareTargets(before, now *tuf.Targets) {
	if before == nil {
		before = &tuf.Targets{}
	}
	r.Files = count(maps.Collect(before.Files()), maps.Collect(now.Files()), func(a, b tuf.TargetFile) bool {
		return a.Length == b.Length && maps.Equal(a.Hashes, b.Hashes) && string(a.Custom) == string(b.Custom)
	})
	if before.Delegations == nil && now.Delegations == nil {
		return
	}
	// A delegation is what it prints as: names, keys, threshold and paths.
	r.Delegations = count(delegated(before.Delegations), delegated(now.Delegations), func(a, b string) bool { return a == b })
}

func delegated(d *tuf.Delegations) map[string]string {
	byName := map[string]string{}
	if d == nil {
		return byName
	}
	keys := func(role tuf.Role) string {
		return fmt.Sprint(role.Threshold, tuf.NewKeySet(d.Keys, role).Identities())
	}
	for _, role := range d.Roles {
		byName[role.Name] = fmt.Sprintf("%s %q %q %v", keys(role.Role), role.Paths, role.PathHashPrefixes, role.Terminating)
	}
	if d.Succinct != nil {
		byName[d.Succinct.NamePrefix+"-*"] = fmt.Sprint(keys(d.Succinct.Role), d.Succinct.BitLength)
	}
	return byName
}

func count[V any](before, now map[string]V, same func(a, b V) bool) *Changes {
	c := &Changes{Total: len(now)}
	var names []string // sign behind name, so that they sort by name
	for name, v := range now {
		old, ok := before[name]
		switch {
		case !ok:
			c.Added++
			names = append(names, name+"+")
		case !same(old, v):
			c.Changed++
			names = append(names, name+"~")
		}
	}
	for name := range before {
		if _, ok := now[name]; !ok {
			c.Removed++
			names = append(names, name+"-")
		}
	}
	slices.Sort(names)
	for _, name := range names[:min(len(names), maxListed)] {
		sign := len(name) - 1
		c.Names = append(c.Names, name[sign:]+name[:sign])
	}
	return c
}

// rootChanges lists the roles whose keys or threshold a root changes.
func rootChanges(before, now *tuf.Metadata) []RoleChange {
	var changes []RoleChange
	for _, role := range slices.SortedFunc(maps.Keys(now.Root.Roles), compareRoles) {
		change := RoleChange{Role: role, Threshold: now.Root.Roles[role].Threshold}
		is := now.Root.KeySet(role).Identities()
		var was []tuf.KeyIdentity
		if before != nil {
			change.Before = before.Root.Roles[role].Threshold
			was = before.Root.KeySet(role).Identities()
		}
		for _, id := range is {
			if !slices.Contains(was, id) {
				change.Added = append(change.Added, id.String())
			}
		}
		for _, id := range was {
			if !slices.Contains(is, id) {
				change.Removed = append(change.Removed, id.String())
			}
		}
		if len(change.Added)+len(change.Removed) > 0 || change.Threshold != change.Before {
			changes = append(changes, change)
		}
	}
	return changes
}
