package explain

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Kind is the kind of a Change. New kinds may be added; these keep their names and meanings.
type Kind string

// The kinds of change. What Before and After are is said with each; where it is not, they are
// empty.
const (
	KeyAdded              Kind = "key-added"              // Role may now be signed by key Name
	KeyRemoved            Kind = "key-removed"            // and this one can no longer
	KeyRenamed            Kind = "key-renamed"            // the same key under other ids: the ids
	ThresholdChanged      Kind = "threshold"              // of Role: "3 of 5"
	ConsistentSnapshot    Kind = "consistent-snapshot"    // "true" or "false"
	SpecVersion           Kind = "spec-version"           //
	ExpiryChanged         Kind = "expiry"                 // RFC 3339
	OtherChange           Kind = "other"                  // nothing else: the same said otherwise, or unknown fields
	VersionBack           Kind = "version-back"           // the second file has no higher version, and another payload
	MetadataAdded         Kind = "metadata-added"         // DiffRepositories: there was no file of Role
	MetadataRemoved       Kind = "metadata-removed"       // and there is none any more
	BinsChanged           Kind = "bins"                   // hash bins: "256 bins bin-*" or ""
	DelegationRemoved     Kind = "delegation-removed"     // to role Name: Before is its paths
	DelegationWidened     Kind = "delegation-widened"     // to role Name: After is the paths added
	DelegationNarrowed    Kind = "delegation-narrowed"    // to role Name: Before is the paths removed
	DelegationTerminating Kind = "delegation-terminating" // of role Name: "true" or "false"
	DelegationOrder       Kind = "delegation-order"       // the names of the roles that both have
	DelegationAdded       Kind = "delegation-added"       // to role Name: After is its paths
	TargetRemoved         Kind = "target-removed"         // Name is its path: "12 bytes, sha256 1a2b…", with all hashes in full
	TargetChanged         Kind = "target-changed"         // length or a hash
	TargetHashes          Kind = "target-hashes"          // the same content by other algorithms
	TargetCustom          Kind = "target-custom"          // Before and After are JSON
	TargetAdded           Kind = "target-added"           //
	FileRemoved           Kind = "file-removed"           // of a snapshot or timestamp: "version 3"
	FileChanged           Kind = "file-changed"           //
	FileAdded             Kind = "file-added"             //
)

// listOrder is the order in which changes are listed: what every device depends on comes before
// what many changes can be of. Within one of the lists they are as they are found, role by
// role.
var listOrder = [][]Kind{
	{KeyAdded, KeyRemoved, KeyRenamed, ThresholdChanged},
	{ConsistentSnapshot, SpecVersion, ExpiryChanged, OtherChange, VersionBack, MetadataAdded, MetadataRemoved},
	{BinsChanged, DelegationRemoved, DelegationWidened, DelegationNarrowed, DelegationTerminating, DelegationOrder},
	{DelegationAdded},
	{TargetRemoved, TargetChanged, TargetHashes, TargetCustom, TargetAdded},
	{FileRemoved, FileChanged, FileAdded},
}

// Change is one difference between two metadata files.
type Change struct {
	Kind   Kind   `json:"kind"`
	Name   string `json:"name,omitempty"` // of a target, file, key or delegated role
	Role   string `json:"role,omitempty"` // whose keys or threshold changed
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
	Text   string `json:"text"` // a sentence
}

// Limits of Diff. What they cut off is said in the result.
const (
	MaxChanges  = 1000    // a Diff lists, and counts the others
	MinOfKind   = 32      // of one kind it lists, however many there are of others
	maxValue    = 512     // bytes of Before and After
	maxPatterns = 1 << 24 // bytes of patterns that are compared with each other
)

// Changes is the difference between two metadata files of one role.
type Changes struct {
	Role    string   `json:"role"`
	From    int64    `json:"from"` // versions; 0: there is no file
	To      int64    `json:"to"`
	Changes []Change `json:"changes"`
	// Omitted is how many changes are not listed, because there are more than MaxChanges.
	Omitted int `json:"omitted,omitempty"`
	// OmittedKinds says how many of which kind these are.
	OmittedKinds map[Kind]int `json:"omitted_kinds,omitempty"`
	// Limits says what was not compared because there was too much of it.
	Limits []string `json:"limits,omitempty"`

	keyName func(id string) string
	first   bool // there is nothing before: the sentences do not say that something is new
	found   map[Kind]int
	kept    []Change // of each kind the first MaxChanges that were found
}

// now chooses the words of a sentence for what is new.
func (c *Changes) now(first, later string) string {
	if c.first {
		return first
	}
	return later
}

// add adds a change with its sentence, or counts it.
func (c *Changes) add(change Change, format string, args ...any) {
	if c.found == nil {
		c.found = map[Kind]int{}
	}
	if c.found[change.Kind]++; c.found[change.Kind] > MaxChanges {
		return
	}
	change.Before, change.After = clip(change.Before), clip(change.After)
	change.Text = fmt.Sprintf(format, args...)
	c.kept = append(c.kept, change)
}

// list chooses the changes to list: of each kind the first MinOfKind, and then as many more as
// there is room for, in the order of the kinds. So no number of changes of one kind hides
// those of another.
func (c *Changes) list() {
	most, room := map[Kind]int{}, MaxChanges
	for kind, n := range c.found {
		most[kind] = min(n, MinOfKind)
		room -= most[kind]
	}
	for _, kinds := range listOrder {
		for _, kind := range kinds {
			more := min(c.found[kind]-most[kind], room)
			most[kind], room = most[kind]+more, room-more
			if omitted := c.found[kind] - most[kind]; omitted > 0 {
				if c.OmittedKinds == nil {
					c.OmittedKinds = map[Kind]int{}
				}
				c.OmittedKinds[kind] = omitted
				c.Omitted += omitted
			}
		}
	}
	for _, kinds := range listOrder {
		for _, change := range c.kept {
			if slices.Contains(kinds, change.Kind) && most[change.Kind] > 0 {
				most[change.Kind]--
				c.Changes = append(c.Changes, change)
			}
		}
	}
	c.found, c.kept = nil, nil
}

// omitted says how many changes of which kind are not listed.
func (c *Changes) omitted() string {
	var parts []string
	for _, kind := range slices.Concat(listOrder...) {
		if n := c.OmittedKinds[kind]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d of kind %s", n, kind))
		}
	}
	return fmt.Sprintf("And %s that are not listed: %s.", count(c.Omitted, "more change"), strings.Join(parts, ", "))
}

func clip(s string) string {
	if len(s) > maxValue {
		return s[:maxValue] + "…"
	}
	return s
}

// Sentences returns the changes in plain English: a line that names the files, then one for
// each change.
func (c *Changes) Sentences() []string {
	role := tuf.Word(c.Role)
	var head string
	switch n := len(c.Changes) + c.Omitted; {
	case c.first:
		head = fmt.Sprintf("%s %d is the first; it has:", role, c.To)
		if n == 0 {
			head = fmt.Sprintf("%s %d is the first, and empty.", role, c.To)
		}
	case c.From == 0 || c.To == 0:
		head = fmt.Sprintf("%s:", role)
	case n == 0:
		head = fmt.Sprintf("%s %d and %d differ in nothing but their version.", role, c.From, c.To)
		if c.From == c.To {
			head = fmt.Sprintf("%s %d: both files say the same.", role, c.From)
		}
	default:
		head = fmt.Sprintf("%s %d against %d: %s.", role, c.To, c.From, count(n, "change"))
	}
	lines := []string{head}
	for _, change := range c.Changes {
		lines = append(lines, "  "+change.Text)
	}
	if c.Omitted > 0 {
		lines = append(lines, "  "+c.omitted())
	}
	for _, limit := range c.Limits {
		lines = append(lines, "Limited: "+limit+".")
	}
	return lines
}

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
	if !before.Expires.Equal(after.Expires) {
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
		union.put(role, m)
	}
	for role, m := range after.files() {
		current[role] = m
		union.put(role, m)
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

// put sets the file of a role.
func (r *Repository) put(role string, m *tuf.Metadata) {
	switch role {
	case tuf.RoleRoot:
		r.Root = m
	case tuf.RoleTargets:
		r.Targets = m
	case tuf.RoleSnapshot:
		r.Snapshot = m
	case tuf.RoleTimestamp:
		r.Timestamp = m
	default:
		r.Delegated[role] = m
	}
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
