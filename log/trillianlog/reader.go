package trillianlog

import (
	"context"
	"fmt"
	"io/fs"
	"math"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// ReadTile implements log.Storage.
func (l *Log) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return l.tile(ctx, proofs.TileID{Level: level, Index: index, Width: width})
}

// ReadEntries implements log.Storage.
func (l *Log) ReadEntries(ctx context.Context, index int64, width int) ([]byte, error) {
	return l.tile(ctx, proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width})
}

// tile returns what was just written from memory, the rest from the copy.
func (l *Log) tile(ctx context.Context, id proofs.TileID) ([]byte, error) {
	if !id.In(l.size.Load()) {
		return nil, fmt.Errorf("%s: %w", id.Path(), fs.ErrNotExist)
	}
	if data, ok := l.cache.get(id); ok {
		return id.Cut(data)
	}
	return readTile(ctx, l.cfg.Tiles, id)
}

func readTile(ctx context.Context, copied Tiles, id proofs.TileID) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, copyTime)
	defer cancel()
	data, err := copied.Tile(ctx, id.Level, id.Index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id.Path(), err)
	}
	return id.Cut(data)
}

// Reader reads a copy that another process extends. It is a log.Storage that
// refuses Append, and does not connect to Trillian.
type Reader struct{ copied Tiles }

// OpenReader opens a copy for reading.
func OpenReader(copied Tiles) *Reader { return &Reader{copied} }

// Integrated implements log.Storage: the tree that the copy has now.
func (r *Reader) Integrated(ctx context.Context) (proofs.Tree, error) {
	size, err := r.copied.Size(ctx)
	if err != nil {
		return proofs.Tree{}, fmt.Errorf("size of the copy: %w", err)
	}
	return log.TreeFromTiles(ctx, size, r)
}

// ReadTile implements log.Storage. The copy may have grown since Integrated.
func (r *Reader) ReadTile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return r.tile(ctx, proofs.TileID{Level: level, Index: index, Width: width})
}

// ReadEntries implements log.Storage.
func (r *Reader) ReadEntries(ctx context.Context, index int64, width int) ([]byte, error) {
	return r.tile(ctx, proofs.TileID{Level: proofs.EntriesLevel, Index: index, Width: width})
}

func (r *Reader) tile(ctx context.Context, id proofs.TileID) ([]byte, error) {
	if !id.In(math.MaxInt64) {
		return nil, fmt.Errorf("%s: %w", id.Path(), fs.ErrNotExist)
	}
	return readTile(ctx, r.copied, id)
}

// Close implements log.Storage. The copy stays open.
func (r *Reader) Close() error { return nil }
