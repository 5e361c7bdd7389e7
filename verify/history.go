package verify

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
	signed := m.signedUnder(sets)
	for i := len(sets) - 1; i >= 0; i-- {
		signers := map[KeyIdentity]bool{}
		for id, key := range sets[i].keys.keys {
			if signed[signedUnder{id, key.identity}] {
				signers[key.identity] = true
			}
		}
		if sets[i].keys.metBy(len(signers)) {
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
		sets := h.sets[role]
		if n := len(sets); n > 0 && sets[n-1].keys.print == keys.print {
			sets[n-1].version = root.Version
			continue
		}
		sets = append(sets, oldSet{root.Version, keys.clone()})
		total := 0
		for i := len(sets) - 1; i >= 0; i-- {
			if total += len(sets[i].keys.keys); i < len(sets)-1 && (total > maxOldKeys || len(sets)-i > maxKeySets) {
				sets = append([]oldSet(nil), sets[i+1:]...)
				break
			}
		}
		h.sets[role] = sets
	}
}

// signedUnder is a key that signed a file, and the id under which it did.
type signedUnder struct {
	id  string
	key KeyIdentity
}

// signedUnder returns the public keys of any of the sets that signed m. It makes
// about as many attempts as there are signatures: more are needed only where one id
// has stood for several keys.
func (m *Metadata) signedUnder(sets []oldSet) map[signedUnder]bool {
	msg := &message{bytes: m.Payload}
	signed := map[signedUnder]bool{}
	const least = 64
	left := min(max(least, len(m.Signatures)), m.signaturesLookedAt())
	for _, sig := range m.Signatures {
		tried := map[KeyIdentity]bool{}
		for i := len(sets) - 1; i >= 0; i-- {
			key := sets[i].keys.keys[sig.KeyID]
			if key == nil || tried[key.identity] {
				continue
			}
			if left == 0 {
				return signed
			}
			left--
			tried[key.identity] = true
			if key.verify(msg, sig.Sig) {
				signed[signedUnder{sig.KeyID, key.identity}] = true
				break
			}
		}
	}
	return signed
}
