package sqlite_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/ledger"
	"github.com/tuflog/tuflog/witness/sqlite"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// *ledger.Ledger is what the store needs.
var _ sqlite.Ledger = (*ledger.Ledger)(nil)

// books counts what it is asked to append, and may refuse.
type books struct {
	sqlite.Ledger
	appends, records atomic.Int64
	fail             atomic.Bool
	refuse           atomic.Bool   // does not confirm
	hold             chan struct{} // if not nil, each append waits for a value
}

func (b *books) Append(records []witness.Signed) error {
	if b.hold != nil {
		<-b.hold
	}
	if b.fail.Load() {
		return errors.New("disk full")
	}
	if len(records) > 0 {
		b.appends.Add(1)
		b.records.Add(int64(len(records)))
	}
	return b.Ledger.Append(records)
}

func (b *books) Confirm() error {
	if b.refuse.Load() {
		return nil
	}
	return b.Ledger.Confirm()
}

// newLedger makes a ledger for a store.
func newLedger(t *testing.T, s *sqlite.Store) *books {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "l")
	if err := ledger.Create(dir, s.Signers()...); err != nil {
		t.Fatal(err)
	}
	l, err := ledger.Open(dir, s.Signers()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return &books{Ledger: l}
}

func useLedger(t *testing.T, s *sqlite.Store, l sqlite.Ledger) map[string]witness.Latch {
	t.Helper()
	latches, err := s.UseLedger(t.Context(), l, 500)
	if err != nil {
		t.Fatal(err)
	}
	return latches
}

// grower is a log in a store.
type grower struct {
	t    *testing.T
	s    *sqlite.Store
	log  *witnesstest.Log
	id   witness.OriginHash
	last *proofs.Tree
	time int64
}

func newGrower(t *testing.T, s *sqlite.Store, origin string) *grower {
	t.Helper()
	g := &grower{t: t, s: s, log: witnesstest.NewLog(t, origin), id: witness.HashOrigin(origin), time: 100}
	if err := s.AddLog(t.Context(), witness.NewLog{Key: g.log.Key()}); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *grower) next() witness.Latest {
	g.log.Grow(1, "")
	g.time++
	cp := g.log.Checkpoint()
	return witness.Latest{Tree: cp.Tree, Note: g.log.Sign(cp), Time: g.time}
}

func (g *grower) grow() error {
	next := g.next()
	err := g.s.Update(g.t.Context(), g.id, g.last, next)
	if err == nil {
		g.last = &next.Tree
	}
	return err
}

func (g *grower) mustGrow() {
	g.t.Helper()
	if err := g.grow(); err != nil {
		g.t.Fatal(err)
	}
}

func TestStoreWithLedger(t *testing.T) {
	witnesstest.TestStore(t, func(t *testing.T) witnesstest.Store {
		s := create(t, t.TempDir())
		useLedger(t, s, newLedger(t, s))
		return s
	})
}

func TestLedgerGetsEverything(t *testing.T) {
	s := create(t, t.TempDir())
	l := newLedger(t, s)
	useLedger(t, s, l)
	const logs, rounds = 64, 10
	var wg sync.WaitGroup
	all := make([]*grower, logs)
	for i := range all {
		all[i] = newGrower(t, s, fmt.Sprintf("log%d.example", i))
	}
	for _, g := range all {
		wg.Go(func() {
			for range rounds {
				if err := g.grow(); err != nil {
					t.Error(err)
				}
				if m, ok := l.Last(g.id); !ok || m.Tree != *g.last || m.Time != g.time {
					t.Errorf("answered %v at %d, the ledger has %+v", *g.last, g.time, m)
				}
			}
		})
	}
	wg.Wait()
	if l.records.Load() != logs*rounds {
		t.Errorf("%d records for %d updates", l.records.Load(), logs*rounds)
	}
	// Many share a sync. How many depends on the machine; one each would mean
	// that they do not.
	if n := l.appends.Load(); n > logs*rounds/2 {
		t.Errorf("%d updates took %d syncs", logs*rounds, n)
	}
}

// TestNotShownBeforeLedger: what the file has and the ledger has not yet must not
// be read by anybody, or it could be signed.
func TestNotShownBeforeLedger(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	l := newLedger(t, s)
	useLedger(t, s, l)
	g := newGrower(t, s, "log.example")
	g.mustGrow()
	before := *g.last
	l.hold = make(chan struct{})
	done := make(chan error)
	go func() { done <- g.grow() }()
	// The file has it when another store sees it.
	other := open(t, dir)
	eventually(t, func() error {
		if got, err := other.Log(t.Context(), g.id); err != nil || got.Latest.Tree == before {
			return fmt.Errorf("another store sees %+v, %v", got.Latest, err)
		}
		return nil
	})
	logs, err := s.Logs(t.Context())
	if err != nil || logs[0].Latest.Tree != before {
		t.Errorf("logs show %+v, %v", logs[0].Latest, err)
	}
	if got, err := s.Log(t.Context(), g.id); err != nil || got.Latest.Tree != before {
		t.Errorf("log shows %+v, %v", got.Latest, err)
	}
	l.hold <- struct{}{}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got, err := s.Log(t.Context(), g.id); err != nil || got.Latest.Tree != *g.last {
		t.Errorf("afterwards, log is %+v, %v", got, err)
	}
}

func TestLedgerFails(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	l := newLedger(t, s)
	useLedger(t, s, l)
	g, other := newGrower(t, s, "log.example"), newGrower(t, s, "other.example")
	g.mustGrow()
	old := *g.last
	l.fail.Store(true)
	if err := g.grow(); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Fatalf("update without the ledger: %v", err)
	}
	select {
	case <-s.Failed():
	default:
		t.Error("the store does not say that it failed")
	}
	if s.Err() == nil {
		t.Error("the store does not say why it failed")
	}
	l.fail.Store(false)
	// The file is ahead of the ledger: nothing more is read or written.
	if _, err := s.Log(t.Context(), g.id); err == nil {
		t.Error("a log was read")
	}
	if _, err := s.Logs(t.Context()); err == nil {
		t.Error("logs were read")
	}
	if err := other.grow(); err == nil {
		t.Error("another log was updated")
	}
	// Opened again, the ledger is brought up to the file.
	again := open(t, dir)
	if latches := useLedger(t, again, l); len(latches) != 0 {
		t.Fatalf("latched: %v", latches)
	}
	got, err := again.Log(t.Context(), g.id)
	if err != nil || got.Latched || got.Latest.Tree == old {
		t.Fatalf("opened again, log is %+v, %v", got, err)
	}
	if m, ok := l.Last(g.id); !ok || m != got.Latest.Mark() {
		t.Fatalf("the ledger has %+v, the file %+v", m, got.Latest)
	}
}

func TestLedgerAhead(t *testing.T) {
	// A store that was restored: what the first cosigned, the second forgot.
	s := create(t, t.TempDir())
	l := newLedger(t, s)
	useLedger(t, s, l)
	g := newGrower(t, s, "log.example")
	for range 3 {
		g.mustGrow()
	}
	last, lastTime := *g.last, g.time
	if err := l.Confirm(); err != nil {
		t.Fatal(err)
	}

	restored := create(t, t.TempDir())
	old := newGrower(t, restored, "quiet.example")
	if err := restored.AddLog(t.Context(), witness.NewLog{Key: g.log.Key()}); err != nil {
		t.Fatal(err)
	}
	latches := useLedger(t, restored, l)
	if len(latches) != 1 || latches["log.example"].Seen != (witness.Mark{Tree: last, Time: lastTime}) || latches["log.example"].Note == nil {
		t.Fatalf("latches are %+v", latches)
	}
	if err := restored.Update(t.Context(), g.id, nil, g.next()); !errors.Is(err, witness.ErrLatched) {
		t.Fatalf("update of a log that is latched: %v", err)
	}
	old.mustGrow()

	// Cleared, the log goes on from what the ledger had.
	adopted, err := restored.ClearLatch(t.Context(), "log.example", "a test", 600)
	if err != nil || adopted == nil || adopted.Tree != last || adopted.Time != lastTime {
		t.Fatalf("cleared to %+v, %v", adopted, err)
	}
	if _, err := restored.ClearLatch(t.Context(), "log.example", "again", 600); !errors.Is(err, sqlite.ErrNotLatched) {
		t.Fatalf("cleared again: %v", err)
	}
	g.s, g.last = restored, &last
	g.mustGrow()
	records, err := restored.Latches(t.Context())
	if err != nil || len(records) != 1 || records[0].Cleared != 600 || records[0].Reason != "a test" || records[0].Source != "ledger" {
		t.Fatalf("latches are %+v, %v", records, err)
	}
	if latched, err := restored.Latched(t.Context()); err != nil || len(latched) != 0 {
		t.Fatalf("latched are %v, %v", latched, err)
	}
}

// TestCrash: what the file had not synced when the power went, it gets from the
// ledger; what it lacks beyond that was taken away.
func TestCrash(t *testing.T) {
	s := create(t, t.TempDir())
	l := newLedger(t, s)
	useLedger(t, s, l)
	g, fresh := newGrower(t, s, "log.example"), newGrower(t, s, "fresh.example")
	var states []witness.Latest
	grow := func() {
		t.Helper()
		next := g.next()
		if err := s.Update(t.Context(), g.id, g.last, next); err != nil {
			t.Fatal(err)
		}
		g.last = &next.Tree
		states = append(states, next)
	}
	grow()
	grow()
	eventually(t, func() error { // it is confirmed without being asked
		if _, unsure := l.Unsure(g.id); unsure {
			return errors.New("unsure")
		}
		return nil
	})
	l.refuse.Store(true) // from here on, nothing is confirmed
	grow()
	grow()
	grow()
	fresh.mustGrow()
	for have := range len(states) + 1 {
		crashed := create(t, t.TempDir())
		for _, log := range []*grower{g, fresh} {
			if err := crashed.AddLog(t.Context(), witness.NewLog{Key: log.log.Key()}); err != nil {
				t.Fatal(err)
			}
		}
		var old *proofs.Tree
		for _, state := range states[:have] {
			if err := crashed.Update(t.Context(), g.id, old, state); err != nil {
				t.Fatal(err)
			}
			old = &state.Tree
		}
		latches := useLedger(t, crashed, l)
		got, err := crashed.Log(t.Context(), g.id)
		if err != nil {
			t.Fatal(err)
		}
		if want := have < 2; len(latches) > 0 != want || got.Latched != want {
			t.Errorf("with %d of %d changes: latches %+v", have, len(states), latches)
		}
		if have >= 2 && got.Latest.Mark() != states[len(states)-1].Mark() {
			t.Errorf("with %d of %d changes: state is %+v", have, len(states), got.Latest)
		}
		if _, unsure := l.Unsure(g.id); !unsure {
			t.Fatal("the test's ledger was confirmed")
		}
		if got, err := crashed.Log(t.Context(), fresh.id); err != nil || got.Latched || got.Latest == nil || got.Latest.Tree != *fresh.last {
			t.Errorf("with %d of %d changes: the log cosigned once is %+v, %v", have, len(states), got, err)
		}
	}
}

// TestCrashIsMadeUpForOnce: afterwards, what is taken away is noticed again.
func TestCrashIsMadeUpForOnce(t *testing.T) {
	s := create(t, t.TempDir())
	l := newLedger(t, s)
	// The store that crashes stays open, and must not confirm anything later.
	crashing := &books{Ledger: l}
	crashing.refuse.Store(true)
	useLedger(t, s, crashing)
	g := newGrower(t, s, "log.example")
	g.mustGrow()
	for _, want := range []int{0, 1} {
		crashed := create(t, t.TempDir())
		if err := crashed.AddLog(t.Context(), witness.NewLog{Key: g.log.Key()}); err != nil {
			t.Fatal(err)
		}
		if latches := useLedger(t, crashed, l); len(latches) != want {
			t.Errorf("latches %+v, want %d", latches, want)
		}
	}
}

// TestLedgerAheadLater: a log that is added after the ledger was taken into use.
func TestLedgerAheadLater(t *testing.T) {
	s := create(t, t.TempDir())
	l := newLedger(t, s)
	useLedger(t, s, l)
	g := newGrower(t, s, "log.example")
	g.mustGrow()

	emptied := create(t, t.TempDir())
	if latches := useLedger(t, emptied, l); len(latches) != 0 {
		t.Fatalf("latches are %+v", latches)
	}
	if err := emptied.AddLog(t.Context(), witness.NewLog{Key: g.log.Key()}); err != nil {
		t.Fatal(err)
	}
	fork := g.log.Fork()
	fork.Grow(1, "fork")
	cp := fork.Checkpoint()
	next := witness.Latest{Tree: cp.Tree, Note: fork.Sign(cp), Time: 300}
	for range 2 {
		if err := emptied.Update(t.Context(), g.id, nil, next); !errors.Is(err, witness.ErrLatched) {
			t.Fatalf("update of a log of which the ledger knows more: %v", err)
		}
	}
	got, err := emptied.Log(t.Context(), g.id)
	if err != nil || !got.Latched || got.Latest != nil {
		t.Fatalf("log is %+v, %v", got, err)
	}
	if records, err := emptied.Latches(t.Context()); err != nil || len(records) != 1 {
		t.Fatalf("latches are %+v, %v", records, err)
	}
}

// TestAnotherRoot: the ledger has another root at the state's size. Clearing
// leaves the state, and the ledger stops it no more.
func TestAnotherRoot(t *testing.T) {
	s := create(t, t.TempDir())
	l := newLedger(t, s)
	useLedger(t, s, l)
	g := newGrower(t, s, "log.example")
	g.log.Grow(4, "")
	fork := g.log.Fork()
	g.mustGrow()

	clone := create(t, t.TempDir())
	if err := clone.AddLog(t.Context(), witness.NewLog{Key: g.log.Key()}); err != nil {
		t.Fatal(err)
	}
	fork.Grow(1, "fork")
	cp := fork.Checkpoint()
	if err := clone.Update(t.Context(), g.id, nil, witness.Latest{Tree: cp.Tree, Note: fork.Sign(cp), Time: 50}); err != nil {
		t.Fatal(err)
	}
	if latches := useLedger(t, clone, l); len(latches) != 1 || !strings.Contains(latches["log.example"].Why, "root") {
		t.Fatalf("latches are %+v", latches)
	}
	adopted, err := clone.ClearLatch(t.Context(), "log.example", "a test", 600)
	if err != nil || adopted == nil || adopted.Tree != cp.Tree || adopted.Time != g.time {
		t.Fatalf("cleared to %+v, %v; want the root that was there, at the later time", adopted, err)
	}
	fork.Grow(1, "fork")
	next := fork.Checkpoint()
	if err := clone.Update(t.Context(), g.id, &cp.Tree, witness.Latest{Tree: next.Tree, Note: fork.Sign(next), Time: 700}); err != nil {
		t.Fatal(err)
	}
}

func TestLatchAll(t *testing.T) {
	s := create(t, t.TempDir())
	a, b := newGrower(t, s, "a.example"), newGrower(t, s, "b.example")
	a.mustGrow()
	if err := s.LatchAll(t.Context(), witness.Latch{Since: 5, Source: "here", Why: "a test"}); err != nil {
		t.Fatal(err)
	}
	for _, g := range []*grower{a, b} {
		if err := g.grow(); !errors.Is(err, witness.ErrLatched) {
			t.Fatalf("update: %v", err)
		}
	}
	if got, err := s.Latched(t.Context()); err != nil || strings.Join(got, " ") != "a.example b.example" {
		t.Fatalf("latched are %v, %v", got, err)
	}
	for _, g := range []*grower{a, b} {
		if adopted, err := s.ClearLatch(t.Context(), g.log.Key().Name(), "a test", 6); err != nil || adopted != nil {
			t.Fatalf("cleared to %+v, %v", adopted, err)
		}
		g.mustGrow()
	}
}
