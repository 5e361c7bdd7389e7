// Package storagetest is the test suite of log.Storage: every implementation
// runs it.
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Open opens the log in a directory, or creates it if there is none. The suite
// closes it.
type Open func(t *testing.T, dir string) (log.Storage, error)

// Test runs the suite.
func Test(t *testing.T, open Open) {
	t.Run("empty", func(t *testing.T) { testEmpty(t, open) })
	t.Run("grows", func(t *testing.T) { testGrows(t, open) })
	t.Run("reopened", func(t *testing.T) { testReopened(t, open) })
	t.Run("one process", func(t *testing.T) { testOneProcess(t, open) })
	t.Run("impatient caller", func(t *testing.T) { testImpatient(t, open) })
	t.Run("reopened after impatience", func(t *testing.T) { testImpatientReopened(t, open) })
}

func mustOpen(t *testing.T, open Open, dir string) log.Storage {
	t.Helper()
	s, err := open(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t *testing.T, s log.Storage) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func testEmpty(t *testing.T, open Open) {
	s := mustOpen(t, open, t.TempDir())
	defer mustClose(t, s)
	tree, err := s.Integrated(t.Context())
	if err != nil || tree != proofs.EmptyTree {
		t.Fatalf("Integrated = %v, %v; want the empty tree", tree, err)
	}
	if _, err := s.ReadTile(t.Context(), 0, 0, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadTile in an empty log: %v", err)
	}
	if _, err := s.ReadEntries(t.Context(), 0, 1); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadEntries in an empty log: %v", err)
	}
}

// model is what a log should hold, kept the slow way.
type model struct {
	entries [][]byte
	trees   []proofs.Tree // after each append
	edge    proofs.Edge
}

func (m *model) append(t *testing.T, s log.Storage, n int) {
	t.Helper()
	batch := make([][]byte, n)
	for i := range batch {
		batch[i] = fmt.Appendf(nil, "entry %d of a batch of %d on %d", i, n, len(m.entries))
	}
	indices, err := s.Append(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	start := len(m.entries)
	m.entries = append(m.entries, make([][]byte, n)...)
	for i, index := range indices {
		at := int(index)
		if at < start || at >= len(m.entries) || m.entries[at] != nil {
			t.Fatalf("entry %d of %d on a log of %d got index %d", i, n, start, index)
		}
		m.entries[at] = batch[i]
	}
	for _, e := range m.entries[start:] {
		if err := m.edge.Append(proofs.LeafHash(e)); err != nil {
			t.Fatal(err)
		}
	}
	m.trees = append(m.trees, m.edge.Tree())
}

// check reads the whole log back.
func (m *model) check(t *testing.T, s log.Storage) {
	t.Helper()
	tree, err := s.Integrated(t.Context())
	if err != nil || tree != m.edge.Tree() {
		t.Fatalf("Integrated = %v, %v; want %v", tree, err, m.edge.Tree())
	}
	for index := int64(0); index*proofs.FullWidth < tree.N; index++ {
		width := proofs.TileWidth(tree.N, proofs.EntriesLevel, index)
		for _, w := range []int{1, (width + 1) / 2, width} {
			bundle, err := s.ReadEntries(t.Context(), index, w)
			if err != nil {
				t.Fatalf("ReadEntries(%d, %d): %v", index, w, err)
			}
			got, err := proofs.ParseEntries(bundle)
			want := m.entries[index*proofs.FullWidth:][:w]
			if err != nil || !slices.EqualFunc(got, want, bytes.Equal) {
				t.Fatalf("ReadEntries(%d, %d): other entries than were appended, %v", index, w, err)
			}
		}
		if width < proofs.FullWidth {
			if _, err := s.ReadEntries(t.Context(), index, width+1); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("ReadEntries(%d, %d) beyond the end: %v", index, width+1, err)
			}
			if _, err := s.ReadTile(t.Context(), 0, index, width+1); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("ReadTile(0, %d, %d) beyond the end: %v", index, width+1, err)
			}
		}
	}
	for _, old := range m.trees {
		proof, err := proofs.ConsistencyProof(t.Context(), old.N, tree, s)
		if err == nil {
			err = proofs.VerifyConsistency(old, tree, proof)
		}
		if err != nil {
			t.Fatal(err)
		}
		// Tiles of an older tree are cut from those there are now.
		if _, err := proofs.InclusionProof(t.Context(), old, old.N-1, s); err != nil {
			t.Fatal(err)
		}
	}
}

func testGrows(t *testing.T, open Open) {
	s := mustOpen(t, open, t.TempDir())
	defer mustClose(t, s)
	var m model
	for _, n := range []int{1, 1, 3, 250, 1, 1, 300, 1} {
		m.append(t, s, n)
		m.check(t, s)
	}
}

func testReopened(t *testing.T, open Open) {
	dir := t.TempDir()
	var m model
	for _, n := range []int{2, 260} {
		s := mustOpen(t, open, dir)
		m.append(t, s, n)
		mustClose(t, s)
	}
	s := mustOpen(t, open, dir)
	defer mustClose(t, s)
	m.check(t, s)
}

func testOneProcess(t *testing.T, open Open) {
	dir := t.TempDir()
	s := mustOpen(t, open, dir)
	defer mustClose(t, s)
	second, err := open(t, dir)
	if err == nil {
		mustClose(t, second)
	}
	if !errors.Is(err, log.ErrLocked) {
		t.Fatalf("opened twice: %v", err)
	}
}

// testImpatient: a caller that gives up does not know what became of its
// entries, and Integrated does.
func testImpatient(t *testing.T, open Open) {
	s := mustOpen(t, open, t.TempDir())
	defer mustClose(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Append(ctx, [][]byte{[]byte("perhaps")})
	tree, err2 := s.Integrated(t.Context())
	if err2 != nil {
		t.Fatal(err2)
	}
	if err == nil && tree.N != 1 {
		t.Fatalf("Append succeeded, Integrated = %v", tree)
	}
	for range 3 {
		again, err := s.Integrated(t.Context())
		if err != nil || again != tree {
			t.Fatalf("Integrated = %v, %v after it said %v", again, err, tree)
		}
	}
}

// testImpatientReopened: what became of an append that its caller gave up, at
// whatever moment, shows in the log that is opened next, and stays so.
func testImpatientReopened(t *testing.T, open Open) {
	dir := t.TempDir()
	var known [][]byte // what the log holds
	for i, patience := range []time.Duration{0, 200 * time.Microsecond, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, time.Minute} {
		s := mustOpen(t, open, dir)
		tried := [][]byte{fmt.Appendf(nil, "first of %d", i), fmt.Appendf(nil, "second of %d", i), fmt.Appendf(nil, "third of %d", i)}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		indices, err := s.Append(ctx, tried)
		cancel()
		if err != nil && patience == time.Minute {
			t.Fatal(err)
		}
		mustClose(t, s)
		s = mustOpen(t, open, dir)
		now := readAll(t, s)
		if len(now) < len(known) || !slices.EqualFunc(now[:len(known)], known, bytes.Equal) {
			t.Fatalf("the log held %q, and holds %q", known, now)
		}
		for _, e := range now[len(known):] {
			at := slices.IndexFunc(tried, func(x []byte) bool { return bytes.Equal(x, e) })
			if at < 0 {
				t.Fatalf("%q is in the log; nobody has appended it now", e)
			}
			tried[at] = nil
		}
		for at, index := range indices {
			if index >= int64(len(now)) || tried[at] != nil {
				t.Fatalf("entry %d is said to have index %d; the log holds %q", at, index, now)
			}
		}
		known = now
		mustClose(t, s)
	}
}

// readAll reads every entry, and compares them with the tree.
func readAll(t *testing.T, s log.Storage) [][]byte {
	t.Helper()
	tree, err := s.Integrated(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var all [][]byte
	var edge proofs.Edge
	for index := int64(0); index*proofs.FullWidth < tree.N; index++ {
		bundle, err := s.ReadEntries(t.Context(), index, proofs.TileWidth(tree.N, 0, index))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := proofs.ParseEntries(bundle)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if err := edge.Append(proofs.LeafHash(e)); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, entries...)
	}
	if edge.Tree() != tree {
		t.Fatalf("the entries lead to %v, Integrated is %v", edge.Tree(), tree)
	}
	return all
}
