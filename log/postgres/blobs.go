package postgres

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/tuflog/tuflog/tuf"
)

// Blobs implements log.Blobs.
type Blobs struct {
	db     *DB
	fenced bool
	lease  *Lease // of a leader, whose Put fails without it; nil: nobody's
}

// Blobs returns the files that leaves name. Adding to them does not need the
// lease.
func (db *DB) Blobs() *Blobs { return &Blobs{db: db} }

// Fenced returns the blobs for the holder of the lease. It puts files right before it
// appends, and Trillian does not check a lease, so a holder that was deposed meanwhile
// finds out here.
func (b *Blobs) Fenced(l *Lease) *Blobs { return &Blobs{db: b.db, fenced: true, lease: l} }

// Blob implements log.Blobs.
func (b *Blobs) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	var data []byte
	err := b.db.read(ctx, func(ctx context.Context) error {
		return b.db.pool.QueryRow(ctx, "SELECT data FROM blobs WHERE sum = $1", sum[:]).Scan(&data)
	})
	if err != nil {
		return nil, wrap(fmt.Sprintf("blob %v", sum), err)
	}
	if got := tuf.Sum(data); got != sum {
		return nil, fmt.Errorf("blob %v is damaged: its SHA-256 is %v", sum, got)
	}
	return data, nil
}

// blobsAtOnce is how many blobs are asked for in one statement.
const blobsAtOnce = 64

// ReadBlobs calls each for those of the blobs that are there and undamaged, in any
// order. The data is valid during the call.
func (b *Blobs) ReadBlobs(ctx context.Context, sums []tuf.Digest, each func(sum tuf.Digest, data []byte)) error {
	for some := range slices.Chunk(sums, blobsAtOnce) {
		names := make([][]byte, len(some))
		for i, sum := range some {
			names[i] = sum[:]
		}
		// Where the connection was broken it begins again, with the rest.
		done := map[tuf.Digest]bool{}
		err := b.db.read(ctx, func(ctx context.Context) error {
			rows, err := b.db.pool.Query(ctx, "SELECT data FROM blobs WHERE sum = ANY($1)", names)
			if err != nil {
				return err
			}
			var data pgtype.DriverBytes
			_, err = pgx.ForEachRow(rows, []any{&data}, func() error {
				if sum := tuf.Sum(data); slices.Contains(some, sum) && !done[sum] {
					done[sum] = true
					each(sum, data)
				}
				return nil
			})
			return err
		})
		if err != nil {
			return wrap(fmt.Sprintf("%d blobs", len(some)), err)
		}
	}
	return nil
}

// CountBlobs returns how many of the blobs, which are all different, are there. It does not
// read them.
func (b *Blobs) CountBlobs(ctx context.Context, sums []tuf.Digest) (held int, err error) {
	names := make([][]byte, len(sums))
	for i, sum := range sums {
		names[i] = sum[:]
	}
	err = b.db.read(ctx, func(ctx context.Context) error {
		return b.db.pool.QueryRow(ctx, "SELECT count(*) FROM blobs WHERE sum = ANY($1)", names).Scan(&held)
	})
	return held, wrap(fmt.Sprintf("%d blobs", len(sums)), err)
}

// putBytes is the number of bytes that one statement sends: both ends hold a whole
// message in memory.
const putBytes = 16 << 20

// Put implements log.Blobs.
func (b *Blobs) Put(ctx context.Context, files [][]byte) error {
	if len(files) == 0 {
		return nil
	}
	what := fmt.Sprintf("put %d blobs", len(files))
	if b.fenced && b.lease == nil {
		return fmt.Errorf("%s: %w", what, ErrNotLeader)
	}
	return wrap(what, b.put(ctx, files, nil))
}

// put is Put, and does more, which may be nil, in the same transaction.
func (b *Blobs) put(ctx context.Context, files [][]byte, more func(*pgx.Batch)) error {
	type blob struct{ sum, data []byte }
	type statement struct{ sums, datas [][]byte }
	list := make([]blob, len(files))
	for i, data := range files {
		sum := tuf.Sum(data)
		list[i] = blob{sum[:], data}
	}
	// In one order for all: two that add the same files never wait for each
	// other.
	slices.SortFunc(list, func(a, b blob) int { return bytes.Compare(a.sum, b.sum) })
	var statements []statement
	for len(list) > 0 {
		var sums, datas [][]byte
		size := 0
		for len(list) > 0 && (size == 0 || size+len(list[0].data) <= putBytes) {
			data := list[0].data
			if data == nil {
				data = []byte{} // nil would be NULL
			}
			sums, datas = append(sums, list[0].sum), append(datas, data)
			size += len(data)
			list = list[1:]
		}
		statements = append(statements, statement{sums, datas})
	}
	err := b.db.read(ctx, func(ctx context.Context) error {
		var batch pgx.Batch
		if b.lease != nil {
			batch.Queue(fence, b.lease.epoch, b.lease.holder)
		}
		for _, s := range statements {
			batch.Queue("INSERT INTO blobs SELECT * FROM unnest($1::bytea[], $2::bytea[]) ON CONFLICT DO NOTHING", s.sums, s.datas)
		}
		if more != nil {
			more(&batch)
		}
		return b.db.pool.SendBatch(ctx, &batch).Close()
	})
	if err != nil && b.lease != nil {
		err = b.lease.explain(err)
	}
	return err
}
