package sqlite

import (
	"context"
	"database/sql"
	"testing"
)

// Pragma reads a setting of the connection that writes.
func (s *Store) Pragma(t *testing.T, name string) string {
	t.Helper()
	var v string
	err := s.change(false, func(ctx context.Context, c *sql.Conn) error {
		return c.QueryRowContext(ctx, "PRAGMA "+name).Scan(&v)
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}
