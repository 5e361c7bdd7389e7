// Package statetest is the test suite of log.Blobs and log.State: every
// implementation runs it.
package statetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// TestBlobs runs the suite for blobs. Reopen closes and opens them again.
func TestBlobs(t *testing.T, blobs log.Blobs, reopen func() log.Blobs) {
	large := bytes.Repeat([]byte("large "), 1<<20)
	if err := blobs.Put(t.Context(), [][]byte{[]byte("a"), large, {}, []byte("a")}); err != nil {
		t.Fatal(err)
	}
	if err := blobs.Put(t.Context(), [][]byte{[]byte("b"), []byte("a")}); err != nil {
		t.Fatal(err)
	}
	if err := blobs.Put(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	blobs = reopen()
	for _, want := range [][]byte{[]byte("a"), []byte("b"), large, {}} {
		got, err := blobs.Blob(t.Context(), tuf.Sum(want))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("a blob of %d bytes: got %d, %v", len(want), len(got), err)
		}
	}
	if _, err := blobs.Blob(t.Context(), tuf.Sum([]byte("none"))); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a blob that is not there: %v", err)
	}
}

// fixture is a small log of leaves.
type fixture struct {
	edge   proofs.Edge
	leaves []log.StateLeaf
}

func (f *fixture) add(l leaf.Leaf, targets ...log.Target) {
	f.leaves = append(f.leaves, log.StateLeaf{
		Record:  admit.Record{Index: int64(len(f.leaves)), Leaf: l},
		Targets: targets,
	})
}

func sum(s string) tuf.Digest { return tuf.Sum([]byte(s)) }

func leafOf(repository, role string, version int64) leaf.Leaf {
	name := fmt.Sprint(repository, role, version)
	l := leaf.Leaf{
		Kind: leaf.Release, Repository: sum(repository + "root1"), Role: role, Version: version,
		Payload: sum(name), Metadata: sum(name + "file"), Size: 7, Encoding: tuf.JSON,
	}
	if role != tuf.RoleRoot {
		l.Snapshot, l.Listed = sum(repository+"snapshot"), leaf.ByHash
	}
	return l
}

// TestState runs the suite for an empty state. Reopen closes and opens it again.
func TestState(t *testing.T, state log.State, reopen func() log.State) {
	var f fixture
	state = testApply(t, state, &f, reopen)
	testRecords(t, state, &f)
	testLookup(t, state, &f)
	state = testListings(t, state, &f, reopen)
	testTail(t, state, &f)
	state = testSearch(t, state, &f, reopen)
	testUnlisted(t, state, &f, reopen)
	testEnd(t, reopen(), &f)
}

// testApply applies the first leaves of two repositories, in two steps, with everything that
// must not work in between.
func testApply(t *testing.T, state log.State, f *fixture, reopen func() log.State) log.State {
	f.add(leafOf("A", "root", 1))
	f.add(leafOf("B", "root", 1))
	f.add(leafOf("A", "targets", 1), log.Target{Path: "app", SHA256: sum("app 1"), Length: 5}, log.Target{Path: "b/ö", SHA256: sum("app 1"), Length: -1})
	f.add(leafOf("A", "targets", 2), log.Target{Path: "app", SHA256: sum("app 2"), Length: 5}, log.Target{Path: "other", SHA256: sum("app 1"), Length: 5})
	evidence := leafOf("A", "targets", 3)
	evidence.Kind, evidence.Contradicts = leaf.Evidence, 2
	f.add(evidence)
	f.add(leafOf("A", "root", 2))
	again := leafOf("B", "root", 2)
	again.Payload = sum("Aroot2")
	f.add(again)

	if edge, err := state.Position(t.Context()); err != nil || edge.Tree() != proofs.EmptyTree {
		t.Fatalf("position of an empty state: %v, %v", edge, err)
	}
	apply(t, state, f, 0, 2)
	edge := f.edge.Clone()
	for _, wrong := range []struct{ from, to, grow int }{{0, 2, 0}, {3, 5, 2}, {2, 4, 1}, {2, 4, 3}} {
		e := edge.Clone()
		for range wrong.grow {
			if err := e.Append(proofs.Hash{}); err != nil {
				t.Fatal(err)
			}
		}
		if err := state.Apply(t.Context(), e, f.leaves[wrong.from:wrong.to]); err == nil {
			t.Errorf("applied leaves %d to %d with an edge of %d on a state of 2", wrong.from, wrong.to, e.Tree().N)
		}
	}
	apply(t, state, f, 2, len(f.leaves))
	state = reopen()
	if edge, err := state.Position(t.Context()); err != nil || edge.Tree() != f.edge.Tree() {
		t.Fatalf("position: %v, %v, want %v", edge.Tree(), err, f.edge.Tree())
	}
	return state
}

// testRecords asks for the leaves of repositories, for roots, and for the repositories
// themselves.
func testRecords(t *testing.T, state log.State, f *fixture) {
	ctx := t.Context()
	records, err := state.Records(ctx, sum("Aroot1"))
	if want := f.records(0, 2, 3, 4, 5); err != nil || !slices.Equal(records, want) {
		t.Errorf("records: %v, %v\nwant %v", records, err, want)
	}
	if records, err := state.Records(ctx, sum("none")); err != nil || len(records) != 0 {
		t.Errorf("records of a repository that is not there: %v, %v", records, err)
	}
	for payload, want := range map[tuf.Digest][]int{sum("Aroot1"): {0}, sum("Broot1"): {1}, sum("Aroot2"): {5}, sum("Atargets1"): nil} {
		rec, ok, err := state.Root(ctx, payload)
		if err != nil || ok != (want != nil) || ok && rec != f.leaves[want[0]].Record {
			t.Errorf("root %v: %v, %v, %v; want leaf %v", payload, rec, ok, err, want)
		}
	}
	if counts, err := state.Repositories(ctx, 1); err != nil || !slices.Equal(counts, []log.RepositoryCount{{ID: sum("Aroot1"), Encoding: tuf.JSON, Releases: 1}}) {
		t.Errorf("repositories at size 1: %v, %v", counts, err)
	}
	counts, err := state.Repositories(ctx, int64(len(f.leaves)))
	want := []log.RepositoryCount{
		{ID: sum("Aroot1"), Encoding: tuf.JSON, Releases: 4, Evidence: 1},
		{ID: sum("Broot1"), Encoding: tuf.JSON, Releases: 2},
	}
	if err != nil || !slices.Equal(counts, want) {
		t.Errorf("repositories: %v, %v\nwant %v", counts, err, want)
	}
}

// testEnd applies the log's end, which moves the position and adds nothing, alone and behind a
// leaf.
func testEnd(t *testing.T, state log.State, f *fixture) {
	f.add(leafOf("B", "targets", 1))
	size := len(f.leaves)
	f.leaves = append(f.leaves, log.StateLeaf{Record: admit.Record{Index: int64(size)}, End: true})
	apply(t, state, f, size-1, size+1)
	f.leaves = append(f.leaves, log.StateLeaf{Record: admit.Record{Index: int64(size + 1)}, End: true})
	apply(t, state, f, size+1, size+2)
	if edge, err := state.Position(t.Context()); err != nil || edge.Tree() != f.edge.Tree() {
		t.Errorf("position behind the end: %v, %v, want %v", edge.Tree(), err, f.edge.Tree())
	}
	if records, err := state.Records(t.Context(), sum("Broot1")); err != nil || len(records) == 0 || records[len(records)-1] != f.leaves[size-1].Record {
		t.Errorf("records before the end: %v, %v", records, err)
	}
	if _, _, ok, err := state.Files(t.Context(), int64(size), 10); ok || err != nil {
		t.Errorf("files of the end: %v, %v", ok, err)
	}
}

// testTail asks for parts of a repository whose roots are leaves 0 and 5, and
// whose targets are 2, 3, 4 (evidence), and every second from 7 on.
func testTail(t *testing.T, state log.State, f *fixture) {
	a := sum("Aroot1")
	last := len(f.leaves)
	for keep, want := range map[int]struct {
		leaves []int
		floors map[string]int64
	}{
		1:   {[]int{0, 5, last - 2, last - 1}, map[string]int64{"targets": 16, "bin": 16}},
		7:   {append([]int{0, 5}, upTo(7, last)...), map[string]int64{"targets": 10}},
		8:   {append([]int{0, 3, 4, 5}, upTo(7, last)...), map[string]int64{"targets": 2}},
		9:   {append([]int{0, 2, 3, 4, 5}, upTo(7, last)...), map[string]int64{}},
		100: {append([]int{0, 2, 3, 4, 5}, upTo(7, last)...), map[string]int64{}},
	} {
		tail, floors, err := state.Tail(t.Context(), a, keep)
		if err != nil || !slices.Equal(tail, f.records(want.leaves...)) || !maps.Equal(floors, want.floors) {
			t.Errorf("tail of %d: %d leaves, floors %v, %v; want %v, %v", keep, len(tail), floors, err, want.leaves, want.floors)
		}
	}
	if tail, floors, err := state.Tail(t.Context(), sum("none"), 3); err != nil || len(tail)+len(floors) > 0 {
		t.Errorf("tail of a repository that is not there: %v, %v, %v", tail, floors, err)
	}
	for _, tt := range []struct {
		repository tuf.Digest
		role       string
		version    int64
		payload    tuf.Digest
		want       []int64
	}{
		{a, "targets", 99, sum("none"), nil},
		{a, "targets", 2, sum("none"), []int64{3}},
		{a, "bin", 2, sum("Atargets1"), []int64{2}},
		{a, "targets", 2, sum("Atargets1"), []int64{2, 3}},
		{a, "targets", 3, sum("Atargets3"), []int64{4}},
		{a, "root", 9, sum("Aroot2"), []int64{5}},
		{sum("Broot1"), "root", 9, sum("Aroot2"), []int64{6}},
		{sum("Broot1"), "targets", 2, sum("Atargets2"), nil},
	} {
		got, err := state.Same(t.Context(), tt.repository, tt.role, tt.version, tt.payload)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("same as %s %d: %v, %v; want %v", tt.role, tt.version, got, err, tt.want)
		}
	}
}

func upTo(from, to int) (list []int) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

// testListings adds releases that list mostly the same files as the one before, one
// by one and all at once, and with the state closed in between.
func testListings(t *testing.T, state log.State, f *fixture, reopen func() log.State) log.State {
	first := len(f.leaves)
	var want []string
	for i, lists := range []string{"xy", "xyz", "xy", "", "xyz", "yz", "xyz"} {
		var targets []log.Target
		for _, path := range lists {
			length := int64(5)
			if path == 'z' {
				length += int64(i / 5) // another file at the same path
			}
			targets = append(targets, log.Target{Path: string(path), SHA256: sum("listed"), Length: length})
			want = append(want, fmt.Sprint(first+2*i, " ", string(path), " ", length))
		}
		f.add(leafOf("A", "targets", int64(10+i)), targets...)
		f.add(leafOf("A", "bin", int64(10+i)))
	}
	apply(t, state, f, first, first+3)
	apply(t, state, f, first+3, first+4)
	state = reopen()
	apply(t, state, f, first+4, first+5)
	apply(t, state, f, first+5, len(f.leaves))
	for _, limit := range []int{100, 4} {
		_, listings, err := state.Lookup(t.Context(), sum("listed"), limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, l := range listings {
			got = append(got, fmt.Sprint(l.Index, " ", l.Path, " ", l.Length))
		}
		if want := want[:min(len(want), limit)]; !slices.Equal(got, want) {
			t.Errorf("at most %d listings: %q\nwant %q", limit, got, want)
		}
	}
	return state
}

func testLookup(t *testing.T, state log.State, f *fixture) {
	for _, tt := range []struct {
		what    string
		sum     tuf.Digest
		limit   int
		leaves  []int
		targets []string
	}{
		{"payload", sum("Atargets2"), 9, []int{3}, nil},
		{"genesis payload", sum("Aroot1"), 9, []int{0}, nil},
		{"metadata", sum("Atargets1file"), 9, []int{2}, nil},
		{"snapshot", sum("Asnapshot"), 9, []int{2, 3, 4}, nil},
		{"snapshot, limited", sum("Asnapshot"), 2, []int{2, 3}, nil},
		{"target", sum("app 1"), 9, nil, []string{"2 app 5", "2 b/ö -1", "3 other 5"}},
		{"target, limited", sum("app 1"), 1, nil, []string{"2 app 5"}},
		{"nothing", sum("nothing"), 9, nil, nil},
	} {
		leaves, listings, err := state.Lookup(t.Context(), tt.sum, tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		var targets []string
		for _, l := range listings {
			if l.Record != f.leaves[l.Index].Record || l.SHA256 != tt.sum {
				t.Errorf("%s: listing %v", tt.what, l)
			}
			targets = append(targets, fmt.Sprint(l.Index, " ", l.Path, " ", l.Length))
		}
		if !slices.Equal(leaves, f.records(tt.leaves...)) || !slices.Equal(targets, tt.targets) {
			t.Errorf("%s: %v, %v; want %v, %v", tt.what, leaves, targets, tt.leaves, tt.targets)
		}
	}
}

func (f *fixture) records(indices ...int) []admit.Record {
	var list []admit.Record
	for _, i := range indices {
		list = append(list, f.leaves[i].Record)
	}
	return list
}

func apply(t *testing.T, state log.State, f *fixture, from, to int) {
	t.Helper()
	for _, l := range f.leaves[from:to] {
		if err := f.edge.Append(l.Leaf.Hash()); err != nil {
			t.Fatal(err)
		}
	}
	Apply(t, state, f.edge.Clone(), f.leaves[from:to])
}

// Apply applies leaves to a state, and lists them.
func Apply(t testing.TB, state log.StateWriter, edge *proofs.Edge, leaves []log.StateLeaf) {
	t.Helper()
	if err := state.Apply(t.Context(), edge, leaves); err != nil {
		t.Fatal(err)
	}
	List(t, state, leaves)
}

// List lists leaves, and checks the progress that is reported.
func List(t testing.TB, state log.StateWriter, leaves []log.StateLeaf) {
	t.Helper()
	if len(leaves) == 0 {
		return
	}
	listed := leaves[0].Index
	if err := state.List(t.Context(), leaves, func(n int64) {
		if n < listed {
			t.Errorf("%d leaves are listed after %d", n, listed)
		}
		listed = n
	}); err != nil {
		t.Fatal(err)
	}
	if now, err := state.Listed(t.Context()); err != nil || now != listed || now != leaves[len(leaves)-1].Index+1 {
		t.Fatalf("%d leaves are listed, told of %d, %v; want %d", now, listed, err, leaves[len(leaves)-1].Index+1)
	}
}
