package proofs

import (
	"context"
	"fmt"

	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"
)

// A TileReader fetches tiles of hashes. The returned tiles are not trusted.
type TileReader interface {
	// ReadTile returns the width hashes, 32 bytes each, of the tile of that
	// index at that level. Only tiles of the tree that a proof is built for are
	// requested, with the width they have there; an implementation that no
	// longer has a partial tile cuts it from a wider one.
	ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error)
}

// maxProvable is one more than the largest tree for which tiles are
// authenticated: beyond it x/mod's numbering of stored hashes leaves int64.
const maxProvable = 1 << 62

// VerifiedTiles returns a TileReader for the tiles of that tree, which may have
// up to 2^62-1 entries. It reads them from tiles, which need not be trusted, and
// returns only tiles that lead to the tree's root. To check that, it also reads
// the tiles above each tile and those at the tree's right edge, at most two per
// level. It remembers nothing: a caller that reads many tiles puts a cache below
// it.
func VerifiedTiles(tree Tree, tiles TileReader) TileReader {
	return verifiedTiles{tree, tiles}
}

type verifiedTiles struct {
	tree  Tree
	tiles TileReader
}

func (v verifiedTiles) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	want := 0
	if level >= 0 && v.tree.N < maxProvable {
		want = TileWidth(v.tree.N, level, index)
	}
	if want == 0 || width != want {
		return nil, fmt.Errorf("no tile of %d hashes at level %d, index %d in a tree of size %d", width, level, index, v.tree.N)
	}
	a := &keepingAdapter{tileAdapter: tileAdapter{ctx, v.tiles}, id: TileID{level, index, width}}
	first := tlog.StoredHashIndex(level*TileHeight, index*FullWidth)
	if _, err := tlog.TileHashReader(v.tree, a).ReadHashes([]int64{first}); err != nil {
		return nil, fmt.Errorf("authenticate %s in the tree of size %d: %w", TileID{level, index, width}.Path(), v.tree.N, err)
	}
	return a.data, nil
}

// RangeHashes returns the roots of the perfect subtrees that hold the entries of a tree from
// one index to before another, from left to right: the largest that there are. It
// authenticates tiles as InclusionProof does; no entries need no tiles.
func RangeHashes(ctx context.Context, tree Tree, from, to int64, tiles TileReader) ([]Hash, error) {
	if from < 0 || from > to || to > tree.N || tree.N >= maxProvable {
		return nil, fmt.Errorf("no hashes of entries %d to %d in a tree of size %d", from, to, tree.N)
	}
	var indexes []int64
	for _, id := range compact.RangeNodes(uint64(from), uint64(to), nil) {
		indexes = append(indexes, tlog.StoredHashIndex(int(id.Level), int64(id.Index)))
	}
	if len(indexes) == 0 {
		return nil, nil
	}
	hashes, err := tlog.TileHashReader(tree, tileAdapter{ctx, tiles}).ReadHashes(indexes)
	if err != nil {
		return nil, fmt.Errorf("hashes of entries %d to %d in a tree of size %d: %w", from, to, tree.N, err)
	}
	return hashes, nil
}

// VerifyEntries splits the bundle of that index, as ParseEntries does, and
// checks that its entries are those of the tree: as many as the tree has there,
// and with hashes that lead to its root. The tiles that show it need not be
// trusted: see VerifiedTiles.
func VerifyEntries(ctx context.Context, tree Tree, index int64, bundle []byte, tiles TileReader) ([][]byte, error) {
	entries, err := ParseEntries(bundle)
	if err != nil {
		return nil, err
	}
	width := TileWidth(tree.N, -1, index)
	if width == 0 || len(entries) != width {
		return nil, fmt.Errorf("entry bundle %d: %d entries, want %d in a tree of size %d", index, len(entries), width, tree.N)
	}
	hashes, err := VerifiedTiles(tree, tiles).ReadTile(ctx, 0, index, width)
	if err != nil {
		return nil, fmt.Errorf("entry bundle %d: %w", index, err)
	}
	for i, e := range entries {
		if got, want := LeafHash(e), Hash(hashes[i*tlog.HashSize:][:tlog.HashSize]); got != want {
			return nil, fmt.Errorf("entry %d has hash %v, the tree has %v there: %w", index*FullWidth+int64(i), got, want, ErrInclusion)
		}
	}
	return entries, nil
}

// tileAdapter lets x/mod's authenticating reader use a TileReader in one call, of
// which it keeps the context: x/mod's interface has no room for one.
type tileAdapter struct {
	ctx context.Context
	r   TileReader
}

func (tileAdapter) Height() int { return TileHeight }

func (a tileAdapter) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	data := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if data[i], err = a.r.ReadTile(a.ctx, t.L, t.N, t.W); err != nil {
			return nil, fmt.Errorf("%s: %w", TileID{t.L, t.N, t.W}.Path(), err)
		}
		if want := t.W * tlog.HashSize; len(data[i]) != want {
			return nil, fmt.Errorf("%s: %d bytes, want %d", TileID{t.L, t.N, t.W}.Path(), len(data[i]), want)
		}
	}
	return data, nil
}

func (tileAdapter) SaveTiles([]tlog.Tile, [][]byte) {}

// keepingAdapter keeps the data of one tile once x/mod has authenticated it.
type keepingAdapter struct {
	tileAdapter
	id   TileID
	data []byte
}

// SaveTiles is called with authentic tiles only.
func (a *keepingAdapter) SaveTiles(tiles []tlog.Tile, data [][]byte) {
	for i, t := range tiles {
		if (TileID{t.L, t.N, t.W}) == a.id {
			a.data = data[i]
		}
	}
}
