package state

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
)

// Names of values. The edge is also in the tiles: what does not agree is damaged.
const edgeName = "edge"

// maxEdgeText is more than any edge takes: a size, and at most 63 hashes.
const maxEdgeText = 4 << 10

// Tree returns the tree of the leaves that the database has, to grow on its own.
func (db *DB) Tree() *proofs.Frontier { return db.tree.Clone() }

// load reads the edge of the leaves.
func (db *DB) load(ctx context.Context) error {
	text, err := db.Get(ctx, edgeName)
	if err != nil {
		return err
	}
	tiles := map[int][]byte{}
	err = db.each(ctx, "SELECT level, hashes FROM frontier", nil, func(scan func(...any) error) error {
		var level int
		var hashes []byte
		err := scan(&level, &hashes)
		tiles[level] = hashes
		return err
	})
	if err != nil {
		return err
	}
	if db.tree, err = parseTree(ctx, text, tiles); err != nil {
		return err
	}
	db.saved = tiles
	var last int64
	if _, err := db.row(ctx, "SELECT coalesce(max(leaf), -1) FROM leaves", nil, &last); err != nil {
		return err
	}
	if last+1 != db.tree.Size() {
		return damaged("its last leaf is %d, and its edge is that of %d leaves", last, db.tree.Size())
	}
	db.size = db.tree.Size()
	return db.loadCounts(ctx)
}

// grow adds the hash of a leaf that was inserted.
func (db *DB) grow(hash proofs.Hash) error {
	_, err := db.tree.Append(hash)
	db.size = db.tree.Size()
	return err
}

// parseEdge reads an edge, empty for that of no leaves.
func parseEdge(text string) (*proofs.Edge, error) {
	if text == "" {
		text = "0\n"
	}
	if len(text) > maxEdgeText {
		return nil, damaged("an edge of %d bytes", len(text))
	}
	edge := new(proofs.Edge)
	if err := edge.UnmarshalText([]byte(text)); err != nil {
		return nil, damaged("%v", err)
	}
	return edge, nil
}

// parseTree reads an edge, empty for that of no leaves, and the tiles that are not full
// by level, which must give the same.
func parseTree(ctx context.Context, text string, tiles map[int][]byte) (*proofs.Frontier, error) {
	edge, err := parseEdge(text)
	if err != nil {
		return nil, err
	}
	tree, err := proofs.ReadFrontier(ctx, edge.Tree().N, tileMap(tiles))
	if err != nil {
		return nil, damaged("%v", err)
	}
	if tree.Tree() != edge.Tree() {
		return nil, damaged("the edge has root %v, and its tiles %v", edge.Tree().Hash, tree.Tree().Hash)
	}
	used := map[int]bool{}
	for _, tile := range tree.Partial() {
		used[tile.Level] = true
	}
	for level := range tiles {
		if !used[level] {
			return nil, damaged("a tile of level %d, which size %d does not have", level, edge.Tree().N)
		}
	}
	return tree, nil
}

type tileMap map[int][]byte

func (m tileMap) ReadTile(_ context.Context, level int, _ int64, _ int) ([]byte, error) {
	tile, ok := m[level]
	if !ok {
		return nil, fmt.Errorf("no tile of level %d", level)
	}
	return tile, nil
}

// saveTree writes what has changed of the edge.
func (db *DB) saveTree(ctx context.Context) error {
	text, err := db.tree.Edge().MarshalText()
	if err != nil {
		return err
	}
	if before, err := db.Get(ctx, edgeName); err != nil || before == string(text) || before == "" && db.tree.Size() == 0 {
		return err
	}
	if err := db.Set(ctx, edgeName, string(text)); err != nil {
		return err
	}
	now := map[int][]byte{}
	for _, tile := range db.tree.Partial() {
		now[tile.Level] = tile.Hashes
		if bytes.Equal(db.saved[tile.Level], tile.Hashes) {
			continue
		}
		if _, err := db.write(ctx, "INSERT INTO frontier (level, hashes) VALUES (?1, ?2) ON CONFLICT (level) DO UPDATE SET hashes = ?2", tile.Level, tile.Hashes); err != nil {
			return err
		}
	}
	for level := range db.saved {
		if now[level] == nil {
			if _, err := db.write(ctx, "DELETE FROM frontier WHERE level = ?", level); err != nil {
				return err
			}
		}
	}
	db.saved = now
	return nil
}

// LostTile is a tile that the log did not serve, and the SHA-256 that it must have.
type LostTile struct {
	ID  proofs.TileID
	Sum [32]byte
}

// Lost returns the tiles that the log has yet to serve.
func (r *Reader) Lost(ctx context.Context) ([]LostTile, error) {
	var lost []LostTile
	err := r.each(ctx, "SELECT level, tile, width, sum FROM lost ORDER BY level, tile, width", nil, func(scan func(...any) error) error {
		var t LostTile
		var sum []byte
		if err := scan(&t.ID.Level, &t.ID.Index, &t.ID.Width, &sum); err != nil {
			return err
		}
		if len(sum) != len(t.Sum) || t.ID.Level < 0 || t.ID.Level > proofs.MaxTileLevel || t.ID.Index < 0 || t.ID.Width < 1 || t.ID.Width > proofs.FullWidth {
			return damaged("a tile that was not served: %+v", t.ID)
		}
		copy(t.Sum[:], sum)
		lost = append(lost, t)
		return nil
	})
	return lost, err
}

// AddLost notes a tile that the log did not serve.
func (db *DB) AddLost(ctx context.Context, t LostTile) error {
	_, err := db.write(ctx, "INSERT INTO lost (level, tile, width, sum) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", t.ID.Level, t.ID.Index, t.ID.Width, t.Sum[:])
	return err
}

// RemoveLost notes that the log has served it.
func (db *DB) RemoveLost(ctx context.Context, t LostTile) error {
	_, err := db.write(ctx, "DELETE FROM lost WHERE level = ? AND tile = ? AND width = ?", t.ID.Level, t.ID.Index, t.ID.Width)
	return err
}
