package tuf

import (
	"crypto"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"filippo.io/mldsa"
	"github.com/secure-systems-lab/go-securesystemslib/cjson"
	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// This file holds Meets, and who may sign a delegated role, against go-tuf's
// VerifyDelegate.

// pool is keys of all kinds by id. They are made once: RSA takes its time.
var pool = sync.OnceValue(func() map[string]testKey {
	t := &testing.T{} // the helpers want one; nothing here fails
	keys := map[string]testKey{"e1": ed25519TestKey(t), "e2": ed25519TestKey(t), "e3": ed25519TestKey(t)}
	p1, p256 := ecdsaTestKey(t, elliptic.P256())
	keys["p1"] = p256
	_, keys["p2"] = ecdsaTestKey(t, elliptic.P256())
	_, keys["q1"] = ecdsaTestKey(t, elliptic.P384())
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	public := pemKey(t, &private.PublicKey)
	rsaKey := func(scheme string, h crypto.Hash, pss bool) testKey {
		return testKey{&Key{Type: "rsa", Scheme: scheme, Public: public}, func(msg []byte) []byte {
			sum := (&message{bytes: msg}).sum(h)
			sig, err := rsa.SignPKCS1v15(nil, private, h, sum)
			if pss {
				sig, err = rsa.SignPSS(rand.Reader, private, h, sum, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
			}
			if err != nil {
				panic(err)
			}
			return sig
		}}
	}
	keys["r1"] = rsaKey("rsassa-pss-sha256", crypto.SHA256, true)
	as := func(k testKey, keytype, scheme, public string) testKey {
		return testKey{&Key{Type: keytype, Scheme: scheme, Public: public}, k.sign}
	}
	// The same keys under other ids and types.
	keys["e1 again"] = keys["e1"]
	keys["p1 again"] = as(p256, "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", p256.key.Public)

	// What go-tuf does not read, or reads as something else.
	keys["p1 hex"] = as(p256, "ecdsa", "ecdsa-sha2-nistp256", point(t, p1))
	keys["q1 type"] = as(keys["q1"], "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384", keys["q1"].key.Public)
	keys["r1 512"] = rsaKey("rsassa-pss-sha512", crypto.SHA512, true)
	keys["r1 pkcs1"] = rsaKey("rsa-pkcs1v15-sha256", crypto.SHA256, false)
	keys["r1 pkcs1 as pss"] = as(keys["r1"], "rsa", "rsa-pkcs1v15-sha256", public)
	_, keys["m1"] = mldsaTestKey(t, mldsa.MLDSA44(), "ml-dsa-44/1")
	keys["unknown"] = as(keys["e1"], "new", "newer", "00")
	keys["short"] = as(keys["e1"], "ed25519", "ed25519", "00")
	keys["e1 ph"] = as(keys["e1"], "ed25519", "ed25519ph", keys["e1"].key.Public)
	keys["p1 384"] = as(testKey{sign: func(msg []byte) []byte {
		sig, err := p1.Sign(rand.Reader, (&message{bytes: msg}).sum(crypto.SHA384), crypto.SHA384)
		if err != nil {
			panic(err)
		}
		return sig
	}}, "ecdsa", "ecdsa-sha2-nistp384", p256.key.Public)
	return keys
})

// comparable are the ids of the keys with which both must agree.
var comparableKeys = []string{"e1", "e2", "e3", "p1", "p2", "q1", "r1", "e1 again", "p1 again"}

// signing is a role, and a file that some keys have signed. In signers an id
// with a "-" before it stands for a signature that is not valid, "a<b" for b's
// signature under a's id, "a=" for an empty one.
type signing struct {
	keys      []string
	threshold int
	signers   []string
}

func (s signing) String() string {
	return fmt.Sprintf("%q/%d signed by %q", s.keys, s.threshold, s.signers)
}

func jsonText(t testing.TB, v any) json.RawMessage {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// file returns delegated metadata that is signed so.
func (s signing) file(t testing.TB, signed string) []byte {
	payload, err := cjson.EncodeCanonical(json.RawMessage(signed))
	if err != nil {
		t.Fatal(err)
	}
	signatures := []map[string]string{}
	for _, signer := range s.signers {
		id, wrong := strings.CutPrefix(signer, "-")
		id, by, other := strings.Cut(id, "<")
		id, empty := strings.CutSuffix(id, "=")
		if !other {
			by = id
		}
		var sig []byte
		if !empty {
			sig = pool()[by].sign(payload)
		}
		if wrong {
			sig[len(sig)/2] ^= 1
		}
		signatures = append(signatures, map[string]string{"keyid": id, "sig": hex.EncodeToString(sig)})
	}
	return jsonText(t, map[string]any{"signatures": signatures, "signed": json.RawMessage(payload)})
}

// parts returns the JSON of the role's keys, and of its key ids and threshold.
func (s signing) parts(t testing.TB) (keys, role string) {
	list := map[string]any{}
	for _, id := range s.keys {
		if k := pool()[id].key; k != nil {
			list[id] = map[string]any{"keytype": k.Type, "scheme": k.Scheme, "keyval": map[string]string{"public": k.Public}}
		}
	}
	return string(jsonText(t, list)), fmt.Sprintf(`"keyids":%s,"threshold":%d`, jsonText(t, s.keys), s.threshold)
}

// judge asks both whether the file meets the role: once as the snapshot of a
// root, once as a delegated role, once as a bin.
func (s signing) judge(t testing.TB) (ours, theirs [3]error) {
	t.Helper()
	keys, role := s.parts(t)
	const nobody = `{"keyids":[],"threshold":1}`
	root := fmt.Sprintf(`{"signatures":[],"signed":{"_type":"root","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z","consistent_snapshot":true,
"keys":%s,"roles":{"root":%s,"targets":%[2]s,"timestamp":%[2]s,"snapshot":{%s}}}}`, keys, nobody, role)
	targets := `{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z","targets":{},"delegations":{"keys":` + keys
	roles := targets + `,"roles":[{"name":"other","keyids":[],"threshold":1,"paths":[],"terminating":false},{"name":"a",` + role + `,"paths":["*"],"terminating":false}]}}}`
	bins := targets + `,"succinct_roles":{` + role + `,"bit_length":1,"name_prefix":"bin"}}}}`

	snapshot := s.file(t, `{"_type":"snapshot","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z","meta":{}}`)
	content := s.file(t, `{"_type":"targets","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z","targets":{}}`)
	for i, delegator := range []string{root, roles, bins} {
		name, file := []string{"snapshot", "a", "bin-1"}[i], content
		if i == 0 {
			file = snapshot
		}
		ours[i] = delegated(t, delegator, name, file)
		theirs[i] = verifyDelegate([]byte(delegator), name, file)
	}
	return ours, theirs
}

// delegated asks this package.
func delegated(t testing.TB, delegator, role string, file []byte) error {
	t.Helper()
	d, err := ParseJSON([]byte(delegator))
	if err != nil {
		t.Fatal(err)
	}
	m, err := ParseJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	if d.Root != nil {
		return m.Meets(d.Root.KeySet(role))
	}
	_, ks, ok := d.Targets.Delegations.Find(role)
	if !ok {
		return fmt.Errorf("no delegation to %s", role)
	}
	return m.Meets(ks)
}

// verifyDelegate asks go-tuf.
func verifyDelegate(delegator []byte, role string, file []byte) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	if role == "snapshot" {
		d, err := metadata.Root().FromBytes(delegator)
		if err != nil {
			return err
		}
		m, err := metadata.Snapshot().FromBytes(file)
		if err != nil {
			return err
		}
		return d.VerifyDelegate(role, m)
	}
	d, err := metadata.Targets().FromBytes(delegator)
	if err != nil {
		return err
	}
	m, err := metadata.Targets().FromBytes(file)
	if err != nil {
		return err
	}
	return d.VerifyDelegate(role, m)
}

// TestDelegatesDiffer has a case for every known difference in who has signed,
// with the reason why go-tuf decides otherwise.
func TestDelegatesDiffer(t *testing.T) {
	for _, test := range []struct {
		signing
		accept bool   // here; go-tuf does not, or the other way round
		theirs string // what go-tuf's error says, if it refuses
		why    string
	}{
		{signing{[]string{"e1", "unknown"}, 1, []string{"e1"}}, true, "unsupported public key type", "go-tuf fails a role for a key of an unknown type"},
		{signing{[]string{"e1", "m1"}, 2, []string{"e1", "m1"}}, true, "unsupported public key type", "go-tuf v2.4.2 does not know ML-DSA (TAP 21)"},
		{signing{[]string{"e1", "q1 type"}, 2, []string{"e1", "q1 type"}}, true, "unsupported public key type", "go-tuf knows P-384 only as keytype ecdsa"},
		{signing{[]string{"e1", "gone"}, 1, []string{"e1"}}, true, "not found", "go-tuf fails a role for a key id that names no key"},
		{signing{[]string{"e1", "p1 hex"}, 2, []string{"e1", "p1 hex"}}, true, "PEM", "go-tuf does not read ECDSA keys in hex, as in Sigstore's roots 1 to 4"},
		{signing{[]string{"e1", "short"}, 1, []string{"e1"}}, true, "not enough|panic|length|key", "go-tuf fails a role, or worse, for a key that cannot be read"},
		{signing{[]string{"r1 512"}, 1, []string{"r1 512"}}, true, "not enough", "go-tuf knows RSA only as PSS with SHA-256"},
		{signing{[]string{"r1 pkcs1"}, 1, []string{"r1 pkcs1"}}, true, "not enough", "go-tuf reads rsa-pkcs1v15-sha256 as PSS"},

		{signing{[]string{"r1 pkcs1 as pss"}, 1, []string{"r1 pkcs1 as pss"}}, false, "", "go-tuf takes PSS for rsa-pkcs1v15-sha256: the scheme is not looked at"},
		{signing{[]string{"e1 ph"}, 1, []string{"e1 ph"}}, false, "", "go-tuf does not look at the scheme of Ed25519 keys"},
		{signing{[]string{"p1 384"}, 1, []string{"p1 384"}}, false, "", "go-tuf takes SHA-384 with P-256: the scheme says P-384"},
	} {
		ours, theirs := test.judge(t)
		for i := range ours {
			if (ours[i] == nil) != test.accept {
				t.Errorf("%v: %v; want it accepted: %v", test.signing, ours[i], test.accept)
			}
			if (theirs[i] == nil) == test.accept {
				t.Errorf("%v: go-tuf says %v: it no longer differs: %s", test.signing, theirs[i], test.why)
			}
			if theirs[i] != nil && !matchesAny(theirs[i].Error(), test.theirs) {
				t.Errorf("%v: go-tuf says %v, want %s", test.signing, theirs[i], test.theirs)
			}
		}
	}
	// go-tuf lets whoever signs bins sign any name.
	s := signing{[]string{"e1"}, 1, []string{"e1"}}
	keys, role := s.parts(t)
	bins := `{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z","targets":{},"delegations":{"keys":` + keys +
		`,"succinct_roles":{` + role + `,"bit_length":1,"name_prefix":"bin"}}}}`
	file := s.file(t, `{"_type":"targets","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z","targets":{}}`)
	for name, bin := range map[string]bool{"bin-0": true, "bin-2": false, "nib-0": false} {
		if ours, theirs := delegated(t, bins, name, file), verifyDelegate([]byte(bins), name, file); (ours == nil) != bin || theirs != nil {
			t.Errorf("%s: %v here, %v in go-tuf; want it accepted here: %v, there always", name, ours, theirs, bin)
		}
	}
}

func matchesAny(text, alternatives string) bool {
	for want := range strings.SplitSeq(alternatives, "|") {
		if strings.Contains(text, want) {
			return true
		}
	}
	return false
}

// signingFrom makes a role and signatures of comparable keys from bytes.
func signingFrom(data []byte) (s signing) {
	next := func(n int) int {
		if len(data) == 0 {
			return 0
		}
		b := data[0]
		data = data[1:]
		return int(b) % n
	}
	s.threshold = 1 + next(4)
	for range 1 + next(5) {
		s.keys = append(s.keys, comparableKeys[next(len(comparableKeys))])
	}
	used := map[string]bool{} // a second signature under an id is malformed
	for range next(7) {
		id := comparableKeys[next(len(comparableKeys))]
		if used[id] {
			continue
		}
		used[id] = true
		switch next(8) {
		case 0:
			s.signers = append(s.signers, "-"+id)
		case 1:
			s.signers = append(s.signers, id+"<"+comparableKeys[next(len(comparableKeys))])
		case 2:
			s.signers = append(s.signers, id+"=")
		default:
			s.signers = append(s.signers, id)
		}
	}
	return s
}

func sameSigning(t *testing.T, data []byte) (accepted bool) {
	t.Helper()
	s := signingFrom(data)
	ours, theirs := s.judge(t)
	for i := range ours {
		if (ours[i] == nil) != (theirs[i] == nil) {
			t.Errorf("%v: %v here, %v in go-tuf", s, ours[i], theirs[i])
		}
	}
	return ours[0] == nil
}

func TestDelegatesAgree(t *testing.T) {
	accepted := 0
	const rounds = 300
	for i := range rounds {
		random := Sum(fmt.Append(nil, i))
		if sameSigning(t, random[:]) {
			accepted++
		}
	}
	if accepted < rounds/10 || accepted > rounds*9/10 {
		t.Errorf("%d of %d are accepted: too few of one kind", accepted, rounds)
	}
}

// FuzzDelegates looks for roles and signatures about which the two disagree.
func FuzzDelegates(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 1, 0, 7, 2, 0, 5, 7, 5})
	f.Add([]byte{2, 3, 0, 3, 5, 6, 4, 0, 5, 3, 5, 5, 5, 6, 5})
	f.Fuzz(func(t *testing.T, data []byte) { sameSigning(t, data) })
}
