package index

import (
	"context"
	"errors"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// batches is a StateWriter that keeps how many leaves came at once.
type batches struct {
	log.StateWriter
	sizes []int
	next  int64
	fail  int // which one fails

	listed int // leaves
}

func (b *batches) List(_ context.Context, leaves []log.StateLeaf, _ func(int64)) error {
	b.listed += len(leaves)
	return nil
}

func (b *batches) Apply(_ context.Context, edge *proofs.Edge, leaves []log.StateLeaf) error {
	b.sizes = append(b.sizes, len(leaves))
	if len(b.sizes) == b.fail {
		return errors.New("the disk is full")
	}
	for _, l := range leaves {
		if l.Index != b.next {
			return errors.New("not the next leaf")
		}
		b.next++
	}
	if edge.Tree().N != b.next {
		return errors.New("the edge is of another size")
	}
	return nil
}

// Leaves are applied in batches that are bounded, whatever they list, and after an
// error none is.
func TestFiller(t *testing.T) {
	for _, tt := range []struct {
		name    string
		targets int   // of each leaf
		size    int64 // of its metadata
		role    string
		fail    int
		batches int
	}{
		{"few", 1, 100, "targets", 0, 3},
		{"many targets", maxIndexTargets / 2000, 100, "targets", 0, 5},
		{"large files", 1, maxIndexBytes / 2000, "targets", 0, 5},
		{"large files that list nothing", 0, maxIndexBytes / 2000, "root", 0, 3},
		{"the second fails", 1, 100, "targets", 2, 2},
	} {
		const n = 2*maxIndexLeaves + 100
		state := &batches{fail: tt.fail}
		told := 0
		f := Filler{State: state, Edge: new(proofs.Edge), List: maxIndexLeaves + 7, applied: func(edge *proofs.Edge, leaves []log.StateLeaf) {
			if told += len(leaves); edge.Tree().N != int64(told) {
				t.Errorf("%s: told of %d leaves and an edge of %d", tt.name, told, edge.Tree().N)
			}
		}}
		targets := make([]log.Target, tt.targets)
		var err error
		for i := int64(0); i < n && err == nil; i++ {
			l := log.StateLeaf{Record: admit.Record{Index: i, Leaf: leaf.Leaf{Role: tt.role, Size: tt.size}}, Targets: targets}
			err = f.Add(t.Context(), l, l.Leaf.Hash())
		}
		if err == nil {
			err = f.End(t.Context())
		} else if again := f.End(t.Context()); again != nil {
			t.Errorf("%s: after an error %v", tt.name, again)
		}
		if (err != nil) != (tt.fail > 0) || len(state.sizes) != tt.batches {
			t.Errorf("%s: %d batches, %v; want %d", tt.name, len(state.sizes), err, tt.batches)
		}
		if tt.fail == 0 && state.listed != maxIndexLeaves+7 {
			t.Errorf("%s: %d leaves are listed, want %d", tt.name, state.listed, maxIndexLeaves+7)
		}
		if want := n; tt.fail == 0 && (told != want || state.next != int64(want)) {
			t.Errorf("%s: %d leaves applied, told of %d", tt.name, state.next, told)
		}
	}
}
