package lookup

import (
	"bytes"
	"cmp"
	"context"
	"slices"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// Key is a place where a key is listed: successive releases of a role.
type Key struct {
	ID         string     `json:"id"`
	Repository tuf.Digest `json:"repository"`
	Role       string     `json:"role"`  // whose releases list it
	Since      int64      `json:"since"` // index of the first of them
	Index      int64      `json:"index"` // of the last
	// Newest reports whether the newest release of the role is one of them.
	Newest   bool            `json:"newest"`
	Evidence bool            `json:"evidence,omitempty"` // it is a leaf of evidence, which is not in force
	Signs    []state.KeyRole `json:"signs"`              // roles that it may sign, and how many keys they take
	More     int64           `json:"more,omitempty"`     // how many further roles it may sign
}

// Keys returns where a key is listed in the repositories that count: under an id, and the
// same key under other ids; more is how many places there are beyond
// the first thousand.
func (l *Lookup) Keys(ctx context.Context, memory Memory, id string) (keys []Key, more int, err error) {
	type place struct {
		repository tuf.Digest
		role, id   string
		first      int64
	}
	identities, seen, elsewhere := map[tuf.KeyIdentity]bool{}, map[place]bool{}, map[place]bool{}
	add := func(use state.KeyUse) error {
		at := place{use.Repository, use.Role, use.ID, use.First}
		if use.Identity != (tuf.KeyIdentity{}) && len(identities) < maxShown {
			identities[use.Identity] = true
		}
		switch {
		case seen[at]:
		case !l.Counts(use.Repository):
			if len(elsewhere) < maxRows {
				elsewhere[at] = true
			}
		case len(seen) == maxRows:
			more++
		default:
			seen[at] = true
			keys = append(keys, Key{ID: use.ID, Repository: use.Repository, Role: use.Role, Since: use.First, Index: use.Last,
				Newest: use.Open, Evidence: use.Evidence, Signs: use.Signs, More: use.More})
		}
		return nil
	}
	if err := memory.KeyUses(ctx, id, tuf.KeyIdentity{}, add); err != nil {
		return nil, 0, err
	}
	same := make([]tuf.KeyIdentity, 0, len(identities))
	for identity := range identities {
		same = append(same, identity)
	}
	slices.SortFunc(same, func(a, b tuf.KeyIdentity) int { return bytes.Compare(a[:], b[:]) })
	for _, identity := range same {
		if err := memory.KeyUses(ctx, "", identity, add); err != nil {
			return nil, 0, err
		}
	}
	l.Elsewhere = len(elsewhere)
	if len(keys) > maxShown { // those that count today stay
		slices.SortStableFunc(keys, func(a, b Key) int { return cmp.Compare(rank(a), rank(b)) })
		more += len(keys) - maxShown
		keys = keys[:maxShown]
	}
	slices.SortStableFunc(keys, func(a, b Key) int {
		return cmp.Or(bytes.Compare(a.Repository[:], b.Repository[:]), cmp.Compare(a.Since, b.Since), cmp.Compare(a.ID, b.ID))
	})
	return keys, more, nil
}

// rank orders keys: those that may sign today come first.
func rank(k Key) int {
	if k.Newest && !k.Evidence && len(k.Signs) > 0 {
		return 0
	}
	return 1
}

// Held is a target file that the newest release of a role lists.
type Held struct {
	Repository tuf.Digest        `json:"repository"`
	Role       string            `json:"role"`
	Path       string            `json:"path"`
	Length     int64             `json:"length"` // bytes; -1: not listed
	Hashes     map[string]string `json:"hashes"`
	Since      int64             `json:"since"` // index of the first of the successive releases that list it
	Index      int64             `json:"index"` // of the newest
}

// Files returns the files that the newest releases of the vendors' roles list; more is how
// many there are beyond the first thousand.
func (l *Lookup) Files(ctx context.Context, memory Memory) (files []Held, more int, err error) {
	for id := range l.Vendors {
		if id.IsZero() {
			continue // it is nobody's, and the memory takes it for all
		}
		err := memory.Files(ctx, state.Query{Repository: id}, func(f state.File) error {
			switch {
			case !f.Open || f.Evidence:
			case len(files) == maxRows:
				more++
			default:
				files = append(files, Held{f.Repository, f.Role, f.Path, f.Length, targetOf(f).Hashes, f.First, f.Last})
			}
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	slices.SortFunc(files, func(a, b Held) int {
		return cmp.Or(bytes.Compare(a.Repository[:], b.Repository[:]), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Role, b.Role))
	})
	shown := files[:min(len(files), maxShown)]
	return shown, more + len(files) - len(shown), nil
}
