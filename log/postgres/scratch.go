package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// tables are those of a state, in an order in which they can be compared.
var tables = []string{"position", "repositories", "roles", "leaves", "roots", "bases", "targets"}

const (
	// scratchPrefix begins the schema of each second state. A number follows, of the
	// advisory lock that its maker holds as long as it lives.
	scratchPrefix = "state_anew"
	// scratchLock is the number of the advisory lock that is taken before a schema is
	// dropped or renamed: a name stands for another schema once that is done.
	scratchLock = migrationLock + 1
)

// Scratch makes an empty state beside the derived one, which may be lost entirely. Other
// processes may make their own meanwhile; the states of processes that were killed are
// removed. Without a lease the caller may apply to the state, but it can only be compared.
// It exists until Drop or Replace.
func (db *DB) Scratch(ctx context.Context, l *Lease) (*State, error) {
	s, err := db.scratch(ctx, l)
	return s, wrap("make a second state", err)
}

func (db *DB) scratch(ctx context.Context, l *Lease) (_ *State, err error) {
	number := rand.Int64()
	// A connection of its own, so that the lock ends with this process.
	alive, err := pgx.ConnectConfig(ctx, db.config.ConnConfig.Copy())
	if err != nil {
		return nil, err
	}
	s := &State{db: db, lease: l, schema: scratchPrefix + "_" + strconv.FormatInt(number, 10), alive: alive}
	defer func() {
		if err != nil {
			s.release(ctx)
		}
	}()
	if _, err := alive.Exec(ctx, "SELECT pg_advisory_lock($1)", number); err != nil {
		return nil, err
	}
	if err := db.dropAbandoned(ctx); err != nil {
		return nil, err
	}
	return s, db.inTx(ctx, l, func(tx pgx.Tx) error {
		text := strings.NewReplacer("state.", s.schema+".", "SCHEMA state;", "SCHEMA "+s.schema+";").Replace(stateSchema)
		_, err := tx.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol)
		return err
	})
}

// dropAbandoned drops the second states of processes that are gone.
func (db *DB) dropAbandoned(ctx context.Context) error {
	return db.inTx(ctx, nil, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(scratchLock)); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, $1)", scratchPrefix)
		if err != nil {
			return err
		}
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		for _, name := range names {
			gone := true // those of former versions have no number, and no maker that can be asked
			if number, err := strconv.ParseInt(strings.TrimPrefix(name, scratchPrefix+"_"), 10, 64); err == nil {
				if err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", number).Scan(&gone); err != nil {
					return err
				}
			}
			if gone {
				if _, err := tx.Exec(ctx, "DROP SCHEMA "+pgx.Identifier{name}.Sanitize()+" CASCADE"); err != nil {
					return err
				}
			}
		}
		return err
	})
}

// release shows to other processes that the second state is no longer used.
func (s *State) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), connecting)
	defer cancel()
	_ = s.alive.Close(ctx) // the server ends what goes with it
}

// Drop removes a state that Scratch made.
func (s *State) Drop(ctx context.Context) error {
	if s.alive == nil {
		return errors.New("the derived state itself is not dropped")
	}
	defer s.release(ctx)
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := s.db.inTx(ctx, nil, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d); DROP SCHEMA IF EXISTS %s CASCADE", int64(scratchLock), s.schema), pgx.QueryExecModeSimpleProtocol)
		return err
	})
	return wrap("drop the second state", err)
}

// Replace puts a state that Scratch made for the leader in place of the derived
// one. Query plans for its tables are made from their present contents.
func (s *State) Replace(ctx context.Context) error {
	if s.alive == nil || s.lease == nil {
		return fmt.Errorf("replace the state: %w", ErrNotLeader)
	}
	err := s.db.inTx(ctx, s.lease, func(tx pgx.Tx) error {
		text := ""
		for _, table := range tables {
			text += fmt.Sprintf("ANALYZE %s.%s;", s.schema, table)
		}
		text += fmt.Sprintf("SELECT pg_advisory_xact_lock(%d); DROP SCHEMA IF EXISTS state CASCADE; ALTER SCHEMA %s RENAME TO state", int64(scratchLock), s.schema)
		_, err := tx.Exec(ctx, text, pgx.QueryExecModeSimpleProtocol)
		return err
	})
	if err != nil {
		return wrap("replace the state", err)
	}
	s.release(ctx)
	s.schema, s.alive = "state", nil
	return nil
}

// Differences compares the derived state with another that was rebuilt from the
// same log, up to the same position, and returns the differences in plain words.
// The comparison reads the tables. Queries use the indices; these are checked if
// the database has the extension amcheck.
func (s *State) Differences(ctx context.Context, anew *State) (list []string, err error) {
	err = s.db.inTx(ctx, nil, func(tx pgx.Tx) error {
		// A large table takes as long as it takes.
		if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0"); err != nil {
			return err
		}
		var listed int64
		if err := tx.QueryRow(ctx, "SELECT listed FROM "+s.schema+".position").Scan(&listed); err != nil {
			return err
		}
		for _, table := range tables {
			columns := compared(table, listed)
			for _, side := range []struct{ has, lacks, say string }{
				{s.schema, anew.schema, "%d rows of table %s do not follow from the log"},
				{anew.schema, s.schema, "%d rows are missing in table %s"},
			} {
				var n int64
				text := fmt.Sprintf("SELECT count(*) FROM (SELECT %[3]s FROM %[1]s.%[4]s EXCEPT SELECT %[3]s FROM %[2]s.%[4]s) d", side.has, side.lacks, columns.what, table+columns.where)
				if err := tx.QueryRow(ctx, text).Scan(&n); err != nil {
					return err
				}
				if n > 0 {
					list = append(list, "the derived state: "+fmt.Sprintf(side.say, n, table))
				}
			}
		}
		damaged, err := s.checkIndices(ctx, tx)
		list = append(list, damaged...)
		return err
	})
	return slices.Clip(list), wrap("compare the derived state", err)
}

// comparison is the compared part of a table.
type comparison struct{ what, where string }

// compared returns what is to be compared of a table in a state that has listed so
// many leaves. The next one may be listed in part.
func compared(table string, listed int64) comparison {
	switch table {
	case "bases":
		return comparison{"*", fmt.Sprintf(" WHERE idx < %d", listed)}
	case "targets":
		return comparison{fmt.Sprintf("role, first, place, CASE WHEN past < %d THEN past END, path, length, sha256, sha512", listed), fmt.Sprintf(" WHERE first < %d", listed)}
	}
	return comparison{"*", ""}
}

func (s *State) checkIndices(ctx context.Context, tx pgx.Tx) (list []string, err error) {
	rows, err := tx.Query(ctx, `SELECT format('SELECT %I.bt_index_check(%s::regclass, true)', x.nspname, i.indexrelid), i.indexrelid::regclass::text
		FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace,
			pg_extension e JOIN pg_namespace x ON x.oid = e.extnamespace
		WHERE n.nspname = $1 AND e.extname = 'amcheck' ORDER BY 2`, s.schema)
	if err != nil {
		return nil, err
	}
	type index struct{ Check, Name string }
	indices, err := pgx.CollectRows(rows, pgx.RowToStructByPos[index])
	if err != nil {
		return nil, err
	}
	for _, x := range indices {
		// In a part of the transaction of its own: an error ends that alone.
		var pg *pgconn.PgError
		err := pgx.BeginFunc(ctx, tx, func(part pgx.Tx) error {
			_, err := part.Exec(ctx, x.Check)
			return err
		})
		switch {
		case errors.As(err, &pg) && (pg.Code == "XX001" || pg.Code == "XX002"): // data or index corrupted
			list = append(list, fmt.Sprintf("the derived state: index %s: %s", x.Name, pg.Message))
		case err != nil:
			return list, err
		}
	}
	return list, nil
}
