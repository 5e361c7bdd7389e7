package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tuflog/tuflog/verify"
)

const (
	blobsVersion = 1
	blobsSchema  = `CREATE TABLE blobs (sum BLOB NOT NULL UNIQUE, data BLOB NOT NULL)`
)

// Blobs implements log.Blobs.
type Blobs struct{ db *sql.DB }

// CreateBlobs makes an empty file of blobs.
func CreateBlobs(path string) error { return create(path, "FULL", blobsVersion, blobsSchema) }

// OpenBlobs opens a file that CreateBlobs made.
func OpenBlobs(path string) (*Blobs, error) {
	db, err := open(path, "FULL", blobsVersion)
	if err != nil {
		return nil, err
	}
	return &Blobs{db}, nil
}

// Blob implements log.Blobs.
func (b *Blobs) Blob(sum verify.Digest) ([]byte, error) {
	var data []byte
	err := b.db.QueryRow("SELECT data FROM blobs WHERE sum = ?", sum[:]).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("blob %v: %w", sum, err)
	}
	if got := verify.Sum(data); got != sum {
		return nil, fmt.Errorf("blob %v is damaged: its SHA-256 is %v", sum, got)
	}
	return data, nil
}

// Put implements log.Blobs.
func (b *Blobs) Put(ctx context.Context, files [][]byte) error {
	if len(files) == 0 {
		return nil
	}
	err := inTx(ctx, b.db, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, "INSERT INTO blobs (sum, data) VALUES (?, ?) ON CONFLICT DO NOTHING")
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, data := range files {
			sum := verify.Sum(data)
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
func (b *Blobs) Close() error { return b.db.Close() }
