package state

import (
	"context"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
)

// Tiles are those of the tree of the leaves that a state has, made from the leaves: what a
// log serves, for the time when it does not. It reads all leaves once, and again the few
// that are asked for. It is a proofs.TileReader, of trees that are no larger. It is not
// safe for concurrent use, and of no use after a Rollback.
type Tiles struct {
	of *Reader
	// full has for each level the hashes of its full tiles: those of the level above.
	full [][]proofs.Hash
	size int64 // of the tree when they were made
}

// Tiles returns the tiles of the leaves.
func (r *Reader) Tiles() *Tiles { return &Tiles{of: r} }

// ReadTile returns a tile, whole or the beginning of one.
func (t *Tiles) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	hashes, err := t.hashes(ctx, level, index*proofs.FullWidth, width)
	if err != nil {
		return nil, err
	}
	tile := make([]byte, 0, width*len(proofs.Hash{}))
	for _, h := range hashes {
		tile = append(tile, h[:]...)
	}
	return tile, nil
}

// hashes returns those of a level from one on.
func (t *Tiles) hashes(ctx context.Context, level int, from int64, n int) ([]proofs.Hash, error) {
	if level == 0 {
		hashes := make([]proofs.Hash, 0, n)
		err := t.of.Leaves(ctx, from, from+int64(n), func(l Leaf) error {
			hashes = append(hashes, proofs.LeafHash(l.Entry()))
			return nil
		})
		if err == nil && len(hashes) != n {
			err = &Error{fmt.Errorf("it has %d of %d leaves from %d on", len(hashes), n, from)}
		}
		return hashes, err
	}
	if t.full == nil || t.size != t.of.Size() {
		if err := t.build(ctx); err != nil {
			return nil, err
		}
	}
	if level > len(t.full) || from+int64(n) > int64(len(t.full[level-1])) {
		return nil, &Error{fmt.Errorf("it has no %d hashes of level %d from %d on", n, level, from)}
	}
	return t.full[level-1][from:][:n], nil
}

// build reads all leaves.
func (t *Tiles) build(ctx context.Context) error {
	full := [][]proofs.Hash{}
	var edges []*proofs.Edge // of the tile at hand of each level
	add := func(hash proofs.Hash) error {
		for level := 0; ; level++ {
			if level == len(edges) {
				edges, full = append(edges, new(proofs.Edge)), append(full, nil)
			}
			if err := edges[level].Append(hash); err != nil {
				return err
			}
			tile := edges[level].Tree()
			if tile.N < proofs.FullWidth {
				return nil
			}
			hash, edges[level] = tile.Hash, new(proofs.Edge)
			full[level] = append(full[level], hash)
		}
	}
	err := t.of.Leaves(ctx, 0, t.of.Size(), func(l Leaf) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return add(proofs.LeafHash(l.Entry()))
	})
	if err == nil {
		t.full, t.size = full, t.of.Size()
	}
	return err
}
