package verify

import (
	"bytes"
	"slices"
	"strconv"
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
// or one that cannot be read: such a key signs nothing, and is no reason to
// refuse the metadata that lists it.
func (k *Key) Identity() (KeyIdentity, bool) {
	k.load()
	return k.identity, k.verifier != nil
}

// Verify says whether sig is the key's signature of msg.
func (k *Key) Verify(msg, sig []byte) bool {
	return k.verify(&message{bytes: msg}, sig)
}

func (k *Key) verify(msg *message, sig []byte) bool {
	k.load()
	return k.verifier != nil && k.verifier.verify(msg, sig)
}

// KeySet is a role together with the keys that its ids refer to.
type KeySet struct {
	Keys map[string]*Key
	Role Role
}

// KeySet returns who may sign a top-level role; its zero value, which nothing
// meets, for any other.
func (r *Root) KeySet(role string) KeySet {
	return KeySet{Keys: r.Keys, Role: r.Roles[role]}
}

// Identities returns the distinct public keys of the set, sorted.
func (ks KeySet) Identities() []KeyIdentity {
	ids := map[KeyIdentity]bool{}
	for _, id := range ks.Role.KeyIDs {
		if key := ks.Keys[id]; key != nil {
			if identity, ok := key.Identity(); ok {
				ids[identity] = true
			}
		}
	}
	return sorted(ids)
}

// Fingerprint returns a digest of everything on which Meets depends: sets with
// one fingerprint are met by the same files. Key ids are part of it, because a
// signature counts only under an id that the role lists.
func (ks KeySet) Fingerprint() Digest {
	ids := slices.Clone(ks.Role.KeyIDs)
	slices.Sort(ids)
	b := strconv.AppendInt(nil, int64(ks.Role.Threshold), 10)
	for _, id := range slices.Compact(ids) {
		if key := ks.Keys[id]; key != nil {
			if identity, ok := key.Identity(); ok {
				b = strconv.AppendQuote(append(b, ' '), id)
				b = strconv.AppendQuote(b, key.Scheme) // one RSA key signs in several ways
				b = append(b, identity[:]...)
			}
		}
	}
	return Sum(b)
}

// Signers returns the distinct public keys of the role that signed the payload,
// sorted. Only signatures under the role's key ids are looked at that name a key
// which can be read, and of them the first that cover MaxSigned bytes together. One
// signature counts for one key: where two keys are made so that the same bytes
// verify under both, the first in the file has them.
func (m *Metadata) Signers(ks KeySet) []KeyIdentity {
	msg := &message{bytes: m.Payload}
	signed := map[KeyIdentity]bool{}
	used := map[string]bool{} // signatures that count
	all := m.signaturesLookedAt()
	for _, sig := range m.Signatures {
		key := ks.key(sig.KeyID)
		if key == nil {
			continue
		}
		id, ok := key.Identity()
		if !ok {
			continue // costs nothing, so it takes nothing from the others
		}
		if all == 0 {
			break
		}
		all--
		if signed[id] || used[string(sig.Sig)] || !key.verify(msg, sig.Sig) {
			continue
		}
		signed[id], used[string(sig.Sig)] = true, true
	}
	return sorted(signed)
}

// key returns the key of the role under an id, nil if there is none.
func (ks KeySet) key(id string) *Key {
	if key := ks.Keys[id]; key != nil && slices.Contains(ks.Role.KeyIDs, id) {
		return key
	}
	return nil
}

// signaturesLookedAt is how many passes over the payload MaxSigned allows.
func (m *Metadata) signaturesLookedAt() int { return MaxSigned / max(1, len(m.Payload)) }

// Meets returns nil if enough keys of the role signed the payload, otherwise a
// *ThresholdError.
func (m *Metadata) Meets(ks KeySet) error {
	have := len(m.Signers(ks))
	if ks.Role.Threshold < 1 || have < ks.Role.Threshold {
		return m.short(ks, have)
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
