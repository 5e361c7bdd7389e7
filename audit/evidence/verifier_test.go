package evidence

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// A check ends however many keys have stood under an id, and however many signatures a file
// has: each signature is verified once with each key, and all together cover a bounded number
// of bytes. A check that did not come to its end accuses nobody.
func TestVerifierIsBounded(t *testing.T) {
	private := func(i int) ed25519.PrivateKey {
		seed := make([]byte, ed25519.SeedSize)
		copy(seed, fmt.Sprint(i))
		return ed25519.NewKeyFromSeed(seed)
	}
	var sets []tuf.KeySet // under one id another key each time
	for i := range 100 {
		key := &tuf.Key{ID: "a", Type: "ed25519", Scheme: "ed25519", Public: hex.EncodeToString(private(i).Public().(ed25519.PublicKey))}
		sets = append(sets, tuf.NewKeySet(map[string]*tuf.Key{"a": key}, tuf.Role{KeyIDs: []string{"a"}, Threshold: 1}))
	}
	signed := `{"_type":"targets","expires":"2040-01-01T00:00:00Z","spec_version":"1.0.31","targets":{},"version":1}`
	file := func(signatures ...string) *tuf.Metadata {
		m, err := tuf.ParseJSON([]byte(`{"signatures":[` + strings.Join(signatures, ",") + `],"signed":` + signed + `}`))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	signature := func(id string, sig []byte) string {
		return fmt.Sprintf(`{"keyid":%q,"sig":%q}`, id, hex.EncodeToString(sig))
	}
	payload := file(signature("a", make([]byte, 64))).Payload
	var padding []string
	for i := range 8 {
		padding = append(padding, signature(fmt.Sprint("b", i), append(make([]byte, 63), byte(i))))
	}
	cost := len(payload) + perSignature

	// One of the first keys signed it, behind signatures under ids of no key.
	m := file(append(padding, signature("a", ed25519.Sign(private(3), payload)))...)
	for _, tt := range []struct {
		left int
		ok   bool
	}{
		{97*cost + 97*9*perLook, true},
		{97*cost + 97*9*perLook - 1, false},
		{cost, false},
	} {
		v := newVerifier()
		v.left = tt.left
		ok, err := v.meetsAny(m, sets)
		if ok != tt.ok || ok == errors.Is(err, errTooMuch) {
			t.Errorf("with %d bytes: %v, %v", tt.left, ok, err)
		}
		if err := v.meets(m, sets[3]); !tt.ok && !errors.Is(err, errTooMuch) {
			t.Errorf("with %d bytes, and then none: %v", tt.left, err)
		}
	}

	// What was verified costs nothing but the look.
	v := newVerifier()
	for range 50 {
		if err := v.meets(m, sets[3]); err != nil {
			t.Fatal(err)
		}
		if err := v.meets(m, sets[4]); err == nil || errors.Is(err, errTooMuch) {
			t.Fatal(err)
		}
	}
	if used, want := maxVerified-v.left, 2*cost+100*9*perLook; used != want {
		t.Errorf("it cost %d bytes, want %d", used, want)
	}
}
