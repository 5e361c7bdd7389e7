package proofs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// storedLeaves is the tree of x/mod, which keeps all of its hashes.
type storedLeaves struct {
	hashes []Hash
	size   int64
}

func (s *storedLeaves) append(t *testing.T, leaf Hash) {
	t.Helper()
	hashes, err := tlog.StoredHashesForRecordHash(s.size, leaf, s)
	if err != nil {
		t.Fatal(err)
	}
	s.hashes = append(s.hashes, hashes...)
	s.size++
}

func (s *storedLeaves) ReadHashes(indexes []int64) ([]Hash, error) {
	got := make([]Hash, len(indexes))
	for i, index := range indexes {
		got[i] = s.hashes[index]
	}
	return got, nil
}

func (s *storedLeaves) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	return tlog.ReadTileData(tlog.Tile{H: TileHeight, L: level, N: index, W: width}, s)
}

func (s *storedLeaves) tree(t *testing.T) Tree {
	t.Helper()
	if s.size == 0 {
		return EmptyTree
	}
	root, err := tlog.TreeHash(s.size, s)
	if err != nil {
		t.Fatal(err)
	}
	return Tree{N: s.size, Hash: root}
}

// checkTiles checks that those are the tiles which x/mod would write for a tree
// that has grown from a size.
func (s *storedLeaves) checkTiles(t *testing.T, from int64, got []Tile) {
	t.Helper()
	have := map[TileID][]byte{}
	for _, tile := range got {
		have[tile.TileID] = tile.Hashes
	}
	if len(have) != len(got) {
		t.Errorf("from size %d to %d: a tile comes twice", from, s.size)
	}
	for _, tile := range tlog.NewTiles(TileHeight, from, s.size) {
		id := TileID{tile.L, tile.N, tile.W}
		want, err := tlog.ReadTileData(tile, s)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(have[id], want) {
			t.Errorf("from size %d to %d: %s is %x, want %x", from, s.size, id.Path(), have[id], want)
		}
		delete(have, id)
	}
	for id := range have {
		// x/mod writes no tile again that has not changed.
		if from>>(TileHeight*id.Level) != s.size>>(TileHeight*id.Level) {
			t.Errorf("from size %d to %d: %s is too much", from, s.size, id.Path())
		}
	}
}

func grow(t *testing.T, f *Frontier, leaves ...Hash) (full []Tile) {
	t.Helper()
	for _, leaf := range leaves {
		tiles, err := f.Append(leaf)
		if err != nil {
			t.Fatal(err)
		}
		full = append(full, tiles...)
	}
	return full
}

// The tiles and roots of a frontier are those of x/mod, whether it has grown from
// nothing, was cloned or was read from tiles, and clones keep apart.
func FuzzFrontier(f *testing.F) {
	for _, sizes := range [][3]uint32{{0, 0, 0}, {1, 0, 1}, {255, 1, 1}, {256, 0, 256}, {3, 600, 257}, {65_535, 1, 300}, {65_792, 700, 1}} {
		f.Add(sizes[0], sizes[1], sizes[2])
	}
	f.Fuzz(func(t *testing.T, first, second, third uint32) {
		leaf := func(n int64) Hash { return LeafHash(binary.BigEndian.AppendUint64(nil, uint64(n))) }
		var want storedLeaves
		front := new(Frontier)
		for _, more := range []uint32{first, second, third} {
			from := want.size
			old, oldTree, oldPartial := front.Clone(), front.Tree(), front.Partial()
			var full []Tile
			for range more % 70_000 {
				full = append(full, grow(t, front, leaf(want.size))...)
				want.append(t, leaf(want.size))
			}
			if front.Tree() != want.tree(t) || front.Edge().Tree() != want.tree(t) || front.Size() != want.size {
				t.Fatalf("tree %v, size %d, want %v", front.Tree(), front.Size(), want.tree(t))
			}
			want.checkTiles(t, from, slices.Concat(full, front.Partial()))

			read, err := ReadFrontier(t.Context(), want.size, &want)
			if err != nil {
				t.Fatal(err)
			}
			sameFrontier(t, read, front)
			// The one that stayed behind takes another way.
			grow(t, old.Clone(), LeafHash([]byte("other")), LeafHash([]byte("way")))
			if old.Tree() != oldTree || fmt.Sprint(old.Partial()) != fmt.Sprint(oldPartial) {
				t.Fatalf("a clone of size %d has changed", from)
			}
			sameFrontier(t, read, front)
			front = read
		}
	})
}

func sameFrontier(t *testing.T, a, b *Frontier) {
	t.Helper()
	x, errX := a.Edge().MarshalText()
	y, errY := b.Edge().MarshalText()
	if err := errors.Join(errX, errY); err != nil {
		t.Fatal(err)
	}
	if string(x) != string(y) || fmt.Sprint(a.Partial()) != fmt.Sprint(b.Partial()) {
		t.Fatalf("frontiers of sizes %d and %d differ", a.Size(), b.Size())
	}
}

// shortTiles lacks a byte at one level.
type shortTiles struct {
	TileReader
	level int
}

func (s shortTiles) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	tile, err := s.TileReader.ReadTile(ctx, level, index, width)
	if level == s.level {
		tile = tile[1:]
	}
	return tile, err
}

func TestReadFrontierRefuses(t *testing.T) {
	var stored storedLeaves
	for _, leaf := range testLeaves(300) {
		stored.append(t, leaf)
	}
	for level := range 2 {
		_, err := ReadFrontier(t.Context(), 300, shortTiles{&stored, level})
		wantError(t, err, "bytes, want")
	}
	_, err := ReadFrontier(t.Context(), -1, &stored)
	wantError(t, err, "no tree has size -1")
	// A hash that is wrong shows in the root.
	stored.hashes[tlog.StoredHashIndex(0, 299)][0] ^= 1
	if f, err := ReadFrontier(t.Context(), 300, &stored); err != nil || f.Tree() == refTree(testLeaves(300)) {
		t.Errorf("wrong tile: %v, %v", f.Tree(), err)
	}
}

// zeroTiles is the tiles of the largest tree, as far as anyone looks.
type zeroTiles struct{}

func (zeroTiles) ReadTile(_ context.Context, _ int, _ int64, width int) ([]byte, error) {
	return make([]byte, width*tlog.HashSize), nil
}

func TestFrontierFull(t *testing.T) {
	f, err := ReadFrontier(t.Context(), math.MaxInt64, zeroTiles{})
	if err != nil {
		t.Fatal(err)
	}
	before := f.Tree()
	tiles, err := f.Append(Hash{})
	wantError(t, err, "is full")
	if len(tiles) > 0 || f.Tree() != before || len(f.Partial()) != MaxTileLevel+1 {
		t.Error("a tree that cannot grow has changed")
	}
}
