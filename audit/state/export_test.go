package state

import "context"

// For the tests of users.
var (
	Version           = version
	ErrUnknownFinding = errUnknownFinding
	ParseV1           = parseV1
)

// Exec changes the database behind the back of all that is remembered of it.
func (db *DB) Exec(ctx context.Context, statement string) error {
	_, err := db.conn.ExecContext(ctx, statement)
	return err
}

// Consistent is the part of Check that is about rows that follow from others.
func (db *DB) Consistent(ctx context.Context) error { return db.references(ctx) }

// SetMaxLog sets how many bytes the write-ahead log has before readers are waited for.
func (db *DB) SetMaxLog(n int64) { db.maxLog = n }
