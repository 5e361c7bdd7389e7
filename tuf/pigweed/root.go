package pigweed

import (
	"encoding/hex"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tuflog/tuflog/tuf"
)

var (
	rootFields = schema{
		1: firstFields[1],
		2: {name: "consistent_snapshot", wire: protowire.VarintType},
		3: {name: "keys", wire: protowire.BytesType, repeated: true},
		4: {name: "root_signature_requirement", wire: protowire.BytesType},
		5: {name: "timestamp_signature_requirement", wire: protowire.BytesType},
		6: {name: "snapshot_signature_requirement", wire: protowire.BytesType},
		7: {name: "targets_signature_requirement", wire: protowire.BytesType},
	}
	mappingFields = schema{
		1: {name: "key_id", wire: protowire.BytesType},
		2: {name: "key", wire: protowire.BytesType},
	}
	keyFields = schema{
		1: {name: "key_type", wire: protowire.VarintType},
		2: {name: "scheme", wire: protowire.VarintType},
		3: {name: "keyval", wire: protowire.BytesType},
	}
	requirementFields = schema{
		1: {name: "key_ids", wire: protowire.BytesType, repeated: true},
		2: {name: "threshold", wire: protowire.VarintType},
	}
)

// ecdsaP256 is Pigweed's number for the type of a P-256 key, and for its scheme.
const ecdsaP256 = 3

// pointSize is how many bytes the uncompressed point of a P-256 key has.
const pointSize = 65

// root reads a RootMetadata.
func (m *message) root() (*tuf.Root, error) {
	root := &tuf.Root{Keys: map[string]*tuf.Key{}, Roles: map[string]tuf.Role{}}
	err := m.each(rootFields, func(f field) (err error) {
		switch f.name {
		case "consistent_snapshot":
			var n int64
			n, err = m.number(f, 0, 1)
			root.ConsistentSnapshot = n == 1
		case "keys":
			if f.index >= tuf.MaxKeys {
				return m.errorf(f.at-m.at, "more than %d keys", tuf.MaxKeys)
			}
			sub := m.sub(f)
			key, err := sub.mapping()
			if err != nil {
				return err
			}
			if root.Keys[key.ID] != nil {
				return sub.errorf(0, "second key under key id %s", key.ID)
			}
			root.Keys[key.ID] = key
		case "root_signature_requirement":
			root.Roles[tuf.RoleRoot], err = m.sub(f).requirement()
		case "targets_signature_requirement":
			root.Roles[tuf.RoleTargets], err = m.sub(f).requirement()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, role := range []string{tuf.RoleRoot, tuf.RoleTargets} {
		if _, ok := root.Roles[role]; !ok {
			return nil, m.errorf(0, "%s_signature_requirement is missing", role)
		}
	}
	return root, nil
}

// mapping reads a KeyMapping. The id must be that of the key: Pigweed's verifier on the
// device looks a key up by its id alone.
func (m *message) mapping() (*tuf.Key, error) {
	var id string
	var key *message
	err := m.each(mappingFields, func(f field) (err error) {
		switch f.name {
		case "key_id":
			id, err = m.keyID(f)
		case "key":
			key = m.sub(f)
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case id == "":
		return nil, m.errorf(0, "key_id is missing")
	case key == nil:
		return nil, m.errorf(0, "key is missing")
	}
	read, err := key.key()
	if err != nil {
		return nil, err
	}
	if read.ID != id {
		return nil, m.errorf(0, "key_id is %s, but the SHA-256 of the key is %s", id, read.ID)
	}
	return read, nil
}

// key reads a Key and derives its id.
func (m *message) key() (*tuf.Key, error) {
	var keyType, scheme int64
	var value []byte
	err := m.each(keyFields, func(f field) (err error) {
		// Pigweed hashes one byte of each number for the key's id.
		switch f.name {
		case "key_type":
			keyType, err = m.number(f, 1, math.MaxUint8)
		case "scheme":
			scheme, err = m.number(f, 1, math.MaxUint8)
		case "keyval":
			value = f.bytes
		}
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case keyType == 0:
		return nil, m.errorf(0, "key_type is missing")
	case scheme == 0:
		return nil, m.errorf(0, "scheme is missing")
	case len(value) == 0:
		return nil, m.errorf(0, "keyval is missing")
	}
	key := &tuf.Key{
		ID:     tuf.Sum(append([]byte{byte(keyType), byte(scheme)}, value...)).String(),
		Public: hex.EncodeToString(value),
	}
	if keyType == ecdsaP256 && scheme == ecdsaP256 {
		if len(value) != pointSize {
			return nil, m.errorf(0, "keyval of %d bytes, want the %d of an uncompressed point", len(value), pointSize)
		}
		key.Type, key.Scheme = "ecdsa", "ecdsa-sha2-nistp256"
		return key, nil
	}
	// Not by a name that package tuf knows: Pigweed says nowhere how these are spelt.
	key.Type, key.Scheme = fmt.Sprintf("pigweed-%d", keyType), fmt.Sprintf("pigweed-%d", scheme)
	return key, nil
}

// requirement reads a SignatureRequirement.
func (m *message) requirement() (tuf.Role, error) {
	var role tuf.Role
	ids := map[string]bool{}
	err := m.each(requirementFields, func(f field) error {
		switch f.name {
		case "key_ids":
			if f.index >= tuf.MaxKeys {
				return m.errorf(f.at-m.at, "more than %d key ids", tuf.MaxKeys)
			}
			id, err := m.keyID(f)
			if err != nil {
				return err
			}
			if ids[id] {
				return m.sub(f).errorf(0, "second time key id %s", id)
			}
			ids[id] = true
			role.KeyIDs = append(role.KeyIDs, id)
		case "threshold":
			n, err := m.number(f, 1, tuf.MaxKeys)
			role.Threshold = int(n)
			return err
		}
		return nil
	})
	if err == nil && role.Threshold == 0 {
		err = m.errorf(0, "threshold is missing")
	}
	return role, err
}
