package statetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log"
)

// testUnlisted adds leaves, one of which lists more than one transaction may, and
// asks before, while and after they are listed.
func testUnlisted(t *testing.T, state log.State, f *fixture, reopen func() log.State) log.State {
	first := len(f.leaves)
	const many = log.MaxListRows + log.MaxListRows/2
	large := make([]log.Target, many)
	for i := range large {
		large[i] = log.Target{Path: fmt.Sprintf("large/%05d", i), Length: 77, SHA256: sum(fmt.Sprint("large", i%100))}
	}
	f.add(leafOf("A", "large", 1), large...)
	f.add(leafOf("A", "targets", 500), log.Target{Path: "behind", Length: 77})
	// Of each kind of row there are some: those that stay, end and begin.
	changed := slices.Clone(large)
	for i := range changed[:many/2] {
		changed[i].Length = 78
	}
	f.add(leafOf("A", "large", 2), changed[:many-100]...)
	f.add(leafOf("A", "large", 3), large...)
	leaves := f.leaves[first:]
	for _, l := range leaves {
		if err := f.edge.Append(l.Leaf.Hash()); err != nil {
			t.Fatal(err)
		}
	}
	if err := state.Apply(t.Context(), f.edge.Clone(), leaves); err != nil {
		t.Fatal(err)
	}
	// asked compares the files that are found with those that are listed.
	asked := func(listed int) {
		t.Helper()
		if n, err := state.Listed(t.Context()); err != nil || n != int64(listed) {
			t.Fatalf("%d leaves are listed, %v; want %d", n, err, listed)
		}
		found, _, err := state.Lookup(t.Context(), leaves[0].Leaf.Payload, 9)
		if err != nil || !slices.Equal(found, []admit.Record{leaves[0].Record}) {
			t.Errorf("the payload of a leaf that is not listed: %v, %v", found, err)
		}
		all := f.leaves
		f.leaves = f.leaves[:listed]
		defer func() { f.leaves = all }()
		for _, path := range []string{large[0].Path, large[many-1].Path, "behind"} {
			got, err := state.ListPath(t.Context(), path, 99)
			f.listed(t, "path "+path, got, err, 99, func(t log.Target) bool { return t.Path == path })
		}
		got, err := state.ListLength(t.Context(), 77, 99)
		f.listed(t, "length 77", got, err, 99, func(t log.Target) bool { return t.Length == 77 })
		_, got, err = state.Lookup(t.Context(), large[7].SHA256, 99)
		f.listed(t, "SHA-256", got, err, 99, func(t log.Target) bool { return t.SHA256 == large[7].SHA256 })
		for i, l := range all {
			if i < first {
				continue
			}
			var want []log.Target
			if i < listed {
				want = byPath(l.Targets)
			}
			rec, files, ok, err := state.Files(t.Context(), int64(i), 2*many)
			if err != nil || !ok || rec != l.Record || !slices.Equal(files, want) {
				t.Errorf("of leaf %d %d files are found, %v; want %d", i, len(files), err, len(want))
			}
		}
	}
	asked(first)
	if err := state.List(t.Context(), leaves[1:], func(int64) {}); err == nil {
		t.Error("a leaf was listed before the one before it")
	}
	// Broken off after every transaction, it goes on where it was.
	listed, steps := first, 0
	for ; listed < len(f.leaves); steps++ {
		ctx, cancel := context.WithCancel(t.Context())
		told := 0
		err := state.List(ctx, f.leaves[listed:], func(n int64) {
			told++
			listed = int(n)
			cancel()
		})
		cancel()
		if told != 1 || (err == nil) != (listed == len(f.leaves)) || err != nil && !errors.Is(err, context.Canceled) {
			t.Fatalf("step %d: told of %d transactions, %v", steps, told, err)
		}
		asked(listed)
		if steps%2 == 0 {
			state = reopen()
		}
	}
	// The first leaf begins many rows; the second ends half of them and 100, and
	// begins half; the third the other way round.
	rows := many + (1 + 1) + (many/2 + 100 + many/2) + (many/2 + many/2 + 100)
	if most := 2 * len(leaves) * (rows/log.MaxListRows + 1); steps < rows/log.MaxListRows || steps > most {
		t.Errorf("%d transactions for %d rows", steps, rows)
	}
	return state
}
