// Package targetrows determines which rows of a database begin and end with a
// leaf.
//
// Releases of a role mostly list the same target files as the one before. So the
// databases of the derived state have one row for a file and all successive leaves
// of a role that list it, and only the differences from the role's last leaf are
// written for a leaf. This package remembers the last leaf between transactions,
// as far as memory allows.
package targetrows

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
)

// Limits of the memory: roles, and target files in all of them. One leaf may
// list more files than that: then they are forgotten behind it.
const (
	maxRoles = 4096
	maxFiles = 1 << 16
)

// Row is a row that has not ended.
type Row[K any] struct {
	log.Target
	Key K // by which the database finds it
}

// Role is the remembered state of a role.
type Role[K any] struct {
	Number int64 // the database's

	// Open are the files that the role's last leaf lists, by path. Begin and
	// End change it.
	Open map[string]Row[K]

	// Base is the index of a leaf at which all files' rows began, and Rows how
	// many have begun since: for databases that bound them. Begun means that this
	// is decided for the leaf that is next, of which Placed rows have begun.
	Base   int64
	Rows   int
	Begun  bool
	Placed int32
}

// Name names a role.
type Name struct {
	Repository tuf.Digest
	Role       string
}

// Roles remembers roles. Its zero value remembers none. When a transaction fails
// that it was changed for, Forget.
type Roles[K any] struct {
	roles map[Name]*Role[K]
	files int
}

// Get returns a role, or nil where it is not remembered.
func (m *Roles[K]) Get(name Name) *Role[K] { return m.roles[name] }

// Add remembers a role.
func (m *Roles[K]) Add(name Name, r *Role[K]) {
	if m.roles == nil {
		m.roles = map[Name]*Role[K]{}
	}
	m.roles[name] = r
	m.files += len(r.Open)
}

// Forget forgets all roles.
func (m *Roles[K]) Forget() { *m = Roles[K]{} }

// Trim forgets all roles when they are too many. It is for the time between
// transactions, when no leaf is listed in part.
func (m *Roles[K]) Trim() {
	if len(m.roles) > maxRoles || m.files > maxFiles {
		m.Forget()
	}
}

// Compare compares what a leaf lists, by path, with what is open: fresh need rows that begin
// with it, in the order of targets, and past are the rows that end before it. Rows
// that are stale, of which there are none if it is nil, end whatever they say.
// When some rows have ended and begun, Compare returns the rest: first all of past
// have to end, then fresh begin.
func (r *Role[K]) Compare(targets []log.Target, stale func(Row[K]) bool) (fresh []log.Target, past []Row[K]) {
	seen := 0 // open paths that are listed, changed or not
	for _, t := range targets {
		before, ok := r.Open[t.Path]
		if ok {
			seen++
		}
		if ok && before.Target == t && (stale == nil || !stale(before)) {
			continue
		}
		if ok {
			past = append(past, before)
		}
		fresh = append(fresh, t)
	}
	if seen == len(r.Open) {
		return fresh, past
	}
	for path, row := range r.Open {
		if _, ok := slices.BinarySearchFunc(targets, path, func(t log.Target, path string) int { return cmp.Compare(t.Path, path) }); !ok {
			past = append(past, row)
		}
	}
	return fresh, past
}

// Listing goes through leaves that are to be listed, in steps that are bounded.
type Listing[K any] struct {
	Leaves []log.StateLeaf // the first is the one that is next
	fresh  []log.Target    // what is left to do for it
	past   []Row[K]
	begun  bool
}

// Begin takes what is to be done for the next leaf, unless that is known.
func (l *Listing[K]) Begin(compare func(log.StateLeaf) (fresh []log.Target, past []Row[K])) {
	if !l.begun {
		l.fresh, l.past = compare(l.Leaves[0])
		l.begun = true
	}
}

// SkipEnd goes on where the next leaf is the log's end, which lists nothing.
func (l *Listing[K]) SkipEnd() bool {
	if !l.Leaves[0].End {
		return false
	}
	l.Leaves = l.Leaves[1:]
	return true
}

// Between reports whether nothing of the next leaf is done.
func (l *Listing[K]) Between() bool { return !l.begun }

// Step ends and begins at most room rows for the next leaf, and returns how many it
// has. Done means that nothing is left to do for it.
func (l *Listing[K]) Step(room int, end func(Row[K]) error, begin func(log.Target) error) (rows int, done bool, err error) {
	for ; rows < room && len(l.past) > 0; rows++ {
		if err := end(l.past[0]); err != nil {
			return rows, false, err
		}
		l.past = l.past[1:]
	}
	for ; rows < room && len(l.fresh) > 0; rows++ {
		if err := begin(l.fresh[0]); err != nil {
			return rows, false, err
		}
		l.fresh = l.fresh[1:]
	}
	if len(l.past)+len(l.fresh) > 0 {
		return rows, false, nil
	}
	l.Leaves, l.begun = l.Leaves[1:], false
	return rows, true, nil
}

// End notes that a row has ended. Where another begins for its path, End comes
// first.
func (m *Roles[K]) End(r *Role[K], row Row[K]) {
	delete(r.Open, row.Path)
	m.files--
}

// Begin notes that a row has begun.
func (m *Roles[K]) Begin(r *Role[K], t log.Target, key K) {
	if r.Open == nil {
		r.Open = map[string]Row[K]{}
	}
	// The path is a part of a file's text, which need not be kept for it.
	t.Path = strings.Clone(t.Path)
	r.Open[t.Path] = Row[K]{t, key}
	m.files++
}
