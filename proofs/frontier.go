package proofs

import (
	"context"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"golang.org/x/mod/sumdb/tlog"
)

// A Tile is a tile of hashes with its contents.
type Tile struct {
	TileID
	Hashes []byte // Width hashes, 32 bytes each; not to be changed
}

// A Frontier is a growing tree with the tiles at its right edge that are not
// full: enough to append leaves, to make every tile of the tree, and to know the
// root after each. The zero Frontier is the empty tree. A Frontier must not be
// copied (see Clone), nor used by two goroutines at once.
type Frontier struct {
	edge  Edge
	tiles [MaxTileLevel + 1][]byte // of each level the tile that is not full
}

// ReadFrontier reads the frontier of the tree of that size from its tiles, one of
// each level at most. They are not verified: whether they are the right ones
// shows in the root that Tree gives.
func ReadFrontier(ctx context.Context, size int64, tiles TileReader) (*Frontier, error) {
	if size < 0 {
		return nil, fmt.Errorf("no tree has size %d", size)
	}
	f := new(Frontier)
	var roots [][]byte // from the right
	for level := range f.tiles {
		count := size >> (TileHeight * level)
		id := TileID{level, count / FullWidth, int(count % FullWidth)}
		if id.Width == 0 {
			continue
		}
		tile, err := tiles.ReadTile(ctx, id.Level, id.Index, id.Width)
		if err == nil && len(tile) != id.Width*tlog.HashSize {
			err = fmt.Errorf("%s: %d bytes, want %d", id.Path(), len(tile), id.Width*tlog.HashSize)
		}
		if err != nil {
			return nil, fmt.Errorf("edge of the tree of size %d: %w", size, err)
		}
		f.tiles[level] = slices.Clip(tile)
		row := make([]Hash, id.Width)
		for i := range row {
			row[i] = Hash(tile[i*tlog.HashSize:][:tlog.HashSize])
		}
		for ; len(row) > 0; row = row[:len(row)/2] {
			if len(row)%2 == 1 {
				roots = append(roots, slices.Clone(row[len(row)-1][:]))
			}
			for i := range len(row) / 2 {
				row[i] = tlog.NodeHash(row[2*i], row[2*i+1])
			}
		}
	}
	slices.Reverse(roots)
	var err error
	if f.edge.r, err = ranges.NewRange(0, uint64(size), roots); err != nil {
		return nil, fmt.Errorf("edge of the tree of size %d: %w", size, err)
	}
	return f, nil
}

// Append adds the hash of the next leaf and returns the tiles that it fills, the
// lowest level first. It fails only for a tree that cannot grow, and then changes
// nothing.
func (f *Frontier) Append(leaf Hash) (full []Tile, err error) {
	err = f.edge.append(leaf, func(node compact.NodeID, hash []byte) {
		if node.Level%TileHeight != 0 {
			return
		}
		level := int(node.Level / TileHeight)
		tile := append(f.tiles[level], hash...)
		if len(tile) == FullWidth*tlog.HashSize {
			full = append(full, Tile{TileID{level, int64(node.Index / FullWidth), FullWidth}, tile})
			tile = nil
		}
		f.tiles[level] = tile
	})
	return full, err
}

// Partial returns the tiles that are not full, the lowest level first.
func (f *Frontier) Partial() []Tile {
	var tiles []Tile
	for level, hashes := range f.tiles {
		if len(hashes) > 0 {
			id := TileID{level, f.Size() >> (TileHeight * (level + 1)), len(hashes) / tlog.HashSize}
			tiles = append(tiles, Tile{id, slices.Clip(hashes)})
		}
	}
	return tiles
}

// Size returns the number of leaves.
func (f *Frontier) Size() int64 { return f.edge.size() }

// Tree returns the size and the root.
func (f *Frontier) Tree() Tree { return f.edge.Tree() }

// Edge returns a copy of the right edge, which grows on its own.
func (f *Frontier) Edge() *Edge { return f.edge.Clone() }

// Clone returns a copy that grows on its own.
func (f *Frontier) Clone() *Frontier {
	c := &Frontier{edge: Edge{r: f.edge.Clone().r}}
	for level, hashes := range f.tiles {
		c.tiles[level] = slices.Clip(hashes)
	}
	return c
}
