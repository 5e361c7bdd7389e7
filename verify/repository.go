package verify

import (
	"fmt"
	"slices"
)

// Record is a leaf at its place in the log.
type Record struct {
	Index int64
	Leaf  Leaf
}

type roleVersion struct {
	role    string
	version int64
}

type rolePayload struct {
	role    string
	payload Digest
}

// Repository is the state of one repository: all of it follows from the
// repository's leaves, in log order, and the blobs they name. It is not safe for
// concurrent use.
type Repository struct {
	id       Digest
	encoding Encoding
	blobs    Blobs

	records   []Record
	byPayload map[rolePayload]int  // the last record with this payload, by role
	byDigest  map[Digest]int       // the first record with this payload
	roles     map[string][]int     // positions by role, in log order
	roots     map[int64]int        // the root released at this version
	root      int                  // the highest of them: the current root
	evidence  map[roleVersion]int  // the one evidence leaf for a role and version
	parsed    map[Digest]*Metadata // a few parsed files, by file digest
	meets     map[standing]bool    // whether a file meets a set of keys
}

// standing is a question whose answer never changes.
type standing struct {
	file Digest
	keys Digest
}

const (
	maxParsed = 16   // parsed files kept; a judgement needs the root and the targets files on the way to the role
	maxMeets  = 4096 // verdicts kept
)

// NewRepository returns the state of a repository whose genesis is logged at
// index.
func NewRepository(genesis Leaf, index int64, blobs Blobs) (*Repository, error) {
	if genesis.Kind != Release || genesis.Role != RoleRoot || genesis.Repository != genesis.Payload {
		return nil, fmt.Errorf("the leaf at index %d is not the genesis of a repository", index)
	}
	r := &Repository{
		id:        genesis.Repository,
		encoding:  genesis.Encoding,
		blobs:     blobs,
		byPayload: map[rolePayload]int{},
		byDigest:  map[Digest]int{},
		roles:     map[string][]int{},
		roots:     map[int64]int{},
		evidence:  map[roleVersion]int{},
		parsed:    map[Digest]*Metadata{},
		meets:     map[standing]bool{},
	}
	return r, r.Apply(index, genesis)
}

// ID names the repository: the digest of its genesis root's payload.
func (r *Repository) ID() Digest { return r.id }

// Encoding is how the repository's metadata is written.
func (r *Repository) Encoding() Encoding { return r.encoding }

// Records returns the repository's leaves in log order. Callers do not change
// them.
func (r *Repository) Records() []Record { return r.records }

// Apply adds a leaf that the log holds at index: one that Judge asked for, or
// one that is being replayed. Leaves come in log order.
func (r *Repository) Apply(index int64, leaf Leaf) error {
	if leaf.Repository != r.id {
		return fmt.Errorf("leaf %d is of repository %v, not %v", index, leaf.Repository, r.id)
	}
	if n := len(r.records); n > 0 && index <= r.records[n-1].Index {
		return fmt.Errorf("leaf %d comes after leaf %d", index, r.records[n-1].Index)
	}
	position := len(r.records)
	r.records = append(r.records, Record{index, leaf})
	r.roles[leaf.Role] = append(r.roles[leaf.Role], position)
	r.byPayload[rolePayload{leaf.Role, leaf.Payload}] = position
	if _, ok := r.byDigest[leaf.Payload]; !ok {
		r.byDigest[leaf.Payload] = position
	}
	if leaf.Kind == Evidence {
		r.evidence[roleVersion{leaf.Role, leaf.Version}] = position
		return nil
	}
	if leaf.Role == RoleRoot {
		r.roots[leaf.Version] = position
		if leaf.Version >= r.records[r.root].Leaf.Version {
			r.root = position
		}
	}
	return nil
}

// Root returns the current root: the highest that is released.
func (r *Repository) Root() (*Metadata, error) { return r.metadata(r.root) }

// Current returns the current release of a role: the highest whose signers meet
// the role's present keys and threshold. It is false when there is none.
func (r *Repository) Current(role string) (Record, bool, error) {
	if role == RoleRoot {
		return r.records[r.root], true, nil
	}
	keys, err := r.KeysOf(role)
	if err != nil {
		if IsRefused(err) {
			return Record{}, false, nil
		}
		return Record{}, false, err
	}
	position, ok, err := r.current(role, keys)
	if err != nil || !ok {
		return Record{}, false, err
	}
	return r.records[position], true, nil
}

// KeysOf returns the keys and the threshold that role has now: the current
// root's for a top-level role; for any other those of the first delegation to
// that name, breadth-first in listed order from the current targets. The error is
// a *Refused with RefusedNotDelegated where there is none.
func (r *Repository) KeysOf(role string) (KeySet, error) {
	root, err := r.metadata(r.root)
	if err != nil {
		return KeySet{}, err
	}
	if IsTopLevel(role) {
		return root.Root.KeySet(role), nil
	}
	type delegated struct {
		name string
		keys KeySet
	}
	queue := []delegated{{RoleTargets, root.Root.KeySet(RoleTargets)}}
	seen := map[string]bool{}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		if len(r.roles[next.name]) == 0 {
			continue
		}
		position, ok, err := r.current(next.name, next.keys)
		if err != nil {
			return KeySet{}, err
		}
		if !ok {
			continue
		}
		m, err := r.metadata(position)
		if err != nil {
			return KeySet{}, err
		}
		if m.Targets == nil || m.Targets.Delegations == nil {
			continue
		}
		for name, keys := range m.Targets.Delegations.All() {
			if IsTopLevel(name) || seen[name] {
				continue
			}
			if name == role {
				return keys, nil
			}
			seen[name] = true
			queue = append(queue, delegated{name, keys})
		}
	}
	return KeySet{}, refused(RefusedNotDelegated, "no current targets metadata delegates to %q", role)
}

// current returns the position of the highest release of role that stands under
// keys.
func (r *Repository) current(role string, keys KeySet) (int, bool, error) {
	positions := slices.Clone(r.roles[role])
	slices.SortStableFunc(positions, func(a, b int) int {
		va, vb := r.records[a].Leaf.Version, r.records[b].Leaf.Version
		switch {
		case va > vb:
			return -1
		case va < vb:
			return 1
		}
		return b - a
	})
	for _, position := range positions {
		if r.records[position].Leaf.Kind != Release {
			continue
		}
		ok, err := r.stands(position, keys)
		if err != nil || ok {
			return position, ok, err
		}
	}
	return 0, false, nil
}

// stands reports whether a release's signers meet the keys and threshold that
// its role has now. Roots always stand.
func (r *Repository) stands(position int, keys KeySet) (bool, error) {
	leaf := r.records[position].Leaf
	if leaf.Role == RoleRoot {
		return true, nil
	}
	question := standing{leaf.Metadata, keys.Fingerprint()}
	if ok, known := r.meets[question]; known {
		return ok, nil
	}
	m, err := r.metadata(position)
	if err != nil {
		return false, err
	}
	ok := m.Meets(keys) == nil
	if len(r.meets) >= maxMeets {
		clear(r.meets)
	}
	r.meets[question] = ok
	return ok, nil
}

// metadata reads the file of a record.
func (r *Repository) metadata(position int) (*Metadata, error) {
	rec := r.records[position]
	if m, ok := r.parsed[rec.Leaf.Metadata]; ok {
		return m, nil
	}
	file, err := r.blobs.Blob(rec.Leaf.Metadata)
	if err != nil {
		return nil, fmt.Errorf("read the metadata of leaf %d: %w", rec.Index, err)
	}
	m, err := Parse(rec.Leaf.Encoding, file)
	if err != nil {
		return nil, fmt.Errorf("read the metadata of leaf %d: %w", rec.Index, err)
	}
	if m.FileDigest != rec.Leaf.Metadata {
		return nil, fmt.Errorf("read the metadata of leaf %d: got a file with SHA-256 %v, want %v", rec.Index, m.FileDigest, rec.Leaf.Metadata)
	}
	if len(r.parsed) >= maxParsed {
		for sum := range r.parsed {
			if sum != r.records[r.root].Leaf.Metadata {
				delete(r.parsed, sum)
				break
			}
		}
	}
	r.parsed[rec.Leaf.Metadata] = m
	return m, nil
}

// Parse reads a metadata file strictly, in the encoding that the repository has.
func Parse(encoding Encoding, file []byte) (*Metadata, error) {
	switch encoding {
	case JSON:
		return ParseJSON(file)
	default:
		return nil, fmt.Errorf("metadata in encoding %q cannot be read", encoding)
	}
}
