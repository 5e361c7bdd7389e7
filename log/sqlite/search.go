package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/tuf"
)

const targetColumns = "t.path, t.length, t.sha256, t.sha512"

// scanTarget has scan read targetColumns.
func scanTarget(t *log.Target, scan func(columns ...any) error) error {
	var sha256, sha512 []byte
	if err := scan(&t.Path, &t.Length, &sha256, &sha512); err != nil {
		return err
	}
	if sha256 != nil && copy(t.SHA256[:], sha256) != len(t.SHA256) || sha512 != nil && copy(t.SHA512[:], sha512) != len(t.SHA512) {
		return fmt.Errorf("target file %q: a digest is cut short", t.Path)
	}
	return nil
}

// listings returns the leaves that list a target file for which a condition with
// one argument holds. Rows of targets are numbered in the order of their first
// leaves, so none after the first limit of them is needed for as many leaves.
func (s *State) listings(ctx context.Context, where string, arg any, limit int) ([]log.Listing, error) {
	var list []log.Listing
	err := s.query(ctx, func(rows *sql.Rows) error {
		var l log.Listing
		err := scanTarget(&l.Target, func(columns ...any) (err error) {
			l.Record, err = scanLeaf(rows, columns...)
			return err
		})
		list = append(list, l)
		return err
	}, "SELECT "+leafColumns+", "+targetColumns+
		" FROM (SELECT * FROM targets WHERE "+where+" ORDER BY number LIMIT ?2) t"+
		" CROSS JOIN leaves l INDEXED BY leaves_at ON l.role = t.role AND l.idx >= t.first AND l.idx < ifnull(t.past, 9223372036854775807)"+
		leafTables+"l.idx < (SELECT listed FROM position) ORDER BY l.idx, t.path LIMIT ?2", arg, limit)
	return list, err
}

// ListSHA512 implements log.StateSearcher.
func (s *State) ListSHA512(ctx context.Context, sum log.SHA512, limit int) ([]log.Listing, error) {
	return s.listings(ctx, "substr(sha512, 1, 8) = substr(?1, 1, 8) AND sha512 = ?1", sum[:], limit)
}

// ListPath implements log.StateSearcher.
func (s *State) ListPath(ctx context.Context, path string, limit int) ([]log.Listing, error) {
	return s.listings(ctx, "path = ?1", path, limit)
}

// ListLength implements log.StateSearcher.
func (s *State) ListLength(ctx context.Context, length int64, limit int) ([]log.Listing, error) {
	return s.listings(ctx, "length = ?1", length, limit)
}

// Files implements log.StateSearcher.
func (s *State) Files(ctx context.Context, index int64, limit int) (admit.Record, []log.Target, bool, error) {
	found, err := s.leaves(ctx, "l.idx = ?", index)
	if err != nil || len(found) == 0 {
		return admit.Record{}, nil, false, err
	}
	var list []log.Target
	err = s.query(ctx, func(rows *sql.Rows) error {
		var t log.Target
		err := scanTarget(&t, rows.Scan)
		list = append(list, t)
		return err
	}, "SELECT "+targetColumns+` FROM targets t WHERE t.number IN (
			SELECT o.number FROM targets o INDEXED BY targets_past, leaves l WHERE l.idx = ?1 AND o.role = l.role AND o.past IS NULL AND o.first <= ?1
			UNION ALL
			SELECT o.number FROM targets o INDEXED BY targets_past, leaves l WHERE l.idx = ?1 AND o.role = l.role AND o.past > ?1 AND o.first <= ?1)
		AND ?1 < (SELECT listed FROM position) ORDER BY t.path LIMIT ?2`, index, limit)
	return found[0], list, true, err
}

// Versions implements log.StateSearcher.
func (s *State) Versions(ctx context.Context, repository tuf.Digest, role string) ([]admit.Record, error) {
	return s.leaves(ctx, "r.id = ? AND n.name = ? ORDER BY l.idx", repository[:], role)
}
