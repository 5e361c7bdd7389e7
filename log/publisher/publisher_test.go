package publisher_test

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
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
)

func TestPublish(t *testing.T) {
	f := logtest.New(t)
	p := f.Open()
	check(t, p.Publish(t.Context(), false))
	f.Published(p, 0)
	for _, n := range []int{1, 1, 5, 260, 1} {
		f.Grow(p, n)
	}
	// Nothing new: nobody is asked. A refresh asks.
	asked := f.Witnesses.Asked
	check(t, p.Publish(t.Context(), false))
	if f.Witnesses.Asked != asked {
		t.Error("witnesses are asked about nothing new")
	}
	check(t, p.Publish(t.Context(), true))
	if f.Witnesses.Asked != asked+1 {
		t.Error("a refresh does not ask the witnesses")
	}
	// After a restart everything is as before.
	p = f.Open()
	f.Published(p, 268)
	f.Grow(p, 3)
}

func TestStorageAheadOfLedger(t *testing.T) {
	f := logtest.New(t)
	f.Grow(f.Open(), 3)
	f.Append(300)
	p := f.Open()
	f.Published(p, 3)
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
	f.Published(p, 303)
}

func TestHaltsAtStart(t *testing.T) {
	t.Run("ledger ahead of storage", func(t *testing.T) {
		f := logtest.New(t)
		f.Grow(f.Open(), 5)
		f.Storage.Truncate(4)
		f.WantHalt("size 4 (root", "size 5 (root", f.Ledger.Record.Edge.Tree().Hash.String())
	})
	t.Run("other root at the same size", func(t *testing.T) {
		f := logtest.New(t)
		f.Grow(f.Open(), 5)
		f.Storage.Replace(1, []byte("changed"))
		f.WantHalt("of size 5 (root", f.Ledger.Record.Edge.Tree().Hash.String())
	})
	t.Run("other past of a larger tree", func(t *testing.T) {
		f := logtest.New(t)
		f.Grow(f.Open(), 5)
		f.Append(3)
		f.Storage.Replace(1, []byte("changed"))
		f.WantHalt("size 8 (root", "size 5 (root")
	})
	t.Run("emptied storage", func(t *testing.T) {
		f := logtest.New(t)
		f.Grow(f.Open(), 5)
		f.Storage.Truncate(0)
		f.WantHalt("size 0 (root", "size 5 (root")
	})
	t.Run("ledger older than what is published", func(t *testing.T) {
		f := logtest.New(t)
		p := f.Open()
		f.Grow(p, 5)
		old := f.Ledger.Record
		f.Grow(p, 1)
		f.Ledger.Record = old
		f.WantHalt("size 6 (root", "size 5 (root")
	})
	t.Run("published and ledger of one size differ", func(t *testing.T) {
		f := logtest.New(t)
		f.Grow(f.Open(), 2)
		other := *f
		other.Storage, other.Ledger = new(storagetest.Mem), &logtest.Ledger{Record: logtest.Record(t, f.Cfg.Signer, 2)}
		other.Cfg.Storage, other.Cfg.Ledger = other.Storage, other.Ledger
		other.WantHalt("a checkpoint of size 2 (root")
	})
	t.Run("published is no prefix", func(t *testing.T) {
		f := logtest.New(t)
		f.Grow(f.Open(), 2)
		other := *f
		other.Storage, other.Ledger = new(storagetest.Mem), &logtest.Ledger{Record: logtest.Record(t, f.Cfg.Signer, 3)}
		other.Cfg.Storage, other.Cfg.Ledger = other.Storage, other.Ledger
		for i := range 3 {
			_, err := other.Storage.Append(t.Context(), [][]byte{{byte(i)}})
			check(t, err)
		}
		other.WantHalt("not a prefix")
	})
}

func TestRefusesToOpen(t *testing.T) {
	f := logtest.New(t)
	f.Grow(f.Open(), 1)
	cfg := f.Cfg
	cfg.Signer = logtest.NewSigner(t, "log.example", proofs.Ed25519)
	if _, err := publisher.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "needs the line: log log.example+") {
		t.Errorf("with another key: %v", err)
	}
	policy := *f.Policy
	policy.Logs = nil
	cfg.Policy = &policy
	if _, err := publisher.Open(t.Context(), cfg); !errors.Is(err, proofs.ErrUnknownLog) {
		t.Errorf("with another key than the ledger's: %v", err)
	}
	cfg.Signer = logtest.NewSigner(t, "other.example", proofs.Ed25519)
	if _, err := publisher.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "other.example") {
		t.Errorf("with another log's key: %v", err)
	}
}

func TestHaltsWhileRunning(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(f *logtest.Fixture)
		words []string
	}{
		{"storage shrinks", func(f *logtest.Fixture) { f.Storage.Truncate(3) }, []string{"size 3 (root", "size 5 (root"}},
		{"tiles have another root", func(f *logtest.Fixture) {
			f.Append(1)
			f.Storage.OnIntegrated = func(tree proofs.Tree) (proofs.Tree, error) {
				tree.Hash[0] ^= 1
				return tree, nil
			}
		}, []string{"at size 6"}},
		{"the past changes", func(f *logtest.Fixture) { f.Storage.Replace(0, []byte("x")); f.Append(1) }, []string{"at size 6", "size 5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := logtest.New(t)
			p := f.Open()
			f.Grow(p, 5)
			signed := logtest.Marshal(t, f.Ledger.Record)
			tt.spoil(f)
			err := p.Extend(t.Context(), nil)
			logtest.WantHalt(t, err, tt.words...)
			// It stays halted, even when the storage is as it should be.
			f.Storage.OnIntegrated = nil
			f.Append(5)
			err = p.Extend(t.Context(), nil)
			logtest.WantHalt(t, err)
			logtest.WantHalt(t, p.Publish(t.Context(), true))
			logtest.WantHalt(t, p.WaitPublished(t.Context(), 6))
			if !bytes.Equal(signed, logtest.Marshal(t, f.Ledger.Record)) || p.Published().Tree.N != 5 {
				t.Error("something was signed after the halt")
			}
		})
	}
}

func TestLedgerConflict(t *testing.T) {
	f := logtest.New(t)
	p := f.Open()
	f.Grow(p, 1)
	f.Append(1)
	err := p.Extend(t.Context(), nil)
	check(t, err)
	f.Ledger.Record = logtest.Record(t, f.Cfg.Signer, 7)
	logtest.WantHalt(t, p.Publish(t.Context(), false), "size 2", "changed by someone else")
	f.Witnesses.SetDown(false, false, false)
	if f.Witnesses.All[0].Seen.N != 1 {
		t.Error("a witness has seen a tree that the ledger does not know")
	}
}

// A swap that fails may have been stored or not. Either way the log goes on.
func TestLedgerFails(t *testing.T) {
	for _, stored := range []bool{false, true} {
		t.Run(fmt.Sprint("stored ", stored), func(t *testing.T) {
			f := logtest.New(t)
			p := f.Open()
			f.Grow(p, 1)
			f.Append(1)
			err := p.Extend(t.Context(), nil)
			check(t, err)
			f.Ledger.OnSwap = func() (bool, error) { return stored, errors.New("disk on fire") }
			if err := p.Publish(t.Context(), false); err == nil || !strings.Contains(err.Error(), "disk on fire") {
				t.Fatalf("Publish: %v", err)
			}
			f.Published(p, 1)
			f.Ledger.OnSwap = nil
			check(t, p.Publish(t.Context(), false))
			f.Published(p, 2)
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
			f := logtest.New(t)
			lost := &lostLedger{Ledger: f.Ledger}
			f.Cfg.Ledger = lost
			p := f.Open()
			f.Grow(p, 1)
			f.Append(1)
			check(t, p.Extend(t.Context(), nil))
			lost.lose, lost.late, lost.unread = true, tt.late, tt.unread
			if err := p.Publish(t.Context(), false); err == nil {
				t.Fatal("published although the ledger fails")
			}
			lost.arrive()
			f.Append(1) // what is signed next is larger
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
			f.Published(p, 3)
			// Somebody else's record is one to stop for, as ever.
			f.Append(1)
			check(t, p.Extend(t.Context(), nil))
			f.Ledger.Record = logtest.Record(t, f.Cfg.Signer, 7)
			logtest.WantHalt(t, p.Publish(t.Context(), false), "size 4", "changed by someone else")
		})
	}
}

// lostLedger loses the answer to one swap, or brings it late.
type lostLedger struct {
	*logtest.Ledger
	lose, late bool
	unread     int
	arrive     func()
}

func (l *lostLedger) Load(ctx context.Context) (log.LedgerRecord, error) {
	if l.unread > 0 && !l.lose {
		l.unread--
		return log.LedgerRecord{}, errors.New("connection lost")
	}
	return l.Ledger.Load(ctx)
}

func (l *lostLedger) Swap(ctx context.Context, old, new log.LedgerRecord) error {
	if !l.lose {
		return l.Ledger.Swap(ctx, old, new)
	}
	l.lose = false
	l.arrive = func() {
		if err := l.Ledger.Swap(ctx, old, new); err != nil {
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
	f := logtest.New(t)
	p := f.Open()
	f.Grow(p, 1)
	f.Witnesses.SetDown(true, true, false)
	f.Append(1)
	err := p.Extend(t.Context(), nil)
	check(t, err)
	var quorum *proofs.QuorumError
	if err := p.Publish(t.Context(), false); !errors.As(err, &quorum) {
		t.Fatalf("Publish: %v", err)
	}
	f.Published(p, 1)
	if f.Ledger.Record.Edge.Tree().N != 2 {
		t.Fatal("witnesses were shown what the ledger does not know")
	}
	// The process dies; the next one publishes what was signed.
	p = f.Open()
	f.Published(p, 1)
	f.Witnesses.SetDown(true, false, false)
	check(t, p.Publish(t.Context(), false))
	f.Published(p, 2)
}

// What the gatherer returns is not taken on trust.
func TestMangledAnswers(t *testing.T) {
	f := logtest.New(t)
	p := f.Open()
	f.Grow(p, 1)
	first := p.Published().Note
	f.Append(1)
	err := p.Extend(t.Context(), nil)
	check(t, err)
	for name, mangle := range map[string]func([]byte) []byte{
		"nothing":         func([]byte) []byte { return nil },
		"an old note":     func([]byte) []byte { return first },
		"no cosignatures": func([]byte) []byte { return f.Ledger.Record.Note },
		"a flipped bit":   func(b []byte) []byte { b[bytes.LastIndexByte(b, ' ')+12] ^= 1; return b },
		"one cosignature": func(b []byte) []byte { return b[:bytes.LastIndex(b, []byte("— w1"))] },
		"another checkpoint": func([]byte) []byte {
			return logtest.Record(t, f.Cfg.Signer, 2).Note
		},
	} {
		f.Witnesses.Mangle = mangle
		if err := p.Publish(t.Context(), false); err == nil {
			t.Errorf("published %s", name)
		}
		f.Published(p, 1)
	}
	f.Witnesses.Mangle = nil
	check(t, p.Publish(t.Context(), false))
	f.Published(p, 2)
}

func TestSigningTimeNeverDecreases(t *testing.T) {
	f := logtest.New(t)
	now := time.Unix(1700000000, 0)
	f.Cfg.Now = func() time.Time { return now }
	p := f.Open()
	f.Grow(p, 1)
	now = now.Add(-24 * time.Hour)
	f.Grow(p, 1)
	p = f.Open()
	f.Grow(p, 1)
	if got := f.Ledger.Record.Signed; got != 1700000000 {
		t.Fatalf("signed at %d after the clock was set back", got)
	}
	now = now.Add(48 * time.Hour)
	f.Grow(p, 1)
	if got := f.Ledger.Record.Signed; got != now.Unix() {
		t.Fatalf("signed at %d, the clock says %d", got, now.Unix())
	}
}

func TestCheckpointFileCannotBeWritten(t *testing.T) {
	f := logtest.New(t)
	p := f.Open()
	f.Grow(p, 1)
	dir := filepath.Dir(f.Cfg.Checkpoints.(*logdir.Checkpoint).Path())
	check(t, os.Rename(dir, dir+".away"))
	f.Append(1)
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
	f.Published(p, 2)
}

// A checkpoint file that is lost or no longer meets the policy is
// published anew; what it said is not acknowledged until then.
func TestPublishedAnew(t *testing.T) {
	for name, spoil := range map[string]func(f *logtest.Fixture){
		"lost": func(f *logtest.Fixture) { check(f.T, os.Remove(f.Cfg.Checkpoints.(*logdir.Checkpoint).Path())) },
		"policy changed": func(f *logtest.Fixture) {
			check(f.T, os.WriteFile(f.Cfg.Checkpoints.(*logdir.Checkpoint).Path(), f.Ledger.Record.Note, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := logtest.New(t)
			f.Grow(f.Open(), 2)
			spoil(f)
			p := f.Open()
			f.Published(p, 0)
			check(t, p.Publish(t.Context(), false))
			f.Published(p, 2)
		})
	}
}

// The loop publishes what arrives, keeps trying while there is no quorum, and
// ends with its context.
func TestRun(t *testing.T) {
	f := logtest.New(t)
	p := f.Open()
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
	f.Append(2)
	err := p.Extend(t.Context(), nil)
	check(t, err)
	wait(2)
	f.Witnesses.SetDown(true, true, true)
	f.Append(2)
	err = p.Extend(t.Context(), nil)
	check(t, err)
	for deadline := time.Now().Add(10 * time.Second); p.Trouble() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no trouble without witnesses")
		}
	}
	f.Append(1)
	err = p.Extend(t.Context(), nil)
	check(t, err)
	f.Published(p, 2)
	f.Witnesses.SetDown(false, false, true)
	wait(5)
	f.Published(p, 5)
	for deadline := time.Now().Add(10 * time.Second); p.Trouble() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("trouble with a quorum: %v", p.Trouble())
		}
	}
	cancel()
	<-done
}

func TestRefresh(t *testing.T) {
	f := logtest.New(t)
	f.Grow(f.Open(), 1)
	f.Cfg.Refresh = 5 * time.Millisecond
	p := f.Open()
	asked := f.Witnesses.Asked
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { p.Run(ctx); close(done) }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		f.Witnesses.Mu.Lock()
		now := f.Witnesses.Asked
		f.Witnesses.Mu.Unlock()
		if now >= asked+3 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("an idle log does not refresh its checkpoint")
		}
	}
	cancel()
	<-done
	f.Published(p, 1)
}

// A checkpoint that waits for its quorum is asked for until it has it, however much
// the log grows meanwhile; then comes the next.
func TestWhatWaitsComesFirst(t *testing.T) {
	f := logtest.New(t)
	p := f.Open()
	f.Grow(p, 2)
	asking := &counting{Witnesses: f.Witnesses}
	f.Cfg.Witnesses = asking
	p = f.Open()
	extend := func(n int) {
		f.Append(n)
		check(t, p.Extend(t.Context(), nil))
	}
	extend(1)
	f.Witnesses.SetDown(true, true, false)
	for range 2 {
		// Not even signed: the quorum has not said where it is.
		if err := p.Publish(t.Context(), false); err == nil || f.Ledger.Record.Edge.Tree().N != 2 {
			t.Fatalf("published without a quorum: %v", err)
		}
	}
	asking.after = func() { f.Witnesses.SetDown(true, true, false) }
	f.Witnesses.SetDown(false, false, false)
	if err := p.Publish(t.Context(), false); err == nil {
		t.Fatal("published without a quorum")
	}
	extend(4)
	if err := p.Publish(t.Context(), false); err == nil {
		t.Fatal("published without a quorum")
	}
	asking.after = nil
	f.Witnesses.SetDown(false, false, false)
	check(t, p.Publish(t.Context(), false))
	f.Published(p, 7)
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
