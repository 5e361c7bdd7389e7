package admit

import (
	"context"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Record is a leaf at its place in the log.
type Record struct {
	Index int64
	Leaf  leaf.Leaf
}

type roleVersion struct {
	role    string
	version int64
}

type rolePayload struct {
	role    string
	payload tuf.Digest
}

// Repository is the state of one repository: all of it follows from the
// repository's leaves, in log order, and the blobs they name. It is not safe for
// concurrent use.
//
// Each leaf takes a few hundred bytes permanently; the cache of the files that
// leaves name is bounded (see files.go). A judgement mostly reads at most as many
// files as there are roles on the way to the judged one, for a history of any
// length.
type Repository struct {
	id       tuf.Digest
	encoding tuf.Encoding
	blobs    Blobs

	records   []Record
	links     []links                 // of each record
	byPayload map[rolePayload]int     // the last record with this payload, by role
	byVersion map[roleVersion]int     // the last record of this version, by role
	byDigest  map[tuf.Digest]twoRoles // the first releases of this payload
	releases  map[string][]int        // the releases of a role by version, then in log order
	released  map[string][]int        // the same in log order
	roots     map[int64]int           // the root released at this version
	root      int                     // the highest of them: the current root
	evidence  map[roleVersion]int     // the one evidence leaf for a role and version
	delegate  map[string]int          // how many releases of a role delegate, or may
	currents  map[placeKey]*current

	files fileCache
	rootKeys
	signed  signedCache
	history keyHistory
}

// links chain the records that share something, from the last to the first.
type links struct {
	payload int // the record before this one with its role and payload, or none
	version int // the record before this one with its role and version, or none
}

const none = -1

// twoRoles are the positions of the first release of a payload, and of the first
// one for another role, or none.
type twoRoles struct{ first, other int }

// NewRepository returns the state of a repository with its genesis logged at
// index.
func NewRepository(genesis leaf.Leaf, index int64, blobs Blobs) (*Repository, error) {
	if genesis.Kind != leaf.Release || genesis.Role != tuf.RoleRoot || genesis.Repository != genesis.Payload {
		return nil, fmt.Errorf("the leaf at index %d is not the genesis of a repository", index)
	}
	r := &Repository{
		id:        genesis.Repository,
		encoding:  genesis.Encoding,
		blobs:     blobs,
		byPayload: map[rolePayload]int{},
		byVersion: map[roleVersion]int{},
		byDigest:  map[tuf.Digest]twoRoles{},
		releases:  map[string][]int{},
		released:  map[string][]int{},
		roots:     map[int64]int{},
		evidence:  map[roleVersion]int{},
		delegate:  map[string]int{},
		currents:  map[placeKey]*current{},
	}
	return r, r.Apply(index, genesis)
}

// ID returns the repository's id: the digest of its genesis root's payload.
func (r *Repository) ID() tuf.Digest { return r.id }

// Encoding returns the encoding of the repository's metadata.
func (r *Repository) Encoding() tuf.Encoding { return r.encoding }

// Records returns the repository's leaves in log order. Callers do not change
// them.
func (r *Repository) Records() []Record { return r.records }

// Apply adds a leaf that the log holds at index: one from Judge, or one that is
// being replayed. Leaves come in log order.
func (r *Repository) Apply(index int64, entry leaf.Leaf) error {
	if entry.Repository != r.id {
		return fmt.Errorf("leaf %d is of repository %v, not %v", index, entry.Repository, r.id)
	}
	if n := len(r.records); n > 0 && index <= r.records[n-1].Index {
		return fmt.Errorf("leaf %d comes after leaf %d", index, r.records[n-1].Index)
	}
	position := len(r.records)
	r.records = append(r.records, Record{index, entry})
	known := r.signed.logged(position, entry.Metadata)
	payload, version := rolePayload{entry.Role, entry.Payload}, roleVersion{entry.Role, entry.Version}
	r.links = append(r.links, links{lastOf(r.byPayload, payload), lastOf(r.byVersion, version)})
	r.byPayload[payload], r.byVersion[version] = position, position
	if entry.Kind == leaf.Evidence {
		if _, ok := r.evidence[version]; !ok {
			r.evidence[version] = position
		}
		return nil
	}
	r.release(position, known)
	return nil
}

func lastOf[K comparable](positions map[K]int, key K) int {
	if position, ok := positions[key]; ok {
		return position
	}
	return none
}

// release takes note of a record that is a release, with the summary of its file,
// which may be nil.
func (r *Repository) release(position int, known *summary) {
	leaf := r.records[position].Leaf
	list := r.releases[leaf.Role]
	at, _ := slices.BinarySearchFunc(list, leaf.Version, func(other int, version int64) int {
		if r.records[other].Leaf.Version > version {
			return 1
		}
		return -1 // also the releases of this version: they come before it in the log
	})
	r.releases[leaf.Role] = slices.Insert(list, at, position)
	r.released[leaf.Role] = append(r.released[leaf.Role], position)
	switch first, ok := r.byDigest[leaf.Payload]; {
	case !ok:
		r.byDigest[leaf.Payload] = twoRoles{position, none}
	case first.other == none && r.records[first.first].Leaf.Role != leaf.Role:
		r.byDigest[leaf.Payload] = twoRoles{first.first, position}
	}
	if known == nil || known.delegates {
		r.delegate[leaf.Role]++
	}
	if leaf.Role == tuf.RoleRoot {
		r.roots[leaf.Version] = position
		r.history.todo = append(r.history.todo, position)
		if leaf.Version >= r.records[r.root].Leaf.Version {
			r.root = position
		}
	}
}

// learned says that the file of a record has been read for the first time.
func (r *Repository) learned(position int, s *summary) {
	if entry := r.records[position].Leaf; entry.Kind == leaf.Release && !s.delegates {
		r.delegate[entry.Role]--
	}
}

// releasedElsewhere returns another role than this one as whose a payload is
// released, too; empty if there is none.
func (r *Repository) releasedElsewhere(role string, payload tuf.Digest) string {
	known, ok := r.byDigest[payload]
	if !ok {
		return ""
	}
	for _, position := range []int{known.first, known.other} {
		if position != none && r.records[position].Leaf.Role != role {
			return r.records[position].Leaf.Role
		}
	}
	return ""
}

// Root returns the current root: the highest that is released.
func (r *Repository) Root(ctx context.Context) (*tuf.Metadata, error) { return r.rootFile(ctx, r.root) }
