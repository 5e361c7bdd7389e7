package expect

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// Expectations is what will be released of a repository.
type Expectations struct {
	Repository tuf.Digest
	Version    int64     // of the note: 1 to tuf.MaxVersion; the one that follows it has a higher one
	From       time.Time // when it comes into force; whole seconds
	Until      time.Time // when it ends; after From
	Bases      []Base    // each of another role
	Releases   []Release // no two of one role and the same versions
}

// Base is what a role had when expectations were signed.
type Base struct {
	Role    string
	Version int64
	Payload tuf.Digest
}

// Release is what may be released of a role. The zero value of each field but the first two
// allows nothing more.
type Release struct {
	Role     string // a star stands for any characters, but never for those of a top-level role
	Versions Versions
	Payload  tuf.Digest // not zero: exactly this, and all fields below are empty

	Files          []File       // has to list these; each of another path
	Removed        []string     // patterns of paths that it may no longer list
	Paths          []string     // patterns of paths where it may list anything
	Keys           []Keys       // a root has to have these; each of another role
	Delegations    []Delegation // has to have these; each to another role
	NoDelegations  []string     // roles to which it may no longer delegate
	AnyDelegations bool         // all delegations may change; the two before are empty
	Members        []string     // members that may change: of "signed", of what it says of roles and of delegations
}

// Versions are the versions that a release may have.
type Versions struct {
	First, Last int64 // both included; AnyVersion has all
	Next        bool  // the one above what the role had, and not First and Last
}

// AnyVersion is every version, up to MaxJump above what a role had.
var AnyVersion = Versions{First: 1, Last: tuf.MaxVersion}

// NextVersion is the version above the one that a role had; 1 if it had none.
var NextVersion = Versions{Next: true}

// File is a target file that a release has to list. What it does not name of the target has to
// be as it was; of a target that was not listed, it has to be absent.
type File struct {
	Path      string
	Length    int64      // in bytes; -1: any
	Hashes    []Hash     // it has no others, and SHA-256 or SHA-512; by algorithm, each once
	AnyCustom bool       // its custom data may be any, or none
	Custom    tuf.Digest // or has this SHA-256 as canonical JSON; zero: it is not named
}

// Hash is a hash of a target file.
type Hash struct {
	Algorithm string // as the metadata names it
	Hex       string // lower-case
}

func compareFiles(a, b File) int { return strings.Compare(a.Path, b.Path) }

func equalFiles(a, b File) bool {
	return a.Path == b.Path && a.Length == b.Length && slices.Equal(a.Hashes, b.Hashes) && a.AnyCustom == b.AnyCustom && a.Custom == b.Custom
}

// Keys are the keys that may sign a role.
type Keys struct {
	Role      string // a top-level role
	Threshold int
	Keys      []tuf.KeyIdentity // in order, each once
}

// Delegation is a delegation that a release has to have.
type Delegation struct {
	Keys
	Paths       []string // patterns, in order, each once
	Hashes      []string // or prefixes of paths' hashes, lower-case hex, in order, each once
	Terminating bool
}

// InForce reports whether e is in force at a time.
func (e *Expectations) InForce(now time.Time) bool {
	return !now.Before(e.From) && now.Before(e.Until)
}

// Base returns what a role had when e was signed; false: nothing.
func (e *Expectations) Base(role string) (Base, bool) {
	i := slices.IndexFunc(e.Bases, func(b Base) bool { return b.Role == role })
	if i < 0 {
		return Base{}, false
	}
	return e.Bases[i], true
}

// String returns the versions as a note has them.
func (v Versions) String() string {
	switch {
	case v.Next:
		return "next"
	case v == AnyVersion:
		return "any"
	case v.First == v.Last:
		return strconv.FormatInt(v.First, 10)
	case v.Last == tuf.MaxVersion:
		return strconv.FormatInt(v.First, 10) + "-"
	}
	return fmt.Sprintf("%d-%d", v.First, v.Last)
}

// compare orders versions: the most exact first.
func (v Versions) compare(w Versions) int {
	rank := func(v Versions) int {
		switch {
		case v.Next:
			return 1
		case v.Last == tuf.MaxVersion:
			return 2
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(v), rank(w)), cmp.Compare(v.First, w.First), cmp.Compare(v.Last, w.Last))
}

// Sort puts all parts of e in the order that a note has, and removes what is there twice.
func (e *Expectations) Sort() {
	slices.SortStableFunc(e.Bases, func(a, b Base) int { return compareRoles(a.Role, b.Role) })
	e.Bases = slices.Compact(e.Bases)
	slices.SortStableFunc(e.Releases, compareReleases)
	for i := range e.Releases {
		r := &e.Releases[i]
		for i := range r.Files {
			slices.SortStableFunc(r.Files[i].Hashes, func(a, b Hash) int { return strings.Compare(a.Algorithm, b.Algorithm) })
		}
		slices.SortStableFunc(r.Files, compareFiles)
		r.Files = slices.CompactFunc(r.Files, equalFiles)
		for _, list := range []*[]string{&r.Removed, &r.Paths, &r.NoDelegations, &r.Members} {
			*list = sorted(*list)
		}
		slices.SortStableFunc(r.Keys, func(a, b Keys) int { return compareRoles(a.Role, b.Role) })
		for i := range r.Keys {
			r.Keys[i].sort()
		}
		slices.SortStableFunc(r.Delegations, func(a, b Delegation) int { return strings.Compare(a.Role, b.Role) })
		for i := range r.Delegations {
			r.Delegations[i].sort()
			r.Delegations[i].Paths = sorted(r.Delegations[i].Paths)
			r.Delegations[i].Hashes = sorted(r.Delegations[i].Hashes)
		}
	}
}

func (k *Keys) sort() {
	slices.SortFunc(k.Keys, compareIdentities)
	k.Keys = slices.Compact(k.Keys)
}

func sorted(list []string) []string {
	slices.Sort(list)
	return slices.Compact(list)
}

func compareIdentities(a, b tuf.KeyIdentity) int { return slices.Compare(a[:], b[:]) }

// compareRoles orders roles as a repository is read.
func compareRoles(a, b string) int {
	return cmp.Or(cmp.Compare(tuf.Rank(a), tuf.Rank(b)), strings.Compare(a, b))
}

func compareReleases(a, b Release) int {
	return cmp.Or(compareRoles(a.Role, b.Role), a.Versions.compare(b.Versions))
}
