package rekor_test

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

func digest(note []byte) [32]byte {
	n, err := proofs.ParseNote(note)
	if err != nil {
		panic(err)
	}
	return sha256.Sum256([]byte(n.Text))
}

func each(t *testing.T, test func(t *testing.T, l *ledger)) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) { test(t, newLedger(t, version)) })
	}
}

// A checkpoint is anchored, its receipt survives a file, and is checked without Rekor.
func TestSubmit(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		v, i := newVendorlog(t), l.instance()
		for size := range int64(5) {
			note := v.note(t, size+1)
			r, err := i.Submit(t.Context(), note, v.key)
			if err != nil {
				t.Fatal(err)
			}
			again, err := rekor.ParseReceipt(r.Marshal())
			if err != nil {
				t.Fatal(err)
			}
			a, err := again.Verify(v.key, l.Config().Keys)
			if err != nil {
				t.Fatal(err)
			}
			if a.Digest != digest(note) || a.Size != uint64(size+1) || a.LogIndex != size || a.Time.IsZero() != (l.version == 2) || !strings.HasSuffix(a.UUID, l.UUID(int(size))[16:]) {
				t.Errorf("index %d, size %d, %s, %v", a.LogIndex, a.Size, a.UUID, a.Time)
			}
		}
	})
}

// An entry that is there already becomes the receipt, at another size of Rekor's tree.
func TestSubmitAgain(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		v, i := newVendorlog(t), l.instance()
		for size := range int64(3) {
			if _, err := i.Submit(t.Context(), v.note(t, size+1), v.key); err != nil {
				t.Fatal(err)
			}
		}
		r, err := i.Submit(t.Context(), v.note(t, 1), v.key)
		if err != nil {
			t.Fatal(err)
		}
		if a, err := r.Verify(v.key, l.Config().Keys); err != nil || a.LogIndex != 0 || a.Size != 1 {
			t.Error(err)
		}
		if len(l.Leaves) != 3 {
			t.Errorf("%d entries", len(l.Leaves))
		}
	})
}

// What an instance has and has not published yet is waited for.
func TestSubmitAgainUnpublished(t *testing.T) {
	l := newLedger(t, 2)
	v, i := newVendorlog(t), l.instance()
	if _, err := i.Submit(t.Context(), v.note(t, 1), v.key); err != nil {
		t.Fatal(err)
	}
	l.Hidden = 1
	asks := 0
	l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/checkpoint" {
			if asks++; asks == 2 {
				l.Hidden = 0
			}
		}
		return false
	}
	if _, err := i.Submit(t.Context(), v.note(t, 1), v.key); err != nil || asks != 2 {
		t.Errorf("%d, %v", asks, err)
	}
}

func TestList(t *testing.T) {
	l := newLedger(t, 1)
	v, other, i := newVendorlog(t), newVendorlog(t), l.instance()
	want := map[[32]byte]bool{}
	for size := range int64(25) { // three requests
		note := v.note(t, size+1)
		want[digest(note)] = true
		for _, from := range []vendorlog{v, other} {
			if _, err := i.Submit(t.Context(), from.note(t, size+1), from.key); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := 0
	for listed, err := range i.List(t.Context(), v.key, nil) {
		a := listed.Anchor
		if err != nil {
			t.Fatal(err)
		}
		if got++; !want[a.Digest] || a.Size != 0 || a.LogIndex%2 != 0 {
			t.Errorf("index %d, digest %x", a.LogIndex, a.Digest)
		}
		// With the note beside it, an entry is a receipt.
		r := rekor.Receipt{Instance: "test", Version: 1, Note: v.note(t, a.LogIndex/2+1), Entry: a.Entry}
		if b, err := r.Verify(v.key, l.Config().Keys); err != nil || b.Size != uint64(a.LogIndex/2+1) {
			t.Error(err)
		}
	}
	if got != 25 {
		t.Errorf("%d anchors", got)
	}
	// What is known is not asked for again.
	known := map[proofs.Hash]bool{}
	asked := 0
	l.Set(func(l *rekortest.Ledger) {
		l.Instead = func(_ http.ResponseWriter, r *http.Request) bool {
			if strings.HasSuffix(r.URL.Path, "/log/entries/retrieve") {
				asked++
			}
			return false
		}
	})
	for _, want := range []int{3, 0} {
		asked = 0
		for listed, err := range i.List(t.Context(), v.key, func(leaf proofs.Hash) bool { return known[leaf] }) {
			if err != nil {
				t.Fatal(err)
			}
			known[listed.Leaf] = true
		}
		if asked != want || len(known) != 25 {
			t.Errorf("%d requests, %d leaves", asked, len(known))
		}
	}
}

func TestScan(t *testing.T) {
	l := newLedger(t, 2)
	v, other, i := newVendorlog(t), newVendorlog(t), l.instance()
	var at rekor.Position
	anchors, at, err := i.Scan(t.Context(), v.key, at)
	if err != nil || len(anchors) != 0 || !at.Done() {
		t.Fatalf("an empty instance: %v, %+v, %v", anchors, at, err)
	}
	for round := range 3 {
		for n := range 150 { // across bundles
			l.Add(fmt.Appendf(nil, `{"of":"another kind","n":%d}`, n))
		}
		size := int64(round + 1)
		for _, from := range []vendorlog{v, other} {
			if _, err := i.Submit(t.Context(), from.note(t, size), from.key); err != nil {
				t.Fatal(err)
			}
		}
		stored, err := json.Marshal(at)
		if err != nil {
			t.Fatal(err)
		}
		var from rekor.Position
		if err := json.Unmarshal(stored, &from); err != nil {
			t.Fatal(err)
		}
		anchors, at, err = i.Scan(t.Context(), v.key, from)
		if err != nil || len(anchors) != 1 || !at.Done() || at.Next != uint64(len(l.Leaves)) {
			t.Fatalf("round %d: %d anchors, %+v, %v", round, len(anchors), at, err)
		}
		a := anchors[0]
		r := rekor.Receipt{Instance: "test", Version: 2, Note: v.note(t, size), Entry: a.Entry}
		if a.Digest != digest(r.Note) || a.LogIndex != int64(len(l.Leaves)-2) {
			t.Errorf("index %d, digest %x", a.LogIndex, a.Digest)
		}
		if _, err := r.Verify(v.key, l.Config().Keys); err != nil {
			t.Error(err)
		}
	}
}

func TestPublicKey(t *testing.T) {
	l := newLedger(t, 1)
	key, err := l.instance().PublicKey(t.Context())
	if err != nil || !l.Private.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(key) {
		t.Errorf("%v, %v", key, err)
	}
	if _, err := newLedger(t, 2).instance().PublicKey(t.Context()); !errors.Is(err, rekor.ErrNoPublicKey) {
		t.Error(err)
	}
}

// The keys of an instance rotate: entries of older ones stay verifiable, unknown ones are named.
func TestRotatedKey(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		v := newVendorlog(t)
		r, err := l.instance().Submit(t.Context(), v.note(t, 1), v.key)
		if err != nil {
			t.Fatal(err)
		}
		newer := newLedger(t, l.version)
		both := []crypto.PublicKey{newer.Private.Public(), l.Private.Public()}
		if _, err := r.Verify(v.key, both); err != nil {
			t.Error(err)
		}
		if _, err := r.Verify(v.key, both[:1]); !errors.Is(err, rekor.ErrUnknownKey) {
			t.Errorf("by a key that is not trusted: %v", err)
		}
		if _, err := r.Verify(v.key, nil); !errors.Is(err, rekor.ErrUnknownKey) {
			t.Errorf("by no key: %v", err)
		}
	})
}

func TestConfig(t *testing.T) {
	good := newLedger(t, 2).Config()
	for name, change := range map[string]func(*rekor.Config){
		"name":        func(c *rekor.Config) { c.Name = "../x" },
		"no name":     func(c *rekor.Config) { c.Name = "" },
		"version":     func(c *rekor.Config) { c.Version = 3 },
		"no version":  func(c *rekor.Config) { c.Version = 0 },
		"no URL":      func(c *rekor.Config) { c.URL = "" },
		"password":    func(c *rekor.Config) { c.URL = "https://a:secret@rekor.example" },
		"query":       func(c *rekor.Config) { c.URL = "https://rekor.example?x=y" },
		"file":        func(c *rekor.Config) { c.Tiles = "file:///etc" },
		"no keys":     func(c *rekor.Config) { c.Keys = nil },
		"nil key":     func(c *rekor.Config) { c.Keys = []crypto.PublicKey{nil} },
		"foreign key": func(c *rekor.Config) { c.Keys = []crypto.PublicKey{"text"} },
		"small RSA": func(c *rekor.Config) {
			c.Version, c.Keys = 1, []crypto.PublicKey{&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}}
		},
		"RSA in v2": func(c *rekor.Config) {
			c.Keys = []crypto.PublicKey{&rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 2047), E: 65537}}
		},
		"timeout":       func(c *rekor.Config) { c.Timeout = -1 },
		"tiles of a v1": func(c *rekor.Config) { c.Version, c.Tiles = 1, "https://tiles.example" },
	} {
		c := good
		change(&c)
		if i, err := rekor.New(c); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, %v", name, i, err)
		}
	}
}

// Only an ECDSA key's checkpoints can be anchored, and only the key's own.
func TestNotToBeAnchored(t *testing.T) {
	each(t, func(t *testing.T, l *ledger) {
		v, i := newVendorlog(t), l.instance()
		ed, err := proofs.GenerateSigner(strings.NewReader(strings.Repeat("x", 32)), v.key.Name(), proofs.Ed25519)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Submit(t.Context(), v.note(t, 1), ed.Key()); err == nil || !strings.Contains(err.Error(), "ECDSA") {
			t.Error(err)
		}
		if _, err := i.Submit(t.Context(), v.note(t, 1), newVendorlog(t).key); err == nil {
			t.Error("another's checkpoint was anchored")
		}
		if _, err := i.Submit(t.Context(), []byte("note"), v.key); err == nil {
			t.Error("no checkpoint was anchored")
		}
		empty := proofs.Checkpoint{Origin: v.key.Name(), Tree: proofs.EmptyTree}.String()
		sig, err := v.signer.Sign(empty, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := i.Submit(t.Context(), proofs.Note{Text: empty, Signatures: []proofs.Signature{sig}}.Marshal(), v.key); err == nil {
			t.Error("an empty tree was anchored")
		}
		if len(l.Asked) > 0 {
			t.Errorf("asked %v", l.Asked)
		}
	})
}
