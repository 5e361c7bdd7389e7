package log_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// openedBy checks which of the keys can open the published checkpoint.
func openedBy(t *testing.T, p *log.Publisher, want bool, keys ...*proofs.Signer) {
	t.Helper()
	for _, s := range keys {
		_, _, err := proofs.OpenCheckpoint(p.Published().Note, s.Key())
		if got := err == nil; got != want {
			t.Errorf("%v opens it: %v, %v", s.Key(), got, err)
		}
	}
}

// A log may have several keys, and change them one after the other.
func TestSeveralKeys(t *testing.T) {
	f := newFixture(t)
	old := f.cfg.Signer.(*proofs.Signer)
	p := f.open()
	f.grow(p, 3)

	// Keys join without the log having to grow.
	ecdsa, mldsa := newSigner(t, "log.example", proofs.ECDSA), newSigner(t, "log.example", proofs.MLDSA44)
	f.cfg.More = []log.Signer{ecdsa, mldsa}
	f.witnesses.logKeys = 3
	p = f.open()
	check(t, p.Publish(t.Context(), false))
	openedBy(t, p, true, old, ecdsa, mldsa)
	f.grow(p, 2)
	openedBy(t, p, true, old, ecdsa, mldsa)

	// Rotation: the new key signs beside the old one, then alone.
	next := newSigner(t, "log.example", proofs.Ed25519)
	f.cfg.Signer, f.cfg.More = next, []log.Signer{old}
	f.witnesses.logKeys = 2
	p = f.open()
	check(t, p.Publish(t.Context(), false))
	openedBy(t, p, true, old, next)
	openedBy(t, p, false, ecdsa, mldsa)
	f.cfg.More = nil
	f.witnesses.logKeys = 1
	if _, err := log.OpenPublisher(t.Context(), f.cfg); err == nil || !strings.Contains(err.Error(), next.Key().String()) {
		t.Errorf("opened with a policy that lists none of its keys: %v", err)
	}
	f.policy.Logs = append(f.policy.Logs, proofs.PolicyLog{Key: next.Key()})
	p = f.open()
	check(t, p.Publish(t.Context(), false))
	openedBy(t, p, true, next)
	openedBy(t, p, false, old)

	// Nothing remains of the old key: with it alone the log does not start.
	f.cfg.Signer = old
	if _, err := log.OpenPublisher(t.Context(), f.cfg); err == nil || !strings.Contains(err.Error(), "ledger") {
		t.Errorf("opened with a key that did not sign the ledger's checkpoint: %v", err)
	}
}

func TestWrongKeys(t *testing.T) {
	f := newFixture(t)
	for name, more := range map[string]*proofs.Signer{
		"another name": newSigner(t, "other.example", proofs.ECDSA),
		"twice":        f.cfg.Signer.(*proofs.Signer),
		"a witness's":  newSigner(t, "log.example", proofs.CosignatureV1),
	} {
		f.cfg.More = []log.Signer{more}
		if _, err := log.OpenPublisher(t.Context(), f.cfg); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// A witness slower than the quorum still gets its line on the checkpoint.
func TestLateCosignatures(t *testing.T) {
	f := newFixture(t)
	f.witnesses.setDown(false, false, true)
	p := f.open()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.grow(p, 3)
	if n := cosignatures(t, f, p); n != 2 {
		t.Fatalf("%d cosignatures before the late one", n)
	}
	note, err := proofs.ParseNote(p.Published().Note)
	check(t, err)
	slow := f.witnesses.all[2].signer
	good, err := slow.Sign(note.Text, 1700000001)
	check(t, err)
	bad := good
	bad.Sig = append([]byte(nil), good.Sig...)
	bad.Sig[20] ^= 1
	stranger, err := newSigner(t, "x.example", proofs.CosignatureV1).Sign(note.Text, 1700000001)
	check(t, err)
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	p.AddCosignatures("log.example\n2\nsomething else\n", []proofs.Signature{good})
	p.AddCosignatures(note.Text, []proofs.Signature{bad, stranger, note.Signatures[1], good, good})
	deadline := time.Now().Add(10 * time.Second)
	for cosignatures(t, f, p) != 3 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	if n := cosignatures(t, f, p); n != 3 {
		t.Fatalf("%d cosignatures after the late one", n)
	}
	f.published(p, 3)
	if note, err := proofs.ParseNote(p.Published().Note); err != nil || len(note.Signatures) != 4 {
		t.Errorf("lines %v, %v", note.Signatures, err)
	}
	// After the end nothing is written any more.
	cancel()
	running.Wait()
	check(t, os.Remove(f.cfg.Checkpoints.(*log.CheckpointFile).Path()))
	p.AddCosignatures(note.Text, []proofs.Signature{good})
	if _, err := os.Stat(f.cfg.Checkpoints.(*log.CheckpointFile).Path()); !errors.Is(err, os.ErrNotExist) {
		t.Error("written after the end")
	}
}

func cosignatures(t *testing.T, f *fixture, p *log.Publisher) int {
	t.Helper()
	cp, err := f.policy.OpenCheckpoint(p.Published().Note)
	check(t, err)
	return len(cp.Cosignatures)
}
