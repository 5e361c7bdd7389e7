package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// FrontEnd is the report of a front end that may lead.
type FrontEnd struct {
	// ID names the process, as in the lease. URL is where other front ends reach it,
	// and Version that of its program.
	ID, URL, Version string
	// Able reports whether it could lead and publish now, or does. Otherwise Why is
	// the reason why not; for one that is able it is a warning to the operator, or
	// empty.
	Able bool
	Why  string
	// Leader is the epoch of the leader that it follows, 0 if it does not know one.
	// Unreached is the reason why it does not reach the leader's URL, empty if it
	// does.
	Leader    int64
	Unreached string
	// Writes differs after each of its writes.
	Writes int64
	// Ago is the time since its last write by the database's clock, which may have
	// been set: it is for people.
	Ago time.Duration
}

// maxWhy limits the texts of a row, in bytes.
const maxWhy = 1000

// maxRows limits the rows that are read: far more than there are front ends.
const maxRows = 1000

// words makes texts of programs and servers fit for a column.
func words(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s[:min(len(s), maxWhy)], "\x00", ""), "")
}

// frontEnds reads the rows, those that were written last if there are too many. One that no
// front end would have written, by hand or from a program that has gone wrong, must not keep
// the others from being read: an infinite time cannot be subtracted, and texts may be large.
var frontEnds = fmt.Sprintf(`SELECT left(id, %[1]d), left(url, %[1]d), left(version, %[1]d), able, left(why, %[1]d), leader, left(unreached, %[1]d), writes,
	CASE WHEN at BETWEEN '1970-01-01' AND '2200-01-01' THEN extract(epoch FROM clock_timestamp() - at)::float8 ELSE 1e9 END
	FROM (SELECT * FROM front_ends ORDER BY isfinite(at) DESC, at DESC LIMIT %[2]d) AS r ORDER BY url, id`, maxWhy, maxRows)

// Tell writes the report of a front end, and returns the reports of all, its own
// among them. Writes and Ago of own are ignored.
func (db *DB) Tell(ctx context.Context, own FrontEnd) (all []FrontEnd, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var b pgx.Batch
	b.Queue(`INSERT INTO front_ends (id, url, version, able, why, leader, unreached) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (id) DO UPDATE SET (url, version, able, why, leader, unreached, writes, at) =
		(excluded.url, excluded.version, excluded.able, excluded.why, excluded.leader, excluded.unreached, front_ends.writes % 1000000000000000000 + 1, excluded.at)`,
		own.ID, own.URL, words(own.Version), own.Able, words(own.Why), own.Leader, words(own.Unreached))
	b.Queue(frontEnds).Query(func(rows pgx.Rows) error {
		all, err = collectFrontEnds(rows)
		return err
	})
	err = db.pool.SendBatch(ctx, &b).Close()
	if lostTable(err) {
		// Nothing in it outlives a second, so nothing is lost with it.
		if _, err := db.pool.Exec(ctx, frontEndsTable); err != nil {
			return nil, wrap("make the table front_ends again", err)
		}
		db.logger.Warn("the table front_ends was lost, and is made again")
	}
	return all, wrap("tell of this front end", err)
}

// FrontEnds returns the reports of all front ends that may lead, and the last reports
// of those that are gone, ordered by their URL. A standby of the database does not have
// any.
func (db *DB) FrontEnds(ctx context.Context) (all []FrontEnd, err error) {
	err = db.read(ctx, func(ctx context.Context) error {
		rows, err := db.pool.Query(ctx, frontEnds)
		if err == nil {
			all, err = collectFrontEnds(rows)
		}
		return err
	})
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "0A000" {
		return nil, nil // a standby does not have what is not logged
	}
	return all, wrap("read of the front ends", err)
}

// lostTable reports whether an error means that a table is not there.
func lostTable(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "42P01"
}

func collectFrontEnds(rows pgx.Rows) ([]FrontEnd, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (f FrontEnd, err error) {
		var ago float64
		err = row.Scan(&f.ID, &f.URL, &f.Version, &f.Able, &f.Why, &f.Leader, &f.Unreached, &f.Writes, &ago)
		f.Ago = time.Duration(ago * float64(time.Second))
		return f, err
	})
}

// Forget removes the row of a front end that is gone, unless it has been written since it
// was read.
func (db *DB) Forget(ctx context.Context, gone FrontEnd) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err := db.pool.Exec(ctx, "DELETE FROM front_ends WHERE id = $1 AND writes = $2", gone.ID, gone.Writes)
	return wrap("forget a front end", err)
}
