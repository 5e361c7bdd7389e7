// Package sqlitefile opens SQLite files whose schema has a version
// (PRAGMA user_version), with or without checksums of their pages.
package sqlitefile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite" // also the driver
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tuflog/tuflog/internal/durable"
)

// ErrVersion is wrapped if a file has another schema than the requested one.
var ErrVersion = errors.New("schema version")

// ErrNew is wrapped beside ErrVersion if a file has no schema yet: somebody is making it.
var ErrNew = errors.New("it is not complete yet")

func otherVersion(have, want int) error {
	err := fmt.Errorf("%w %d, want %d", ErrVersion, have, want)
	if have == 0 {
		err = fmt.Errorf("%w: %w", err, ErrNew)
	}
	return err
}

// Open opens an existing file with the given schema version; a new file has version 0.
// Pragmas are such as "synchronous(FULL)". A transaction takes the lock when it begins,
// and waits for other processes' for 10 s.
func Open(path string, version int, pragmas ...string) (*sql.DB, error) {
	return open(path, version, pragmas, plainVFS, forWriting)
}

// plainVFS names SQLite's default VFS.
func plainVFS() (string, error) { return "", nil }

// How a file is opened: parts of SQLite's URL.
var (
	forWriting      = url.Values{"mode": {"rw"}, "_txlock": {"immediate"}}
	forReading      = url.Values{"mode": {"ro"}}
	forReadingStill = url.Values{"mode": {"ro"}, "immutable": {"1"}}
)

func open(path string, version int, pragmas []string, vfs func() (string, error), how url.Values) (*sql.DB, error) {
	db, err := connect(path, pragmas, vfs, how)
	if err != nil {
		return nil, err
	}
	var have int
	err = db.QueryRow("PRAGMA user_version").Scan(&have)
	if err == nil && have != version {
		err = otherVersion(have, version)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func connect(path string, pragmas []string, vfs func() (string, error), how url.Values) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(abs); err != nil {
		return nil, err
	}
	q := maps.Clone(how)
	q["_pragma"] = append([]string{"busy_timeout(10000)"}, pragmas...)
	name, err := vfs()
	if err != nil {
		return nil, err
	}
	if name != "" {
		q.Set("vfs", name)
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(8)
	return db, nil
}

// Create makes a file with a schema and lets fill, which may be nil, add its content.
// It refuses to replace an existing file.
func Create(path string, perm fs.FileMode, version int, schema string, fill func(*sql.Tx) error, pragmas ...string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := change(path, 0, version, schema, fill, pragmas, plainVFS); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// Upgrade upgrades a file of one version to the next. It does not change a file of any
// other version, which another process may have upgraded meanwhile.
func Upgrade(path string, from, to int, schema string, pragmas ...string) error {
	return change(path, from, to, schema, nil, pragmas, plainVFS)
}

// change does it all in one transaction.
func change(path string, from, to int, schema string, fill func(*sql.Tx) error, pragmas []string, vfs func() (string, error)) error {
	db, err := connect(path, pragmas, vfs, forWriting)
	if err != nil {
		return err
	}
	err = InTx(context.Background(), db, func(tx *sql.Tx) error {
		var have int
		if err := tx.QueryRow("PRAGMA user_version").Scan(&have); err != nil || have != from {
			return err
		}
		if _, err := tx.Exec(schema + fmt.Sprintf(";PRAGMA user_version = %d", to)); err != nil || fill == nil {
			return err
		}
		return fill(tx)
	})
	return errors.Join(err, db.Close())
}

// InTx runs fn in one transaction.
func InTx(ctx context.Context, db *sql.DB, fn func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Temporary opens a database without a name, of which SQLite keeps in a file what does
// not find room in its cache. It ends with its one connection: Conn gives that, and
// nothing else does.
func Temporary(ctx context.Context, version int, schema string, pragmas ...string) (*sql.DB, *sql.Conn, error) {
	db, err := sql.Open("sqlite", "")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	for _, pragma := range append(pragmas, fmt.Sprintf("user_version(%d)", version)) {
		if _, err = conn.ExecContext(ctx, "PRAGMA "+pragma); err != nil {
			return nil, nil, errors.Join(err, conn.Close(), db.Close())
		}
	}
	if _, err := conn.ExecContext(ctx, schema); err != nil {
		return nil, nil, errors.Join(err, conn.Close(), db.Close())
	}
	return db, conn, nil
}

// Damaged reports whether an error says that a file is not the database that SQLite
// wrote.
func Damaged(err error) bool {
	if errors.Is(err, errShort) {
		return true
	}
	var failed *sqlite.Error
	if !errors.As(err, &failed) {
		return false
	}
	if failed.Code() == sqlite3.SQLITE_IOERR_DATA { // a checksum
		return true
	}
	primary := failed.Code() & 0xff
	return primary == sqlite3.SQLITE_CORRUPT || primary == sqlite3.SQLITE_NOTADB
}
