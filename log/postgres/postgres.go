// Package postgres keeps the data that the front ends of one log share, in one
// PostgreSQL database: the right to lead (Lease), the last signed tree (Ledger),
// the published checkpoint, a copy of the entries as tiles, the files that leaves
// name, and the derived state.
//
// # The right to write
//
// The lease is a row. Its holder renews it; a candidate that sees it unchanged
// for as long as a lease lasts takes it over and raises its epoch. Every
// transaction that only a leader may do begins by reading that row, which must
// still name the leader's epoch, and by locking it against a take-over until it
// commits. So a deposed leader's writes are refused, however late they arrive and
// whatever its clock shows; and a successor reads everything that its
// predecessors have written.
//
// It needs PostgreSQL 14 or later, and direct connections: a pooler that lends
// them out by the transaction does not work.
//
// # Files in tables
//
// Files could be in an object store instead. They are in a table because a batch of
// them is then one transaction, with one sync and one answer, and because one
// backup has everything. It is not slower: on one small machine a file of 5 kB took
// 0.3 to 1.6 ms alone and 0.05 to 0.12 ms in batches of 64 and 256, synced; an
// S3-compatible server (versitygw over a file system, 16 requests at a time) took
// 1.5 ms and 0.3 to 0.4 ms, not synced, and ten times the processor. They are not
// compressed: lz4 halves disk and write-ahead log for real metadata, but takes up
// to twice the server's time for each file, and not every server has it. If disk
// space matters more, ALTER TABLE blobs ALTER data SET STORAGE EXTENDED, ALTER data
// SET COMPRESSION lz4.
//
// # Tiles in parts
//
// The bundle at the right edge grows with every batch. Replacing a row of up to
// 100 kB each time took 0.27 ms of the server and 61 kB of write-ahead log, and
// appending to its value 0.42 ms and 56 kB: the server writes all of it again. A
// row for the added part took 0.12 ms and 7 kB, and the rows put together are
// read as fast as one (0.4 ms). So a tile grows by rows, and becomes one when it
// is full.
package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/proofs"
)

// Config configures the use of a database.
type Config struct {
	// URL is a connection string that pgx reads: postgres://user@host/database.
	URL string
	// MaxConns is how many connections to open at most; default 16. One more
	// is for the lease, or for campaigning for it.
	MaxConns int
	// Logger hears of trouble; default: nobody does.
	Logger *slog.Logger
}

// DB is a database of a log.
type DB struct {
	pool   *pgxpool.Pool
	config *pgxpool.Config
	logger *slog.Logger
	now    func() time.Time
	ttl    time.Duration // of leases

	blocking time.Duration // as the constant, but in tests
}

const (
	// patience is how long calls may take whose context has no deadline.
	patience = 10 * time.Second
	// migrating is how long it may take to change the schema, or to wait for
	// another who does.
	migrating = 10 * time.Minute
	// connecting is how long a connection may take to be made.
	connecting = 3 * time.Second
)

// parameters are set in every connection unless the URL says otherwise.
var parameters = map[string]string{
	"application_name":   "tuflog",
	"synchronous_commit": "on",
	// The fence must see what was committed while it waited.
	"default_transaction_isolation": "read committed",
	"statement_timeout":             "30s",
	// A transaction may keep the lease from being taken over. One whose
	// program has stopped in the middle must not do so for long.
	"idle_in_transaction_session_timeout": "2s",
	// Nor must a statement of one that was killed (PostgreSQL 14 and later).
	"client_connection_check_interval": "500ms",
	"tcp_keepalives_idle":              "5",
	"tcp_keepalives_interval":          "2",
	"tcp_keepalives_count":             "3",
	// Compiling a query takes longer than any here does.
	"jit": "off",
}

// Open connects to a database and brings its schema up to date.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	config, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, err
	}
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 16
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	config.MaxConns = int32(cfg.MaxConns)
	config.PingTimeout = connecting
	config.ConnConfig.ConnectTimeout = connecting
	for name, value := range parameters {
		if _, ok := config.ConnConfig.RuntimeParams[name]; !ok {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	list, err := steps(migrations)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, migrating)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return nil, wrap("open the database", err)
	}
	err = migrate(ctx, conn, list)
	if err := errors.Join(err, conn.Close(context.WithoutCancel(ctx))); err != nil {
		return nil, wrap("open the database", err)
	}
	// The pool lives longer than ctx.
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, wrap("open the database", err)
	}
	return &DB{pool: pool, config: config, logger: cfg.Logger, now: time.Now, ttl: leaseTTL, blocking: blocking}, nil
}

// Close closes the connections. A lease that is held is not renewed any more:
// Release it first.
func (db *DB) Close() { db.pool.Close() }

// Create makes a new log in the database: with an empty ledger, for an origin and
// for a storage, of which any name will do that never changes. It is fs.ErrExist
// where there is a log.
func (db *DB) Create(ctx context.Context, origin, storage string) error {
	record, err := log.LedgerRecord{Origin: origin, Edge: new(proofs.Edge)}.Marshal()
	if err != nil {
		return err
	}
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	err = db.inTx(ctx, nil, func(tx pgx.Tx) error {
		done, err := tx.Exec(ctx, "INSERT INTO log (origin, storage, secret) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", origin, storage, hex.EncodeToString(secret))
		if err == nil && done.RowsAffected() == 0 {
			var other string
			if err := tx.QueryRow(ctx, "SELECT origin FROM log").Scan(&other); err != nil {
				return err
			}
			return fmt.Errorf("the database has log %q: %w", other, fs.ErrExist)
		}
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "INSERT INTO ledger (record) VALUES ($1)", record)
		return err
	})
	return wrap("make the log", err)
}

// Log returns the origin of the log and the name of its storage, as Create was
// given them. It is fs.ErrNotExist where there is no log, and a *LostLogError where there is one
// and only the row that says so is lost.
func (db *DB) Log(ctx context.Context) (origin, storage string, err error) {
	err = db.read(ctx, func(ctx context.Context) error {
		return db.pool.QueryRow(ctx, "SELECT origin, storage FROM log").Scan(&origin, &storage)
	})
	if err = wrap("read which log it is", err); errors.Is(err, fs.ErrNotExist) {
		if rec, err := db.Ledger(nil).Load(ctx); err == nil {
			return "", "", &LostLogError{rec}
		}
	}
	return origin, storage, err
}

// LostLogError means that the database has a log, as its ledger shows, and has lost the row
// with the log's origin and the storage of its entries.
type LostLogError struct{ Ledger log.LedgerRecord }

func (e *LostLogError) Error() string {
	return fmt.Sprintf("the database has log %q, whose ledger says that size %d was signed last, and the row of its table log is lost", e.Ledger.Origin, e.Ledger.Edge.Tree().N)
}

// Restore returns the SQL statement that makes the row again, for a log whose entries are
// in storage. Running front ends do not know the new secret.
func (e *LostLogError) Restore(storage string) string {
	quoted := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
	return fmt.Sprintf("INSERT INTO log (origin, storage, secret) VALUES (%s, %s, replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''))", quoted(e.Ledger.Origin), quoted(storage))
}

// CheckStorage refuses a storage other than the one that was given to Create or
// ReplaceStorage: its entries would be another log's. If it was replaced, the error is a
// *ReplacedError.
func (db *DB) CheckStorage(ctx context.Context, storage string) error {
	origin, have, err := db.Log(ctx)
	if err != nil || have == storage {
		return err
	}
	if name, yet := Arriving(have); yet {
		return fmt.Errorf("log %q is on its way to %s and cannot be served yet: logserver migrate completes it", origin, name)
	}
	url, _, err := db.StorageURLs(ctx)
	switch {
	case err != nil:
		return err
	case url != "":
		return &ReplacedError{origin, have, url}
	}
	return &OtherStorageError{origin, have, storage}
}

// OtherStorageError means that, according to the database, the entries of the log are in
// another storage than the requested one.
type OtherStorageError struct {
	Origin       string // of the log
	Storage, Not string // names of the actual and of the requested storage
}

func (e *OtherStorageError) Error() string {
	return fmt.Sprintf("the database is of log %q in storage %s, not in %s", e.Origin, e.Storage, e.Not)
}

// Secret returns the secret with which front ends authenticate to the leader:
// 64 characters, made by Create.
func (db *DB) Secret(ctx context.Context) (secret string, err error) {
	err = db.read(ctx, func(ctx context.Context) error {
		return db.pool.QueryRow(ctx, "SELECT secret FROM log").Scan(&secret)
	})
	return secret, wrap("read the log's secret", err)
}

// AppendAction records, durably, a manual change of the log.
func (db *DB) AppendAction(ctx context.Context, a maintain.Action) error {
	text, err := json.Marshal(a)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err = db.pool.Exec(ctx, "INSERT INTO actions (action) VALUES ($1)", string(text))
	return wrap("record an action", err)
}

// Actions returns the recorded actions, oldest first.
func (db *DB) Actions(ctx context.Context) ([]maintain.Action, error) {
	var list []maintain.Action
	err := db.read(ctx, func(ctx context.Context) error {
		rows, err := db.pool.Query(ctx, "SELECT action FROM actions ORDER BY number")
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a maintain.Action, err error) {
			var text []byte
			if err = row.Scan(&text); err == nil {
				err = json.Unmarshal(text, &a)
			}
			return a, err
		})
		return err
	})
	return list, wrap("read the actions", err)
}
