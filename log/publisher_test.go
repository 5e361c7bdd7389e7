package log_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
)

func TestPublish(t *testing.T) {
	f := newFixture(t)
	p := f.open()
	check(t, p.Publish(t.Context(), false))
	f.published(p, 0)
	for _, n := range []int{1, 1, 5, 260, 1} {
		f.grow(p, n)
	}
	// Nothing new: nobody is asked. A refresh asks.
	asked := f.witnesses.asked
	check(t, p.Publish(t.Context(), false))
	if f.witnesses.asked != asked {
		t.Error("witnesses are asked about nothing new")
	}
	check(t, p.Publish(t.Context(), true))
	if f.witnesses.asked != asked+1 {
		t.Error("a refresh does not ask the witnesses")
	}
	// After a restart everything is as before.
	p = f.open()
	f.published(p, 268)
	f.grow(p, 3)
}

func TestStorageAheadOfLedger(t *testing.T) {
	f := newFixture(t)
	f.grow(f.open(), 3)
	f.append(300)
	p := f.open()
	f.published(p, 3)
	var taken []log.Entry
	unsure := errors.New("not now")
	if err := p.Extend(t.Context(), func([]log.Entry) error { return unsure }); !errors.Is(err, unsure) || p.Tree().N != 3 {
		t.Fatalf("Extend: %v, size %d", err, p.Tree().N)
	}
	check(t, p.Extend(t.Context(), func(e []log.Entry) error { taken = e; return nil }))
	if p.Tree().N != 303 || len(taken) != 300 || taken[0].Index != 3 || string(taken[299].Data) != "entry 302" {
		t.Fatalf("read back %d entries to size %d", len(taken), p.Tree().N)
	}
	check(t, p.Publish(t.Context(), false))
	f.published(p, 303)
}

func TestHaltsAtStart(t *testing.T) {
	t.Run("ledger ahead of storage", func(t *testing.T) {
		f := newFixture(t)
		f.grow(f.open(), 5)
		f.storage.Truncate(4)
		f.wantHalt("size 4 (root", "size 5 (root", f.ledger.record.Edge.Tree().Hash.String())
	})
	t.Run("other root at the same size", func(t *testing.T) {
		f := newFixture(t)
		f.grow(f.open(), 5)
		f.storage.Replace(1, []byte("changed"))
		f.wantHalt("of size 5 (root", f.ledger.record.Edge.Tree().Hash.String())
	})
	t.Run("other past of a larger tree", func(t *testing.T) {
		f := newFixture(t)
		f.grow(f.open(), 5)
		f.append(3)
		f.storage.Replace(1, []byte("changed"))
		f.wantHalt("size 8 (root", "size 5 (root")
	})
	t.Run("emptied storage", func(t *testing.T) {
		f := newFixture(t)
		f.grow(f.open(), 5)
		f.storage.Truncate(0)
		f.wantHalt("size 0 (root", "size 5 (root")
	})
	t.Run("ledger older than what is published", func(t *testing.T) {
		f := newFixture(t)
		p := f.open()
		f.grow(p, 5)
		old := f.ledger.record
		f.grow(p, 1)
		f.ledger.record = old
		f.wantHalt("size 6 (root", "size 5 (root")
	})
	t.Run("published and ledger of one size differ", func(t *testing.T) {
		f := newFixture(t)
		f.grow(f.open(), 2)
		other := *f
		other.storage, other.ledger = new(storagetest.Mem), &memLedger{record: recordOf(t, f.cfg.Signer, 2)}
		other.cfg.Storage, other.cfg.Ledger = other.storage, other.ledger
		other.wantHalt("a checkpoint of size 2 (root")
	})
	t.Run("published is no prefix", func(t *testing.T) {
		f := newFixture(t)
		f.grow(f.open(), 2)
		other := *f
		other.storage, other.ledger = new(storagetest.Mem), &memLedger{record: recordOf(t, f.cfg.Signer, 3)}
		other.cfg.Storage, other.cfg.Ledger = other.storage, other.ledger
		for i := range 3 {
			_, err := other.storage.Append(t.Context(), [][]byte{{byte(i)}})
			check(t, err)
		}
		other.wantHalt("not a prefix")
	})
}

func TestRefusesToOpen(t *testing.T) {
	f := newFixture(t)
	f.grow(f.open(), 1)
	cfg := f.cfg
	cfg.Signer = newSigner(t, "log.example", proofs.Ed25519)
	if _, err := log.OpenPublisher(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "needs the line: log log.example+") {
		t.Errorf("with another key: %v", err)
	}
	policy := *f.policy
	policy.Logs = nil
	cfg.Policy = &policy
	if _, err := log.OpenPublisher(t.Context(), cfg); !errors.Is(err, proofs.ErrUnknownLog) {
		t.Errorf("with another key than the ledger's: %v", err)
	}
	cfg.Signer = newSigner(t, "other.example", proofs.Ed25519)
	if _, err := log.OpenPublisher(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "other.example") {
		t.Errorf("with another log's key: %v", err)
	}
}

func TestHaltsWhileRunning(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(f *fixture)
		words []string
	}{
		{"storage shrinks", func(f *fixture) { f.storage.Truncate(3) }, []string{"size 3 (root", "size 5 (root"}},
		{"tiles have another root", func(f *fixture) {
			f.append(1)
			f.storage.OnIntegrated = func(tree proofs.Tree) (proofs.Tree, error) {
				tree.Hash[0] ^= 1
				return tree, nil
			}
		}, []string{"at size 6"}},
		{"the past changes", func(f *fixture) { f.storage.Replace(0, []byte("x")); f.append(1) }, []string{"at size 6", "size 5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			p := f.open()
			f.grow(p, 5)
			signed := marshal(t, f.ledger.record)
			tt.spoil(f)
			err := p.Extend(t.Context(), nil)
			wantHalt(t, err, tt.words...)
			// It stays halted, even when the storage is as it should be.
			f.storage.OnIntegrated = nil
			f.append(5)
			err = p.Extend(t.Context(), nil)
			wantHalt(t, err)
			wantHalt(t, p.Publish(t.Context(), true))
			wantHalt(t, p.WaitPublished(t.Context(), 6))
			if !bytes.Equal(signed, marshal(t, f.ledger.record)) || p.Published().Tree.N != 5 {
				t.Error("something was signed after the halt")
			}
		})
	}
}

func TestLedgerConflict(t *testing.T) {
	f := newFixture(t)
	p := f.open()
	f.grow(p, 1)
	f.append(1)
	err := p.Extend(t.Context(), nil)
	check(t, err)
	f.ledger.record = recordOf(t, f.cfg.Signer, 7)
	wantHalt(t, p.Publish(t.Context(), false), "size 2", "changed by someone else")
	f.witnesses.setDown(false, false, false)
	if f.witnesses.all[0].seen.N != 1 {
		t.Error("a witness has seen a tree that the ledger does not know")
	}
}

// A swap that fails may have been stored or not. Either way the log goes on.
func TestLedgerFails(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprint("stored ", stored), func(t *testing.T) {
			f := newFixture(t)
			p := f.open()
			f.grow(p, 1)
			f.append(1)
			err := p.Extend(t.Context(), nil)
			check(t, err)
			f.ledger.onSwap = func() (bool, error) { return stored, errors.New("disk on fire") }
			if err := p.Publish(t.Context(), false); err == nil || !strings.Contains(err.Error(), "disk on fire") {
				t.Fatalf("Publish: %v", err)
			}
			f.published(p, 1)
			f.ledger.onSwap = nil
			check(t, p.Publish(t.Context(), false))
			f.published(p, 2)
		})
	}
}

// A swap whose outcome cannot be asked for, or that arrives after it was given up,
// is the publisher's own: it goes on from there, and nobody needs to be called.
func TestLedgerUnknownOutcome(t *testing.T) {
	for _, tt := range []struct {
		name   string
		unread int // how often Load fails after the swap
		late   bool
	}{{"not to be read", 1, false}, {"arrives late", 0, true}} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFixture(t)
			lost := &lostLedger{memLedger: f.ledger}
			f.cfg.Ledger = lost
			p := f.open()
			f.grow(p, 1)
			f.append(1)
			check(t, p.Extend(t.Context(), nil))
			lost.lose, lost.late, lost.unread = true, tt.late, tt.unread
			if err := p.Publish(t.Context(), false); err == nil {
				t.Fatal("published although the ledger fails")
			}
			lost.arrive()
			f.append(1) // what is signed next is larger
			check(t, p.Extend(t.Context(), nil))
			for deadline := time.Now().Add(10 * time.Second); ; {
				err := p.Publish(t.Context(), false)
				if err == nil {
					break
				}
				if p.Halted() != nil || time.Now().After(deadline) {
					t.Fatalf("Publish: %v", err)
				}
			}
			f.published(p, 3)
			// Somebody else's record is one to stop for, as ever.
			f.append(1)
			check(t, p.Extend(t.Context(), nil))
			f.ledger.record = recordOf(t, f.cfg.Signer, 7)
			wantHalt(t, p.Publish(t.Context(), false), "size 4", "changed by someone else")
		})
	}
}

// lostLedger loses the answer to one swap, or brings it late.
type lostLedger struct {
	*memLedger
	lose, late bool
	unread     int
	arrive     func()
}

func (l *lostLedger) Load(ctx context.Context) (log.LedgerRecord, error) {
	if l.unread > 0 && !l.lose {
		l.unread--
		return log.LedgerRecord{}, errors.New("connection lost")
	}
	return l.memLedger.Load(ctx)
}

func (l *lostLedger) Swap(ctx context.Context, old, new log.LedgerRecord) error {
	if !l.lose {
		return l.memLedger.Swap(ctx, old, new)
	}
	l.lose = false
	l.arrive = func() {
		if err := l.memLedger.Swap(ctx, old, new); err != nil {
			panic(err)
		}
	}
	if !l.late {
		l.arrive()
		l.arrive = func() {}
	}
	return errors.New("connection lost")
}

func TestBelowQuorumNothingIsPublished(t *testing.T) {
	f := newFixture(t)
	p := f.open()
	f.grow(p, 1)
	f.witnesses.setDown(true, true, false)
	f.append(1)
	err := p.Extend(t.Context(), nil)
	check(t, err)
	var quorum *proofs.QuorumError
	if err := p.Publish(t.Context(), false); !errors.As(err, &quorum) {
		t.Fatalf("Publish: %v", err)
	}
	f.published(p, 1)
	if f.ledger.record.Edge.Tree().N != 2 {
		t.Fatal("witnesses were shown what the ledger does not know")
	}
	// The process dies; the next one publishes what was signed.
	p = f.open()
	f.published(p, 1)
	f.witnesses.setDown(true, false, false)
	check(t, p.Publish(t.Context(), false))
	f.published(p, 2)
}

// What the gatherer returns is not taken on trust.
func TestMangledAnswers(t *testing.T) {
	f := newFixture(t)
	p := f.open()
	f.grow(p, 1)
	first := p.Published().Note
	f.append(1)
	err := p.Extend(t.Context(), nil)
	check(t, err)
	for name, mangle := range map[string]func([]byte) []byte{
		"nothing":         func([]byte) []byte { return nil },
		"an old note":     func([]byte) []byte { return first },
		"no cosignatures": func([]byte) []byte { return f.ledger.record.Note },
		"a flipped bit":   func(b []byte) []byte { b[bytes.LastIndexByte(b, ' ')+12] ^= 1; return b },
		"one cosignature": func(b []byte) []byte { return b[:bytes.LastIndex(b, []byte("— w1"))] },
		"another checkpoint": func([]byte) []byte {
			return recordOf(t, f.cfg.Signer, 2).Note
		},
	} {
		f.witnesses.mangle = mangle
		if err := p.Publish(t.Context(), false); err == nil {
			t.Errorf("published %s", name)
		}
		f.published(p, 1)
	}
	f.witnesses.mangle = nil
	check(t, p.Publish(t.Context(), false))
	f.published(p, 2)
}

func TestSigningTimeNeverDecreases(t *testing.T) {
	f := newFixture(t)
	now := time.Unix(1700000000, 0)
	f.cfg.Now = func() time.Time { return now }
	p := f.open()
	f.grow(p, 1)
	now = now.Add(-24 * time.Hour)
	f.grow(p, 1)
	p = f.open()
	f.grow(p, 1)
	if got := f.ledger.record.Signed; got != 1700000000 {
		t.Fatalf("signed at %d after the clock was set back", got)
	}
	now = now.Add(48 * time.Hour)
	f.grow(p, 1)
	if got := f.ledger.record.Signed; got != now.Unix() {
		t.Fatalf("signed at %d, the clock says %d", got, now.Unix())
	}
}

func TestCheckpointFileCannotBeWritten(t *testing.T) {
	f := newFixture(t)
	p := f.open()
	f.grow(p, 1)
	dir := filepath.Dir(f.cfg.Checkpoints.(*log.CheckpointFile).Path())
	check(t, os.Rename(dir, dir+".away"))
	f.append(1)
	err := p.Extend(t.Context(), nil)
	check(t, err)
	if err := p.Publish(t.Context(), false); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("Publish: %v", err)
	}
	if p.Published().Tree.N != 1 {
		t.Fatal("told as published before it was durable")
	}
	check(t, os.Rename(dir+".away", dir))
	check(t, p.Publish(t.Context(), false))
	f.published(p, 2)
}

// A checkpoint file that is lost or no longer meets the policy is
// published anew; what it said is not acknowledged until then.
func TestPublishedAnew(t *testing.T) {
	for name, spoil := range map[string]func(f *fixture){
		"lost": func(f *fixture) { check(f.t, os.Remove(f.cfg.Checkpoints.(*log.CheckpointFile).Path())) },
		"policy changed": func(f *fixture) {
			check(f.t, os.WriteFile(f.cfg.Checkpoints.(*log.CheckpointFile).Path(), f.ledger.record.Note, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.grow(f.open(), 2)
			spoil(f)
			p := f.open()
			f.published(p, 0)
			check(t, p.Publish(t.Context(), false))
			f.published(p, 2)
		})
	}
}

// The loop publishes what arrives, keeps trying while there is no quorum, and
// ends with its context.
func TestRun(t *testing.T) {
	f := newFixture(t)
	p := f.open()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	wait := func(size int64) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := p.WaitPublished(ctx, size); err != nil {
			t.Fatalf("size %d is not published: %v", size, err)
		}
	}
	f.append(2)
	err := p.Extend(t.Context(), nil)
	check(t, err)
	wait(2)
	f.witnesses.setDown(true, true, true)
	f.append(2)
	err = p.Extend(t.Context(), nil)
	check(t, err)
	for deadline := time.Now().Add(10 * time.Second); p.Trouble() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no trouble without witnesses")
		}
	}
	f.append(1)
	err = p.Extend(t.Context(), nil)
	check(t, err)
	f.published(p, 2)
	f.witnesses.setDown(false, false, true)
	wait(5)
	f.published(p, 5)
	for deadline := time.Now().Add(10 * time.Second); p.Trouble() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("trouble with a quorum: %v", p.Trouble())
		}
	}
	cancel()
	<-done
}

func TestRefresh(t *testing.T) {
	f := newFixture(t)
	f.grow(f.open(), 1)
	f.cfg.Refresh = 5 * time.Millisecond
	p := f.open()
	asked := f.witnesses.asked
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		f.witnesses.mu.Lock()
		now := f.witnesses.asked
		f.witnesses.mu.Unlock()
		if now >= asked+3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("an idle log does not refresh its checkpoint")
		}
	}
	cancel()
	<-done
	f.published(p, 1)
}

// A checkpoint that waits for its quorum is asked for until it has it, however much
// the log grows meanwhile; then comes the next.
func TestWhatWaitsComesFirst(t *testing.T) {
	f := newFixture(t)
	p := f.open()
	f.grow(p, 2)
	asking := &counting{Witnesses: f.witnesses}
	f.cfg.Witnesses = asking
	p = f.open()
	extend := func(n int) {
		f.append(n)
		check(t, p.Extend(t.Context(), nil))
	}
	extend(1)
	f.witnesses.setDown(true, true, false)
	for range 2 {
		// Not even signed: the quorum has not said where it is.
		if err := p.Publish(t.Context(), false); err == nil || f.ledger.record.Edge.Tree().N != 2 {
			t.Fatalf("published without a quorum: %v", err)
		}
	}
	asking.after = func() { f.witnesses.setDown(true, true, false) }
	f.witnesses.setDown(false, false, false)
	if err := p.Publish(t.Context(), false); err == nil {
		t.Fatal("published without a quorum")
	}
	extend(4)
	if err := p.Publish(t.Context(), false); err == nil {
		t.Fatal("published without a quorum")
	}
	asking.after = nil
	f.witnesses.setDown(false, false, false)
	check(t, p.Publish(t.Context(), false))
	f.published(p, 7)
	if want := []int64{2, 2, 2, 3, 3, 3, 7}; !slices.Equal(asking.sizes, want) {
		t.Errorf("asked for sizes %v, want %v", asking.sizes, want)
	}
}

// counting is log.Witnesses that keeps what it was asked for.
type counting struct {
	log.Witnesses
	sizes []int64
	after func() // is called after each answer
}

func (c *counting) Gather(ctx context.Context, signed []byte, cp proofs.Checkpoint, consistency func(context.Context, int64) ([]proofs.Hash, error)) ([]byte, error) {
	c.sizes = append(c.sizes, cp.Tree.N)
	note, err := c.Witnesses.Gather(ctx, signed, cp, consistency)
	if c.after != nil {
		c.after()
	}
	return note, err
}
