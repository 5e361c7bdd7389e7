package postgres

import (
	"context"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// migrationLock is the number of the advisory lock that programs take to change
// the schema: any that nobody else uses in the database.
const migrationLock = 0x74756c6f67

// steps returns the text of each migration: the first leads to version 1.
func steps(files fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(files, "migrations")
	if err != nil {
		return nil, err
	}
	var list []string
	for i, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		if n, err := strconv.Atoi(number); err != nil || n != i+1 {
			return nil, fmt.Errorf("migration %s stands where version %d should", e.Name(), i+1)
		}
		text, err := fs.ReadFile(files, "migrations/"+e.Name())
		if err != nil {
			return nil, err
		}
		list = append(list, string(text))
	}
	return list, nil
}

// migrate brings the schema up to the last of the steps, all or nothing. Whoever
// comes second waits, and finds it done.
func migrate(ctx context.Context, conn *pgx.Conn, steps []string) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // after a commit this does nothing
	// Large tables take their time, and so does whoever came first.
	if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0"); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
		return err
	}
	// Where nothing is missing nothing is written: a server may be read-only for a while.
	var there bool
	if err := tx.QueryRow(ctx, "SELECT to_regclass('schema_version') IS NOT NULL").Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := tx.Exec(ctx, "CREATE TABLE schema_version (version int PRIMARY KEY, since timestamptz NOT NULL DEFAULT clock_timestamp())"); err != nil {
			return err
		}
	}
	var have int
	if err := tx.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM schema_version").Scan(&have); err != nil {
		return err
	}
	if have > len(steps) {
		return fmt.Errorf("the database has schema version %d and this program knows none above %d: a newer version of the program has been here, use that one", have, len(steps))
	}
	for i, text := range steps[have:] {
		version := have + i + 1
		// Without arguments the text may hold many statements.
		if _, err := tx.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("migrate to schema version %d: %w", version, err)
		}
		if _, err := tx.Exec(ctx, "INSERT INTO schema_version (version) VALUES ($1)", version); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}
