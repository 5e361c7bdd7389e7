// Package sqlite keeps a log's blobs and its derived state in two SQLite files.
//
// The blobs are data: every transaction is synced before it counts. The state
// can be rebuilt from the log and the blobs, so a lost transaction only means
// that it is caught up again; it is never corrupt, because SQLite's write-ahead
// log is atomic either way.
package sqlite

import (
	"database/sql"
	"fmt"

	"github.com/tuflog/tuflog/internal/sqlitefile"
)

// open opens a database that exists and has the given schema version.
// synchronous is SQLite's: FULL syncs every transaction.
func open(path, synchronous string, version int) (*sql.DB, error) {
	db, err := sqlitefile.Open(path, version, pragmas(synchronous)...)
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return db, nil
}

// create makes a database with a schema. It refuses a file that exists.
func create(path, synchronous string, version int, schema string) (err error) {
	if err := sqlitefile.Create(path, 0o644, version, schema, nil, pragmas(synchronous)...); err != nil {
		return fmt.Errorf("create database %s: %w", path, err)
	}
	return nil
}

func pragmas(synchronous string) []string {
	return []string{
		"journal_mode(WAL)",
		"synchronous(" + synchronous + ")",
		// Pages that many transactions change are copied to the database
		// once; 16 MiB of write-ahead log is read in no time at a start.
		"wal_autocheckpoint(4096)",
	}
}
