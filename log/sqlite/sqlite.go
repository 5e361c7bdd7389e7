// Package sqlite keeps a log's blobs and its derived state in two SQLite files.
//
// The blobs are data: every transaction is synced before it counts. The state
// can be made anew from the log and the blobs, so a lost transaction only means
// that it is caught up again; it is never corrupt, because SQLite's write-ahead
// log is atomic either way.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver
)

// errVersion is the error for a database of another version of this program.
var errVersion = errors.New("schema version")

// open opens a database that exists and has the given schema version.
// synchronous is SQLite's: FULL syncs every transaction.
func open(path, synchronous string, version int) (*sql.DB, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	db, err := connect(path, synchronous)
	if err != nil {
		return nil, err
	}
	var have int
	if err := db.QueryRow("PRAGMA user_version").Scan(&have); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	if have != version {
		return nil, errors.Join(fmt.Errorf("open %s: %w %d, want %d", path, errVersion, have, version), db.Close())
	}
	return db, nil
}

// create makes a database with a schema. It refuses a file that exists.
func create(path, synchronous string, version int, schema string) (err error) {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return fmt.Errorf("create database %s: %w", path, err)
	}
	db, err := connect(path, synchronous)
	if err != nil {
		return err
	}
	_, err = db.Exec("BEGIN;" + schema + fmt.Sprintf(";PRAGMA user_version = %d;COMMIT", version))
	if err := errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("create database %s: %w", path, err)
	}
	return nil
}

// upgrade adds to a database of one version what the next one has. It leaves alone a
// database of any other version, which somebody else may have upgraded meanwhile.
func upgrade(path, synchronous string, from, to int, schema string) error {
	db, err := connect(path, synchronous)
	if err != nil {
		return err
	}
	err = inTx(context.Background(), db, func(tx *sql.Tx) error {
		var have int
		if err := tx.QueryRow("PRAGMA user_version").Scan(&have); err != nil || have != from {
			return err
		}
		_, err := tx.Exec(schema + fmt.Sprintf(";PRAGMA user_version = %d", to))
		return err
	})
	return errors.Join(err, db.Close())
}

func connect(path, synchronous string) (*sql.DB, error) {
	return connectWith(path,
		"busy_timeout(5000)",
		"journal_mode(WAL)",
		"synchronous("+synchronous+")",
		// Pages that many transactions change are copied to the database
		// once; 16 MiB of write-ahead log is read in no time at a start.
		"wal_autocheckpoint(4096)",
	)
}

func connectWith(path string, pragmas ...string) (*sql.DB, error) {
	q := url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(8)
	return db, nil
}

// inTx runs fn in one transaction.
func inTx(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
