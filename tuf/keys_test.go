package tuf

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"sync"
	"testing"

	"filippo.io/mldsa"
)

func pemKey(t testing.TB, public any) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki(t, public)}))
}

func spki(t testing.TB, public any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// testKey can sign and is listed as key.
type testKey struct {
	key  *Key
	sign func(msg []byte) []byte
}

func ecdsaTestKey(t testing.TB, curve elliptic.Curve) (*ecdsa.PrivateKey, testKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	scheme := "ecdsa-sha2-nistp256"
	if curve == elliptic.P384() {
		scheme = "ecdsa-sha2-nistp384"
	}
	sign := func(msg []byte) []byte {
		sum := sha256.Sum256(msg)
		digest := sum[:]
		if curve == elliptic.P384() {
			sum := sha512.Sum384(msg)
			digest = sum[:]
		}
		sig, err := ecdsa.SignASN1(rand.Reader, private, digest)
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	return private, testKey{&Key{Type: "ecdsa", Scheme: scheme, Public: pemKey(t, &private.PublicKey)}, sign}
}

func ed25519TestKey(t testing.TB) testKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return testKey{
		&Key{Type: "ed25519", Scheme: "ed25519", Public: hex.EncodeToString(public)},
		func(msg []byte) []byte { return ed25519.Sign(private, msg) },
	}
}

func point(t testing.TB, k *ecdsa.PrivateKey) string {
	t.Helper()
	b, err := k.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(b)
}

// TestSpellings reads every way of writing one key as the same key, and has
// each check the same signature.
func TestSpellings(t *testing.T) {
	p256, p256Key := ecdsaTestKey(t, elliptic.P256())
	p384, p384Key := ecdsaTestKey(t, elliptic.P384())
	edKey := ed25519TestKey(t)
	for _, test := range []struct {
		key       testKey
		spellings []*Key
	}{
		{p256Key, []*Key{
			{Type: "ecdsa-sha2-nistp256", Scheme: "ecdsa-sha2-nistp256", Public: p256Key.key.Public},
			{Type: "ecdsa-sha2-nistp384", Scheme: "ecdsa-sha2-nistp256", Public: p256Key.key.Public},
			{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: strings.TrimSpace(p256Key.key.Public)},
			{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: p256Key.key.Public + strings.Repeat("\n", MaxPublicKey-len(p256Key.key.Public))},
			{Type: "ecdsa-sha2-nistp256", Scheme: "ecdsa-sha2-nistp256", Public: point(t, p256)},
			{Type: "ecdsa-sha2-nistp256", Scheme: "ecdsa-sha2-nistp256", Public: strings.ToUpper(point(t, p256))},
			{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: hex.EncodeToString(spki(t, &p256.PublicKey))},
		}},
		{p384Key, []*Key{
			{Type: "ecdsa-sha2-nistp384", Scheme: "ecdsa-sha2-nistp384", Public: p384Key.key.Public},
			{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp384", Public: point(t, p384)},
		}},
		{edKey, []*Key{{Type: "ed25519", Scheme: "ed25519", Public: strings.ToUpper(edKey.key.Public)}}},
	} {
		want, ok := test.key.key.Identity()
		if !ok {
			t.Fatalf("%s cannot be read", test.key.key.Public)
		}
		sig := test.key.sign([]byte("message"))
		for _, k := range test.spellings {
			if got, ok := k.Identity(); !ok || got != want {
				t.Errorf("%s %s: identity %v, %v; want %v", k.Type, k.Public, got, ok, want)
			}
			if !k.Verify([]byte("message"), sig) {
				t.Errorf("%s %s: the signature does not verify", k.Type, k.Public)
			}
			if k.Verify([]byte("massage"), sig) || k.Verify([]byte("message"), sig[1:]) || k.Verify([]byte("message"), append(sig, 0)) || k.Verify(nil, nil) {
				t.Errorf("%s %s: a wrong signature verifies", k.Type, k.Public)
			}
		}
	}
}

func TestUnreadableKeys(t *testing.T) {
	p256, p256Key := ecdsaTestKey(t, elliptic.P256())
	_, p384Key := ecdsaTestKey(t, elliptic.P384())
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed := ed25519TestKey(t).key.Public
	rsaOf := func(bits uint) string {
		n := new(big.Int).Lsh(big.NewInt(1), bits-1)
		return pemKey(t, &rsa.PublicKey{N: n.Add(n, big.NewInt(1)), E: 65537})
	}
	p256PEM := p256Key.key.Public
	body := strings.TrimPrefix(p256PEM, "-----BEGIN PUBLIC KEY-----\n")
	offCurve := []byte(point(t, p256))
	offCurve[len(offCurve)-1] ^= 1
	for _, k := range []*Key{
		{},
		{Type: "new", Scheme: "newer", Public: "00"},
		{Type: "ed25519", Scheme: "ed25519ph", Public: ed},
		{Type: "ecdsa", Scheme: "ed25519", Public: ed},
		{Type: "ed25519", Scheme: "ed25519", Public: ed[2:]},
		{Type: "ed25519", Scheme: "ed25519", Public: ed + "00"},
		{Type: "ed25519", Scheme: "ed25519", Public: "x" + ed[1:]},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: p384Key.key.Public},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp384", Public: p256PEM},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp521", Public: pemKey(t, &p521.PublicKey)},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: string(offCurve)},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: point(t, p256)[2:]},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: "00"},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: ""},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: ed},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: hex.EncodeToString(append(spki(t, &p256.PublicKey), 0))},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: "text\n" + p256PEM},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: p256PEM + "text"},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: p256PEM + p256PEM},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: "-----BEGIN PUBLIC KEY-----\nA: b\n\n" + body},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: strings.ReplaceAll(p256PEM, "PUBLIC", "EC PUBLIC")},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: rsaOf(2048)},
		{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: p256PEM + strings.Repeat("\n", MaxPublicKey+1-len(p256PEM))},
		{Type: "rsa", Scheme: "rsassa-pss-sha256", Public: p256PEM},
		{Type: "rsa", Scheme: "rsassa-pss-sha256", Public: rsaOf(2047)},
		{Type: "rsa", Scheme: "rsassa-pss-sha256", Public: rsaOf(8193)},
		{Type: "rsa", Scheme: "rsassa-pss-sha1", Public: rsaOf(2048)},
		{Type: "rsa", Scheme: "rsassa-pss-sha256", Public: pemKey(t, &rsa.PublicKey{N: big.NewInt(1), E: 3})},
		{Type: "rsa", Scheme: "rsassa-pss-sha256", Public: pemKey(t, &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537})},
		{Type: "rsa", Scheme: "rsassa-pss-sha256", Public: pemKey(t, &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 2})},
	} {
		if id, ok := k.Identity(); ok {
			t.Errorf("%s %s %.60s: identity %v", k.Type, k.Scheme, k.Public, id)
		}
		if k.Verify([]byte("message"), []byte("signature")) {
			t.Errorf("%s %s %.60s: verifies", k.Type, k.Scheme, k.Public)
		}
	}
	for _, bits := range []uint{2048, 8192} {
		k := &Key{Type: "rsa", Scheme: "rsassa-pss-sha256", Public: rsaOf(bits)}
		if _, ok := k.Identity(); !ok {
			t.Errorf("RSA key of %d bits cannot be read", bits)
		}
		if k.Verify([]byte("message"), make([]byte, bits/8)) {
			t.Errorf("RSA key of %d bits: verifies", bits)
		}
	}
}

func TestRSA(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := pemKey(t, &private.PublicKey)
	msg := []byte("message")
	digest := func(h crypto.Hash) []byte { return (&message{bytes: msg}).sum(h) }
	pss := func(h crypto.Hash, salt int) []byte {
		sig, err := rsa.SignPSS(rand.Reader, private, h, digest(h), &rsa.PSSOptions{SaltLength: salt})
		if err != nil {
			t.Fatal(err)
		}
		return sig
	}
	pkcs1, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, digest(crypto.SHA256))
	if err != nil {
		t.Fatal(err)
	}
	sigs := map[string][][]byte{
		"rsassa-pss-sha256":   {pss(crypto.SHA256, rsa.PSSSaltLengthEqualsHash), pss(crypto.SHA256, rsa.PSSSaltLengthAuto), pss(crypto.SHA256, 0)},
		"rsassa-pss-sha384":   {pss(crypto.SHA384, rsa.PSSSaltLengthEqualsHash)},
		"rsassa-pss-sha512":   {pss(crypto.SHA512, rsa.PSSSaltLengthEqualsHash)},
		"rsa-pkcs1v15-sha256": {pkcs1},
	}
	identities := map[KeyIdentity]bool{}
	for scheme := range sigs {
		k := &Key{Type: "rsa", Scheme: scheme, Public: public}
		id, ok := k.Identity()
		if !ok {
			t.Fatalf("%s: the key cannot be read", scheme)
		}
		identities[id] = true
		for made, list := range sigs {
			for _, sig := range list {
				if got := k.Verify(msg, sig); got != (made == scheme) {
					t.Errorf("%s: signature of %s: %v", scheme, made, got)
				}
			}
		}
	}
	if len(identities) != 1 {
		t.Errorf("one key has %d identities", len(identities))
	}
}

func TestSigners(t *testing.T) {
	p256, a := ecdsaTestKey(t, elliptic.P256())
	b, c := ed25519TestKey(t), ed25519TestKey(t)
	payload := []byte(`{"_type":"targets"}`)
	keys := map[string]*Key{
		"a":     a.key,
		"a hex": {Type: "ecdsa-sha2-nistp256", Scheme: "ecdsa-sha2-nistp256", Public: point(t, p256)},
		"b":     b.key,
		"c":     c.key,
		"new":   {Type: "new", Scheme: "newer", Public: "?"},
		"bad":   {Type: "ed25519", Scheme: "ed25519", Public: "?"},
		"nil":   nil,
	}
	sig := func(id string, k testKey) Signature { return Signature{id, k.sign(payload)} }
	same := sig("b", b)
	for _, test := range []struct {
		why    string
		ids    string
		sigs   []Signature
		counts int
	}{
		{"none", "a b", nil, 0},
		{"both", "a b", []Signature{sig("a", a), sig("b", b)}, 2},
		{"one key under two ids", "a,a hex,b", []Signature{sig("a", a), sig("a hex", a)}, 1},
		{"one key under two ids and another", "a,a hex,b", []Signature{sig("a", a), sig("a hex", a), sig("b", b)}, 2},
		{"id repeated in the role", "b,b,b", []Signature{sig("b", b)}, 1},
		{"signature repeated", "b,c", []Signature{same, same, sig("b", b)}, 1},
		{"not of the role", "b", []Signature{sig("c", c)}, 0},
		{"under another's id", "b,c", []Signature{sig("c", b)}, 0},
		{"bad beside good", "b,c", []Signature{{"b", []byte("bad")}, sig("b", b), {"c", []byte("bad")}}, 1},
		{"unknown kinds beside good", "new,bad,nil,gone,b", []Signature{{"new", []byte("x")}, {"bad", []byte("x")}, {"nil", []byte("x")}, {"gone", []byte("x")}, sig("b", b)}, 1},
		{"of another payload", "b", []Signature{{"b", b.sign([]byte("other"))}}, 0},
	} {
		m := &Metadata{Payload: payload, Signatures: test.sigs}
		role := Role{KeyIDs: strings.Split(test.ids, ",")}
		if test.ids == "a b" {
			role.KeyIDs = []string{"a", "b"}
		}
		got := m.Signers(NewKeySet(keys, role))
		if len(got) != test.counts {
			t.Errorf("%s: %d signers, want %d", test.why, len(got), test.counts)
		}
		for i := 1; i < len(got); i++ {
			if got[i-1].String() >= got[i].String() {
				t.Errorf("%s: not sorted: %v", test.why, got)
			}
		}
		for threshold := range 4 {
			role.Threshold = threshold
			err := m.Meets(NewKeySet(keys, role))
			if want := threshold >= 1 && threshold <= test.counts; (err == nil) != want {
				t.Errorf("%s: threshold %d: %v", test.why, threshold, err)
			}
			var short *ThresholdError
			if err != nil && (!errors.As(err, &short) || short.Have != test.counts || short.Want != max(1, threshold)) {
				t.Errorf("%s: threshold %d: %v", test.why, threshold, err)
			}
		}
	}
	if err := (&Metadata{}).Meets(KeySet{}); err == nil {
		t.Error("nobody meets the zero KeySet, but it says so")
	}
}

func TestKeySets(t *testing.T) {
	p256, a := ecdsaTestKey(t, elliptic.P256())
	b := ed25519TestKey(t)
	keys := map[string]*Key{
		"a": a.key, "a2": {Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: point(t, p256)},
		"b": b.key, "new": {Type: "new"},
	}
	set := func(threshold int, ids ...string) KeySet { return NewKeySet(keys, Role{ids, threshold}) }
	if n := len(set(1, "a", "a2", "b", "b", "new", "gone").Identities()); n != 2 {
		t.Errorf("%d identities, want 2", n)
	}
	base := set(1, "a", "b").Fingerprint()
	for _, same := range []KeySet{set(1, "b", "a"), set(1, "a", "b", "a", "new", "gone")} {
		if same.Fingerprint() != base {
			t.Errorf("%v has another fingerprint", same)
		}
	}
	// A signature under the id a counts for the first, not for the second.
	for _, other := range []KeySet{set(2, "a", "b"), set(1, "a"), set(1, "a2", "b"), set(1, "a", "a2", "b")} {
		if other.Fingerprint() == base {
			t.Errorf("%v has the same fingerprint", other)
		}
	}
}

// One RSA key has one identity under every scheme, but a file that meets the one
// need not meet the other.
func TestFingerprintOfSchemes(t *testing.T) {
	prints := map[Digest]bool{}
	for _, id := range []string{"r1", "r1 512", "r1 pkcs1"} {
		ks := NewKeySet(map[string]*Key{"r": pool()[id].key}, Role{KeyIDs: []string{"r"}, Threshold: 1})
		prints[ks.Fingerprint()] = true
		m := &Metadata{Payload: []byte("payload"), Signatures: []Signature{{"r", pool()["r1"].sign([]byte("payload"))}}}
		if err := m.Meets(ks); (err == nil) != (id == "r1") {
			t.Errorf("%s: a signature with PSS and SHA-256: %v", id, err)
		}
	}
	if len(prints) != 3 {
		t.Errorf("%d fingerprints, want 3", len(prints))
	}
}

// TestKeyConcurrently is for the race detector.
func TestKeyConcurrently(t *testing.T) {
	k := ed25519TestKey(t)
	sig := k.sign([]byte("message"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, ok := k.key.Identity(); !ok || !k.key.Verify([]byte("message"), sig) {
				t.Error("the signature does not verify")
			}
		})
	}
	wg.Wait()
}

func TestExclusive(t *testing.T) {
	_, p256 := ecdsaTestKey(t, elliptic.P256())
	_, lattice := mldsaTestKey(t, mldsa.MLDSA44(), "ml-dsa-44/1")
	for _, test := range []struct {
		key  *Key
		want bool
	}{{ed25519TestKey(t).key, true}, {lattice.key, true}, {p256.key, false}} {
		test.key.load()
		if got := test.key.Exclusive(); got != test.want {
			t.Errorf("%s: exclusive %v", test.key.Type, got)
		}
	}
}
