package verify

import (
	"errors"
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
//
// A leaf costs a few hundred bytes here for good; what is kept of the files that
// leaves name is bounded (see files.go). A judgement reads as many files as there
// are roles on the way to the one that is judged, however long the history is.
type Repository struct {
	id       Digest
	encoding Encoding
	blobs    Blobs

	records   []Record
	links     []links             // of each record
	byPayload map[rolePayload]int // the last record with this payload, by role
	byVersion map[roleVersion]int // the last record of this version, by role
	byDigest  map[Digest]twoRoles // the first records with this payload
	releases  map[string][]int    // the releases of a role by version, then in log order
	roots     map[int64]int       // the root released at this version
	root      int                 // the highest of them: the current root
	evidence  map[roleVersion]int // the one evidence leaf for a role and version
	currents  map[string]*current // what was current when it was last asked

	files   fileCache
	signed  signedCache
	history keyHistory
}

// links chain the records that share something, from the last to the first.
type links struct {
	payload int // the record before this one with its role and payload, or none
	version int // the record before this one with its role and version, or none
}

const none = -1

// twoRoles are the positions of the first record with a payload, and of the
// first one of another role, or none.
type twoRoles struct{ first, other int }

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
		byVersion: map[roleVersion]int{},
		byDigest:  map[Digest]twoRoles{},
		releases:  map[string][]int{},
		roots:     map[int64]int{},
		evidence:  map[roleVersion]int{},
		currents:  map[string]*current{},
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
	r.signed.logged(position, leaf.Metadata)
	payload, version := rolePayload{leaf.Role, leaf.Payload}, roleVersion{leaf.Role, leaf.Version}
	r.links = append(r.links, links{lastOf(r.byPayload, payload), lastOf(r.byVersion, version)})
	r.byPayload[payload], r.byVersion[version] = position, position
	switch known, ok := r.byDigest[leaf.Payload]; {
	case !ok:
		r.byDigest[leaf.Payload] = twoRoles{position, none}
	case known.other == none && r.records[known.first].Leaf.Role != leaf.Role:
		r.byDigest[leaf.Payload] = twoRoles{known.first, position}
	}
	if leaf.Kind == Evidence {
		if _, ok := r.evidence[version]; !ok {
			r.evidence[version] = position
		}
		return nil
	}
	r.release(position)
	return nil
}

func lastOf[K comparable](positions map[K]int, key K) int {
	if position, ok := positions[key]; ok {
		return position
	}
	return none
}

// release takes note of a record that is a release.
func (r *Repository) release(position int) {
	leaf := r.records[position].Leaf
	list := r.releases[leaf.Role]
	at, _ := slices.BinarySearchFunc(list, leaf.Version, func(other int, version int64) int {
		if r.records[other].Leaf.Version > version {
			return 1
		}
		return -1 // also the releases of this version: they come before it in the log
	})
	r.releases[leaf.Role] = slices.Insert(list, at, position)
	if c := r.currents[leaf.Role]; c != nil {
		c.fresh = append(c.fresh, position)
	}
	if leaf.Role == RoleRoot {
		r.roots[leaf.Version] = position
		r.history.todo = append(r.history.todo, position)
		if leaf.Version >= r.records[r.root].Leaf.Version {
			r.root = position
		}
	}
}

// otherRole returns the first record that has this payload as another role's
// than this one.
func (r *Repository) otherRole(role string, payload Digest) (Record, bool) {
	known, ok := r.byDigest[payload]
	switch {
	case !ok:
		return Record{}, false
	case r.records[known.first].Leaf.Role != role:
		return r.records[known.first], true
	case known.other != none:
		return r.records[known.other], true
	}
	return Record{}, false
}

// Root returns the current root: the highest that is released.
func (r *Repository) Root() (*Metadata, error) { return r.rootFile(r.root) }

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
	position, ok, err := r.current(role, ask(keys))
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
	root, err := r.Root()
	if err != nil {
		return KeySet{}, err
	}
	if IsTopLevel(role) {
		return root.Root.KeySet(role), nil
	}
	var found KeySet
	ok := false
	err = r.walk(root, func(_ string, _ KeySet, d *Delegations) bool {
		_, found, ok = d.Find(role)
		return !ok
	})
	if err == nil && !ok {
		err = refused(RefusedNotDelegated, "no current targets metadata delegates to %q", role)
	}
	return found, err
}

// walk visits targets and the roles that it delegates to of which anything is
// logged, breadth-first in listed order, each once with its keys and with what its
// current release delegates, until visit is false.
func (r *Repository) walk(root *Metadata, visit func(role string, keys KeySet, d *Delegations) bool) error {
	type delegated struct {
		name string
		keys KeySet
	}
	queue := []delegated{{RoleTargets, root.Root.KeySet(RoleTargets)}}
	seen := map[string]bool{RoleTargets: true}
	for len(queue) > 0 {
		next := queue[0]
		queue = queue[1:]
		d, err := r.delegationsOf(next.name, next.keys)
		if err != nil {
			return err
		}
		if !visit(next.name, next.keys, d) {
			return nil
		}
		// A role of which nothing is logged delegates to nobody.
		for name, keys := range d.among(r.releases) {
			if !seen[name] {
				seen[name] = true
				queue = append(queue, delegated{name, keys})
			}
		}
	}
	return nil
}

// Currents returns the current releases of all roles that have one, as Current does
// of each, in no order.
func (r *Repository) Currents() ([]Record, error) {
	root, err := r.Root()
	if err != nil {
		return nil, err
	}
	list := []Record{r.records[r.root]}
	add := func(role string, keys KeySet) error {
		position, ok, err := r.current(role, ask(keys))
		if ok {
			list = append(list, r.records[position])
		}
		return err
	}
	for _, role := range []string{RoleSnapshot, RoleTimestamp} {
		if err := add(role, root.Root.KeySet(role)); err != nil {
			return nil, err
		}
	}
	err2 := r.walk(root, func(role string, keys KeySet, _ *Delegations) bool {
		err = add(role, keys)
		return err == nil
	})
	return list, errors.Join(err, err2)
}

// delegationsOf returns the delegations in the current release of a role that
// has these keys; nil where there are none.
func (r *Repository) delegationsOf(role string, keys KeySet) (*Delegations, error) {
	// Thousands of bins that delegate to nobody need not be asked what is current.
	if !slices.ContainsFunc(r.releases[role], r.mayDelegate) {
		return nil, nil
	}
	position, ok, err := r.current(role, ask(keys))
	if err != nil || !ok {
		return nil, err
	}
	return r.delegations(position)
}

// mayDelegate is false for a record whose file is known to delegate to nobody.
func (r *Repository) mayDelegate(position int) bool {
	s := r.signed.of(position)
	return s == nil || s.delegates
}

// current is the answer to what is current of a role, and what it takes to keep
// it up to date.
type current struct {
	keys     Digest // fingerprint of the keys for which it was asked
	position int    // or none
	fresh    []int  // releases since
}

// current returns the position of the highest release of role that stands under
// keys: of several of one version, the last. The search among all releases is
// made when the role's keys have changed; after that only new releases are looked
// at.
func (r *Repository) current(role string, keys question) (int, bool, error) {
	releases := r.releases[role]
	if len(releases) == 0 {
		return 0, false, nil
	}
	c := r.currents[role]
	if c == nil || c.keys != keys.print {
		c = &current{keys: keys.print, position: none}
		for _, position := range slices.Backward(releases) {
			ok, err := r.stands(position, keys)
			if err != nil {
				return 0, false, err
			}
			if ok {
				c.position = position
				break
			}
		}
		r.currents[role] = c
	}
	for ; len(c.fresh) > 0; c.fresh = c.fresh[1:] {
		position := c.fresh[0]
		if c.position != none && r.records[position].Leaf.Version < r.records[c.position].Leaf.Version {
			continue
		}
		ok, err := r.stands(position, keys)
		if err != nil {
			return 0, false, err
		}
		if ok {
			c.position = position
		}
	}
	return c.position, c.position != none, nil
}
