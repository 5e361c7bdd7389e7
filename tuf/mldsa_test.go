package tuf

import (
	"bytes"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"os"
	"strings"
	"testing"

	"filippo.io/mldsa"
	mldsax509 "filippo.io/mldsa/x509"
)

// mldsaTestKey signs as TAP 21 says, written out once more.
func mldsaTestKey(t testing.TB, parameters mldsa.Parameters, scheme string) (*mldsa.PrivateKey, testKey) {
	t.Helper()
	private, err := mldsa.GenerateKey(parameters)
	if err != nil {
		t.Fatal(err)
	}
	der, err := mldsax509.MarshalPKIXPublicKey(private.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	sign := func(msg []byte) []byte {
		sum := sha512.Sum512(msg)
		return mldsaSign(t, private, append([]byte{0x74, 0x75, 0x66, 0x01}, sum[:]...), nil)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	return private, testKey{&Key{Type: "ml-dsa", Scheme: scheme, Public: public}, sign}
}

func mldsaSign(t testing.TB, private *mldsa.PrivateKey, msg []byte, opts *mldsa.Options) []byte {
	t.Helper()
	sig, err := private.SignDeterministic(msg, opts)
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

var mldsaSchemes = []struct {
	scheme     string
	parameters mldsa.Parameters
}{
	{"ml-dsa-44/1", mldsa.MLDSA44()},
	{"ml-dsa-65/1", mldsa.MLDSA65()},
	{"ml-dsa-87/1", mldsa.MLDSA87()},
}

func TestMLDSA(t *testing.T) {
	msg := []byte(`{"_type":"targets"}`)
	identities := map[KeyIdentity]bool{}
	for _, s := range mldsaSchemes {
		private, k := mldsaTestKey(t, s.parameters, s.scheme)
		id, ok := k.key.Identity()
		if !ok {
			t.Fatalf("%s: the key cannot be read", s.scheme)
		}
		identities[id] = true
		sig := k.sign(msg)
		if !k.key.Verify(msg, sig) {
			t.Errorf("%s: a signature as in TAP 21 does not verify", s.scheme)
		}
		sum := sha512.Sum512(msg)
		tagged := append([]byte("tuf\x01"), sum[:]...)
		for why, bad := range map[string][]byte{
			"of the payload itself":    mldsaSign(t, private, msg, nil),
			"of the bare hash":         mldsaSign(t, private, sum[:], nil),
			"of another version":       mldsaSign(t, private, append([]byte("tuf\x02"), sum[:]...), nil),
			"of a hash twice":          k.sign(tagged),
			"with a context":           mldsaSign(t, private, tagged, &mldsa.Options{Context: "tuf"}),
			"of another payload":       k.sign([]byte("{}")),
			"cut short":                sig[:len(sig)-1],
			"with a byte more":         append(sig[:len(sig):len(sig)], 0),
			"with one bit turned over": append([]byte{sig[0] ^ 1}, sig[1:]...),
			"empty":                    nil,
		} {
			if k.key.Verify(msg, bad) {
				t.Errorf("%s: a signature %s verifies", s.scheme, why)
			}
		}
		// One public key, one identity.
		again := &Key{Type: "ml-dsa", Scheme: s.scheme, Public: strings.TrimSpace(k.key.Public)}
		if got, ok := again.Identity(); !ok || got != id {
			t.Errorf("%s: another identity without the line feed at the end", s.scheme)
		}
	}
	if len(identities) != len(mldsaSchemes) {
		t.Errorf("%d identities, want %d", len(identities), len(mldsaSchemes))
	}
}

func TestUnreadableMLDSAKeys(t *testing.T) {
	private, k := mldsaTestKey(t, mldsa.MLDSA44(), "ml-dsa-44/1")
	_, other := mldsaTestKey(t, mldsa.MLDSA65(), "ml-dsa-65/1")
	raw := private.PublicKey().Bytes()
	// spell writes a public key in PEM, with any algorithm and parameters.
	spell := func(oid asn1.ObjectIdentifier, parameters, key []byte) string {
		type algorithm struct {
			OID        asn1.ObjectIdentifier
			Parameters asn1.RawValue `asn1:"optional"`
		}
		alg := algorithm{OID: oid}
		if parameters != nil {
			alg.Parameters = asn1.RawValue{FullBytes: parameters}
		}
		der, err := asn1.Marshal(struct {
			Algorithm algorithm
			Public    asn1.BitString
		}{alg, asn1.BitString{Bytes: key, BitLength: 8 * len(key)}})
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	if got := spell(oidMLDSA44, nil, raw); got != k.key.Public {
		t.Fatalf("the test spells the key as\n%s, want\n%s", got, k.key.Public)
	}
	for _, bad := range []*Key{
		{Type: "ml-dsa", Scheme: "ml-dsa-44", Public: k.key.Public},
		{Type: "ml-dsa", Scheme: "ml-dsa-44/2", Public: k.key.Public},
		{Type: "ml-dsa", Scheme: "ml-dsa-44/01", Public: k.key.Public},
		{Type: "ml-dsa", Scheme: "ml-dsa-65/1", Public: k.key.Public},
		{Type: "ml-dsa-44", Scheme: "ml-dsa-44/1", Public: k.key.Public},
		{Type: "ml-dsa", Scheme: "ml-dsa-44/1", Public: other.key.Public},
		{Type: "ml-dsa", Scheme: "ml-dsa-44/1", Public: hex.EncodeToString(raw)},
		{Type: "ml-dsa", Scheme: "ml-dsa-44/1", Public: spell(oidMLDSA44, asn1.NullBytes, raw)},
		{Type: "ml-dsa", Scheme: "ml-dsa-44/1", Public: spell(oidMLDSA65, nil, raw)},
		{Type: "ml-dsa", Scheme: "ml-dsa-44/1", Public: spell(oidMLDSA44, nil, raw[1:])},
		{Type: "ml-dsa", Scheme: "ml-dsa-44/1", Public: spell(oidMLDSA44, nil, append(raw[:len(raw):len(raw)], 0))},
		{Type: "ml-dsa", Scheme: "ml-dsa-44/1", Public: ""},
	} {
		if id, ok := bad.Identity(); ok {
			t.Errorf("%s %s %.80s: identity %v", bad.Type, bad.Scheme, bad.Public, id)
		}
		if bad.Verify([]byte("message"), k.sign([]byte("message"))) {
			t.Errorf("%s %s %.80s: verifies", bad.Type, bad.Scheme, bad.Public)
		}
	}
}

// TestMixedKeys has a role whose threshold is met by keys of different kinds,
// beside one that nobody can read.
func TestMixedKeys(t *testing.T) {
	_, a := mldsaTestKey(t, mldsa.MLDSA44(), "ml-dsa-44/1")
	b := ed25519TestKey(t)
	payload := []byte("payload")
	m := &Metadata{Payload: payload, Signatures: []Signature{{"a", a.sign(payload)}, {"b", b.sign(payload)}, {"c", []byte("x")}}}
	keys := map[string]*Key{"a": a.key, "b": b.key, "c": {Type: "ml-dsa", Scheme: "ml-dsa-44/9", Public: a.key.Public}}
	for threshold := 1; threshold <= 3; threshold++ {
		role := Role{KeyIDs: []string{"c", "a", "b"}, Threshold: threshold}
		if err := m.Meets(NewKeySet(keys, role)); (err == nil) != (threshold <= 2) {
			t.Errorf("threshold %d: %v", threshold, err)
		}
	}
}

// TestMLDSAElsewhere checks signatures that another implementation made; see
// testdata/mldsa/README.md.
func TestMLDSAElsewhere(t *testing.T) {
	read := func(name string) *Metadata {
		file, err := os.ReadFile("testdata/mldsa/" + name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := ParseJSON(file)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	root, timestamp := read("1.root.json"), read("timestamp.json")
	keys := root.Root.KeySet(RoleTimestamp)
	if err := timestamp.Meets(keys); err != nil {
		t.Error(err)
	}
	for _, id := range root.Root.Roles[RoleTimestamp].KeyIDs {
		if n := len(timestamp.Signers(NewKeySet(root.Root.Keys, Role{KeyIDs: []string{id}, Threshold: 1}))); n != 1 {
			t.Errorf("%s counts %d times", id, n)
		}
	}
	for _, s := range mldsaSchemes {
		private, err := mldsa.NewPrivateKey(s.parameters, seedOf32())
		if err != nil {
			t.Fatal(err)
		}
		if k := root.Root.Keys["k"+s.scheme[len("ml-dsa-"):len("ml-dsa-44")]]; k.Scheme != s.scheme || !bytes.Equal(k.verifierKey(t), private.PublicKey().Bytes()) {
			t.Errorf("%s: another key than the seed's", s.scheme)
		}
	}
}

func seedOf32() []byte {
	seed := make([]byte, 32)
	for i := range seed {
		seed[i] = byte(i)
	}
	return seed
}

// verifierKey returns the raw public key.
func (k *Key) verifierKey(t *testing.T) []byte {
	t.Helper()
	if _, ok := k.Identity(); !ok {
		t.Fatalf("%s cannot be read", k.ID)
	}
	_, raw := k.verifier.raw()
	return raw
}
