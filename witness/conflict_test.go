package witness_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/sqlite"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// TestConflictingUpdates sends pairs of conflicting checkpoints at once.
func TestConflictingUpdates(t *testing.T) {
	pairs := 1000
	if testing.Short() {
		pairs = 100
	}
	dir := t.TempDir()
	key := witnesstest.NewSigner(t, "witness.example", proofs.CosignatureV1).Key()
	if err := sqlite.Create(dir, key); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	b := newBench(t, store)
	// "Note that checking the old size against the latest checkpoint and
	// persisting the new checkpoint must be performed atomically […]"
	for i := range pairs {
		old := b.log.Size()
		branches := []*witnesstest.Log{b.log, b.log.Fork()}
		// Every third pair races a longer checkpoint against a shorter one.
		branches[0].Grow(1+int64(i%3)/2, "a")
		branches[1].Grow(1, "b")
		statuses := make([]int, len(branches))
		var wg sync.WaitGroup
		for j, l := range branches {
			body := l.Request(old).Marshal()
			wg.Go(func() { statuses[j] = b.post(body).status })
		}
		wg.Wait()
		won := slices.Index(statuses, http.StatusOK)
		if won < 0 || statuses[1-won] != http.StatusConflict {
			t.Fatalf("pair %d from size %d: statuses %v", i, old, statuses)
		}
		b.log = branches[won]
		if got := b.latest(); got != b.log.Checkpoint().Tree {
			t.Fatalf("pair %d: the latest checkpoint, size %d, is not the cosigned one", i, got.N)
		}
		// The loser cannot get in afterwards, either.
		l := branches[1-won]
		if a := b.post(l.Request(min(b.log.Size(), l.Size())).Marshal()); a.status == http.StatusOK {
			t.Fatalf("pair %d: both roots were cosigned", i)
		}
	}
}
