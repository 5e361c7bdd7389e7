package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/proofs"
)

// ReplacedError means that the entries of the log are in another storage than the
// requested one, because ReplaceStorage has replaced it.
type ReplacedError struct {
	Origin  string // of the log
	Storage string // the name of where the entries are
	URL     string // of the same
}

func (e *ReplacedError) Error() string {
	return fmt.Sprintf("the entries of log %q are in %s now: give its URL, --storage %s", e.Origin, e.Storage, e.URL)
}

// StorageURLs returns the URL that was last given to ReplaceStorage, and the URL of the
// storage that is being filled to be the next one; empty if there is none.
func (db *DB) StorageURLs(ctx context.Context) (now, next string, err error) {
	err = db.read(ctx, func(ctx context.Context) error {
		return db.pool.QueryRow(ctx, "SELECT url, next FROM log").Scan(&now, &next)
	})
	return now, next, wrap("read where the log is", err)
}

// SetNextStorage remembers, for the leader, the URL of the storage that is to be filled.
func (db *DB) SetNextStorage(ctx context.Context, l *Lease, url string) error {
	ctx, cancel := l.during(ctx)
	defer cancel()
	err := db.write(ctx, l, func(b *pgx.Batch) { b.Queue("UPDATE log SET next = $1", url) })
	return wrap("remember the next storage", l.explain(err))
}

// Replacement is a storage that takes the place of another.
type Replacement struct {
	From, To string // names, as Create was given one
	URL      string // of To
	// Size is the number of entries with which the log goes on. The copy is cut
	// to it.
	Size int64
	// Action is recorded.
	Action maintain.Action
}

// ReplaceStorage puts another storage in the place of the log's, which has the first Size
// of its entries and no others. The leader's right lasts until it is done, and the next
// leader reads the new place. A held file whose entry is dropped is refused with
// hold-dropped; its sender is told to send it again.
func (db *DB) ReplaceStorage(ctx context.Context, l *Lease, r Replacement) error {
	err := db.replaceStorage(ctx, l, r)
	return wrap("replace the storage", l.explain(err))
}

func (db *DB) replaceStorage(ctx context.Context, l *Lease, r Replacement) error {
	action, err := json.Marshal(r.Action)
	if err != nil {
		return err
	}
	edge, err := db.Tiles(l).edge(ctx, r.Size)
	if err != nil {
		return err
	}
	ctx, cancel := l.during(ctx)
	defer cancel()
	return db.inTx(ctx, l, func(tx pgx.Tx) error {
		done, err := tx.Exec(ctx, "UPDATE log SET storage = $2, url = $3, next = '' WHERE storage = $1", r.From, r.To, r.URL)
		if err == nil && done.RowsAffected() == 0 {
			err = fmt.Errorf("the log is not in %s", r.From)
		}
		if err != nil {
			return err
		}
		if err := cutCopy(ctx, tx, r.Size, edge); err != nil {
			return err
		}
		// The kept batch was for the tree before.
		if _, err := tx.Exec(ctx, "DELETE FROM batch"); err != nil {
			return err
		}
		const dropped = "the entry was dropped before it was signed, because the log's storage was replaced: submit the file again"
		if _, err := tx.Exec(ctx, "UPDATE held SET status = $1, code = $2, detail = $3, leaf = -1 WHERE ended IS NOT NULL AND leaf >= $4",
			string(api.StatusRefused), api.CodeHoldDropped, []byte(dropped), r.Size); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO actions (action) VALUES ($1)", string(action))
		return err
	})
}

// copyLevels are the levels of the copy: the bundles, and the tiles above them.
const copyLevels = 8

// edge returns the copy's tiles and bundles that are not full in a log of this size.
func (t *Tiles) edge(ctx context.Context, size int64) (map[proofs.TileID][]byte, error) {
	edge := map[proofs.TileID][]byte{}
	for level := proofs.EntriesLevel; level < copyLevels; level++ {
		count := size >> (8 * max(0, level))
		id := proofs.TileID{Level: level, Index: count / proofs.FullWidth, Width: int(count % proofs.FullWidth)}
		if id.Width == 0 {
			continue
		}
		tile, err := t.Tile(ctx, level, id.Index)
		if err != nil {
			return nil, err
		}
		if edge[id], err = id.Cut(tile); err != nil {
			return nil, err
		}
	}
	return edge, nil
}

// cutCopy cuts the copy to a size; edge has the tiles and bundles that are not
// full there.
func cutCopy(ctx context.Context, tx pgx.Tx, size int64, edge map[proofs.TileID][]byte) error {
	done, err := tx.Exec(ctx, "UPDATE copied SET size = $1 WHERE size >= $1", size)
	if err == nil && done.RowsAffected() == 0 {
		err = fmt.Errorf("the copy has fewer than %d entries", size)
	}
	if err != nil {
		return err
	}
	for level := proofs.EntriesLevel; level < copyLevels; level++ {
		if _, err := tx.Exec(ctx, "DELETE FROM tiles WHERE level = $1 AND index >= $2", level, size>>(8*max(0, level))/proofs.FullWidth); err != nil {
			return err
		}
	}
	for id, data := range edge {
		if _, err := tx.Exec(ctx, "INSERT INTO tiles VALUES ($1, $2, 0, $3)", id.Level, id.Index, data); err != nil {
			return err
		}
	}
	return nil
}
