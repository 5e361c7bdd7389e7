package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Requests counts the requests to witnesses for all front ends. It is a budget.Store.
type Requests struct{ db *DB }

// Requests returns the counts of requests to witnesses. A front end that does not lead any
// more may still be asking a witness that was late, so counting does not need the lease.
func (db *DB) Requests() *Requests { return &Requests{db} }

// maxRequests is the most that is read of a witness's state, in bytes.
const maxRequests = 16 << 10

// Update replaces what is kept of a witness with what change makes of it; nobody else changes
// it meanwhile. An error of change is returned, and nothing is changed.
func (r *Requests) Update(ctx context.Context, witness string, change func(old []byte) ([]byte, error)) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var refused error
	err := r.db.inTx(ctx, nil, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO witness_requests VALUES ($1, '') ON CONFLICT DO NOTHING", witness); err != nil {
			return err
		}
		var old string
		if err := tx.QueryRow(ctx, fmt.Sprintf("SELECT left(state, %d) FROM witness_requests WHERE witness = $1 FOR UPDATE", maxRequests), witness).Scan(&old); err != nil {
			return err
		}
		var kept []byte
		if old != "" {
			kept = []byte(old)
		}
		var next []byte
		if next, refused = change(kept); refused != nil {
			return refused
		}
		_, err := tx.Exec(ctx, "UPDATE witness_requests SET state = $2 WHERE witness = $1", witness, string(next))
		return err
	})
	if refused != nil && errors.Is(err, refused) {
		return refused
	}
	return wrap("count the requests to witnesses", err)
}
