package tuf

import (
	"bytes"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Key is a public key as metadata lists it. It is read when it is first used;
// all methods may be called from several goroutines.
type Key struct {
	ID     string // under which it is listed: a label, not checked against the key
	Type   string // keytype, such as "ecdsa"
	Scheme string // such as "ecdsa-sha2-nistp256"
	Public string // keyval.public: hex or PEM

	once     sync.Once
	verifier verifier // nil: unknown type or unreadable
	identity KeyIdentity
}

// KeyIdentity tells public keys apart: SHA-256 over the algorithm and the raw
// key, so that one key has one identity under every id and every spelling.
type KeyIdentity Digest

// String returns the identity as 64 lower-case hex digits.
func (id KeyIdentity) String() string { return Digest(id).String() }

// MarshalText returns the same text as String.
func (id KeyIdentity) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// verifier is a public key that can check signatures.
type verifier interface {
	// raw returns the name of the algorithm and the key in its only spelling.
	raw() (algorithm string, key []byte)
	verify(msg *message, sig []byte) bool
}

func (k *Key) load() {
	k.once.Do(func() {
		if k.verifier = parseKey(k.Type, k.Scheme, k.Public); k.verifier != nil {
			algorithm, raw := k.verifier.raw()
			k.identity = KeyIdentity(Sum(append([]byte(algorithm+"\x00"), raw...)))
		}
	})
}

// Identity returns the key's identity. It is false for a key of an unknown type
// or one that cannot be read: such a key cannot sign, but the metadata that
// lists it is still valid.
func (k *Key) Identity() (KeyIdentity, bool) {
	k.load()
	return k.identity, k.verifier != nil
}

// Verify reports whether sig is the key's signature of msg.
func (k *Key) Verify(msg, sig []byte) bool {
	return k.verify(&message{bytes: msg}, sig)
}

// Exclusive reports whether a valid signature of this key is valid under no other key
// for which this is true: the public key is part of the hashed bytes, and the two
// algorithms' signatures differ in length. (Anyone can make an ECDSA or RSA key under
// which given bytes are a valid signature, and those of an Ed25519 key that begin like
// the ASN.1 of an ECDSA signature can be found.)
func (k *Key) Exclusive() bool {
	switch k.verifier.(type) {
	case ed25519Key, mldsaKey:
		return true
	}
	return false
}

func (k *Key) verify(msg *message, sig []byte) bool {
	k.load()
	return k.verifier != nil && k.verifier.verify(msg, sig)
}

// KeySet is the set of keys that may sign a role: the keys that can be read, by
// id, and how many of them must sign. Other keys of the role cannot have signed
// anything, so they are left out. No file meets the zero value. A KeySet does not
// change.
type KeySet struct {
	keys       map[string]*Key // readable ones, by id
	threshold  int
	unreadable map[string]*Key // the others, by id: nothing but words depends on them
	print      Digest
	byKey      *keyIndex
}

// keyIndex has the ids of each key of a set, once somebody asks: a set may have thousands.
type keyIndex struct {
	once sync.Once
	ids  map[KeyIdentity][]string
}

// NewKeySet returns the set of a role's keys, which keys lists by id.
func NewKeySet(keys map[string]*Key, role Role) KeySet {
	ks := KeySet{keys: make(map[string]*Key, len(role.KeyIDs)), threshold: role.Threshold, byKey: new(keyIndex)}
	for _, id := range role.KeyIDs {
		key := keys[id]
		if key == nil {
			continue
		}
		if _, ok := key.Identity(); ok {
			ks.keys[id] = key
			continue
		}
		if ks.unreadable == nil {
			ks.unreadable = map[string]*Key{}
		}
		ks.unreadable[id] = key
	}
	ks.print = ks.fingerprint()
	return ks
}

// KeySet returns the keys that may sign a top-level role; for any other role,
// the zero value, which no file meets.
func (r *Root) KeySet(role string) KeySet { return NewKeySet(r.Keys, r.Roles[role]) }

// Threshold returns how many distinct public keys must sign.
func (ks KeySet) Threshold() int { return ks.threshold }

// Len returns how many key ids the set has under which a signature counts.
func (ks KeySet) Len() int { return len(ks.keys) }

// MetBy reports whether signatures by that many distinct public keys suffice.
func (ks KeySet) MetBy(signers int) bool { return ks.threshold >= 1 && signers >= ks.threshold }

// Key returns the key of the role under an id, readable or not; nil if there is none.
func (ks KeySet) Key(id string) *Key {
	if key := ks.keys[id]; key != nil {
		return key
	}
	return ks.unreadable[id]
}

// Identities returns the distinct public keys of the set, sorted.
func (ks KeySet) Identities() []KeyIdentity {
	ids := map[KeyIdentity]bool{}
	for _, key := range ks.keys {
		ids[key.identity] = true
	}
	return sorted(ids)
}

// IDs returns the ids under which a public key is in the set, sorted.
func (ks KeySet) IDs(identity KeyIdentity) []string {
	if ks.byKey == nil {
		return nil
	}
	ks.byKey.once.Do(func() {
		ks.byKey.ids = make(map[KeyIdentity][]string, len(ks.keys))
		for id, key := range ks.keys {
			ks.byKey.ids[key.identity] = append(ks.byKey.ids[key.identity], id)
		}
		for _, ids := range ks.byKey.ids {
			slices.Sort(ids)
		}
	})
	return slices.Clone(ks.byKey.ids[identity])
}

// Fingerprint returns a digest of everything on which Signers and Meets depend:
// sets with one fingerprint are met by the same files. Key ids are part of it,
// because a signature counts only under an id that the role lists.
func (ks KeySet) Fingerprint() Digest { return ks.print }

func (ks KeySet) fingerprint() Digest {
	b := strconv.AppendInt(nil, int64(ks.threshold), 10)
	for _, id := range slices.Sorted(maps.Keys(ks.keys)) {
		key := ks.keys[id]
		b = strconv.AppendQuote(append(b, ' '), id)
		b = strconv.AppendQuote(b, key.Scheme) // one RSA key signs in several ways
		b = append(b, key.identity[:]...)
	}
	return Sum(b)
}

// Memory returns about how many bytes a Clone of the set takes.
func (ks KeySet) Memory() int {
	size := 128
	for id, key := range ks.keys {
		size += 512 + len(id) + len(key.Type) + len(key.Scheme) + 2*len(key.Public) // the text, and what is read of it
	}
	return size
}

// Clone copies a set without the text of the file that it was read from.
func (ks KeySet) Clone() KeySet {
	own := KeySet{keys: make(map[string]*Key, len(ks.keys)), threshold: ks.threshold, print: ks.print, byKey: new(keyIndex)}
	for id, key := range ks.keys {
		id = strings.Clone(id)
		own.keys[id] = &Key{ID: id, Type: strings.Clone(key.Type), Scheme: strings.Clone(key.Scheme), Public: strings.Clone(key.Public)}
		own.keys[id].load()
	}
	return own
}

// Signers returns the distinct public keys of the set that signed the payload,
// sorted. Only signatures under the set's key ids are checked, and of those only
// the first that together cover MaxSigned bytes. One signature counts for one key:
// if two keys are made so that the same bytes verify under both, the first in the
// file counts.
func (m *Metadata) Signers(ks KeySet) []KeyIdentity {
	ids, _ := ks.Count(m.SignatureSet())
	return ids
}

// SignatureSet is the signatures of a file, at hand or remembered.
type SignatureSet struct {
	Signatures int
	Looks      int                        // how many may be looked at
	KeyID      func(i int) string         // of signature i
	First      func(i int) int            // the first signature with the bytes of signature i
	Valid      func(i int, key *Key) bool // reports whether key made signature i
}

// SignatureSet returns the signatures of m.
func (m *Metadata) SignatureSet() SignatureSet {
	msg := &message{bytes: m.Payload}
	return SignatureSet{
		Signatures: len(m.Signatures),
		Looks:      m.Looks(),
		KeyID:      func(i int) string { return m.Signatures[i].KeyID },
		First:      m.FirstAlike,
		Valid: func(i int, key *Key) bool {
			if valid, known := m.checks.of(i, key); known {
				return valid
			}
			return key.verify(msg, m.Signatures[i].Sig)
		},
	}
}

// FirstAlike returns the first signature with the bytes of signature i.
func (m *Metadata) FirstAlike(i int) int {
	return slices.IndexFunc(m.Signatures, func(s Signature) bool { return bytes.Equal(s.Sig, m.Signatures[i].Sig) })
}

// Count returns the keys of the set that have signed, sorted, and how many signatures
// were checked. No other function decides which signatures count, so a file and its
// summary cannot differ.
func (ks KeySet) Count(s SignatureSet) (ids []KeyIdentity, looked int) {
	signed := map[KeyIdentity]bool{}
	used := map[int]bool{} // signatures that count
	for i := 0; i < s.Signatures && looked < s.Looks; i++ {
		key := ks.keys[s.KeyID(i)]
		if key == nil {
			continue
		}
		looked++
		if signed[key.identity] || !s.Valid(i, key) {
			continue
		}
		if first := s.First(i); !used[first] {
			signed[key.identity], used[first] = true, true
		}
	}
	return sorted(signed), looked
}

// Looks returns how many signatures may be checked: how many passes over the
// payload MaxSigned allows.
func (m *Metadata) Looks() int { return MaxSigned / max(1, len(m.Payload)) }

// Meets returns nil if enough keys of the role signed the payload, otherwise a
// *ThresholdError.
func (m *Metadata) Meets(ks KeySet) error {
	have := len(m.Signers(ks))
	if !ks.MetBy(have) {
		return m.Short(ks, have)
	}
	return nil
}

func sorted(set map[KeyIdentity]bool) []KeyIdentity {
	ids := make([]KeyIdentity, 0, len(set))
	for id := range set {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b KeyIdentity) int { return bytes.Compare(a[:], b[:]) })
	return ids
}

// LastMet returns the index of the last key set that m meets, or -1. For any number of
// sets it checks about as many signatures as for one.
func (m *Metadata) LastMet(sets []KeySet) int {
	signed := m.signedUnder(sets)
	for i, ks := range slices.Backward(sets) {
		signers := map[KeyIdentity]bool{}
		for id, key := range ks.keys {
			if signed[signedUnder{id, key.identity}] {
				signers[key.identity] = true
			}
		}
		if ks.MetBy(len(signers)) {
			return i
		}
	}
	return -1
}

// signedUnder is a key that signed a file, and the id under which it did.
type signedUnder struct {
	id  string
	key KeyIdentity
}

// signedUnder returns the public keys of any of the sets that signed m. It makes
// about as many attempts as there are signatures: more are needed only where one id
// has stood for several keys.
func (m *Metadata) signedUnder(sets []KeySet) map[signedUnder]bool {
	msg := &message{bytes: m.Payload}
	signed := map[signedUnder]bool{}
	const least = 64
	left := min(max(least, len(m.Signatures)), m.Looks())
	for _, sig := range m.Signatures {
		tried := map[KeyIdentity]bool{}
		for i := len(sets) - 1; i >= 0; i-- {
			key := sets[i].keys[sig.KeyID]
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
