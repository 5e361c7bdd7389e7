package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/witness"
)

// Latch implements witness.Store.
func (s *Store) Latch(_ context.Context, id witness.OriginHash, l witness.Latch) error {
	return s.change(true, func(ctx context.Context, c *sql.Conn) error {
		return insertLatch(ctx, c, id, l)
	})
}

// LatchAll latches every log, for one reason.
func (s *Store) LatchAll(_ context.Context, l witness.Latch) error {
	return s.change(true, func(ctx context.Context, c *sql.Conn) error {
		logs, err := query(ctx, c, selectLogs+`ORDER BY l.origin, k.rowid`)
		if err != nil {
			return err
		}
		for _, log := range logs {
			if err := insertLatch(ctx, c, witness.HashOrigin(log.Origin), l); err != nil {
				return err
			}
		}
		return nil
	})
}

// insertLatch inserts a latch unless the log is latched for the same.
func insertLatch(ctx context.Context, c *sql.Conn, id witness.OriginHash, l witness.Latch) error {
	_, err := c.ExecContext(ctx, `INSERT INTO latches (log, since, source, why, size, root, time, note)
		SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8 WHERE NOT EXISTS (
			SELECT 1 FROM latches WHERE log = ?1 AND cleared IS NULL AND size = ?5 AND root = ?6 AND time = ?7 AND (note IS NULL) = (?8 IS NULL))`,
		id[:], l.Since, l.Source, l.Why, l.Seen.Tree.N, l.Seen.Tree.Hash[:], l.Seen.Time, l.Note)
	return err
}

// LatchRecord is a latch in the state.
type LatchRecord struct {
	Origin string
	witness.Latch
	// Cleared is when it was cleared, in POSIX seconds, and Reason why; zero
	// while cosigning is stopped.
	Cleared int64
	Reason  string
}

const selectLatches = `SELECT l.origin, x.since, x.source, x.why, x.size, x.root, x.time, x.note, x.cleared, x.reason
	FROM latches x JOIN logs l ON l.id = x.log `

// Latches returns all latches, cleared ones too, in order.
func (s *Store) Latches(ctx context.Context) ([]LatchRecord, error) {
	return queryLatches(ctx, s.read, selectLatches+`ORDER BY x.id`)
}

func queryLatches(ctx context.Context, q querier, query string, args ...any) (all []LatchRecord, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			r       LatchRecord
			root    []byte
			cleared sql.NullInt64
			reason  sql.NullString
		)
		if err := rows.Scan(&r.Origin, &r.Since, &r.Source, &r.Why, &r.Seen.Tree.N, &root, &r.Seen.Time, &r.Note, &cleared, &reason); err != nil {
			return nil, err
		}
		copy(r.Seen.Tree.Hash[:], root)
		r.Cleared, r.Reason = cleared.Int64, reason.String
		all = append(all, r)
	}
	return all, rows.Err()
}

// ErrNotLatched means that cosigning for a log is not stopped.
var ErrNotLatched = errors.New("cosigning is not stopped")

// ClearLatch lets a log be cosigned again, and records the reason. A seen
// checkpoint that continues the log's state becomes the state (see
// witness.Adopt) and is returned; otherwise adopted is nil. Seen cosignatures
// that are not part of the state do not latch the log again.
func (s *Store) ClearLatch(ctx context.Context, origin, reason string, now int64) (adopted *witness.Latest, err error) {
	return s.ClearLatchIf(ctx, origin, reason, now, func([]witness.Latch) error { return nil })
}

// ClearLatchIf is ClearLatch unless check returns an error for the latches that are to be cleared:
// one may have come since a person looked.
func (s *Store) ClearLatchIf(_ context.Context, origin, reason string, now int64, check func([]witness.Latch) error) (adopted *witness.Latest, err error) {
	err = s.change(true, func(ctx context.Context, c *sql.Conn) error {
		adopted, err = clearLatch(ctx, c, origin, reason, now, check)
		return err
	})
	return adopted, err
}

func clearLatch(ctx context.Context, c *sql.Conn, origin, reason string, now int64, check func([]witness.Latch) error) (*witness.Latest, error) {
	id := witness.HashOrigin(origin)
	log, err := one(ctx, c, id)
	if err != nil {
		return nil, err
	}
	if !log.Latched {
		return nil, fmt.Errorf("log %s: %w", origin, ErrNotLatched)
	}
	records, err := queryLatches(ctx, c, selectLatches+`WHERE x.log = ? AND x.cleared IS NULL ORDER BY x.id`, id[:])
	if err != nil {
		return nil, err
	}
	var latches []witness.Latch
	for _, r := range records {
		latches = append(latches, r.Latch)
	}
	if err := check(latches); err != nil {
		return nil, err
	}
	adopted := witness.Adopt(log.Latest, latches)
	if adopted != nil {
		if err := checkNote(origin, *adopted); err != nil {
			return nil, fmt.Errorf("log %s: the seen checkpoint cannot become the state: %w", origin, err)
		}
		if err := witness.CheckSuccessor(log.Latest, *adopted); err != nil {
			return nil, fmt.Errorf("log %s: %w", origin, err)
		}
		if err := setLatest(ctx, c, id, *adopted); err != nil {
			return nil, err
		}
	}
	_, err = c.ExecContext(ctx, `UPDATE latches SET cleared = ?, reason = ? WHERE log = ? AND cleared IS NULL`, now, reason, id[:])
	return adopted, err
}

// Latched returns the origins for which cosigning is stopped.
func (s *Store) Latched(ctx context.Context) ([]string, error) {
	records, err := queryLatches(ctx, s.read, selectLatches+`WHERE x.cleared IS NULL ORDER BY l.origin`)
	if err != nil {
		return nil, err
	}
	var origins []string
	for _, r := range records {
		origins = append(origins, r.Origin)
	}
	return slices.Compact(origins), nil
}
