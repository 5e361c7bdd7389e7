package verify

import "strings"

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
	print   Digest
	keys    KeySet // its own copy, without the text of the root
}

// superseded returns the version of the last root by whose keys the role's file m
// would meet the threshold, 0 if there is none. The keys that the role has now are
// not asked. However many sets there are, it looks at as many signatures as for
// one.
func (r *Repository) superseded(role string, m *Metadata) (version int64, err error) {
	h := &r.history
	for ; len(h.todo) > 0; h.todo = h.todo[1:] {
		root, err := r.rootFile(h.todo[0])
		if err != nil {
			return 0, err
		}
		h.add(root)
	}
	sets := h.sets[role]
	if len(sets) < 2 {
		return 0, nil
	}
	sets = sets[:len(sets)-1]
	signers := m.signersOfAny(sets)
	for i := len(sets) - 1; i >= 0; i-- {
		have := 0
		for _, id := range sets[i].keys.Identities() {
			if signers[id] {
				have++
			}
		}
		if have > 0 && have >= sets[i].keys.Role.Threshold {
			return sets[i].version, nil
		}
	}
	return 0, nil
}

func (h *keyHistory) add(root *Metadata) {
	if h.sets == nil {
		h.sets = map[string][]oldSet{}
	}
	for _, role := range []string{RoleTargets, RoleSnapshot, RoleTimestamp} {
		keys := root.Root.KeySet(role)
		sets, print := h.sets[role], keys.Fingerprint()
		if n := len(sets); n > 0 && sets[n-1].print == print {
			sets[n-1].version = root.Version
			continue
		}
		sets = append(sets, oldSet{root.Version, print, keys.readable()})
		total := 0
		for i := len(sets) - 1; i >= 0; i-- {
			if total += len(sets[i].keys.Keys); i < len(sets)-1 && (total > maxOldKeys || len(sets)-i > maxKeySets) {
				sets = append([]oldSet(nil), sets[i+1:]...)
				break
			}
		}
		h.sets[role] = sets
	}
}

// readable copies of a key set what can have signed something, so that nothing of
// the file that it was read from is kept.
func (ks KeySet) readable() KeySet {
	own := KeySet{Keys: map[string]*Key{}, Role: Role{Threshold: ks.Role.Threshold}}
	for _, id := range ks.Role.KeyIDs {
		key := ks.Keys[id]
		if key == nil || own.Keys[id] != nil {
			continue
		}
		if _, ok := key.Identity(); ok {
			id = strings.Clone(id)
			own.Keys[id] = &Key{ID: id, Type: strings.Clone(key.Type), Scheme: strings.Clone(key.Scheme), Public: strings.Clone(key.Public)}
			own.Role.KeyIDs = append(own.Role.KeyIDs, id)
		}
	}
	return own
}

// signersOfAny returns the public keys of any of the sets that signed m. It makes
// about as many attempts as there are signatures: more are needed only where one id
// has stood for several keys.
func (m *Metadata) signersOfAny(sets []oldSet) map[KeyIdentity]bool {
	msg := &message{bytes: m.Payload}
	signers := map[KeyIdentity]bool{}
	const least = 64
	left := min(max(least, len(m.Signatures)), m.signaturesLookedAt())
	for _, sig := range m.Signatures {
		tried := map[KeyIdentity]bool{}
		for i := len(sets) - 1; i >= 0; i-- {
			key := sets[i].keys.Keys[sig.KeyID]
			if key == nil {
				continue
			}
			id, _ := key.Identity()
			if tried[id] || signers[id] {
				continue
			}
			if left == 0 {
				return signers
			}
			left--
			tried[id] = true
			if key.verify(msg, sig.Sig) {
				signers[id] = true
				break
			}
		}
	}
	return signers
}
