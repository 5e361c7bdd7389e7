package trillianlog

import (
	"context"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// ReadTile implements log.Storage.
func (l *Log) ReadTile(level int, index int64, width int) ([]byte, error) {
	id := proofs.TileID{Level: level, Index: index, Width: width}
	if level < 0 || level >= levels || !within(id, l.size.Load()>>(8*level)) {
		return nil, fmt.Errorf("tile %d/%d of width %d: %w", level, index, width, fs.ErrNotExist)
	}
	return l.tile(id)
}

// ReadEntries implements log.Storage.
func (l *Log) ReadEntries(index int64, width int) ([]byte, error) {
	id := proofs.TileID{Level: entries, Index: index, Width: width}
	if !within(id, l.size.Load()) {
		return nil, fmt.Errorf("bundle %d of width %d: %w", index, width, fs.ErrNotExist)
	}
	return l.tile(id)
}

// within reports whether the tile is among total hashes or entries of its level.
func within(id proofs.TileID, total int64) bool {
	return id.Index >= 0 && id.Width >= 1 && id.Width <= full && id.Index <= total/full && total-id.Index*full >= int64(id.Width)
}

// tile returns what was just written from memory, the rest from the copy.
func (l *Log) tile(id proofs.TileID) ([]byte, error) {
	if data, ok := l.cache.get(id); ok {
		return cut(id, data)
	}
	return readTile(l.cfg.Tiles, id)
}

func readTile(copied Tiles, id proofs.TileID) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), copyTime)
	defer cancel()
	data, err := copied.Tile(ctx, id.Level, id.Index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id.Path(), err)
	}
	return cut(id, data)
}

// cut returns the part of a tile or bundle that is as wide as asked for. What is
// not that wide is not there.
func cut(id proofs.TileID, data []byte) ([]byte, error) {
	if id.Level >= 0 {
		if len(data)%tlog.HashSize != 0 || len(data) > full*tlog.HashSize {
			return nil, fmt.Errorf("%s: the copy's has %d bytes", id.Path(), len(data))
		}
		if len(data) < id.Width*tlog.HashSize {
			return nil, fmt.Errorf("%s: %w: the copy's has %d hashes", id.Path(), fs.ErrNotExist, len(data)/tlog.HashSize)
		}
		return data[:id.Width*tlog.HashSize], nil
	}
	list, err := proofs.ParseEntries(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", id.Path(), err)
	}
	if len(list) < id.Width {
		return nil, fmt.Errorf("%s: %w: the copy's has %d entries", id.Path(), fs.ErrNotExist, len(list))
	}
	end := 0
	for _, e := range list[:id.Width] {
		end += 2 + len(e)
	}
	return data[:end], nil
}

// Reader reads a copy that another process extends. It is a log.Storage to which
// nothing can be appended, and speaks to no Trillian.
type Reader struct{ copied Tiles }

// OpenReader opens a copy for reading.
func OpenReader(copied Tiles) *Reader { return &Reader{copied} }

// Integrated implements log.Storage: the tree that the copy has now.
func (r *Reader) Integrated(ctx context.Context) (proofs.Tree, error) {
	size, err := r.copied.Size(ctx)
	if err != nil {
		return proofs.Tree{}, fmt.Errorf("size of the copy: %w", err)
	}
	return log.TreeFromTiles(size, r)
}

// ReadTile implements log.Storage. The copy may have grown since Integrated.
func (r *Reader) ReadTile(level int, index int64, width int) ([]byte, error) {
	if level < 0 || level >= levels || index < 0 || width < 1 || width > full {
		return nil, fmt.Errorf("tile %d/%d of width %d: %w", level, index, width, fs.ErrNotExist)
	}
	return readTile(r.copied, proofs.TileID{Level: level, Index: index, Width: width})
}

// ReadEntries implements log.Storage.
func (r *Reader) ReadEntries(index int64, width int) ([]byte, error) {
	if index < 0 || width < 1 || width > full {
		return nil, fmt.Errorf("bundle %d of width %d: %w", index, width, fs.ErrNotExist)
	}
	return readTile(r.copied, proofs.TileID{Level: entries, Index: index, Width: width})
}

// Close implements log.Storage. The copy stays open.
func (r *Reader) Close() error { return nil }
