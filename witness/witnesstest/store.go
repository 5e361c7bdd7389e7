package witnesstest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
)

// Store is a witness.Store to which logs can be added.
type Store interface {
	witness.Store
	// AddLog adds a log with its first key; witness.ErrKnownLog if the origin
	// is known.
	AddLog(ctx context.Context, n witness.NewLog) error
	// AddKey adds a further key to a log that is known, else
	// witness.ErrUnknownLog. It is witness.ErrKnownLog if the log has this key,
	// or another with the same id. An empty origin is the key's name.
	AddKey(ctx context.Context, origin string, key proofs.Key) error
}

// TestStore runs the tests every Store must pass, each on a new, empty one.
func TestStore(t *testing.T, create func(t *testing.T) Store) {
	for name, test := range map[string]func(*testing.T, Store){
		"Logs":          testLogs,
		"Keys":          testKeys,
		"WrongKeyType":  testWrongKeyType,
		"Update":        testUpdate,
		"UpdateStale":   testUpdateStale,
		"UpdateRefused": testUpdateRefused,
		"UpdateUnknown": testUpdateUnknown,
		"UpdateRaces":   testUpdateRaces,
		"UpdatesAtOnce": testUpdatesAtOnce,
		"OtherName":     testOtherName,
		"Latch":         testLatch,
		"Keep":          testKeep,
		"Clock":         testClock,
	} {
		t.Run(name, func(t *testing.T) { test(t, create(t)) })
	}
}

func latest(l *Log, time int64) witness.Latest {
	cp := l.Checkpoint()
	return witness.Latest{Tree: cp.Tree, Note: l.Sign(cp), Time: time}
}

func mustAddLog(t *testing.T, s Store, l *Log) witness.OriginHash {
	t.Helper()
	if err := s.AddLog(t.Context(), witness.NewLog{Key: l.Key()}); err != nil {
		t.Fatal(err)
	}
	return witness.HashOrigin(l.Key().Name())
}

func mustUpdate(t *testing.T, s Store, id witness.OriginHash, old *proofs.Tree, next witness.Latest) {
	t.Helper()
	if err := s.Update(t.Context(), id, old, next); err != nil {
		t.Fatal(err)
	}
}

func checkLatest(t *testing.T, s Store, id witness.OriginHash, want *witness.Latest) {
	t.Helper()
	got, err := s.Log(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Latest, want) {
		t.Fatalf("latest is %+v, want %+v", got.Latest, want)
	}
}

func testLogs(t *testing.T, s Store) {
	if logs, err := s.Logs(t.Context()); err != nil || len(logs) != 0 {
		t.Fatalf("logs of an empty store: %v, %v", logs, err)
	}
	if _, err := s.Log(t.Context(), witness.HashOrigin("b.example")); !errors.Is(err, witness.ErrUnknownLog) {
		t.Fatalf("log of an empty store: %v", err)
	}
	b, a := NewLog(t, "b.example"), NewLog(t, "a.example")
	id := mustAddLog(t, s, b)
	mustAddLog(t, s, a)
	b.Grow(3, "")
	next := latest(b, 100)
	mustUpdate(t, s, id, nil, next)
	want := []witness.Log{
		{Origin: "a.example", Keys: []proofs.Key{a.Key()}},
		{Origin: "b.example", Keys: []proofs.Key{b.Key()}, Latest: &next},
	}
	if logs, err := s.Logs(t.Context()); err != nil || !reflect.DeepEqual(logs, want) {
		t.Fatalf("logs are %+v, %v; want %+v", logs, err, want)
	}
	if l, err := s.Log(t.Context(), id); err != nil || !reflect.DeepEqual(l, want[1]) {
		t.Fatalf("log is %+v, %v; want %+v", l, err, want[1])
	}
}

func testKeys(t *testing.T, s Store) {
	first, second, stranger := NewLog(t, "log.example"), NewLog(t, "log.example"), NewLog(t, "other.example")
	id := mustAddLog(t, s, first)
	for _, k := range []proofs.Key{first.Key(), second.Key()} {
		if err := s.AddLog(t.Context(), witness.NewLog{Key: k}); !errors.Is(err, witness.ErrKnownLog) {
			t.Fatalf("second log of one origin: %v", err)
		}
	}
	if err := s.AddKey(t.Context(), "", first.Key()); !errors.Is(err, witness.ErrKnownLog) {
		t.Fatalf("same key again: %v", err)
	}
	if err := s.AddKey(t.Context(), "", stranger.Key()); !errors.Is(err, witness.ErrUnknownLog) {
		t.Fatalf("key of an unknown log: %v", err)
	}
	if err := s.AddKey(t.Context(), "", second.Key()); err != nil {
		t.Fatal(err)
	}
	got, err := s.Log(t.Context(), id)
	if want := []proofs.Key{first.Key(), second.Key()}; err != nil || !reflect.DeepEqual(got.Keys, want) {
		t.Fatalf("keys are %v, %v; want %v", got.Keys, err, want)
	}
}

func testWrongKeyType(t *testing.T, s Store) {
	cosigner := NewSigner(t, "witness.example", proofs.CosignatureV1).Key()
	if err := s.AddLog(t.Context(), witness.NewLog{Key: cosigner}); err == nil {
		t.Fatal("a cosigner's key was taken for a log's")
	}
	log := NewLog(t, cosigner.Name())
	mustAddLog(t, s, log)
	if err := s.AddKey(t.Context(), "", cosigner); err == nil {
		t.Fatal("a cosigner's key was taken for a log's second")
	}
}

func testUpdate(t *testing.T, s Store) {
	log, other := NewLog(t, "log.example"), NewLog(t, "other.example")
	id, otherID := mustAddLog(t, s, log), mustAddLog(t, s, other)
	checkLatest(t, s, id, nil)
	var old *proofs.Tree
	// The empty tree is a checkpoint like any other; the same size again only
	// moves the time.
	for i, grow := range []int64{0, 0, 1, 5, 0, 300} {
		log.Grow(grow, "")
		next := latest(log, int64(100+i/2))
		mustUpdate(t, s, id, old, next)
		checkLatest(t, s, id, &next)
		old = &next.Tree
	}
	checkLatest(t, s, otherID, nil)
}

func testUpdateStale(t *testing.T, s Store) {
	log := NewLog(t, "log.example")
	id := mustAddLog(t, s, log)
	log.Grow(3, "")
	three := latest(log, 100)
	if err := s.Update(t.Context(), id, &three.Tree, three); !errors.Is(err, witness.ErrStale) {
		t.Fatalf("update from a checkpoint that was never there: %v", err)
	}
	mustUpdate(t, s, id, nil, three)
	fork := NewLog(t, "log.example")
	fork.Grow(3, "fork")
	forked := fork.Checkpoint().Tree
	log.Grow(1, "")
	four := latest(log, 100)
	for _, old := range []*proofs.Tree{nil, &proofs.EmptyTree, &forked, &four.Tree} {
		if err := s.Update(t.Context(), id, old, four); !errors.Is(err, witness.ErrStale) {
			t.Fatalf("update from %v: %v, want ErrStale", old, err)
		}
		checkLatest(t, s, id, &three)
	}
	mustUpdate(t, s, id, &three.Tree, four)
}

func testUpdateRefused(t *testing.T, s Store) {
	log := NewLog(t, "log.example")
	id := mustAddLog(t, s, log)
	log.Grow(3, "")
	shorter := latest(log, 101)
	fork := log.Fork()
	log.Grow(2, "")
	fork.Grow(2, "fork")
	have := latest(log, 100)
	mustUpdate(t, s, id, nil, have)
	for what, next := range map[string]witness.Latest{
		"a smaller tree":                 shorter,
		"another root at the same size":  latest(fork, 101),
		"an earlier time":                latest(log, 99),
		"a smaller tree that looks like": {Tree: proofs.EmptyTree, Note: have.Note, Time: 101},
	} {
		if err := s.Update(t.Context(), id, &have.Tree, next); err == nil {
			t.Fatalf("%s was stored", what)
		}
		checkLatest(t, s, id, &have)
	}
}

func testUpdateUnknown(t *testing.T, s Store) {
	log := NewLog(t, "log.example")
	if err := s.Update(t.Context(), witness.HashOrigin("log.example"), nil, latest(log, 100)); !errors.Is(err, witness.ErrUnknownLog) {
		t.Fatalf("update of an unknown log: %v", err)
	}
}

func testUpdateRaces(t *testing.T, s Store) {
	log := NewLog(t, "log.example")
	id := mustAddLog(t, s, log)
	var nexts []witness.Latest
	for _, branch := range []string{"a", "b", "c", "d"} {
		fork := log.Fork()
		fork.Grow(7, branch)
		nexts = append(nexts, latest(fork, 100))
	}
	var stored atomic.Int32
	var wg sync.WaitGroup
	for _, next := range nexts {
		wg.Go(func() {
			switch err := s.Update(t.Context(), id, nil, next); {
			case err == nil:
				stored.Add(1)
			case !errors.Is(err, witness.ErrStale):
				t.Errorf("update: %v", err)
			}
		})
	}
	wg.Wait()
	if n := stored.Load(); n != 1 {
		t.Fatalf("%d updates from the same checkpoint were stored", n)
	}
}

// testUpdatesAtOnce updates many logs at once, as a store that gathers changes
// must not confuse them.
func testUpdatesAtOnce(t *testing.T, s Store) {
	const logs, rounds = 20, 8
	all := make([]*Log, logs)
	for i := range all {
		all[i] = NewLog(t, fmt.Sprintf("log%d.example", i))
		mustAddLog(t, s, all[i])
	}
	lasts := make([]witness.Latest, logs)
	var wg sync.WaitGroup
	for i, log := range all {
		wg.Go(func() {
			id := witness.HashOrigin(log.Key().Name())
			var old *proofs.Tree
			for round := range rounds {
				log.Grow(int64(i+1), "")
				next := latest(log, int64(100+round))
				if err := s.Update(t.Context(), id, old, next); err != nil {
					t.Errorf("log %d, round %d: %v", i, round, err)
					return
				}
				lasts[i], old = next, &next.Tree
				// One's own change is seen at once.
				if l, err := s.Log(t.Context(), id); err != nil || l.Latest.Tree != next.Tree {
					t.Errorf("log %d, round %d: read %+v, %v", i, round, l.Latest, err)
				}
			}
		})
	}
	wg.Wait()
	for i, log := range all {
		checkLatest(t, s, witness.HashOrigin(log.Key().Name()), &lasts[i])
	}
}

// testOtherName is for logs whose key has another name than their origin.
func testOtherName(t *testing.T, s Store) {
	first, second := NewSigner(t, "sum.example", proofs.Ed25519).Key(), NewSigner(t, "sum.example", proofs.Ed25519).Key()
	n := witness.NewLog{Key: first, Origin: "go.sum database tree", URL: "https://sum.example", Source: "a list", PerDay: 7}
	if err := s.AddLog(t.Context(), n); err != nil {
		t.Fatal(err)
	}
	if err := s.AddKey(t.Context(), "go.sum database tree", second); err != nil {
		t.Fatal(err)
	}
	if err := s.AddKey(t.Context(), "", second); !errors.Is(err, witness.ErrUnknownLog) {
		t.Fatalf("key of a log that is not known by the key's name: %v", err)
	}
	want := witness.Log{Origin: "go.sum database tree", Keys: []proofs.Key{first, second}, URL: "https://sum.example", Source: "a list", PerDay: 7}
	if got, err := s.Log(t.Context(), witness.HashOrigin("go.sum database tree")); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("log is %+v, %v; want %+v", got, err, want)
	}
}

func testLatch(t *testing.T, s Store) {
	log, other := NewLog(t, "log.example"), NewLog(t, "other.example")
	id, otherID := mustAddLog(t, s, log), mustAddLog(t, s, other)
	log.Grow(3, "")
	three := latest(log, 100)
	mustUpdate(t, s, id, nil, three)
	log.Grow(2, "")
	five := latest(log, 200)
	l := witness.Latch{Since: 300, Source: "https://log.example/checkpoint", Why: "a test", Seen: five.Mark(), Note: five.Note}
	for range 2 {
		if err := s.Latch(t.Context(), id, l); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Update(t.Context(), id, &three.Tree, five); !errors.Is(err, witness.ErrLatched) {
		t.Fatalf("update of a latched log: %v", err)
	}
	checkLatest(t, s, id, &three)
	if got, err := s.Log(t.Context(), id); err != nil || !got.Latched {
		t.Fatalf("log is %+v, %v; want it latched", got, err)
	}
	// Others go on.
	other.Grow(1, "")
	mustUpdate(t, s, otherID, nil, latest(other, 100))
}

func testKeep(t *testing.T, s Store) {
	log := NewLog(t, "log.example")
	id := mustAddLog(t, s, log)
	log.Grow(3, "")
	l := latest(log, 100)
	for _, failed := range []bool{false, true, true} {
		if err := s.Keep(t.Context(), id, witness.Suspect{Tree: l.Tree, Note: l.Note, Why: "a test", Failed: failed, Seen: 100}); err != nil {
			t.Fatal(err)
		}
	}
	checkLatest(t, s, id, nil)
}

func testClock(t *testing.T, s Store) {
	if state, err := s.Clock(t.Context()); err != nil || state != (witness.ClockState{}) {
		t.Fatalf("a new store: %+v, %v", state, err)
	}
	first := witness.ClockStop{Since: 1_700_000_000, Why: "the clock jumped"}
	for _, stop := range []witness.ClockStop{first, {Since: 1_700_000_001, Why: "it jumped again"}} {
		if err := s.StopClock(t.Context(), stop); err != nil {
			t.Fatal(err)
		}
		if state, err := s.Clock(t.Context()); err != nil || state.Stop == nil || *state.Stop != first || state.Accepted != 0 {
			t.Fatalf("stopped: %+v, %v", state, err)
		}
	}
}
