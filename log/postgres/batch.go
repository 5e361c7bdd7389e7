package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
)

// kept is the last batch that the holder of a lease has stored: entries that are to be
// appended from index first on, in their order.
type kept struct {
	mu      sync.Mutex
	first   int64
	entries [][]byte
}

// PutBatch implements log.Batches, in the transaction and the round trip that store the
// files.
func (b *Blobs) PutBatch(ctx context.Context, files [][]byte, first int64, entries [][]byte) error {
	what := fmt.Sprintf("put %d blobs and the batch at %d", len(files), first)
	if b.lease == nil {
		return fmt.Errorf("%s: %w", what, ErrNotLeader)
	}
	err := b.put(ctx, files, func(queue *pgx.Batch) {
		queue.Queue(`INSERT INTO batch (first, entries) VALUES ($1, $2)
			ON CONFLICT (only_row) DO UPDATE SET first = excluded.first, entries = excluded.entries`, first, entries)
	})
	if err != nil {
		return wrap(what, err)
	}
	k := &b.lease.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	k.first, k.entries = first, slices.Clone(entries)
	return nil
}

// Kept returns an error if entries must not be appended from index first on, because they
// are not the batch that this holder has stored last.
func (l *Lease) Kept(first int64, entries [][]byte) error {
	k := &l.kept
	k.mu.Lock()
	defer k.mu.Unlock()
	if first != k.first || !slices.EqualFunc(entries, k.entries, bytes.Equal) {
		return fmt.Errorf("%d entries at %d are not the batch that is kept, which is %d at %d", len(entries), first, len(k.entries), k.first)
	}
	return nil
}

// Batch returns the last batch that a leader was about to append, in its order and from index
// first on; no entries if there is no batch.
func (db *DB) Batch(ctx context.Context) (first int64, entries [][]byte, err error) {
	err = db.read(ctx, func(ctx context.Context) error {
		return db.pool.QueryRow(ctx, "SELECT first, entries FROM batch").Scan(&first, &entries)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, nil
	}
	return first, entries, wrap("read the batch that was to be appended last", err)
}
