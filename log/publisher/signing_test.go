package publisher_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/proofs"
)

// openedBy checks which of the keys can open the published checkpoint.
func openedBy(t *testing.T, p *publisher.Publisher, want bool, keys ...*proofs.Signer) {
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
	f := logtest.New(t)
	old := f.Cfg.Signer.(*proofs.Signer)
	p := f.Open()
	f.Grow(p, 3)

	// Keys join without the log having to grow.
	ecdsa, mldsa := logtest.NewSigner(t, "log.example", proofs.ECDSA), logtest.NewSigner(t, "log.example", proofs.MLDSA44)
	f.Cfg.More = []log.Signer{ecdsa, mldsa}
	f.Witnesses.LogKeys = 3
	p = f.Open()
	check(t, p.Publish(t.Context(), false))
	openedBy(t, p, true, old, ecdsa, mldsa)
	f.Grow(p, 2)
	openedBy(t, p, true, old, ecdsa, mldsa)

	// Rotation: the new key signs beside the old one, then alone.
	next := logtest.NewSigner(t, "log.example", proofs.Ed25519)
	f.Cfg.Signer, f.Cfg.More = next, []log.Signer{old}
	f.Witnesses.LogKeys = 2
	p = f.Open()
	check(t, p.Publish(t.Context(), false))
	openedBy(t, p, true, old, next)
	openedBy(t, p, false, ecdsa, mldsa)
	f.Cfg.More = nil
	f.Witnesses.LogKeys = 1
	if _, err := publisher.Open(t.Context(), f.Cfg); err == nil || !strings.Contains(err.Error(), next.Key().String()) {
		t.Errorf("opened with a policy that lists none of its keys: %v", err)
	}
	f.Policy.Logs = append(f.Policy.Logs, proofs.PolicyLog{Key: next.Key()})
	p = f.Open()
	check(t, p.Publish(t.Context(), false))
	openedBy(t, p, true, next)
	openedBy(t, p, false, old)

	// Nothing remains of the old key: with it alone the log does not start.
	f.Cfg.Signer = old
	if _, err := publisher.Open(t.Context(), f.Cfg); err == nil || !strings.Contains(err.Error(), "ledger") {
		t.Errorf("opened with a key that did not sign the ledger's checkpoint: %v", err)
	}
}

func TestWrongKeys(t *testing.T) {
	f := logtest.New(t)
	for name, more := range map[string]*proofs.Signer{
		"another name": logtest.NewSigner(t, "other.example", proofs.ECDSA),
		"twice":        f.Cfg.Signer.(*proofs.Signer),
		"a witness's":  logtest.NewSigner(t, "log.example", proofs.CosignatureV1),
	} {
		f.Cfg.More = []log.Signer{more}
		if _, err := publisher.Open(t.Context(), f.Cfg); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// A witness slower than the quorum still gets its line on the checkpoint.
func TestLateCosignatures(t *testing.T) {
	f := logtest.New(t)
	f.Witnesses.SetDown(false, false, true)
	p := f.Open()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	f.Grow(p, 3)
	if n := cosignatures(t, f, p); n != 2 {
		t.Fatalf("%d cosignatures before the late one", n)
	}
	note, err := proofs.ParseNote(p.Published().Note)
	check(t, err)
	slow := f.Witnesses.All[2].Signer
	good, err := slow.Sign(note.Text, 1700000001)
	check(t, err)
	bad := good
	bad.Sig = append([]byte(nil), good.Sig...)
	bad.Sig[20] ^= 1
	stranger, err := logtest.NewSigner(t, "x.example", proofs.CosignatureV1).Sign(note.Text, 1700000001)
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
	f.Published(p, 3)
	if note, err := proofs.ParseNote(p.Published().Note); err != nil || len(note.Signatures) != 4 {
		t.Errorf("lines %v, %v", note.Signatures, err)
	}
	// After the end nothing is written any more.
	cancel()
	running.Wait()
	check(t, os.Remove(f.Cfg.Checkpoints.(*logdir.Checkpoint).Path()))
	p.AddCosignatures(note.Text, []proofs.Signature{good})
	if _, err := os.Stat(f.Cfg.Checkpoints.(*logdir.Checkpoint).Path()); !errors.Is(err, os.ErrNotExist) {
		t.Error("written after the end")
	}
}

func cosignatures(t *testing.T, f *logtest.Fixture, p *publisher.Publisher) int {
	t.Helper()
	cp, err := f.Policy.OpenCheckpoint(p.Published().Note)
	check(t, err)
	return len(cp.Cosignatures)
}
