package log_test

import (
	"bytes"
	"context"
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
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
)

// fakeWitness cosigns what extends the tree it has seen, and keeps everything
// that it was shown.
type fakeWitness struct {
	signer *proofs.Signer
	down   bool
	seen   proofs.Tree
	shown  []byte // the last checkpoint; nil: it shows none
}

// fakeWitnesses is log.Witnesses for a policy of all of them.
type fakeWitnesses struct {
	t      testing.TB
	mu     sync.Mutex
	all    []*fakeWitness
	mangle func(note []byte) []byte // what is returned instead
	forks  int
	asked  int

	logKeys int // of the log; 0 means 1
}

func (f *fakeWitnesses) Gather(ctx context.Context, signed []byte, cp proofs.Checkpoint, consistency func(context.Context, int64) ([]proofs.Hash, error)) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return nil, err
	}
	if want := max(1, f.logKeys); len(note.Signatures) != want {
		f.t.Errorf("witnesses are shown %d signatures, want the log's alone, which are %d", len(note.Signatures), want)
	}
	cosigned, contradicted := 0, false
	for _, w := range f.all {
		if w.down {
			continue
		}
		if w.seen.N > cp.Tree.N || w.seen.N == cp.Tree.N && w.seen != cp.Tree {
			contradicted = true
			continue
		}
		var proof []proofs.Hash
		if w.seen.N > 0 && w.seen.N < cp.Tree.N {
			if proof, err = consistency(ctx, w.seen.N); err != nil {
				return nil, err
			}
		}
		if err := proofs.VerifyConsistency(w.seen, cp.Tree, proof); err != nil {
			f.forks++
			f.t.Errorf("a witness is shown a fork: %v", err)
			continue
		}
		w.seen, w.shown = cp.Tree, signed
		sig, err := w.signer.Sign(note.Text, 1700000000)
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
	if f.mangle != nil {
		b = f.mangle(b)
	}
	return b, nil
}

// Newest implements log.Witnesses.
func (f *fakeWitnesses) Newest(context.Context, string) (notes [][]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.all {
		if w.shown != nil && !w.down {
			notes = append(notes, w.shown)
		}
	}
	return notes
}

// contradiction is the error where the quorum is not met and a witness is elsewhere.
type contradiction struct{ error }

func (contradiction) Contradicted() bool { return true }

func (f *fakeWitnesses) setDown(down ...bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, d := range down {
		f.all[i].down = d
	}
}

// memLedger is log.Ledger in memory with faults on demand.
type memLedger struct {
	mu     sync.Mutex
	record log.LedgerRecord
	// onSwap, if not nil, says whether the record is stored, and what is
	// reported.
	onSwap func() (store bool, err error)
}

func (l *memLedger) Load(context.Context) (log.LedgerRecord, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record, nil
}

func (l *memLedger) Swap(_ context.Context, old, new log.LedgerRecord) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	have, err := l.record.Marshal()
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
	if l.onSwap != nil {
		store, err = l.onSwap()
	}
	if store {
		l.record = new
	}
	return err
}

// fixture is a log with everything around it faked.
type fixture struct {
	t         testing.TB
	cfg       log.PublisherConfig
	storage   *storagetest.Mem
	ledger    *memLedger
	witnesses *fakeWitnesses
	policy    *proofs.Policy
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	signer := newSigner(t, "log.example", proofs.Ed25519)
	f := &fixture{
		t:         t,
		storage:   new(storagetest.Mem),
		ledger:    &memLedger{record: recordOf(t, signer, 0)},
		witnesses: &fakeWitnesses{t: t},
	}
	policy := fmt.Sprintf("log %v\n", signer.Key())
	for i := range 3 {
		w := &fakeWitness{signer: newSigner(t, fmt.Sprintf("w%d.example", i), proofs.CosignatureV1), seen: proofs.EmptyTree}
		f.witnesses.all = append(f.witnesses.all, w)
		policy += fmt.Sprintf("witness w%d %v\n", i, w.signer.Key())
	}
	policy += "group all 2 w0 w1 w2\nquorum all\n"
	var err error
	f.policy, err = proofs.ParsePolicy([]byte(policy))
	check(t, err)
	f.cfg = log.PublisherConfig{
		Signer:      signer,
		Policy:      f.policy,
		Storage:     f.storage,
		Ledger:      f.ledger,
		Witnesses:   f.witnesses,
		Checkpoints: log.NewCheckpointFile(filepath.Join(t.TempDir(), "checkpoint")),
		Backoff:     time.Millisecond,
		MaxBackoff:  10 * time.Millisecond,
		Logger:      slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now:         func() time.Time { return time.Unix(1700000000, 0) },
	}
	return f
}

func (f *fixture) open() *log.Publisher {
	f.t.Helper()
	p, err := log.OpenPublisher(f.t.Context(), f.cfg)
	check(f.t, err)
	return p
}

// wantHalt opens the log, which must be refused with words that name what is
// wrong.
func (f *fixture) wantHalt(words ...string) {
	f.t.Helper()
	signed := marshal(f.t, f.ledger.record)
	_, err := log.OpenPublisher(f.t.Context(), f.cfg)
	wantHalt(f.t, err, words...)
	if !bytes.Equal(signed, marshal(f.t, f.ledger.record)) {
		f.t.Error("the ledger has changed")
	}
}

func wantHalt(t testing.TB, err error, words ...string) {
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

// append adds n entries to storage.
func (f *fixture) append(n int) {
	f.t.Helper()
	var batch [][]byte
	for range n {
		batch = append(batch, fmt.Appendf(nil, "entry %d", len(f.storage.Entries())+len(batch)))
	}
	_, err := f.storage.Append(f.t.Context(), batch)
	check(f.t, err)
}

// grow appends, reads back and publishes.
func (f *fixture) grow(p *log.Publisher, n int) {
	f.t.Helper()
	f.append(n)
	err := p.Extend(f.t.Context(), nil)
	check(f.t, err)
	check(f.t, p.Publish(f.t.Context(), false))
	f.published(p, len(f.storage.Entries()))
}

// published checks that everything about a publisher says size.
func (f *fixture) published(p *log.Publisher, size int) {
	f.t.Helper()
	got := p.Published()
	if got.Tree.N != int64(size) {
		f.t.Fatalf("published size %d, want %d", got.Tree.N, size)
	}
	if size == 0 {
		return
	}
	cp, err := f.policy.OpenCheckpoint(got.Note)
	if err != nil || cp.Tree != got.Tree {
		f.t.Fatalf("published %v, %v; want %v", cp.Tree, err, got.Tree)
	}
	file, err := f.cfg.Checkpoints.Load(f.t.Context())
	if err != nil || !bytes.Equal(file, got.Note) {
		f.t.Fatalf("the checkpoint file holds %q, %v", file, err)
	}
	for index, entry := range f.storage.Entries()[:size] {
		b, err := p.Sidecar(f.t.Context(), int64(index))
		check(f.t, err)
		proof, err := proofs.ParseProof(b)
		check(f.t, err)
		if _, err := proof.Verify(f.policy, entry); err != nil || proof.Index != int64(index) || !bytes.Equal(proof.Extra, entry) {
			f.t.Fatalf("sidecar of %d: index %d, extra %q, %v", index, proof.Index, proof.Extra, err)
		}
	}
	if _, err := p.Sidecar(f.t.Context(), int64(size)); !errors.Is(err, log.ErrNotPublished) {
		f.t.Fatalf("sidecar of %d in a log of %d: %v", size, size, err)
	}
}
