package rekor_test

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"

	"github.com/tuflog/tuflog/audit/rekor"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

// A ledger is a Rekor that tests bend.
type ledger struct {
	*rekortest.Ledger
	t       testing.TB
	version int
	url     string
}

func newLedger(t testing.TB, version int) *ledger {
	l := rekortest.New(t, version)
	return &ledger{l, t, version, l.URL()}
}

func (l *ledger) instance() *rekor.Instance {
	l.t.Helper()
	i, err := rekor.New(l.Config())
	if err != nil {
		l.t.Fatal(err)
	}
	return i
}

// A vendorlog is a log that signs checkpoints.
type vendorlog struct {
	signer *proofs.Signer
	key    proofs.Key
}

func newVendorlog(t testing.TB) vendorlog {
	s, err := proofs.GenerateSigner(rand.Reader, "log.example/updates", proofs.ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	return vendorlog{s, s.Key()}
}

// note returns the signed checkpoint of a tree of that size.
func (v vendorlog) note(t testing.TB, size int64) []byte {
	t.Helper()
	text := proofs.Checkpoint{Origin: v.key.Name(), Tree: proofs.Tree{N: size, Hash: sha256.Sum256(fmt.Append(nil, size))}}.String()
	sig, err := v.signer.Sign(text, 0)
	if err != nil {
		t.Fatal(err)
	}
	return proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal()
}
