package state

import "context"

// For the tests of users.
var (
	ErrUnknownFinding = errUnknownFinding
	ParseV1           = parseV1
)

// Exec changes the database behind the back of all that is remembered of it.
func (db *DB) Exec(ctx context.Context, statement string) error {
	_, err := db.conn.ExecContext(ctx, statement)
	return err
}
