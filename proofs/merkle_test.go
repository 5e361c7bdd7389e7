package proofs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	mproof "github.com/transparency-dev/merkle/proof"
	"golang.org/x/mod/sumdb/tlog"
)

func TestLeafHashAndEmptyTree(t *testing.T) {
	// RFC 6962's own test vectors: the hash of nothing, and of the empty leaf.
	if got := EmptyTree.Hash.String(); got != emptyRoot || EmptyTree.N != 0 {
		t.Errorf("empty tree %v", EmptyTree)
	}
	if got := LeafHash(nil).String(); got != "bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=" {
		t.Errorf("empty leaf %v", got)
	}
	if got, want := LeafHash([]byte("x")), tlog.RecordHash([]byte("x")); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// A leafTiles serves the tiles of a small log, and insists on being asked for
// what a log of that size has.
type leafTiles struct {
	t      testing.TB
	leaves []Hash
	spoil  func(level int, index int64, width int, data []byte) []byte
	reads  int
}

func (l *leafTiles) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	l.reads++
	span := 1 << (8 * level) // leaves below one hash
	have := min(len(l.leaves)/span-int(index)*256, 256)
	if width != have {
		l.t.Errorf("asked for %s, the log has %d hashes there", TileID{level, index, width}.Path(), have)
		return nil, errors.New("no such tile")
	}
	var data []byte
	for i := range width {
		from := (int(index)*256 + i) * span
		h := refRoot(l.leaves[from : from+span])
		data = append(data, h[:]...)
	}
	if l.spoil != nil {
		data = l.spoil(level, index, width, data)
	}
	return data, nil
}

func TestProofsOfSmallTrees(t *testing.T) {
	leaves := testLeaves(40)
	for n := 1; n <= len(leaves); n++ {
		tree := refTree(leaves[:n])
		tiles := &leafTiles{t: t, leaves: leaves[:n]}
		for i := range n {
			p, err := InclusionProof(t.Context(), tree, int64(i), tiles)
			if err != nil || !slices.Equal(p, refPath(i, leaves[:n])) {
				t.Fatalf("entry %d of %d: %v, %v", i, n, p, err)
			}
			checkInclusion(t, tree, int64(i), leaves[i], p)
		}
		for m := 0; m <= n; m++ {
			var want []Hash
			if m > 0 {
				want = refProof(m, leaves[:n])
			}
			p, err := ConsistencyProof(t.Context(), int64(m), tree, tiles)
			if err != nil || !slices.Equal(p, want) {
				t.Fatalf("from %d to %d: %v, %v", m, n, p, err)
			}
			checkConsistency(t, refTree(leaves[:m]), tree, p)
		}
	}
}

// checkInclusion checks that the proof verifies and nothing near it does.
func checkInclusion(t *testing.T, tree Tree, index int64, leaf Hash, p []Hash) {
	t.Helper()
	if err := VerifyInclusion(tree, index, leaf, p); err != nil {
		t.Fatal(err)
	}
	fails := func(what string, tree Tree, index int64, leaf Hash, p []Hash) {
		if err := VerifyInclusion(tree, index, leaf, p); !errors.Is(err, ErrInclusion) {
			t.Errorf("entry %d of %d, %s: %v", index, tree.N, what, err)
		}
	}
	for _, other := range []int64{index - 1, index + 1, -1, tree.N, math.MinInt64, math.MaxInt64} {
		if other != index {
			fails("other index", tree, other, leaf, p)
		}
	}
	if index == 0 && tree.N > 1 {
		fails("smaller tree", Tree{N: 1, Hash: tree.Hash}, index, leaf, p)
	}
	fails("empty tree", Tree{N: 0, Hash: tree.Hash}, index, leaf, p)
	fails("negative tree", Tree{N: -tree.N, Hash: tree.Hash}, index, leaf, p)
	fails("other root", Tree{N: tree.N, Hash: LeafHash(nil)}, index, leaf, p)
	fails("other leaf", tree, index, LeafHash(nil), p)
	fails("one hash more", tree, index, leaf, append(slices.Clone(p), tree.Hash))
	fails("one hash more in front", tree, index, leaf, append([]Hash{leaf}, p...))
	for i := range p {
		c := slices.Clone(p)
		c[i][31] ^= 1
		fails("hash changed", tree, index, leaf, c)
		fails("hash left out", tree, index, leaf, slices.Delete(slices.Clone(p), i, i+1))
	}
}

func checkConsistency(t *testing.T, older, newer Tree, p []Hash) {
	t.Helper()
	if err := VerifyConsistency(older, newer, p); err != nil {
		t.Fatal(err)
	}
	fails := func(what string, older, newer Tree, p []Hash) {
		if err := VerifyConsistency(older, newer, p); !errors.Is(err, ErrConsistency) {
			t.Errorf("from %d to %d, %s: %v", older.N, newer.N, what, err)
		}
	}
	other := LeafHash(nil)
	fails("other old root", Tree{N: older.N, Hash: other}, newer, p)
	if older.N > 0 {
		fails("other new root", older, Tree{N: newer.N, Hash: other}, p)
	}
	if older.N < newer.N {
		fails("the wrong way round", newer, older, p)
	}
	fails("negative", Tree{N: -1, Hash: older.Hash}, newer, p)
	fails("one hash more", older, newer, append(slices.Clone(p), other))
	for i := range p {
		c := slices.Clone(p)
		c[i][0] ^= 0x80
		fails("hash changed", older, newer, c)
		fails("hash left out", older, newer, slices.Delete(slices.Clone(p), i, i+1))
	}
}

func TestVerifyConsistencyEmpty(t *testing.T) {
	tree := refTree(testLeaves(3))
	for _, tt := range []struct {
		name         string
		older, newer Tree
		proof        []Hash
		ok           bool
	}{
		{"empty to empty", EmptyTree, EmptyTree, nil, true},
		{"empty to tree", EmptyTree, tree, nil, true},
		{"tree to itself", tree, tree, nil, true},
		{"zero Tree is not the empty tree", Tree{}, tree, nil, false},
		{"empty to a zero Tree", EmptyTree, Tree{}, nil, false},
		{"zero Tree to itself", Tree{}, Tree{}, nil, false},
		{"empty to tree with a proof", EmptyTree, tree, []Hash{tree.Hash}, false},
		{"tree to itself with a proof", tree, tree, []Hash{tree.Hash}, false},
		{"same size, other root", tree, Tree{N: 3, Hash: LeafHash(nil)}, nil, false},
		{"no proof", refTree(testLeaves(1)), tree, nil, false},
		{"smaller", tree, EmptyTree, nil, false},
	} {
		if err := VerifyConsistency(tt.older, tt.newer, tt.proof); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrConsistency) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// Trees of more than one tile, against the slow tree and x/mod.
func TestProofsFromTiles(t *testing.T) {
	rng := newRand(t)
	leaves := testLeaves(70_000)
	for _, n := range []int{255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 70_000} {
		tree := refTree(leaves[:n])
		tiles := &leafTiles{t: t, leaves: leaves[:n]}
		for _, i := range []int{0, n - 1, n / 2, rng.IntN(n)} {
			p, err := InclusionProof(t.Context(), tree, int64(i), tiles)
			if err != nil || !slices.Equal(p, refPath(i, leaves[:n])) {
				t.Fatalf("entry %d of %d: %v", i, n, err)
			}
			if err := tlog.CheckRecord(p, tree.N, tree.Hash, int64(i), leaves[i]); err != nil {
				t.Errorf("x/mod: %v", err)
			}
			m := i + 1
			p, err = ConsistencyProof(t.Context(), int64(m), tree, tiles)
			if err != nil || !slices.Equal(p, refProof(m, leaves[:n])) {
				t.Fatalf("from %d to %d: %v", m, n, err)
			}
			if err := tlog.CheckTree(p, tree.N, tree.Hash, int64(m), refRoot(leaves[:m])); err != nil {
				t.Errorf("x/mod: %v", err)
			}
		}
	}
}

func TestTilesAreNotTrusted(t *testing.T) {
	leaves := testLeaves(600)
	tree := refTree(leaves)
	read := func(spoil func(int, int64, int, []byte) []byte) (reads int, err1, err2 error) {
		tiles := &leafTiles{t: t, leaves: leaves, spoil: spoil}
		_, err1 = InclusionProof(t.Context(), tree, 300, tiles)
		_, err2 = ConsistencyProof(t.Context(), 300, tree, tiles)
		return tiles.reads, err1, err2
	}
	reads, err1, err2 := read(nil)
	if err1 != nil || err2 != nil || reads < 6 {
		t.Fatalf("%v, %v, %d reads", err1, err2, reads)
	}
	for _, at := range []int{0, 33, -1} {
		for _, id := range []TileID{{0, 1, 256}, {0, 2, 88}, {1, 0, 2}} {
			_, err1, err2 := read(func(level int, index int64, width int, data []byte) []byte {
				if (TileID{level, index, width}) == id {
					data[(at+len(data))%len(data)] ^= 1
				}
				return data
			})
			if err1 == nil || err2 == nil {
				t.Errorf("%s changed at byte %d: %v, %v", id.Path(), at, err1, err2)
			}
		}
	}
	for _, change := range []func([]byte) []byte{
		func(b []byte) []byte { return nil },
		func(b []byte) []byte { return b[:len(b)-1] },
		func(b []byte) []byte { return append(b, 0) },
		func(b []byte) []byte { return append(b, make([]byte, 32)...) },
	} {
		_, err1, err2 := read(func(_ int, _ int64, _ int, data []byte) []byte { return change(data) })
		wantError(t, err1, "bytes, want")
		wantError(t, err2, "bytes, want")
	}

	gone := errors.New("gone")
	_, err := InclusionProof(t.Context(), tree, 300, failingTiles{gone})
	if !errors.Is(err, gone) {
		t.Errorf("error of the reader is lost: %v", err)
	}
	wantError(t, err, "tile/")
	_, err = ConsistencyProof(t.Context(), 300, tree, failingTiles{gone})
	if !errors.Is(err, gone) {
		t.Errorf("error of the reader is lost: %v", err)
	}
}

type failingTiles struct{ err error }

func (f failingTiles) ReadTile(context.Context, int, int64, int) ([]byte, error) { return nil, f.err }

func TestNoProof(t *testing.T) {
	for _, tt := range []struct {
		tree Tree
		n    int64
	}{
		{EmptyTree, 1}, {Tree{N: 5}, 6}, {Tree{N: 5}, -1}, {Tree{N: -5}, -6}, {Tree{N: -5}, 0},
		{Tree{N: 1 << 62}, 5}, {Tree{N: math.MaxInt64}, 5}, {Tree{N: math.MinInt64}, math.MaxInt64},
	} {
		_, err := InclusionProof(t.Context(), tt.tree, tt.n, failingTiles{})
		wantError(t, err, "no inclusion proof")
		_, err = ConsistencyProof(t.Context(), tt.n, tt.tree, failingTiles{})
		wantError(t, err, "no consistency proof")
	}
	_, err := InclusionProof(t.Context(), Tree{N: 5}, 5, failingTiles{})
	wantError(t, err, "no inclusion proof")
}

// A uniformTree has the same leaf everywhere, so that trees of any size can be
// computed.
type uniformTree struct {
	perfect [64]Hash // roots of perfect subtrees, by level
}

func newUniformTree() *uniformTree {
	u := new(uniformTree)
	u.perfect[0] = LeafHash([]byte("the same"))
	for i := range u.perfect[1:] {
		u.perfect[i+1] = refNode(u.perfect[i], u.perfect[i])
	}
	return u
}

func (u *uniformTree) tree(size int64) Tree {
	tree, first := Tree{N: size, Hash: EmptyTree.Hash}, true
	for level := range 63 {
		switch {
		case size>>level&1 == 0:
		case first:
			tree.Hash, first = u.perfect[level], false
		default:
			tree.Hash = refNode(u.perfect[level], tree.Hash)
		}
	}
	return tree
}

func (u *uniformTree) ReadTile(_ context.Context, level int, _ int64, width int) ([]byte, error) {
	var data []byte
	for range width {
		data = append(data, u.perfect[8*level][:]...)
	}
	return data, nil
}

func (u *uniformTree) hashes(nodes mproof.Nodes) ([]Hash, error) {
	raw := make([][]byte, len(nodes.IDs))
	for i, id := range nodes.IDs {
		raw[i] = slices.Clone(u.perfect[id.Level][:])
	}
	raw, err := nodes.Rehash(raw, ranges.Hash)
	var hashes []Hash
	for _, h := range raw {
		hashes = append(hashes, Hash(h))
	}
	return hashes, err
}

var hugeSizes = []int64{
	1<<31 - 1, 1 << 31, 1<<32 + 1, 1<<61 - 1, 1 << 61, 1<<61 + 1, 1<<62 - 2, 1<<62 - 1, // provable
	1 << 62, 1<<62 + 1, math.MaxInt64 - 1, math.MaxInt64,
}

func TestHugeTrees(t *testing.T) {
	u := newUniformTree()
	for _, n := range hugeSizes {
		tree := u.tree(n)
		for _, i := range []int64{0, 1, 255, 256, n / 3, n / 2, n - 2, n - 1} {
			t.Run(fmt.Sprintf("%d of %d", i, n), func(t *testing.T) {
				nodes, err := mproof.Inclusion(uint64(i), uint64(n))
				if err != nil {
					t.Fatal(err)
				}
				want, err := u.hashes(nodes)
				if err != nil {
					t.Fatal(err)
				}
				if err := VerifyInclusion(tree, i, u.perfect[0], want); err != nil {
					t.Error(err)
				}
				p, err := InclusionProof(t.Context(), tree, i, u)
				checkHuge(t, n, p, err, want)

				if i == 0 {
					return
				}
				nodes, err = mproof.Consistency(uint64(i), uint64(n))
				if err != nil {
					t.Fatal(err)
				}
				if want, err = u.hashes(nodes); err != nil {
					t.Fatal(err)
				}
				if err := VerifyConsistency(u.tree(i), tree, want); err != nil {
					t.Error(err)
				}
				p, err = ConsistencyProof(t.Context(), i, tree, u)
				checkHuge(t, n, p, err, want)
			})
		}
	}
}

func checkHuge(t *testing.T, size int64, p []Hash, err error, want []Hash) {
	t.Helper()
	if size >= maxProvable {
		if err == nil {
			t.Error("a proof is built for a tree that is too large")
		}
		return
	}
	if err != nil || !slices.Equal(p, want) {
		t.Errorf("got %d hashes, want %d: %v", len(p), len(want), err)
	}
}

// The roots that the test computes are those of merkle's compact ranges.
func TestUniformTree(t *testing.T) {
	u := newUniformTree()
	for _, n := range hugeSizes {
		var raw [][]byte
		for _, id := range compact.RangeNodes(0, uint64(n), nil) {
			raw = append(raw, u.perfect[id.Level][:])
		}
		r, err := ranges.NewRange(0, uint64(n), raw)
		if err != nil {
			t.Fatal(err)
		}
		root, err := r.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		if Hash(root) != u.tree(n).Hash {
			t.Errorf("size %d: roots differ", n)
		}
	}
}
