package explain

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/tuf"
)

// Repository is the metadata of a repository that is in force at one time.
type Repository struct {
	Root      *tuf.Metadata
	Targets   *tuf.Metadata            // nil: none is released yet
	Delegated map[string]*tuf.Metadata // by role; roles that are missing are said in the result
	// Snapshot and Timestamp may be nil. A delegated role that a snapshot does not list
	// ends a device's search. Their keys are always those in Root.
	Snapshot  *tuf.Metadata
	Timestamp *tuf.Metadata
}

// Put takes m for what is in force of a role; nil: nothing is.
func (r *Repository) Put(role string, m *tuf.Metadata) {
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
		if m == nil {
			delete(r.Delegated, role)
			return
		}
		if r.Delegated == nil {
			r.Delegated = map[string]*tuf.Metadata{}
		}
		r.Delegated[role] = m
	}
}

// ErrMetadata is wrapped by the errors for metadata that is missing or of another type than
// its place asks for.
var ErrMetadata = errors.New("metadata of the wrong type")

// check returns an error that wraps ErrMetadata if a file is not of its role's type.
func (r Repository) check() error {
	if r.Root == nil {
		return fmt.Errorf("%w: no root", ErrMetadata)
	}
	for role := range r.Delegated {
		if tuf.IsTopLevel(role) {
			return fmt.Errorf("%w: %s is not a delegated role", ErrMetadata, role)
		}
	}
	for role, m := range r.files() {
		if m.Type != tuf.TypeOf(role) {
			return fmt.Errorf("%w: %s is given as %s", ErrMetadata, m.Type, tuf.Word(role))
		}
	}
	return nil
}

// files yields the files that there are, in the order in which they are shown.
func (r Repository) files() func(yield func(string, *tuf.Metadata) bool) {
	return func(yield func(string, *tuf.Metadata) bool) {
		top := map[string]*tuf.Metadata{tuf.RoleRoot: r.Root, tuf.RoleTargets: r.Targets, tuf.RoleSnapshot: r.Snapshot, tuf.RoleTimestamp: r.Timestamp}
		roles := []string{tuf.RoleRoot, tuf.RoleTargets}
		roles = append(roles, slices.Sorted(maps.Keys(r.Delegated))...)
		for _, role := range append(roles, tuf.RoleSnapshot, tuf.RoleTimestamp) {
			m := top[role]
			if !tuf.IsTopLevel(role) {
				m = r.Delegated[role]
			}
			if m != nil && !yield(role, m) {
				return
			}
		}
	}
}

// role returns the metadata of targets or of a delegated role, or nil.
func (r Repository) role(role string) *tuf.Metadata {
	if role == tuf.RoleTargets {
		return r.Targets
	}
	return r.Delegated[role]
}

// labels are the key ids by which keys are shown.
type labels map[tuf.KeyIdentity]string

// add keeps the smallest of a key's ids: one key may be listed under several.
func (l labels) add(ks tuf.KeySet) {
	for _, identity := range ks.Identities() {
		id := ks.IDs(identity)[0]
		if have, ok := l[identity]; !ok || id < have {
			l[identity] = id
		}
	}
}

// distinct changes the labels of keys that are listed under one id, here and there: the
// beginning of what tells them apart is added.
func (l labels) distinct() {
	owners := map[string]int{}
	for _, id := range l {
		owners[id]++
	}
	for identity, id := range l {
		if owners[id] > 1 {
			l[identity] = id + "#" + identity.String()[:16]
		}
	}
}

// shortKey is how many characters of a key id a sentence shows, or more where ids begin
// alike. The data has all of it.
const shortKey = 8

// keyNames returns a function that shortens key ids for a sentence. No two of those given
// look alike.
func keyNames(ids []string) func(id string) string {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	n := shortKey
	for i := 1; i < len(ids); i++ {
		a, b := ids[i-1], ids[i]
		same := 0
		for same < min(len(a), len(b)) && a[same] == b[same] {
			same++
		}
		n = max(n, same+1)
	}
	return func(id string) string {
		if len(id) > n {
			id = id[:n]
		}
		return tuf.Word(id)
	}
}

// keyName shortens one key id for a sentence.
func keyName(id string) string { return keyNames(nil)(id) }

// shown is how many names a sentence lists.
const shown = 8

// list returns names for a sentence.
func list(names []string, name func(string) string) string {
	var b strings.Builder
	for i, s := range names {
		if i == shown {
			fmt.Fprintf(&b, " and %d more", len(names)-shown)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name(s))
	}
	return b.String()
}

// count returns a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return strconv.Itoa(n) + " " + noun + "s"
}
