package publisher

import (
	"errors"
	"fmt"
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// What is proved from memory must be what verifies, for every size and index
// that memory should cover, wherever it begins and after it was cut.
func TestRecent(t *testing.T) {
	for _, start := range []int64{0, 1, 2, 3, 7, 8, 13, 100} {
		var edge proofs.Edge
		trees := []proofs.Tree{edge.Tree()}
		var leaves []proofs.Hash
		grow := func() log.Entry {
			data := fmt.Appendf(nil, "entry %d", len(leaves))
			leaves = append(leaves, proofs.LeafHash(data))
			if err := edge.Append(leaves[len(leaves)-1]); err != nil {
				t.Fatal(err)
			}
			trees = append(trees, edge.Tree())
			return log.Entry{Index: int64(len(leaves) - 1), Data: data}
		}
		for range start {
			grow()
		}
		r, err := newRecent(&edge)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			var batch []log.Entry
			for range 19 {
				batch = append(batch, grow())
			}
			if err := r.append(batch); err != nil {
				t.Fatal(err)
			}
		}
		checkRecent(t, r, trees, leaves)
		if err := r.cut(r.start + 21); err != nil {
			t.Fatal(err)
		}
		checkRecent(t, r, trees, leaves)
		if err := r.append([]log.Entry{grow(), grow()}); err != nil {
			t.Fatal(err)
		}
		checkRecent(t, r, trees, leaves)
		if got := r.entry(r.size - 1); string(got) != fmt.Sprintf("entry %d", r.size-1) {
			t.Errorf("the last entry is %q", got)
		}
		if got := r.entry(r.size); got != nil {
			t.Errorf("there is an entry behind the last: %q", got)
		}
		if got := r.entry(start - 1); got != nil {
			t.Errorf("there is an entry before the first: %q", got)
		}
	}
}

func checkRecent(t *testing.T, r *recent, trees []proofs.Tree, leaves []proofs.Hash) {
	t.Helper()
	for size := r.start + 1; size <= r.size; size++ {
		for index := r.start; index < size; index++ {
			hashes, err := r.inclusion(size, index)
			if err == nil {
				err = proofs.VerifyInclusion(trees[size], index, leaves[index], hashes)
			}
			if err != nil {
				t.Fatalf("start %d: %d in %d: %v", r.start, index, size, err)
			}
		}
		for old := max(r.start, 1); old <= size; old++ {
			hashes, err := r.consistency(old, size)
			if err == nil {
				err = proofs.VerifyConsistency(trees[old], trees[size], hashes)
			}
			if err != nil {
				t.Fatalf("start %d: from %d to %d: %v", r.start, old, size, err)
			}
		}
	}
	for _, err := range []error{
		second(r.inclusion(r.size, r.start-1)),
		second(r.inclusion(r.size+1, r.size)),
		second(r.consistency(r.start-1, r.size)),
		second(r.consistency(r.start, r.size+1)),
	} {
		if !errors.Is(err, errNotRecent) {
			t.Errorf("outside of what is kept: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestRecentIsBounded(t *testing.T) {
	r, err := newRecent(new(proofs.Edge))
	if err != nil {
		t.Fatal(err)
	}
	var edge proofs.Edge
	for i := range int64(5 * recentHashes) {
		e := log.Entry{Index: i, Data: fmt.Appendf(nil, "entry %d", i)}
		if err := errors.Join(edge.Append(proofs.LeafHash(e.Data)), r.append([]log.Entry{e})); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.hashes) > 5*recentHashes || len(r.entries) > 2*recentEntries || len(r.edge) > 20 {
		t.Errorf("it keeps %d hashes, %d entries and %d hashes of the edge", len(r.hashes), len(r.entries), len(r.edge))
	}
	hashes, err := r.inclusion(r.size, r.start)
	if err == nil {
		err = proofs.VerifyInclusion(edge.Tree(), r.start, proofs.LeafHash(fmt.Appendf(nil, "entry %d", r.start)), hashes)
	}
	if err != nil {
		t.Error(err)
	}
}
