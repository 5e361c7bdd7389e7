package postgres

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/tuflog/tuflog/proofs"
)

// Tiles is a copy of the log's entries and hashes that front ends read. It can be
// rebuilt from the log. Level -1 has the bundles of entries.
type Tiles struct {
	db    *DB
	lease *Lease
}

// Tiles returns the copy. Only the leader can change it; l is nil for the others.
func (db *DB) Tiles(l *Lease) *Tiles { return &Tiles{db, l} }

// Size returns the number of entries that the copy covers.
func (t *Tiles) Size(ctx context.Context) (size int64, err error) {
	err = t.db.read(ctx, func(ctx context.Context) error {
		return t.db.pool.QueryRow(ctx, "SELECT size FROM copied").Scan(&size)
	})
	return size, wrap("read the size of the tiles", err)
}

// Tile returns a tile, or a bundle, in its present width; fs.ErrNotExist if
// there is none.
func (t *Tiles) Tile(ctx context.Context, level int, index int64) (data []byte, err error) {
	err = t.db.read(ctx, func(ctx context.Context) error {
		return t.db.pool.QueryRow(ctx, "SELECT string_agg(data, ''::bytea ORDER BY part) FROM tiles WHERE level = $1 AND index = $2", level, index).Scan(&data)
	})
	if err == nil && data == nil {
		err = fs.ErrNotExist
	}
	return data, wrap(fmt.Sprintf("read tile %d/%d", level, index), err)
}

// Extend makes the copy cover to entries instead of from: all or nothing, and
// only if it covers from. Each tile replaces the one of its level and index, and
// begins with the same hashes or entries.
func (t *Tiles) Extend(ctx context.Context, from, to int64, tiles map[proofs.TileID][]byte) error {
	if from < 0 || to < from {
		return fmt.Errorf("extend the tiles from %d to %d entries", from, to)
	}
	var whole struct {
		level []int16
		index []int64
		data  [][]byte
	}
	var parts []part
	for _, id := range slices.SortedFunc(maps.Keys(tiles), func(a, b proofs.TileID) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Index, b.Index))
	}) {
		if id.Level <= 0 && id.Index == from/proofs.FullWidth && from%proofs.FullWidth > 0 && id.Width < proofs.FullWidth {
			p, err := partOf(id, int(from%proofs.FullWidth), tiles[id])
			if err != nil {
				return fmt.Errorf("extend the tiles: %s: %w", id.Path(), err)
			}
			parts = append(parts, p)
			continue
		}
		whole.level, whole.index, whole.data = append(whole.level, int16(id.Level)), append(whole.index, id.Index), append(whole.data, tiles[id])
	}
	return t.write(ctx, "extend the tiles", from, to, func(b *pgx.Batch) {
		if len(whole.level) > 0 {
			b.Queue(`DELETE FROM tiles t USING unnest($1::smallint[], $2::bigint[]) q(level, index)
				WHERE t.level = q.level AND t.index = q.index AND t.part > 0`, whole.level, whole.index)
			b.Queue(`INSERT INTO tiles SELECT level, index, 0, data FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) q(level, index, data)
				ON CONFLICT (level, index, part) DO UPDATE SET data = excluded.data`, whole.level, whole.index, whole.data)
		}
		for _, p := range parts {
			b.Queue("SELECT append_tile($1, $2, $3, $4, $5)", p.level, p.index, p.part, p.before, p.data)
		}
	})
}

// part is the part to be added to a tile of the copy.
type part struct {
	level  int
	index  int64
	part   int // hashes or entries before it
	before int // bytes before it
	data   []byte
}

// partOf returns the part of a tile after its first n hashes or entries.
func partOf(id proofs.TileID, n int, tile []byte) (part, error) {
	before := n * len(proofs.Hash{})
	if id.Level < 0 {
		before = 0
		for range n {
			if len(tile) < before+2 {
				return part{}, errors.New("cut short")
			}
			before += 2 + int(binary.BigEndian.Uint16(tile[before:]))
		}
	}
	if n >= id.Width || len(tile) <= before {
		return part{}, fmt.Errorf("it has %d bytes, no more than its first %d", len(tile), n)
	}
	return part{id.Level, id.Index, n, before, tile[before:]}, nil
}

// Reset empties the copy, even a damaged one.
func (t *Tiles) Reset(ctx context.Context) error {
	return t.fenced(ctx, "empty the tiles", func(b *pgx.Batch) {
		b.Queue("INSERT INTO copied (size) VALUES (0) ON CONFLICT (only_row) DO UPDATE SET size = 0")
		b.Queue("TRUNCATE tiles")
	})
}

// write changes the copy if it covers from entries, so that it covers to.
func (t *Tiles) write(ctx context.Context, what string, from, to int64, fill func(*pgx.Batch)) error {
	return t.fenced(ctx, what, func(b *pgx.Batch) {
		b.Queue("SELECT move_copied($1, $2)", from, to)
		fill(b)
	})
}

func (t *Tiles) fenced(ctx context.Context, what string, fill func(*pgx.Batch)) error {
	if t.lease == nil {
		return fmt.Errorf("%s: %w", what, ErrNotLeader)
	}
	ctx, cancel := t.lease.during(ctx)
	defer cancel()
	err := t.db.write(ctx, t.lease, fill)
	return wrap(what, t.lease.explain(err))
}
