// Package testpigweed signs metadata and bundles in the form of Pigweed's
// pw_software_update, for tests and the demonstration. Begin with [NewKey], then
// [Root.Sign], [Targets] and [Bundle]. What Pigweed's own tools write is in the data that
// package realdata finds; here it can be of any version and content.
package testpigweed

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Pigweed's number of ECDSA on P-256, as a type of key and as a scheme.
const ecdsaP256 = 3

// Key is a key that signs.
type Key struct {
	private *ecdsa.PrivateKey
	key     []byte // Key
	id      []byte
}

// NewKey returns a new key.
func NewKey() (Key, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Key{}, fmt.Errorf("testpigweed: %w", err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		return Key{}, fmt.Errorf("testpigweed: %w", err)
	}
	id := sha256.Sum256(append([]byte{ecdsaP256, ecdsaP256}, point...))
	return Key{private, slices.Concat(num(1, ecdsaP256), num(2, ecdsaP256), bin(3, point)), id[:]}, nil
}

// Root is root metadata. Any one of its keys suffices for its role.
type Root struct {
	Version       uint32
	Root, Targets []Key
}

// Sign returns a SignedRootMetadata.
func (r Root) Sign(keys ...Key) ([]byte, error) {
	payload := common("root", r.Version)
	listed := map[string]bool{}
	for _, k := range slices.Concat(r.Root, r.Targets) {
		if listed[string(k.id)] {
			continue // of both roles
		}
		listed[string(k.id)] = true
		payload = append(payload, bin(3, slices.Concat(bin(1, k.id), bin(2, k.key)))...)
	}
	payload = append(payload, bin(4, requirement(r.Root))...)
	payload = append(payload, bin(7, requirement(r.Targets))...)
	return signed(payload, keys)
}

// Targets returns a SignedTargetsMetadata that lists files by name.
func Targets(version uint32, files map[string][]byte, keys ...Key) ([]byte, error) {
	payload := common("targets", version)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sum := sha256.Sum256(files[name])
		hash := slices.Concat(num(1, 1), bin(2, sum[:]))
		payload = append(payload, bin(2, slices.Concat(bin(1, []byte(name)), num(2, uint64(len(files[name]))), bin(3, hash)))...)
	}
	return signed(payload, keys)
}

// Bundle returns an UpdateBundle. root may be nil: then it has none.
func Bundle(root, targets []byte, files map[string][]byte) []byte {
	b := bin(3, slices.Concat(bin(1, []byte("targets")), bin(2, targets)))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		b = append(b, bin(4, slices.Concat(bin(1, []byte(name)), bin(2, files[name])))...)
	}
	if root != nil {
		b = append(b, bin(5, root)...)
	}
	return b
}

// Without returns a bundle without the payloads of some names, by protobuf's own reader of
// fields: every other byte stays.
func Without(bundle []byte, names ...string) ([]byte, error) {
	var rest []byte
	for len(bundle) > 0 {
		number, _, n := protowire.ConsumeField(bundle)
		if n < 0 {
			return nil, fmt.Errorf("testpigweed: %w", protowire.ParseError(n))
		}
		value, _ := protowire.ConsumeBytes(bundle[protowire.SizeTag(number):n])
		if number != 4 || !slices.ContainsFunc(names, func(name string) bool { return bytes.HasPrefix(value, bin(1, []byte(name))) }) {
			rest = append(rest, bundle[:n]...)
		}
		bundle = bundle[n:]
	}
	return rest, nil
}

func common(role string, version uint32) []byte {
	return bin(1, slices.Concat(bin(1, []byte("0.0.1")), num(2, uint64(version)), bin(4, []byte(role))))
}

func requirement(keys []Key) []byte {
	var b []byte
	for _, k := range keys {
		b = append(b, bin(1, k.id)...)
	}
	return append(b, num(2, 1)...)
}

func signed(payload []byte, keys []Key) ([]byte, error) {
	file := bin(1, payload)
	sum := sha256.Sum256(payload)
	for _, k := range keys {
		r, s, err := ecdsa.Sign(rand.Reader, k.private, sum[:])
		if err != nil {
			return nil, fmt.Errorf("testpigweed: %w", err)
		}
		sig := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		file = append(file, bin(2, slices.Concat(bin(1, k.id), bin(2, sig)))...)
	}
	return file, nil
}

// bin is a field of bytes, a string or a message.
func bin(n protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), v)
}

// num is a field with a number.
func num(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}
