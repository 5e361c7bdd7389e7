package explain

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// maxCall bounds the steps of the calculations for all paths of a call that are asked of one
// repository.
const maxCall = 64 << 20

// stepsPerKey is about how many steps it takes to name and sort one key of one role.
const stepsPerKey = 64

// session answers Radius for the paths of one call. Paths for which a device asks the same
// roles have one answer, which is calculated once; and the work of all of them is bounded,
// whatever the metadata: it is counted in steps, so that the same question always gets the
// same answer.
type session struct {
	repo Repository
	top  map[string]*keySet
	sets map[keyList]*keySet
	done map[string]*Replace // by the roles that are asked, and their keys
	work work
}

// keySet is the keys of a role, numbered within a session.
type keySet struct {
	tuf.KeySet
	number uint64
}

// keyList tells apart the lists of keys that delegations give.
type keyList struct {
	by        *tuf.Delegations
	keyIDs    *string // the first one: where the list is
	threshold int
}

func newSession(repo Repository) (*session, error) {
	if err := repo.check(); err != nil {
		return nil, err
	}
	return &session{repo: repo, top: map[string]*keySet{}, sets: map[keyList]*keySet{}, done: map[string]*Replace{}, work: work{left: maxCall}}, nil
}

// radius answers for a path; nil: there were too many steps for the paths before it.
func (s *session) radius(path string) *Replace {
	var visited []visit
	var search []byte
	for v := range s.visits(path) {
		visited = append(visited, v)
		search = binary.AppendUvarint(append(append(search, v.role...), 0), v.keys.number)
		if v.listed {
			search = append(search, 'l')
		}
		if len(visited) > MaxSearched {
			break
		}
	}
	r, ok := s.done[string(search)]
	if !ok {
		if s.work.left <= 0 {
			return nil
		}
		r = s.calculate(visited)
		s.done[string(search)] = r
	}
	answer := *r
	answer.Path, answer.same = path, r
	return &answer
}

// calculate answers for the paths for which these roles are asked.
func (s *session) calculate(visited []visit) *Replace {
	r := &Replace{Searched: []string{}, Ways: []Way{}, Sets: [][]string{}}
	c := &calculation{result: r, index: map[tuf.KeyIdentity]int{}, labels: labels{}, names: map[tuf.KeyIdentity][]string{}, call: &s.work, alone: s.repo.Root.Encoding == tuf.Pigweed}
	c.budget = c.within(maxWork)
	c.role(tuf.RoleRoot, s.root(tuf.RoleRoot).KeySet)
	c.search(s.repo, visited)
	c.finish(s.root(tuf.RoleSnapshot).KeySet, s.root(tuf.RoleTimestamp).KeySet)
	return r
}

// root returns the keys that root gives a role.
func (s *session) root(role string) *keySet {
	if s.top[role] == nil {
		s.top[role] = s.numbered(s.repo.Root.Root.KeySet(role))
	}
	return s.top[role]
}

// delegated returns the keys of a delegation.
func (s *session) delegated(d *tuf.Delegations, to tuf.Role) *keySet {
	at := keyList{by: d, threshold: to.Threshold}
	if len(to.KeyIDs) > 0 {
		at.keyIDs = &to.KeyIDs[0]
	}
	if s.sets[at] == nil {
		s.sets[at] = s.numbered(tuf.NewKeySet(d.Keys, to))
	}
	return s.sets[at]
}

func (s *session) numbered(ks tuf.KeySet) *keySet {
	return &keySet{ks, uint64(len(s.top) + len(s.sets))}
}

// visit is a role that a search visits.
type visit struct {
	role    string
	keys    *keySet
	listed  bool // it lists the path: the last visit
	unknown bool // its metadata is not at hand
}

// visits yields the roles that a search for a path visits: pre-order and depth first, each
// role once, under the keys of the delegation by which it is reached first.
func (s *session) visits(path string) func(yield func(visit) bool) {
	type step struct {
		role string
		keys func() *keySet
	}
	return func(yield func(visit) bool) {
		seen := map[string]bool{}
		stack := []step{{tuf.RoleTargets, func() *keySet { return s.root(tuf.RoleTargets) }}}
		for len(stack) > 0 {
			next := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if seen[next.role] {
				continue
			}
			seen[next.role] = true
			v := visit{role: next.role, keys: next.keys()}
			m := s.repo.role(next.role)
			v.unknown = m == nil
			if m != nil {
				_, v.listed = m.Targets.File(path)
			}
			if !yield(v) || v.listed || v.unknown && s.repo.endsAt(next.role) {
				return
			}
			if m == nil || m.Targets.Delegations == nil {
				continue
			}
			d := m.Targets.Delegations
			children := d.For(path)
			if n := len(children); n > 0 && (children[n-1].Terminating || d.Succinct != nil) {
				stack = nil // the search does not come back
			}
			for _, child := range slices.Backward(children) {
				if !seen[child.Name] {
					stack = append(stack, step{child.Name, func() *keySet { return s.delegated(d, child.Role) }})
				}
			}
		}
	}
}

// leftOut adds to limits that paths are left out.
func leftOut(limits []string, paths int) []string {
	if paths == 0 {
		return limits
	}
	return append(limits, fmt.Sprintf("who can replace a file at %s is not enumerated: so many keys and thresholds take too much work", count(paths, "more path")))
}
