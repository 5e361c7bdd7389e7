package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tuflog/tuflog/log"
)

// ErrNotLeader means that an operation needs the lease, and that the lease is
// held by another process now or by none. Nothing was written.
var ErrNotLeader = errors.New("not the leader")

// fenced is the error of the function fence.
const fenced = "TL001"

// wrap adds the operation that failed, and marks trouble with the server as
// log.ErrUnavailable and a lost lease as ErrNotLeader.
func wrap(what string, err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", what, fs.ErrNotExist)
	case errors.As(err, &pg) && pg.Code == fenced:
		return fmt.Errorf("%s: %w: %s", what, ErrNotLeader, pg.Message)
	case unavailable(err):
		return fmt.Errorf("%s: the database is %w: %w", what, log.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// unavailable reports whether an error comes from a server that cannot be
// reached, shuts down, starts, or is full.
func unavailable(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code {
		case "25006", // it is read-only: a standby, or full, as some that are looked after say it
			"58030",                   // its disk fails
			"57P01", "57P02", "57P03", // shuts down, crashed, starts
			"57014",          // a query took too long
			"57P05",          // a session was idle too long
			"25P03", "25P04", // a transaction was idle, or lasted, too long
			"55P03",          // a lock could not be had
			"40001", "40P01": // others were in the way: a standby's recovery, a deadlock
			return true
		}
		// Class 53 are its disk, memory, connections and other limits that are used up.
		return strings.HasPrefix(pg.Code, "08") || strings.HasPrefix(pg.Code, "53")
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || broken(err) || errors.Is(err, context.DeadlineExceeded) || pgconn.Timeout(err)
}

// broken reports whether a connection has ended during a query.
func broken(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "57P01" || pg.Code == "57P02" || pg.Code == "57P05"
	}
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.As(err, &network) && !network.Timeout() || strings.Contains(err.Error(), "conn closed")
}

// bounded gives a context a deadline if it has none: a server that is cut off
// never answers.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, patience)
}

// read calls fn, which reads or may be done twice, and once more with new connections where the
// first was broken: the server was started again since it was last used.
func (db *DB) read(ctx context.Context, fn func(context.Context) error) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	err := fn(ctx)
	var connect *pgconn.ConnectError
	if err != nil && broken(err) && !errors.As(err, &connect) && ctx.Err() == nil {
		db.pool.Reset()
		err = fn(ctx)
	}
	return err
}

// inTx runs fn in one transaction, fenced if there is a lease.
func (db *DB) inTx(ctx context.Context, l *Lease, fn func(pgx.Tx) error) error {
	tx, err := db.pool.Begin(ctx)
	if err != nil {
		return err
	}
	// After a commit this does nothing. When the context has ended, so has
	// the connection.
	defer func() { _ = tx.Rollback(ctx) }()
	if l != nil {
		if _, err := tx.Exec(ctx, fence, l.epoch, l.holder); err != nil {
			return err
		}
	}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// fence is the first statement of a leader's transaction. Nothing else is locked before
// the lease's row. So a successor that holds this row is not blocked by anything else,
// and it ends the sessions that keep it (endBlocking).
const fence = "SELECT fence($1, $2)"

// write runs statements in one fenced transaction, sent at once. It is as good as
// inTx and takes one trip instead of four.
func (db *DB) write(ctx context.Context, l *Lease, fill func(*pgx.Batch)) error {
	var b pgx.Batch
	b.Queue(fence, l.epoch, l.holder)
	fill(&b)
	return db.pool.SendBatch(ctx, &b).Close()
}
