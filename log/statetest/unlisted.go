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

// unlisted is how many files the large leaves of testUnlisted list.
const unlisted = log.MaxListRows + log.MaxListRows/2

// testUnlisted adds leaves, one of which lists more than one transaction may, and
// asks before, while and after they are listed.
func testUnlisted(t *testing.T, state log.State, f *fixture, reopen func() log.State) log.State {
	first := len(f.leaves)
	large := f.addLarge()
	leaves := f.leaves[first:]
	for _, l := range leaves {
		if err := f.edge.Append(l.Leaf.Hash()); err != nil {
			t.Fatal(err)
		}
	}
	if err := state.Apply(t.Context(), f.edge.Clone(), leaves); err != nil {
		t.Fatal(err)
	}
	f.askUnlisted(t, state, large, first, first)
	if err := state.List(t.Context(), leaves[1:], func(int64) {}); err == nil {
		t.Error("a leaf was listed before the one before it")
	}
	// Broken off after every transaction, it goes on where it was.
	listed, steps := first, 0
	for ; listed < len(f.leaves); steps++ {
		listed = f.listOnce(t, state, listed)
		f.askUnlisted(t, state, large, first, listed)
		if steps%2 == 0 {
			state = reopen()
		}
	}
	// The first leaf begins many rows; the second ends half of them and 100, and
	// begins half; the third the other way round.
	rows := unlisted + (1 + 1) + (unlisted/2 + 100 + unlisted/2) + (unlisted/2 + unlisted/2 + 100)
	if most := 2 * len(leaves) * (rows/log.MaxListRows + 1); steps < rows/log.MaxListRows || steps > most {
		t.Errorf("%d transactions for %d rows", steps, rows)
	}
	return state
}

// addLarge adds releases of many files, in which of each kind of row there are some: those that
// stay, end and begin. It returns the files of the first.
func (f *fixture) addLarge() []log.Target {
	large := make([]log.Target, unlisted)
	for i := range large {
		large[i] = log.Target{Path: fmt.Sprintf("large/%05d", i), Length: 77, SHA256: sum(fmt.Sprint("large", i%100))}
	}
	f.add(leafOf("A", "large", 1), large...)
	f.add(leafOf("A", "targets", 500), log.Target{Path: "behind", Length: 77})
	changed := slices.Clone(large)
	for i := range changed[:unlisted/2] {
		changed[i].Length = 78
	}
	f.add(leafOf("A", "large", 2), changed[:unlisted-100]...)
	f.add(leafOf("A", "large", 3), large...)
	return large
}

// listOnce lists leaves until the end of the first transaction, and returns how many are listed
// then.
func (f *fixture) listOnce(t *testing.T, state log.State, listed int) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := 0
	err := state.List(ctx, f.leaves[listed:], func(n int64) {
		told++
		listed = int(n)
		cancel()
	})
	if told != 1 || (err == nil) != (listed == len(f.leaves)) || err != nil && !errors.Is(err, context.Canceled) {
		t.Fatalf("with %d leaves listed: told of %d transactions, %v", listed, told, err)
	}
	return listed
}

// askUnlisted compares the files that are found with those of the leaves that are listed. The
// leaves from first on have the files large.
func (f *fixture) askUnlisted(t *testing.T, state log.State, large []log.Target, first, listed int) {
	t.Helper()
	if n, err := state.Listed(t.Context()); err != nil || n != int64(listed) {
		t.Fatalf("%d leaves are listed, %v; want %d", n, err, listed)
	}
	all := f.leaves
	found, _, err := state.Lookup(t.Context(), all[first].Leaf.Payload, 9)
	if err != nil || !slices.Equal(found, []admit.Record{all[first].Record}) {
		t.Errorf("the payload of a leaf that is not listed: %v, %v", found, err)
	}
	f.leaves = f.leaves[:listed]
	defer func() { f.leaves = all }()
	for _, path := range []string{large[0].Path, large[unlisted-1].Path, "behind"} {
		got, err := state.ListPath(t.Context(), path, 99)
		f.listed(t, "path "+path, got, err, 99, func(t log.Target) bool { return t.Path == path })
	}
	got, err := state.ListLength(t.Context(), 77, 99)
	f.listed(t, "length 77", got, err, 99, func(t log.Target) bool { return t.Length == 77 })
	_, got, err = state.Lookup(t.Context(), large[7].SHA256, 99)
	f.listed(t, "SHA-256", got, err, 99, func(t log.Target) bool { return t.SHA256 == large[7].SHA256 })
	for i, l := range all[first:] {
		i += first
		var want []log.Target
		if i < listed {
			want = byPath(l.Targets)
		}
		rec, files, ok, err := state.Files(t.Context(), int64(i), 2*unlisted)
		if err != nil || !ok || rec != l.Record || !slices.Equal(files, want) {
			t.Errorf("of leaf %d %d files are found, %v; want %d", i, len(files), err, len(want))
		}
	}
}
