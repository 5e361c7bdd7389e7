// Package sqlite keeps a witness's state in one SQLite file, state.db, in a
// directory of its own.
//
// The file is in WAL mode with synchronous=FULL: a change that was reported as
// done survives a power cut. Several processes may have it open at once, so
// that logs can be added while the witness serves; only one may cosign, the one
// that holds the lock of the directory (see Lock).
//
//	signers  the witness's own public keys
//	logs     one row per log: origin, and the checkpoint cosigned last
//	keys     the logs' public keys
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"

	_ "modernc.org/sqlite" // the driver
)

const (
	fileName = "state.db"
	// version of the schema, in PRAGMA user_version.
	version = 1
)

// The latest checkpoint's size and root repeat what is in its note, for people
// who look into the file; reading compares them.
const schema = `
CREATE TABLE signers (
	vkey TEXT PRIMARY KEY
) STRICT;
CREATE TABLE logs (
	id     BLOB PRIMARY KEY CHECK (length(id) = 32), -- SHA-256 of origin
	origin TEXT NOT NULL UNIQUE,
	size   INTEGER CHECK (size >= 0),
	root   BLOB CHECK (length(root) = 32),
	note   BLOB,    -- the checkpoint with the log's signatures
	time   INTEGER, -- of the cosignature, POSIX seconds
	CHECK ((size IS NULL) = (root IS NULL) AND (size IS NULL) = (note IS NULL) AND (size IS NULL) = (time IS NULL))
) STRICT;
CREATE TABLE keys (
	log    BLOB NOT NULL REFERENCES logs (id),
	key_id INTEGER NOT NULL,
	vkey   TEXT NOT NULL,
	PRIMARY KEY (log, key_id)
) STRICT;
`

// Create makes a new state in an existing directory, for a witness with the
// given public keys. It refuses to touch a state that exists: a witness that
// forgets what it cosigned can be made to cosign a fork.
func Create(dir string, signers ...proofs.Key) error {
	if len(signers) == 0 {
		return errors.New("create state: no key")
	}
	path := filepath.Join(dir, fileName)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("create state: %s exists already and is not overwritten", path)
		}
		return fmt.Errorf("create state: %w", err)
	}
	if err := errors.Join(f.Close(), fill(path, signers)); err != nil {
		return fmt.Errorf("create state %s: %w", path, err)
	}
	return durable.SyncDir(dir)
}

// fill writes the schema into an empty file.
func fill(path string, signers []proofs.Key) (err error) {
	db, err := open(path, "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	ctx := context.Background()
	return transact(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, schema); err != nil {
			return err
		}
		for _, k := range signers {
			if _, err := tx.ExecContext(ctx, `INSERT INTO signers (vkey) VALUES (?)`, k.String()); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA user_version = %d`, version))
		return err
	})
}

// open opens the file, which must exist, with one more query parameter.
func open(path, more string) (*sql.DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	// The timeout lets a process that adds a log and one that serves wait for
	// each other's commits.
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(abs), RawQuery: "mode=rw&_txlock=immediate" +
		"&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)" + more}
	return sql.Open("sqlite", u.String())
}

// Store is a witness's state. It implements witness.Store.
type Store struct {
	// Writing goes over one connection, because SQLite has one writer anyway
	// and waits more fairly here than inside its busy handler.
	write   *sql.DB
	read    *sql.DB
	signers []proofs.Key
}

var _ witness.Store = (*Store)(nil)

// Open opens the state in a directory where Create made one.
func Open(dir string) (*Store, error) {
	path := filepath.Join(dir, fileName)
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("no witness in %s: %s is missing (witness init makes one)", dir, fileName)
		}
		return nil, fmt.Errorf("open state: %w", err)
	}
	s, err := openBoth(path)
	if err != nil {
		return nil, fmt.Errorf("open state: %w", err)
	}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("open state %s: %w", path, err), s.Close())
	}
	return s, nil
}

func openBoth(path string) (*Store, error) {
	write, err := open(path, "")
	if err != nil {
		return nil, err
	}
	write.SetMaxOpenConns(1)
	read, err := open(path, "&_pragma=query_only(1)")
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	read.SetMaxIdleConns(4)
	read.SetMaxOpenConns(16)
	return &Store{write: write, read: read}, nil
}

// load checks the schema's version and reads the signers.
func (s *Store) load() (err error) {
	var v int
	if err := s.write.QueryRow(`PRAGMA user_version`).Scan(&v); err != nil {
		return err
	}
	if v != version {
		return fmt.Errorf("schema version %d, want %d", v, version)
	}
	rows, err := s.write.Query(`SELECT vkey FROM signers ORDER BY rowid`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var vkey string
		if err := rows.Scan(&vkey); err != nil {
			return err
		}
		k, err := proofs.ParseKey(vkey)
		if err != nil {
			return err
		}
		s.signers = append(s.signers, k)
	}
	return rows.Err()
}

// Signers returns the public keys that the state was created for. Whoever
// signs for another key would speak for a witness whose past is not here.
func (s *Store) Signers() []proofs.Key { return append([]proofs.Key(nil), s.signers...) }

// Close closes the files.
func (s *Store) Close() error { return errors.Join(s.read.Close(), s.write.Close()) }

const selectLogs = `SELECT l.origin, l.size, l.root, l.note, l.time, k.vkey FROM logs l JOIN keys k ON k.log = l.id `

// Log implements witness.Store.
func (s *Store) Log(ctx context.Context, id witness.OriginHash) (witness.Log, error) {
	logs, err := query(ctx, s.read, selectLogs+`WHERE l.id = ? ORDER BY k.rowid`, id[:])
	if err != nil {
		return witness.Log{}, err
	}
	if len(logs) == 0 {
		return witness.Log{}, fmt.Errorf("origin hash %v: %w", id, witness.ErrUnknownLog)
	}
	return logs[0], nil
}

// Logs implements witness.Store.
func (s *Store) Logs(ctx context.Context) ([]witness.Log, error) {
	return query(ctx, s.read, selectLogs+`ORDER BY l.origin, k.rowid`)
}

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// query reads logs from rows of selectLogs, one row per key.
func query(ctx context.Context, q querier, query string, args ...any) (logs []witness.Log, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			origin, vkey string
			size, time   sql.NullInt64
			root, note   []byte
		)
		if err := rows.Scan(&origin, &size, &root, &note, &time, &vkey); err != nil {
			return nil, err
		}
		if n := len(logs); n == 0 || logs[n-1].Origin != origin {
			l := witness.Log{Origin: origin}
			if size.Valid {
				latest := witness.Latest{Tree: proofs.Tree{N: size.Int64}, Note: note, Time: time.Int64}
				copy(latest.Tree.Hash[:], root)
				if err := checkRow(origin, latest); err != nil {
					return nil, fmt.Errorf("state of %s is damaged: %w", origin, err)
				}
				l.Latest = &latest
			}
			logs = append(logs, l)
		}
		key, err := proofs.ParseKey(vkey)
		if err != nil {
			return nil, fmt.Errorf("state of %s is damaged: %w", origin, err)
		}
		l := &logs[len(logs)-1]
		l.Keys = append(l.Keys, key)
	}
	return logs, rows.Err()
}

// checkRow compares a checkpoint with the columns beside it.
func checkRow(origin string, latest witness.Latest) error {
	note, err := proofs.ParseNote(latest.Note)
	if err != nil {
		return err
	}
	cp, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return err
	}
	if cp.Origin != origin || cp.Tree != latest.Tree {
		return fmt.Errorf("the row says size %d and root %v, its note %s, size %d and root %v", latest.Tree.N, latest.Tree.Hash, cp.Origin, cp.Tree.N, cp.Tree.Hash)
	}
	return nil
}

// AddLog implements witness.Store.
func (s *Store) AddLog(ctx context.Context, key proofs.Key) error {
	return s.addKey(ctx, key, func(tx *sql.Tx, id witness.OriginHash, known bool) error {
		if known {
			return fmt.Errorf("log %s: %w", key.Name(), witness.ErrKnownLog)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO logs (id, origin) VALUES (?, ?)`, id[:], key.Name())
		return err
	})
}

// AddKey implements witness.Store.
func (s *Store) AddKey(ctx context.Context, key proofs.Key) error {
	return s.addKey(ctx, key, func(_ *sql.Tx, _ witness.OriginHash, known bool) error {
		if !known {
			return fmt.Errorf("log %s: %w", key.Name(), witness.ErrUnknownLog)
		}
		return nil
	})
}

// addKey inserts a key after prepare has made sure of its log's row.
func (s *Store) addKey(ctx context.Context, key proofs.Key, prepare func(tx *sql.Tx, id witness.OriginHash, known bool) error) error {
	if err := witness.CheckLogKey(key); err != nil {
		return err
	}
	id := witness.HashOrigin(key.Name())
	return transact(ctx, s.write, func(tx *sql.Tx) error {
		var known, taken bool
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM logs WHERE id = ?)`, id[:]).Scan(&known); err != nil {
			return err
		}
		if err := prepare(tx, id, known); err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM keys WHERE log = ? AND key_id = ?)`, id[:], key.ID()).Scan(&taken); err != nil {
			return err
		}
		if taken {
			return fmt.Errorf("key %s with id %08x: %w", key.Name(), key.ID(), witness.ErrKnownLog)
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO keys (log, key_id, vkey) VALUES (?, ?, ?)`, id[:], key.ID(), key.String())
		return err
	})
}

// Update implements witness.Store.
func (s *Store) Update(ctx context.Context, id witness.OriginHash, old *proofs.Tree, next witness.Latest) error {
	return transact(ctx, s.write, func(tx *sql.Tx) error {
		logs, err := query(ctx, tx, selectLogs+`WHERE l.id = ?`, id[:])
		if err != nil {
			return err
		}
		if len(logs) == 0 {
			return fmt.Errorf("origin hash %v: %w", id, witness.ErrUnknownLog)
		}
		latest := logs[0].Latest
		if (latest == nil) != (old == nil) || latest != nil && latest.Tree != *old {
			return fmt.Errorf("log %s: %w", logs[0].Origin, witness.ErrStale)
		}
		if err := witness.CheckSuccessor(latest, next); err != nil {
			return fmt.Errorf("log %s: %w", logs[0].Origin, err)
		}
		if err := checkRow(logs[0].Origin, next); err != nil {
			return fmt.Errorf("log %s: %w", logs[0].Origin, err)
		}
		_, err = tx.ExecContext(ctx, `UPDATE logs SET size = ?, root = ?, note = ?, time = ? WHERE id = ?`,
			next.Tree.N, next.Tree.Hash[:], next.Note, next.Time, id[:])
		return err
	})
}

// transact runs f in a transaction that writes.
func transact(ctx context.Context, db *sql.DB, f func(*sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
