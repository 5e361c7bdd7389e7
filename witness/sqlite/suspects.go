package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
)

// maxSuspects is how many suspects of one log are kept, of those whose proof
// failed and of the others each.
const maxSuspects = 32

// Keep implements witness.Store.
func (s *Store) Keep(_ context.Context, id witness.OriginHash, k witness.Suspect) error {
	return s.change(false, func(ctx context.Context, c *sql.Conn) error {
		// One that came with a wrong old size first and a bad proof then is of
		// the second kind, and is looked at again.
		_, err := c.ExecContext(ctx, `INSERT INTO suspects (log, size, root, note, why, failed, seen) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET failed = 1, why = excluded.why, next = 0 WHERE failed < excluded.failed`,
			id[:], k.Tree.N, k.Tree.Hash[:], k.Note, k.Why, k.Failed, k.Seen)
		if err != nil {
			return err
		}
		// Judged ones go first, then the oldest.
		_, err = c.ExecContext(ctx, `DELETE FROM suspects WHERE rowid IN (
			SELECT rowid FROM suspects WHERE log = ? AND failed = ? ORDER BY verdict = '' DESC, seen DESC, rowid DESC LIMIT -1 OFFSET ?)`,
			id[:], k.Failed, maxSuspects)
		return err
	})
}

const (
	suspectColumns = `log, size, root, note, why, failed, seen, tries, next, verdict`
	selectSuspects = `SELECT ` + suspectColumns + ` FROM suspects `
)

// Due implements witness.Suspects.
func (s *Store) Due(ctx context.Context, now int64, perLog, limit int) ([]witness.KeptSuspect, error) {
	return s.querySuspects(ctx, `SELECT `+suspectColumns+` FROM suspects JOIN (
			SELECT rowid AS id, row_number() OVER (PARTITION BY log ORDER BY next, rowid) AS place FROM suspects WHERE verdict = '' AND next <= ?
		) ON id = suspects.rowid WHERE place <= ? ORDER BY place, next, id LIMIT ?`, now, perLog, limit)
}

// Suspects returns all stored suspects.
func (s *Store) Suspects(ctx context.Context) ([]witness.KeptSuspect, error) {
	return s.querySuspects(ctx, selectSuspects+`ORDER BY rowid`)
}

func (s *Store) querySuspects(ctx context.Context, query string, args ...any) (all []witness.KeptSuspect, err error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var k witness.KeptSuspect
		var id, root []byte
		if err := rows.Scan(&id, &k.Tree.N, &root, &k.Note, &k.Why, &k.Failed, &k.Seen, &k.Tries, &k.Next, &k.Verdict); err != nil {
			return nil, err
		}
		copy(k.ID[:], id)
		copy(k.Tree.Hash[:], root)
		all = append(all, k)
	}
	return all, rows.Err()
}

// Judge implements witness.Suspects.
func (s *Store) Judge(_ context.Context, id witness.OriginHash, tree proofs.Tree, v witness.Verdict, next int64) error {
	return s.change(false, func(ctx context.Context, c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `UPDATE suspects SET verdict = ?, next = ?, tries = tries + 1 WHERE log = ? AND size = ? AND root = ?`,
			string(v), next, id[:], tree.N, tree.Hash[:])
		return err
	})
}
