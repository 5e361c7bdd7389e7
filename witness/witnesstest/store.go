package witnesstest

import (
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
)

// TestStore runs the tests every Store must pass, each on a new, empty one.
func TestStore(t *testing.T, create func(t *testing.T) witness.Store) {
	for name, test := range map[string]func(*testing.T, witness.Store){
		"Logs":          testLogs,
		"Keys":          testKeys,
		"WrongKeyType":  testWrongKeyType,
		"Update":        testUpdate,
		"UpdateStale":   testUpdateStale,
		"UpdateRefused": testUpdateRefused,
		"UpdateUnknown": testUpdateUnknown,
		"UpdateRaces":   testUpdateRaces,
	} {
		t.Run(name, func(t *testing.T) { test(t, create(t)) })
	}
}

func latest(l *Log, time int64) witness.Latest {
	cp := l.Checkpoint()
	return witness.Latest{Tree: cp.Tree, Note: l.Sign(cp), Time: time}
}

func mustAddLog(t *testing.T, s witness.Store, l *Log) witness.OriginHash {
	t.Helper()
	if err := s.AddLog(t.Context(), l.Key()); err != nil {
		t.Fatal(err)
	}
	return witness.HashOrigin(l.Key().Name())
}

func mustUpdate(t *testing.T, s witness.Store, id witness.OriginHash, old *proofs.Tree, next witness.Latest) {
	t.Helper()
	if err := s.Update(t.Context(), id, old, next); err != nil {
		t.Fatal(err)
	}
}

func checkLatest(t *testing.T, s witness.Store, id witness.OriginHash, want *witness.Latest) {
	t.Helper()
	got, err := s.Log(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Latest, want) {
		t.Fatalf("latest is %+v, want %+v", got.Latest, want)
	}
}

func testLogs(t *testing.T, s witness.Store) {
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

func testKeys(t *testing.T, s witness.Store) {
	first, second, stranger := NewLog(t, "log.example"), NewLog(t, "log.example"), NewLog(t, "other.example")
	id := mustAddLog(t, s, first)
	for _, k := range []proofs.Key{first.Key(), second.Key()} {
		if err := s.AddLog(t.Context(), k); !errors.Is(err, witness.ErrKnownLog) {
			t.Fatalf("second log of one origin: %v", err)
		}
	}
	if err := s.AddKey(t.Context(), first.Key()); !errors.Is(err, witness.ErrKnownLog) {
		t.Fatalf("same key again: %v", err)
	}
	if err := s.AddKey(t.Context(), stranger.Key()); !errors.Is(err, witness.ErrUnknownLog) {
		t.Fatalf("key of an unknown log: %v", err)
	}
	if err := s.AddKey(t.Context(), second.Key()); err != nil {
		t.Fatal(err)
	}
	got, err := s.Log(t.Context(), id)
	if want := []proofs.Key{first.Key(), second.Key()}; err != nil || !reflect.DeepEqual(got.Keys, want) {
		t.Fatalf("keys are %v, %v; want %v", got.Keys, err, want)
	}
}

func testWrongKeyType(t *testing.T, s witness.Store) {
	cosigner := NewSigner(t, "witness.example", proofs.CosignatureV1).Key()
	if err := s.AddLog(t.Context(), cosigner); err == nil {
		t.Fatal("a cosigner's key was taken for a log's")
	}
	log := NewLog(t, cosigner.Name())
	mustAddLog(t, s, log)
	if err := s.AddKey(t.Context(), cosigner); err == nil {
		t.Fatal("a cosigner's key was taken for a log's second")
	}
}

func testUpdate(t *testing.T, s witness.Store) {
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

func testUpdateStale(t *testing.T, s witness.Store) {
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

func testUpdateRefused(t *testing.T, s witness.Store) {
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

func testUpdateUnknown(t *testing.T, s witness.Store) {
	log := NewLog(t, "log.example")
	if err := s.Update(t.Context(), witness.HashOrigin("log.example"), nil, latest(log, 100)); !errors.Is(err, witness.ErrUnknownLog) {
		t.Fatalf("update of an unknown log: %v", err)
	}
}

func testUpdateRaces(t *testing.T, s witness.Store) {
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
