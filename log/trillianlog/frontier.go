package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/tuflog/tuflog/proofs"
)

// tileSet is tiles by their place.
type tileSet map[proofs.TileID][]byte

// frontier is all that is needed to go on with a copy of the log: the right edge
// of the tree, and the tile of each level and the bundle that are not full.
type frontier struct {
	tree   *proofs.Frontier
	bundle []byte
}

func newFrontier() *frontier { return &frontier{tree: new(proofs.Frontier)} }

func (f *frontier) size() int64 { return f.tree.Size() }

// clone returns a frontier that goes on on its own. What it appends does not
// change the tiles that both have.
func (f *frontier) clone() *frontier {
	return &frontier{tree: f.tree.Clone(), bundle: slices.Clip(f.bundle)}
}

// append adds an entry, and to done the bundle and the tiles that it completes.
func (f *frontier) append(entry []byte, done tileSet) error {
	bundle, err := proofs.AppendEntry(f.bundle, entry)
	if err != nil {
		return fmt.Errorf("entry %d: %w", f.size(), err)
	}
	tiles, err := f.tree.Append(proofs.LeafHash(entry))
	if err != nil {
		return err
	}
	f.bundle = bundle
	if size := f.size(); size%proofs.FullWidth == 0 {
		done[proofs.TileID{Level: proofs.EntriesLevel, Index: size/proofs.FullWidth - 1, Width: proofs.FullWidth}] = f.bundle
		f.bundle = nil
	}
	for _, tile := range tiles {
		done[tile.TileID] = tile.Hashes
	}
	return nil
}

// addPartial adds the tiles that are not full and have changed since the copy
// had size from.
func (f *frontier) addPartial(from int64, changed tileSet) {
	size := f.size()
	if width := int(size % proofs.FullWidth); width > 0 && from != size {
		changed[proofs.TileID{Level: proofs.EntriesLevel, Index: size / proofs.FullWidth, Width: width}] = slices.Clip(f.bundle)
	}
	for _, tile := range f.tree.Partial() {
		if tile.Width != proofs.TileWidth(from, tile.Level, tile.Index) {
			changed[tile.TileID] = tile.Hashes
		}
	}
}

// readFrontier reads the frontier of a copy. Its tiles and its bundle agree with
// each other; whether they are the log's shows in the root of the tree.
func readFrontier(ctx context.Context, copied Tiles) (*frontier, error) {
	size, err := copied.Size(ctx)
	if err != nil {
		return nil, fmt.Errorf("size of the copy: %w", err)
	}
	read := func(ctx context.Context, id proofs.TileID) ([]byte, error) {
		tile, err := copied.Tile(ctx, id.Level, id.Index)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: the copy has size %d, but no %s", ErrContradiction, size, id.Path())
		}
		if err != nil {
			return nil, fmt.Errorf("%s of the copy: %w", id.Path(), err)
		}
		if id.Level >= 0 && len(tile) != id.Width*len(proofs.Hash{}) {
			return nil, fmt.Errorf("%w: %s has %d bytes", ErrContradiction, id.Path(), len(tile))
		}
		return tile, nil
	}
	f := new(frontier)
	last := proofs.TileID{Level: proofs.EntriesLevel, Index: size / proofs.FullWidth, Width: int(size % proofs.FullWidth)}
	if last.Width > 0 {
		if f.bundle, err = read(ctx, last); err != nil {
			return nil, err
		}
	}
	f.tree, err = proofs.ReadFrontier(ctx, size, tileFunc(func(ctx context.Context, level int, index int64, width int) ([]byte, error) {
		return read(ctx, proofs.TileID{Level: level, Index: index, Width: width})
	}))
	if err != nil {
		return nil, err
	}
	return f, f.checkBundle(last)
}

// tileFunc is a proofs.TileReader.
type tileFunc func(ctx context.Context, level int, index int64, width int) ([]byte, error)

func (f tileFunc) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return f(ctx, level, index, width)
}

func (f *frontier) checkBundle(id proofs.TileID) error {
	list, err := proofs.ParseEntries(f.bundle)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrContradiction, id.Path(), err)
	}
	var hashes, above []byte
	for _, entry := range list {
		h := proofs.LeafHash(entry)
		hashes = append(hashes, h[:]...)
	}
	for _, tile := range f.tree.Partial() {
		if tile.Level == 0 {
			above = tile.Hashes
		}
	}
	if !slices.Equal(hashes, above) {
		return fmt.Errorf("%w: %s holds other entries than the tile above it", ErrContradiction, id.Path())
	}
	return nil
}
