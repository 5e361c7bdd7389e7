// Package targetrows says which rows of a database begin and end with a leaf.
//
// Releases of a role mostly list the target files that the one before lists. So
// the databases of the derived state have a row for a file and all successive
// leaves of a role that list it, and what there is to write for a leaf is what its
// role's last leaf lists differently. That is remembered here between
// transactions, as far as memory allows.
package targetrows

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/verify"
)

// What is remembered at most: roles, and target files in all of them.
const (
	maxRoles = 4096
	maxFiles = 1 << 16
)

// Row is a row that has not ended.
type Row[K any] struct {
	log.Target
	Key K // by which the database finds it
}

// Role is what is remembered of a role.
type Role[K any] struct {
	Number, Repository int64 // the database's

	// Open are the files that the role's last leaf lists, by path. Begin and
	// End change it.
	Open map[string]Row[K]

	// Base is the index of a leaf at which all files' rows began, and Rows how
	// many have begun since, for databases that bound them.
	Base int64
	Rows int
}

// Name names a role.
type Name struct {
	Repository verify.Digest
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
// transactions.
func (m *Roles[K]) Trim() {
	if len(m.roles) > maxRoles || m.files > maxFiles {
		m.Forget()
	}
}

// Compare compares what a leaf lists, by path, with what is open: fresh need rows that begin
// with it, in the order of targets, and past are the rows that end before it.
func (r *Role[K]) Compare(targets []log.Target) (fresh []log.Target, past []Row[K]) {
	seen := 0 // open paths that are listed, changed or not
	for _, t := range targets {
		before, ok := r.Open[t.Path]
		if ok {
			seen++
		}
		if ok && before.Target == t {
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
