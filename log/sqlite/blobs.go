package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/tuf"
)

// blobsAtOnce is the number of blobs that one statement reads.
const blobsAtOnce = 64

// Blobs implements log.Blobs, and in the same file log.Tokens and log.Holds.
type Blobs struct {
	db   *sql.DB
	many *sql.Stmt // reads blobsAtOnce
	held *sql.Stmt // counts them
}

// CreateBlobs makes an empty file of blobs.
func CreateBlobs(path string) error { return create(path, "FULL", blobsVersion, blobsSchema) }

// OpenBlobs opens a file that CreateBlobs made. One of version 1, which has the blobs
// alone, is brought up to date.
func OpenBlobs(path string) (*Blobs, error) {
	db, err := open(path, "FULL", blobsVersion)
	if errors.Is(err, sqlitefile.ErrVersion) {
		if upgradeErr := sqlitefile.Upgrade(path, blobsVersion-1, blobsVersion, vendorsSchema, pragmas("FULL")...); upgradeErr != nil {
			return nil, errors.Join(err, upgradeErr)
		}
		db, err = open(path, "FULL", blobsVersion)
	}
	if err != nil {
		return nil, err
	}
	const those = " FROM blobs WHERE sum IN (?"
	rest := strings.Repeat(", ?", blobsAtOnce-1) + ")"
	many, err := db.Prepare("SELECT sum, data" + those + rest)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	held, err := db.Prepare("SELECT count(*)" + those + rest)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), many.Close(), db.Close())
	}
	return &Blobs{db, many, held}, nil
}

// Blob implements log.Blobs.
func (b *Blobs) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	// Reading one takes less time than interrupting it.
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("blob %v: %w", sum, err)
	}
	var data []byte
	err := b.db.QueryRow("SELECT data FROM blobs WHERE sum = ?", sum[:]).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("blob %v: %w", sum, err)
	}
	if got := tuf.Sum(data); got != sum {
		return nil, fmt.Errorf("blob %v is damaged: its SHA-256 is %v", sum, got)
	}
	return data, nil
}

// ReadBlobs calls each for those of the blobs that are there and undamaged, in any
// order. The data is valid during the call.
func (b *Blobs) ReadBlobs(ctx context.Context, sums []tuf.Digest, each func(sum tuf.Digest, data []byte)) error {
	for some := range slices.Chunk(sums, blobsAtOnce) {
		if err := b.readSome(ctx, some, each); err != nil {
			return fmt.Errorf("%d blobs: %w", len(some), err)
		}
	}
	return nil
}

func (b *Blobs) readSome(ctx context.Context, sums []tuf.Digest, each func(sum tuf.Digest, data []byte)) error {
	rows, err := b.many.QueryContext(ctx, arguments(sums)...)
	if err != nil {
		return err
	}
	for rows.Next() && err == nil {
		var named, data sql.RawBytes
		if err = rows.Scan(&named, &data); err != nil {
			break
		}
		if sum := tuf.Sum(data); bytes.Equal(sum[:], named) {
			each(sum, data)
		}
	}
	return errors.Join(err, rows.Err(), rows.Close())
}

// arguments are the digests as those of a statement about blobsAtOnce: the last of them
// stands for what is not there.
func arguments(sums []tuf.Digest) []any {
	args := make([]any, blobsAtOnce)
	for i := range args {
		args[i] = sums[min(i, len(sums)-1)][:]
	}
	return args
}

// CountBlobs returns how many of the blobs, which are all different, are there. It does not
// read them.
func (b *Blobs) CountBlobs(ctx context.Context, sums []tuf.Digest) (int, error) {
	held := 0
	for some := range slices.Chunk(sums, blobsAtOnce) {
		n := 0
		if err := b.held.QueryRowContext(ctx, arguments(some)...).Scan(&n); err != nil {
			return 0, fmt.Errorf("%d blobs: %w", len(some), err)
		}
		held += n
	}
	return held, nil
}

// Put implements log.Blobs.
func (b *Blobs) Put(ctx context.Context, files [][]byte) error {
	if len(files) == 0 {
		return nil
	}
	err := sqlitefile.InTx(ctx, b.db, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, "INSERT INTO blobs (sum, data) VALUES (?, ?) ON CONFLICT DO NOTHING")
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, data := range files {
			sum := tuf.Sum(data)
			if _, err := insert.ExecContext(ctx, sum[:], data); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("put %d blobs: %w", len(files), err)
	}
	return nil
}

// Close closes the file.
func (b *Blobs) Close() error { return errors.Join(b.many.Close(), b.held.Close(), b.db.Close()) }
