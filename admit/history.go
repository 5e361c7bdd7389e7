package admit

import (
	"context"

	"github.com/tuflog/tuflog/tuf"
)

// maxKeySets is how many of the key sets that a role has had are remembered, the
// last ones, and maxOldKeys how many keys they have together at most. What is
// forgotten costs a refusal its better word, nothing else.
const (
	maxKeySets = 32
	maxOldKeys = 1024
)

// keyHistory knows the keys that roots gave to the top-level roles other than
// root. It tells without reading a file whether a file that falls short is signed
// by keys that its role no longer has.
type keyHistory struct {
	todo []int // positions of roots that are not in it yet
	sets map[string][]oldSet
}

// oldSet is a key set of a role, and the last root that gave it to the role.
type oldSet struct {
	version int64
	keys    tuf.KeySet // its own copy, without the text of the root
}

// superseded returns the version of the last root by whose keys the role's file m
// would meet the threshold, 0 if there is none. The keys that the role has now are
// not asked. However many sets there are, it looks at as many signatures as for
// one.
func (r *Repository) superseded(ctx context.Context, role string, m *tuf.Metadata) (version int64, err error) {
	h := &r.history
	for ; len(h.todo) > 0; h.todo = h.todo[1:] {
		root, err := r.rootFile(ctx, h.todo[0])
		if err != nil {
			return 0, err
		}
		h.add(root)
	}
	sets := h.sets[role]
	if len(sets) < 2 {
		return 0, nil
	}
	var before []tuf.KeySet
	for _, old := range sets[:len(sets)-1] {
		before = append(before, old.keys)
	}
	if i := m.LastMet(before); i >= 0 {
		return sets[i].version, nil
	}
	return 0, nil
}

func (h *keyHistory) add(root *tuf.Metadata) {
	if h.sets == nil {
		h.sets = map[string][]oldSet{}
	}
	for _, role := range []string{tuf.RoleTargets, tuf.RoleSnapshot, tuf.RoleTimestamp} {
		keys := root.Root.KeySet(role)
		sets := h.sets[role]
		if n := len(sets); n > 0 && sets[n-1].keys.Fingerprint() == keys.Fingerprint() {
			sets[n-1].version = root.Version
			continue
		}
		sets = append(sets, oldSet{root.Version, keys.Clone()})
		total := 0
		for i := len(sets) - 1; i >= 0; i-- {
			if total += sets[i].keys.Len(); i < len(sets)-1 && (total > maxOldKeys || len(sets)-i > maxKeySets) {
				sets = append([]oldSet(nil), sets[i+1:]...)
				break
			}
		}
		h.sets[role] = sets
	}
}
