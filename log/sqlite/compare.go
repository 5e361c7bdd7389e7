package sqlite

import (
	"context"
	"fmt"
	"strings"
)

// Differences compares the derived state with another at path that was made anew
// from the same log, up to the same position, and says in plain words what
// differs. It is for logserver fsck.
func (s *State) Differences(ctx context.Context, path string) (list []string, err error) {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "ATTACH ? AS anew", path); err != nil {
		return nil, fmt.Errorf("attach %s: %w", path, err)
	}
	for _, table := range []string{"position", "repositories", "roles", "leaves", "roots", "digests", "targets"} {
		for _, side := range []struct{ has, lacks, say string }{
			{"main", "anew", "%d rows of table %s do not follow from the log"},
			{"anew", "main", "%d rows are missing in table %s"},
		} {
			var n int64
			row := conn.QueryRowContext(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT * FROM %s.%s EXCEPT SELECT * FROM %s.%s)", side.has, table, side.lacks, table))
			if err := row.Scan(&n); err != nil {
				return list, fmt.Errorf("compare table %s: %w", table, err)
			}
			if n > 0 {
				list = append(list, "the derived state: "+fmt.Sprintf(side.say, n, table))
			}
		}
	}
	// The comparison reads the tables; what is asked is found by the indices.
	var fine string
	if err := conn.QueryRowContext(ctx, "PRAGMA main.integrity_check(1)").Scan(&fine); err != nil {
		return list, fmt.Errorf("check the indices: %w", err)
	}
	if fine != "ok" {
		list = append(list, "the derived state: "+strings.Join(strings.Fields(fine), " "))
	}
	_, err = conn.ExecContext(ctx, "DETACH anew")
	return list, err
}
