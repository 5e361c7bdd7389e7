package trillianlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/tuflog/tuflog/proofs"
)

// Mirror implements Tiles for a new tree that is filled with the first entries of a log
// that has a copy. It does not write: tiles that would be added to the copy must be in
// it already, byte for byte. So for a log that is opened over a Mirror, and covers all
// of it, every leaf was read back from the new tree and compared.
type Mirror struct {
	copied Tiles
	limit  int64

	mu   sync.Mutex
	size int64
}

// NewMirror returns a Mirror of the first limit entries of a copy. It covers none of
// them yet.
func NewMirror(copied Tiles, limit int64) *Mirror { return &Mirror{copied: copied, limit: limit} }

// Size implements Tiles.
func (m *Mirror) Size(context.Context) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.size, nil
}

// Tile implements Tiles.
func (m *Mirror) Tile(ctx context.Context, level int, index int64) ([]byte, error) {
	size, _ := m.Size(ctx)
	return m.tile(ctx, proofs.TileID{Level: level, Index: index, Width: proofs.TileWidth(size, max(0, level), index)})
}

func (m *Mirror) tile(ctx context.Context, id proofs.TileID) ([]byte, error) {
	tile, err := m.copied.Tile(ctx, id.Level, id.Index)
	if err != nil {
		return nil, err
	}
	return id.Cut(tile)
}

// Extend implements Tiles. The error is ErrContradiction if the copy has other
// tiles.
func (m *Mirror) Extend(ctx context.Context, from, to int64, tiles map[proofs.TileID][]byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if from != m.size || to < from {
		return fmt.Errorf("the mirror covers %d entries, not %d", m.size, from)
	}
	if to > m.limit {
		return fmt.Errorf("%w: the new tree has %d entries, and only %d are to be in it", ErrContradiction, to, m.limit)
	}
	for id, data := range tiles {
		have, err := m.tile(ctx, id)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, data) {
			return fmt.Errorf("%w: %s of the new tree differs from that of the copy", ErrContradiction, id.Path())
		}
	}
	m.size = to
	return nil
}

// Reset implements Tiles.
func (m *Mirror) Reset(context.Context) error {
	return errors.New("a mirror cannot be rebuilt")
}
