package fraud

import (
	"errors"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

func TestRollback(t *testing.T) {
	log := newSigner(t, "example.com/log", proofs.Ed25519)
	w1, w2, pq := newSigner(t, "w1.example", proofs.CosignatureV1), newSigner(t, "w2.example", proofs.CosignatureV1), newSigner(t, "w3.example", proofs.MLDSA44)
	other, err := proofs.GenerateSigner(nil, "w1.example", proofs.CosignatureV1)
	if err != nil {
		t.Fatal(err)
	}
	note := func(origin string, n int, times map[*proofs.Signer]int64) []byte {
		text := proofs.Checkpoint{Origin: origin, Tree: refTree(testLeaves(n))}.String()
		note := proofs.Note{Text: text}
		for _, s := range []*proofs.Signer{log, w1, w2, pq, other} {
			if at, ok := times[s]; ok {
				note.Signatures = append(note.Signatures, sign(t, s, text, at))
			}
		}
		return note.Marshal()
	}
	at := func(log_, one, two, three int64) map[*proofs.Signer]int64 {
		return map[*proofs.Signer]int64{log: log_, w1: one, w2: two, pq: three}
	}
	const origin = "example.com/log"
	all := []proofs.Key{log.Key(), w1.Key(), w2.Key(), pq.Key()}
	check := func(name string, larger, smaller []byte, want ...string) {
		t.Helper()
		v, err := Rollback{larger, smaller}.Check(all...)
		var by []string
		for _, p := range v.By {
			by = append(by, p.Name)
		}
		if !slices.Equal(by, want) || (want == nil) != errors.Is(err, ErrNoRollback) {
			t.Errorf("%s: %q, %v; want %q", name, by, err, want)
		}
	}
	check("as it should be", note(origin, 5, at(0, 200, 200, 200)), note(origin, 3, at(0, 100, 100, 100)))
	check("in one second", note(origin, 5, at(0, 100, 100, 100)), note(origin, 3, at(0, 100, 100, 100)))
	check("two witnesses went back", note(origin, 5, at(0, 200, 200, 200)), note(origin, 3, at(0, 300, 100, 201)), "w1.example", "w3.example")
	check("without a time", note(origin, 5, at(0, 0, 0, 0)), note(origin, 3, at(0, 300, 300, 300)))
	check("sizes the other way", note(origin, 3, at(0, 200, 200, 200)), note(origin, 5, at(0, 300, 300, 300)))
	check("one size", note(origin, 5, at(0, 200, 200, 200)), note(origin, 5, at(0, 300, 300, 300)))
	check("two origins", note(origin, 5, at(0, 200, 200, 200)), note("example.com/other", 3, at(0, 300, 300, 300)))
	check("another key of the name", note(origin, 5, map[*proofs.Signer]int64{w1: 200}), note(origin, 3, map[*proofs.Signer]int64{other: 300}))
	// A note with a false signature accuses nobody by that key.
	bad, err := proofs.ParseNote(note(origin, 3, at(0, 300, 100, 100)))
	if err != nil {
		t.Fatal(err)
	}
	bad.Signatures[1].Sig[0] ^= 1
	check("a false signature", note(origin, 5, at(0, 200, 200, 200)), bad.Marshal())

	// The times do not say whether a party or its clock went back, and the sentence does not
	// either.
	for name, tt := range map[string]struct {
		smaller []byte
		want    string
	}{
		"one": {note(origin, 3, at(0, 300, 100, 100)), "w1.example (1970-01-01T00:03:20Z, then 1970-01-01T00:05:00Z) " +
			"signed the tree of size 5 of example.com/log, and with a later time the smaller one of size 3: " +
			"either it signed the smaller tree after the larger one, or its clock went back between the two signatures"},
		"two": {note(origin, 3, at(0, 300, 201, 100)), "each of w1.example (1970-01-01T00:03:20Z, then 1970-01-01T00:05:00Z), " +
			"w2.example (1970-01-01T00:03:20Z, then 1970-01-01T00:03:21Z) " +
			"signed the tree of size 5 of example.com/log, and with a later time the smaller one of size 3: " +
			"either each of them signed the smaller tree after the larger one, or that one's clock went back between the two signatures"},
	} {
		v, err := Rollback{note(origin, 5, at(0, 200, 200, 200)), tt.smaller}.Check(all...)
		if got := v.String(); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, tt.want)
		}
	}
}
