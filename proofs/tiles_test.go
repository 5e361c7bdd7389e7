package proofs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// testTiles are the tiles of the log whose entries testEntry gives, for trees
// of hundreds of thousands of entries. They count who reads what.
type testTiles struct {
	size  int64
	edge  Edge
	tiles map[TileID][]byte
	reads map[TileID]int
}

func newTestTiles(size int) *testTiles {
	t := &testTiles{size: int64(size), tiles: make(map[TileID][]byte), reads: make(map[TileID]int)}
	hashes := make([]Hash, size)
	for i := range hashes {
		hashes[i] = LeafHash(testEntry(i))
		if err := t.edge.Append(hashes[i]); err != nil {
			panic(err)
		}
	}
	for level := 0; len(hashes) > 0; level++ {
		var above []Hash
		index := int64(0)
		for part := range slices.Chunk(hashes, 256) {
			var data []byte
			for _, h := range part {
				data = append(data, h[:]...)
			}
			t.tiles[TileID{level, index, len(part)}] = data
			if len(part) == 256 {
				above = append(above, refRoot(part))
			}
			index++
		}
		hashes = above
	}
	return t
}

func (t *testTiles) tree() Tree { return t.edge.Tree() }

func (t *testTiles) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	id := TileID{level, index, width}
	t.reads[id]++
	data, ok := t.tiles[id]
	if !ok {
		return nil, fmt.Errorf("no tile %s", id.Path())
	}
	return bytes.Clone(data), nil
}

// mostReads returns how many tiles were read of the level of which most were.
func (t *testTiles) mostReads() int {
	levels := make(map[int]int)
	most := 0
	for id, n := range t.reads {
		levels[id.Level] += n
		most = max(most, levels[id.Level])
	}
	clear(t.reads)
	return most
}

// No proof reads more than two tiles of a level, each once.
func TestProofsReadFewTiles(t *testing.T) {
	rng := newRand(t)
	most := 0
	for _, size := range []int{1, 2, 255, 256, 257, 65_535, 65_536, 65_537, 70_000, 131_072, 200_001} {
		tiles := newTestTiles(size)
		tree := tiles.tree()
		indexes := []int{0, size - 1, size / 2, (size - 1) &^ 255, (size - 1) &^ 65_535}
		for range 100 {
			indexes = append(indexes, rng.IntN(size))
		}
		for _, i := range indexes {
			if _, err := InclusionProof(t.Context(), tree, int64(i), tiles); err != nil {
				t.Fatal(err)
			}
			n := tiles.mostReads()
			if n > 2 {
				t.Errorf("inclusion of %d of %d reads %d tiles of a level", i, size, n)
			}
			if _, err := ConsistencyProof(t.Context(), int64(i), tree, tiles); err != nil {
				t.Fatal(err)
			}
			m := tiles.mostReads()
			if m > 2 {
				t.Errorf("consistency of %d with %d reads %d tiles of a level", i, size, m)
			}
			width := TileWidth(tree.N, 0, int64(i/256))
			if _, err := VerifiedTiles(tree, tiles).ReadTile(t.Context(), 0, int64(i/256), width); err != nil {
				t.Fatal(err)
			}
			v := tiles.mostReads()
			if v > 2 {
				t.Errorf("tile %d of %d reads %d tiles of a level", i/256, size, v)
			}
			most = max(most, n, m, v)
		}
	}
	if most != 2 {
		t.Errorf("at most %d tiles of a level: the count is wrong", most)
	}
}

func TestTileWidth(t *testing.T) {
	for _, tt := range []struct {
		size  int64
		level int
		index int64
		want  int
	}{
		{0, 0, 0, 0}, {1, 0, 0, 1}, {1, 0, 1, 0}, {255, 0, 0, 255}, {256, 0, 0, 256}, {256, 0, 1, 0},
		{256, 1, 0, 1}, {255, 1, 0, 0}, {257, 0, 1, 1}, {257, -1, 1, 1}, {70_000, 0, 273, 112},
		{70_000, 0, 272, 256}, {70_000, 1, 0, 256}, {70_000, 1, 1, 17}, {70_000, 2, 0, 1}, {70_000, 3, 0, 0},
		{math.MaxInt64, 7, 0, 127}, {math.MaxInt64, 7, 1, 0}, {math.MaxInt64, 8, 0, 0}, {math.MaxInt64, 0, 1<<55 - 1, 255},
		{math.MaxInt64, 0, 1 << 55, 0}, {math.MaxInt64, 0, math.MaxInt64, 0}, {5, -2, 0, 0}, {5, 0, -1, 0}, {-5, 0, 0, 0},
	} {
		if got := TileWidth(tt.size, tt.level, tt.index); got != tt.want {
			t.Errorf("size %d, level %d, index %d: %d, want %d", tt.size, tt.level, tt.index, got, tt.want)
		}
	}
	for _, size := range []int64{1, 300, 65_536, 70_000} {
		for _, tile := range tlog.NewTiles(TileHeight, 0, size) {
			if got := TileWidth(size, tile.L, tile.N); got != tile.W && got != FullWidth {
				t.Errorf("size %d: x/mod has %v, we have width %d", size, tile, got)
			}
		}
	}
}

func TestVerifiedTiles(t *testing.T) {
	const size = 66_300 // 258 full tiles and a partial one; above, a full and a partial one
	tiles := newTestTiles(size)
	tree := tiles.tree()
	for id, want := range tiles.tiles {
		if id.Level == 0 && id.Index > 3 && id.Index < 254 {
			continue
		}
		got, err := VerifiedTiles(tree, tiles).ReadTile(t.Context(), id.Level, id.Index, id.Width)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", id.Path(), err)
		}
	}
	for _, id := range []TileID{
		{0, 0, 255}, {0, 258, 252 + 1}, {0, 258, 256}, {0, 259, 1}, {0, -1, 256}, {-1, 0, 256}, {1, 0, 255}, {1, 1, 1},
		{2, 0, 2}, {3, 0, 1}, {8, 0, 1}, {0, math.MaxInt64, 256},
	} {
		_, err := VerifiedTiles(tree, tiles).ReadTile(t.Context(), id.Level, id.Index, id.Width)
		wantError(t, err, "no tile of")
	}
	_, err := VerifiedTiles(EmptyTree, tiles).ReadTile(t.Context(), 0, 0, 0)
	wantError(t, err, "no tile of")
	_, err = VerifiedTiles(Tree{N: maxProvable}, tiles).ReadTile(t.Context(), 0, 0, 256)
	wantError(t, err, "no tile of")
	_, err = VerifiedTiles(Tree{N: size, Hash: LeafHash(nil)}, tiles).ReadTile(t.Context(), 0, 0, 256)
	wantError(t, err, "authenticate tile/0/000 in the tree of size 66300")
	gone := errors.New("gone")
	_, err = VerifiedTiles(tree, failingTiles{gone}).ReadTile(t.Context(), 0, 0, 256)
	if !errors.Is(err, gone) {
		t.Errorf("error of the reader is lost: %v", err)
	}

	// Any byte of the tile asked for, or of any read with it, matters.
	for _, id := range []TileID{{0, 0, 256}, {0, 257, 256}, {0, 258, 252}, {1, 0, 256}, {1, 1, 2}, {2, 0, 1}} {
		clear(tiles.reads)
		if _, err := VerifiedTiles(tree, tiles).ReadTile(t.Context(), id.Level, id.Index, id.Width); err != nil {
			t.Fatal(err)
		}
		for read := range tiles.reads {
			good := tiles.tiles[read]
			for at := 0; at < len(good); at += 1 + len(good)/7 {
				bad := bytes.Clone(good)
				bad[at] ^= 1
				tiles.tiles[read] = bad
				if _, err := VerifiedTiles(tree, tiles).ReadTile(t.Context(), id.Level, id.Index, id.Width); err == nil {
					t.Errorf("%s: accepted although byte %d of %s is changed", id.Path(), at, read.Path())
				}
			}
			tiles.tiles[read] = good
		}
	}
}

func TestVerifyEntries(t *testing.T) {
	const size = 300
	tiles := newTestTiles(size)
	tree := tiles.tree()
	bundle := func(from, to int) (b []byte) {
		for i := from; i < to; i++ {
			var err error
			if b, err = AppendEntry(b, testEntry(i)); err != nil {
				t.Fatal(err)
			}
		}
		return b
	}
	for index, want := range []int{256, 44} {
		entries, err := VerifyEntries(t.Context(), tree, int64(index), bundle(index*256, index*256+want), tiles)
		if err != nil || len(entries) != want || string(entries[want-1]) != string(testEntry(index*256+want-1)) {
			t.Errorf("bundle %d: %d entries, %v", index, len(entries), err)
		}
	}
	swapped := bundle(1, 2)
	swapped = append(swapped, bundle(0, 1)...)
	swapped = append(swapped, bundle(2, 256)...)
	for name, tt := range map[string]struct {
		index  int64
		bundle []byte
		err    string
	}{
		"one entry fewer":   {1, bundle(256, 299), "43 entries, want 44"},
		"one entry more":    {1, bundle(256, 301), "45 entries, want 44"},
		"no entries":        {1, nil, "0 entries, want 44"},
		"another index":     {1, bundle(0, 44), "entry 256 has hash"},
		"two swapped":       {0, swapped, "entry 0 has hash"},
		"last one differs":  {1, append(bundle(256, 299), bundle(400, 401)...), "entry 299 has hash"},
		"cut short":         {0, bundle(0, 256)[:1000], "cut short"},
		"beyond the tree":   {2, nil, "0 entries, want 0 in a tree of size 300"},
		"before the tree":   {-1, bundle(0, 256), "want 0"},
		"index of no bytes": {math.MaxInt64, nil, "want 0"},
	} {
		entries, err := VerifyEntries(t.Context(), tree, tt.index, tt.bundle, tiles)
		if entries != nil {
			t.Errorf("%s: entries are returned", name)
		}
		wantError(t, err, tt.err)
	}
	if _, err := VerifyEntries(t.Context(), tree, 1, bundle(0, 44), tiles); !errors.Is(err, ErrInclusion) {
		t.Errorf("wrong entries: %v", err)
	}
	_, err := VerifyEntries(t.Context(), Tree{N: size, Hash: LeafHash(nil)}, 0, bundle(0, 256), tiles)
	wantError(t, err, "entry bundle 0: authenticate")
}

func TestRangeHashes(t *testing.T) {
	leaves := testLeaves(21)
	tree := refTree(leaves)
	tiles := &leafTiles{t: t, leaves: leaves}
	for from := range len(leaves) + 1 {
		for to := from; to <= len(leaves); to++ {
			var want []Hash
			for at := from; at < to; {
				width := 1
				for at%(2*width) == 0 && at+2*width <= to {
					width *= 2
				}
				want = append(want, refRoot(leaves[at:at+width]))
				at += width
			}
			got, err := RangeHashes(t.Context(), tree, int64(from), int64(to), tiles)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%d to %d: %v, %v; want %v", from, to, got, err, want)
			}
		}
	}
	for _, r := range [][2]int64{{-1, 3}, {4, 3}, {0, 22}} {
		if _, err := RangeHashes(t.Context(), tree, r[0], r[1], tiles); err == nil {
			t.Errorf("took %v", r)
		}
	}
	if _, err := RangeHashes(t.Context(), Tree{N: maxProvable}, 0, 1, tiles); err == nil {
		t.Error("took a tree that is too large")
	}
	tiles.spoil = func(_ int, _ int64, _ int, data []byte) []byte { data[40] ^= 1; return data }
	if _, err := RangeHashes(t.Context(), tree, 0, 1, tiles); err == nil {
		t.Error("took the tile of another tree")
	}
}
