package admit

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

// Beside a thousand files may come as many snapshots. Each is looked at once, and not
// once for each file.
func TestSnapshotsAreCheckedOnce(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	keys := tuf.NewKeySet(map[string]*tuf.Key{"k": {ID: "k", Type: "ed25519", Scheme: "ed25519", Public: hex.EncodeToString(public)}}, tuf.Role{KeyIDs: []string{"k"}, Threshold: 1})
	var beside []*tuf.Metadata
	for i := range 100 {
		signed := fmt.Sprintf(`{"_type":"snapshot","expires":"2030-01-01T00:00:00Z","meta":{},"spec_version":"1.0.0","version":%d}`, i+1)
		m, err := tuf.ParseJSON(fmt.Appendf(nil, `{"signatures":[{"keyid":"k","sig":"%x"}],"signed":%s}`, ed25519.Sign(private, []byte(signed)), signed))
		if err != nil {
			t.Fatal(err)
		}
		beside = append(beside, m)
	}
	r := &Repository{}
	for round := range 20 {
		for _, s := range beside {
			if !r.meets(s, keys) {
				t.Fatalf("asked for the %dth time, a signed snapshot does not count", round+1)
			}
			s.Signatures = nil // it would not count if it were looked at again
		}
	}
}

func TestWhatASignatureExcludes(t *testing.T) {
	ed25519Key := func() *tuf.Key {
		public, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return &tuf.Key{Type: "ed25519", Scheme: "ed25519", Public: hex.EncodeToString(public)}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	ed, other := ed25519Key(), ed25519Key()
	p256 := &tuf.Key{Type: "ecdsa", Scheme: "ecdsa-sha2-nistp256", Public: hex.EncodeToString(der)}
	for _, test := range []struct {
		made, asked *tuf.Key
		known       bool
	}{
		{ed, other, true},
		{ed, p256, false},
		{p256, ed, false},
		{p256, p256, true},
	} {
		if _, ok := test.made.Identity(); !ok {
			t.Fatalf("the key %s cannot be read", test.made.Public)
		}
		var s sealed
		s.learn(test.made, true)
		if valid, known := s.known(test.asked); known != test.known || known && valid != (test.made == test.asked) {
			t.Errorf("made by %s: for a key of %s it is %v, known %v", test.made.Type, test.asked.Type, valid, known)
		}
	}
}
