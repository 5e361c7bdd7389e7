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
