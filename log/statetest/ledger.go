package statetest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// TestLedger runs the suite for the ledger of a new log of that origin. Reopen
// opens it again.
func TestLedger(t *testing.T, ledger log.Ledger, origin string, reopen func() log.Ledger) {
	t.Helper()
	empty, err := ledger.Load(t.Context())
	if err != nil || empty.Origin != origin || empty.Edge.Tree() != proofs.EmptyTree || empty.Note != nil {
		t.Fatalf("a new ledger: %+v, %v", empty, err)
	}
	one, two, other := Record(t, origin, 1), Record(t, origin, 2), Record(t, origin, 1)
	swap := func(old, new log.LedgerRecord) {
		t.Helper()
		if err := ledger.Swap(t.Context(), old, new); err != nil {
			t.Fatal(err)
		}
	}
	swap(empty, one)
	for _, old := range []log.LedgerRecord{empty, two, other} {
		if err := ledger.Swap(t.Context(), old, two); !errors.Is(err, log.ErrLedgerConflict) {
			t.Fatalf("swapped a record that is not there: %v", err)
		}
	}
	have := one
	for _, next := range []log.LedgerRecord{two, two, Record(t, origin, 256)} {
		swap(have, next)
		have = next
		ledger = reopen()
		got, err := ledger.Load(t.Context())
		if err != nil || !bytes.Equal(marshal(t, got), marshal(t, next)) {
			t.Fatalf("after opening again: %+v, %v", got, err)
		}
	}

	// Behind the end of a log nothing is signed. Its tree can be signed again.
	end := Record(t, origin, 257)
	end.Ended = true
	swap(have, end)
	more, thawed, again := Record(t, origin, 258), end, Record(t, origin, 257)
	thawed.Ended, again.Ended = false, true
	ended := more
	ended.Ended = true
	for _, next := range []log.LedgerRecord{more, ended, thawed, have} {
		if err := ledger.Swap(t.Context(), end, next); !errors.Is(err, log.ErrEnded) {
			t.Errorf("a record of size %d, ended %v, behind the end: %v", next.Edge.Tree().N, next.Ended, err)
		}
	}
	swap(end, again)
	ledger = reopen()
	if got, err := ledger.Load(t.Context()); err != nil || !got.Ended || !bytes.Equal(marshal(t, got), marshal(t, again)) {
		t.Errorf("after the end: %+v, %v", got, err)
	}
}

// Record makes the ledger's record of a tree of n entries, signed by a new key.
func Record(t testing.TB, origin string, n int) log.LedgerRecord {
	t.Helper()
	r := log.LedgerRecord{Origin: origin, Edge: new(proofs.Edge)}
	for i := range n {
		if err := r.Edge.Append(proofs.LeafHash([]byte{byte(i)})); err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 {
		return r
	}
	signer, err := proofs.GenerateSigner(rand.Reader, origin, proofs.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	text := proofs.Checkpoint{Origin: origin, Tree: r.Edge.Tree()}.String()
	sig, err := signer.Sign(text, 0)
	if err != nil {
		t.Fatal(err)
	}
	r.Signed = 1700000000
	r.Note = proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal()
	return r
}

func marshal(t testing.TB, r log.LedgerRecord) []byte {
	t.Helper()
	b, err := r.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}
