package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Differences compares the derived state with another that was rebuilt from the
// same log, up to the same position, and returns the differences in plain words.
// It closes the other. It is for logserver fsck.
func (s *State) Differences(ctx context.Context, anew *Builder) ([]string, error) {
	if err := anew.sort(ctx); err != nil {
		return nil, err
	}
	if err := anew.Close(); err != nil {
		return nil, err
	}
	var rows, indices []string
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		rows, err = s.compareRows(ctx, anew.path)
		return err
	})
	// The comparison reads the tables; queries use the indices.
	group.Go(func() (err error) {
		indices, err = s.checkIndices(ctx)
		return err
	})
	err := group.Wait()
	return append(rows, indices...), err
}

func (s *State) compareRows(ctx context.Context, path string) (list []string, err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "ATTACH ? AS anew", path); err != nil {
		return nil, fmt.Errorf("attach %s: %w", path, err)
	}
	var listed int64
	if err := conn.QueryRowContext(ctx, "SELECT listed FROM main.position").Scan(&listed); err != nil {
		return nil, err
	}
	for _, table := range []string{"position", "repositories", "roles", "leaves", "roots", "digests", "targets"} {
		has, should, same, err := compareTable(ctx, conn, table, listed)
		if err != nil {
			return list, fmt.Errorf("compare table %s: %w", table, err)
		}
		if has > same {
			list = append(list, fmt.Sprintf("the derived state: %d rows of table %s do not follow from the log", has-same, table))
		}
		if should > same {
			list = append(list, fmt.Sprintf("the derived state: %d rows are missing in table %s", should-same, table))
		}
	}
	_, err = conn.ExecContext(ctx, "DETACH anew")
	return list, err
}

// compareTable counts the rows of a table, those of the other state, and those that
// are in both. Both are read in the order of their keys, without trusting an index.
// Some target files of the leaf that is listed next may be there.
func compareTable(ctx context.Context, conn *sql.Conn, table string, listed int64) (has, should, same int64, err error) {
	columns, err := conn.QueryContext(ctx, "SELECT name, pk FROM pragma_table_info(?, 'anew')", table)
	if err != nil {
		return 0, 0, 0, err
	}
	defer columns.Close()
	keys, rest := []string{}, []string{}
	for columns.Next() {
		var name string
		var key int
		if err := columns.Scan(&name, &key); err != nil {
			return 0, 0, 0, err
		}
		if key > 0 {
			keys = append(keys, fmt.Sprintf("a.%[1]s = b.%[1]s", name))
		} else {
			rest = append(rest, fmt.Sprintf("a.%[1]s IS b.%[1]s", name))
		}
	}
	if err := columns.Err(); err != nil {
		return 0, 0, 0, err
	}
	if len(keys) == 0 {
		keys = []string{"a.rowid = b.rowid"}
	}
	part := ""
	if table == "targets" {
		part = fmt.Sprintf(" WHERE a.first < %d", listed)
		for i := range rest {
			rest[i] = strings.Replace(rest[i], "a.past", fmt.Sprintf("iif(a.past < %d, a.past, NULL)", listed), 1)
		}
	}
	text := fmt.Sprintf(`SELECT (SELECT count(*) FROM main.%[1]s a NOT INDEXED%[3]s), (SELECT count(*) FROM anew.%[1]s NOT INDEXED),
		(SELECT count(*) FROM main.%[1]s a NOT INDEXED CROSS JOIN anew.%[1]s b ON %[2]s%[3]s)`, table, strings.Join(append(keys, rest...), " AND "), part)
	err = conn.QueryRowContext(ctx, text).Scan(&has, &should, &same)
	return has, should, same, err
}

func (s *State) checkIndices(ctx context.Context) ([]string, error) {
	var fine string
	if err := s.db.QueryRowContext(ctx, "PRAGMA main.integrity_check(1)").Scan(&fine); err != nil {
		return nil, fmt.Errorf("check the indices: %w", err)
	}
	if fine != "ok" {
		return []string{"the derived state: " + strings.Join(strings.Fields(fine), " ")}, nil
	}
	return nil, nil
}
