package logtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
)

// fakeWitness cosigns trees that extend the one it has seen, and keeps everything
// that it was shown.
type fakeWitness struct {
	Signer *proofs.Signer
	down   bool
	Seen   proofs.Tree
	Shown  []byte // the last checkpoint; nil: it shows none
}

// fakeWitnesses is log.Witnesses for a policy of all of them.
type fakeWitnesses struct {
	t      testing.TB
	Mu     sync.Mutex
	All    []*fakeWitness
	Mangle func(note []byte) []byte // returns the answer to give instead
	forks  int
	Asked  int

	LogKeys int // of the log; 0 means 1
}

func (f *fakeWitnesses) Gather(ctx context.Context, signed []byte, cp proofs.Checkpoint, consistency func(context.Context, int64) ([]proofs.Hash, error)) ([]byte, error) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	f.Asked++
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return nil, err
	}
	if want := max(1, f.LogKeys); len(note.Signatures) != want {
		f.t.Errorf("witnesses are shown %d signatures, want the log's alone, which are %d", len(note.Signatures), want)
	}
	cosigned, contradicted := 0, false
	for _, w := range f.All {
		if w.down {
			continue
		}
		if w.Seen.N > cp.Tree.N || w.Seen.N == cp.Tree.N && w.Seen != cp.Tree {
			contradicted = true
			continue
		}
		var proof []proofs.Hash
		if w.Seen.N > 0 && w.Seen.N < cp.Tree.N {
			if proof, err = consistency(ctx, w.Seen.N); err != nil {
				return nil, err
			}
		}
		if err := proofs.VerifyConsistency(w.Seen, cp.Tree, proof); err != nil {
			f.forks++
			f.t.Errorf("a witness is shown a fork: %v", err)
			continue
		}
		w.Seen, w.Shown = cp.Tree, signed
		sig, err := w.Signer.Sign(note.Text, 1700000000)
		if err != nil {
			return nil, err
		}
		note.Signatures = append(note.Signatures, sig)
		cosigned++
	}
	if contradicted && cosigned < 2 {
		return nil, contradiction{errors.New("a witness knows another tree")}
	}
	b := note.Marshal()
	if f.Mangle != nil {
		b = f.Mangle(b)
	}
	return b, nil
}

// Allows implements log.Witnesses: nothing was declared.
func (f *fakeWitnesses) Allows(bool) error { return nil }

// Newest implements log.Witnesses.
func (f *fakeWitnesses) Newest(context.Context, string) (notes [][]byte) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for _, w := range f.All {
		if w.Shown != nil && !w.down {
			notes = append(notes, w.Shown)
		}
	}
	return notes
}

// contradiction is the error where the quorum is not met and a witness is elsewhere.
type contradiction struct{ error }

func (contradiction) Contradicted() bool { return true }

func (f *fakeWitnesses) SetDown(down ...bool) {
	f.Mu.Lock()
	defer f.Mu.Unlock()
	for i, d := range down {
		f.All[i].down = d
	}
}

// Ledger is log.Ledger in memory with faults on demand.
type Ledger struct {
	Mu     sync.Mutex
	Record log.LedgerRecord
	// OnSwap, if not nil, decides whether the record is stored, and which error is
	// returned.
	OnSwap func() (store bool, err error)
}

func (l *Ledger) Load(context.Context) (log.LedgerRecord, error) {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	return l.Record, nil
}

func (l *Ledger) Swap(_ context.Context, old, new log.LedgerRecord) error {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	have, err := l.Record.Marshal()
	if err != nil {
		return err
	}
	want, err := old.Marshal()
	if err != nil {
		return err
	}
	if !bytes.Equal(have, want) {
		return log.ErrLedgerConflict
	}
	store := true
	if l.OnSwap != nil {
		store, err = l.OnSwap()
	}
	if store {
		l.Record = new
	}
	return err
}

// Fixture is a log with everything around it faked.
type Fixture struct {
	T         testing.TB
	Cfg       publisher.Config
	Storage   *storagetest.Mem
	Ledger    *Ledger
	Witnesses *fakeWitnesses
	Policy    *proofs.Policy
}

func New(t testing.TB) *Fixture {
	t.Helper()
	signer := NewSigner(t, "log.example", proofs.Ed25519)
	f := &Fixture{
		T:         t,
		Storage:   new(storagetest.Mem),
		Ledger:    &Ledger{Record: Record(t, signer, 0)},
		Witnesses: &fakeWitnesses{t: t},
	}
	policy := fmt.Sprintf("log %v\n", signer.Key())
	for i := range 3 {
		w := &fakeWitness{Signer: NewSigner(t, fmt.Sprintf("w%d.example", i), proofs.CosignatureV1), Seen: proofs.EmptyTree}
		f.Witnesses.All = append(f.Witnesses.All, w)
		policy += fmt.Sprintf("witness w%d %v\n", i, w.Signer.Key())
	}
	policy += "group all 2 w0 w1 w2\nquorum all\n"
	var err error
	f.Policy, err = proofs.ParsePolicy([]byte(policy))
	check(t, err)
	f.Cfg = publisher.Config{
		Signer:      signer,
		Policy:      f.Policy,
		Storage:     f.Storage,
		Ledger:      f.Ledger,
		Witnesses:   f.Witnesses,
		Checkpoints: logdir.NewCheckpoint(filepath.Join(t.TempDir(), "checkpoint")),
		Backoff:     time.Millisecond,
		MaxBackoff:  10 * time.Millisecond,
		Logger:      slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now:         func() time.Time { return time.Unix(1700000000, 0) },
	}
	return f
}

func (f *Fixture) Open() *publisher.Publisher {
	f.T.Helper()
	p, err := publisher.Open(f.T.Context(), f.Cfg)
	check(f.T, err)
	return p
}

// WantHalt opens the log, which must be refused with words that name the
// fault.
func (f *Fixture) WantHalt(words ...string) {
	f.T.Helper()
	signed := Marshal(f.T, f.Ledger.Record)
	_, err := publisher.Open(f.T.Context(), f.Cfg)
	WantHalt(f.T, err, words...)
	if !bytes.Equal(signed, Marshal(f.T, f.Ledger.Record)) {
		f.T.Error("the ledger has changed")
	}
}

func WantHalt(t testing.TB, err error, words ...string) {
	t.Helper()
	var halt *log.Halt
	if !errors.As(err, &halt) {
		t.Fatalf("want a halt, got %v", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the halt does not say %q: %v", w, err)
		}
	}
}

// Append adds n entries to storage.
func (f *Fixture) Append(n int) {
	f.T.Helper()
	var batch [][]byte
	for range n {
		batch = append(batch, fmt.Appendf(nil, "entry %d", len(f.Storage.Entries())+len(batch)))
	}
	_, err := f.Storage.Append(f.T.Context(), batch)
	check(f.T, err)
}

// Grow appends, reads back and publishes.
func (f *Fixture) Grow(p *publisher.Publisher, n int) {
	f.T.Helper()
	f.Append(n)
	err := p.Extend(f.T.Context(), nil)
	check(f.T, err)
	check(f.T, p.Publish(f.T.Context(), false))
	f.Published(p, len(f.Storage.Entries()))
}

// Published checks that everything about a publisher says size.
func (f *Fixture) Published(p *publisher.Publisher, size int) {
	f.T.Helper()
	got := p.Published()
	if got.Tree.N != int64(size) {
		f.T.Fatalf("published size %d, want %d", got.Tree.N, size)
	}
	if size == 0 {
		return
	}
	cp, err := f.Policy.OpenCheckpoint(got.Note)
	if err != nil || cp.Tree != got.Tree {
		f.T.Fatalf("published %v, %v; want %v", cp.Tree, err, got.Tree)
	}
	file, err := f.Cfg.Checkpoints.Load(f.T.Context())
	if err != nil || !bytes.Equal(file, got.Note) {
		f.T.Fatalf("the checkpoint file holds %q, %v", file, err)
	}
	for index, entry := range f.Storage.Entries()[:size] {
		b, err := p.Sidecar(f.T.Context(), int64(index))
		check(f.T, err)
		proof, err := proofs.ParseProof(b)
		check(f.T, err)
		if _, err := proof.Verify(f.Policy, entry); err != nil || proof.Index != int64(index) || !bytes.Equal(proof.Extra, entry) {
			f.T.Fatalf("sidecar of %d: index %d, extra %q, %v", index, proof.Index, proof.Extra, err)
		}
	}
	if _, err := p.Sidecar(f.T.Context(), int64(size)); !errors.Is(err, log.ErrNotPublished) {
		f.T.Fatalf("sidecar of %d in a log of %d: %v", size, size, err)
	}
}

func NewSigner(t testing.TB, name string, alg proofs.Algorithm) *proofs.Signer {
	t.Helper()
	s, err := proofs.GenerateSigner(rand.Reader, name, alg)
	check(t, err)
	return s
}

// EndRecord makes the ledger's record of a log that has ended.
func EndRecord(t testing.TB, signer log.Signer, n int) log.LedgerRecord {
	r := Record(t, signer, n)
	r.Ended = true
	return r
}

// Record makes the ledger's record of a tree of n entries.
func Record(t testing.TB, signer log.Signer, n int) log.LedgerRecord {
	t.Helper()
	r := log.LedgerRecord{Origin: signer.Key().Name(), Edge: new(proofs.Edge)}
	for i := range n {
		check(t, r.Edge.Append(proofs.LeafHash([]byte{byte(i)})))
	}
	if n > 0 {
		text := proofs.Checkpoint{Origin: r.Origin, Tree: r.Edge.Tree()}.String()
		sig, err := signer.Sign(text, 0)
		check(t, err)
		r.Signed = 1700000000
		r.Note = proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal()
	}
	return r
}

func Marshal(t testing.TB, r log.LedgerRecord) []byte {
	t.Helper()
	b, err := r.Marshal()
	check(t, err)
	return b
}
