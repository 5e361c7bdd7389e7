package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

const (
	entries = -1 // the level of bundles
	full    = 256
	levels  = 8 // of tiles, above the bundles
)

// tileSet is tiles by their place.
type tileSet map[proofs.TileID][]byte

// frontier is all that is needed to go on with a copy of the log: the right edge
// of the tree, and the bundle and the tile of each level that are not full.
type frontier struct {
	edge   *proofs.Edge
	size   int64
	bundle []byte
	tiles  [levels][]byte
}

func newFrontier() *frontier { return &frontier{edge: new(proofs.Edge)} }

// clone returns a frontier that goes on on its own. What it appends does not
// change the tiles that both have.
func (f *frontier) clone() *frontier {
	c := &frontier{edge: f.edge.Clone(), size: f.size, bundle: slices.Clip(f.bundle)}
	for level, tile := range f.tiles {
		c.tiles[level] = slices.Clip(tile)
	}
	return c
}

// append adds an entry, and to done the bundle and the tiles that it completes.
func (f *frontier) append(entry []byte, done tileSet) error {
	bundle, err := proofs.AppendEntry(f.bundle, entry)
	if err != nil {
		return fmt.Errorf("entry %d: %w", f.size, err)
	}
	hash := proofs.LeafHash(entry)
	if err := f.edge.Append(hash); err != nil {
		return err
	}
	f.bundle = bundle
	f.size++
	if f.size%full == 0 {
		done[proofs.TileID{Level: entries, Index: f.size/full - 1, Width: full}] = f.bundle
		f.bundle = nil
	}
	for level := range levels {
		f.tiles[level] = append(f.tiles[level], hash[:]...)
		if len(f.tiles[level]) < full*tlog.HashSize {
			break
		}
		done[proofs.TileID{Level: level, Index: f.size>>(8*(level+1)) - 1, Width: full}] = f.tiles[level]
		hash = rootOf(f.tiles[level])
		f.tiles[level] = nil
	}
	return nil
}

// rootOf returns the hash over a full tile.
func rootOf(tile []byte) proofs.Hash {
	var row [full]proofs.Hash
	for i := range row {
		row[i] = proofs.Hash(tile[i*tlog.HashSize:][:tlog.HashSize])
	}
	for n := full / 2; n > 0; n /= 2 {
		for i := range n {
			row[i] = tlog.NodeHash(row[2*i], row[2*i+1])
		}
	}
	return row[0]
}

// addPartial adds the tiles that are not full and have changed since the copy
// had size from.
func (f *frontier) addPartial(from int64, changed tileSet) {
	if width := int(f.size % full); width > 0 && from != f.size {
		changed[proofs.TileID{Level: entries, Index: f.size / full, Width: width}] = slices.Clip(f.bundle)
	}
	for level, tile := range f.tiles {
		count := f.size >> (8 * level)
		if len(tile) > 0 && count != from>>(8*level) {
			changed[proofs.TileID{Level: level, Index: count / full, Width: int(count % full)}] = slices.Clip(tile)
		}
	}
}

// readFrontier reads the frontier of a copy. Its tiles and its bundle agree with
// each other; whether they are the log's shows in the root of the edge.
func readFrontier(ctx context.Context, copied Tiles) (*frontier, error) {
	size, err := copied.Size(ctx)
	if err != nil {
		return nil, fmt.Errorf("size of the copy: %w", err)
	}
	f := &frontier{size: size}
	for level := entries; level < levels; level++ {
		count := size >> (8 * max(0, level))
		id := proofs.TileID{Level: level, Index: count / full, Width: int(count % full)}
		if id.Width == 0 {
			continue
		}
		tile, err := copied.Tile(ctx, id.Level, id.Index)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: the copy has size %d, but no %s", ErrContradiction, size, id.Path())
		}
		if err != nil {
			return nil, fmt.Errorf("%s of the copy: %w", id.Path(), err)
		}
		if level == entries {
			f.bundle = tile
			continue
		}
		if len(tile) != id.Width*tlog.HashSize {
			return nil, fmt.Errorf("%w: %s has %d bytes", ErrContradiction, id.Path(), len(tile))
		}
		f.tiles[level] = tile
	}
	if err := f.checkBundle(); err != nil {
		return nil, err
	}
	if f.edge, err = log.EdgeFromTiles(size, f); err != nil {
		return nil, err
	}
	return f, nil
}

func (f *frontier) checkBundle() error {
	id := proofs.TileID{Level: entries, Index: f.size / full, Width: int(f.size % full)}
	list, err := proofs.ParseEntries(f.bundle)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrContradiction, id.Path(), err)
	}
	var hashes []byte
	for _, entry := range list {
		h := proofs.LeafHash(entry)
		hashes = append(hashes, h[:]...)
	}
	if !slices.Equal(hashes, f.tiles[0]) {
		return fmt.Errorf("%w: %s holds other entries than the tile above it", ErrContradiction, id.Path())
	}
	return nil
}

// ReadTile implements proofs.TileReader for the tiles that are not full.
func (f *frontier) ReadTile(level int, index int64, width int) ([]byte, error) {
	if level < 0 || level >= levels || index != f.size>>(8*level)/full || width*tlog.HashSize > len(f.tiles[level]) {
		return nil, fmt.Errorf("%s: %w", proofs.TilePath(level, index, width), fs.ErrNotExist)
	}
	return f.tiles[level][:width*tlog.HashSize], nil
}
