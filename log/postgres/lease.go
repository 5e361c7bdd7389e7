package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/tuflog/tuflog/internal/wait"
)

const (
	// leaseTTL is how long a lease lasts from its last renewal: a candidate takes
	// one that it has seen unchanged for so long, by its own clock.
	leaseTTL = 3 * time.Second
	// The holder's right ends this much of the TTL earlier by its own clock,
	// which started before the candidate's: they may run at different speeds.
	leaseMargin = 6
	// Renewals are due at, and may take, this part of the TTL.
	leaseRenewals = 6
	// campaigning is about how often a candidate looks.
	campaigning = 150 * time.Millisecond
	// blocking is how long a candidate waits for transactions of the leader before,
	// once its lease has run out, until it ends their sessions.
	blocking = 500 * time.Millisecond
	// unable is how often a candidate that could not lead is asked again.
	unable = time.Second
)

// errReleased is the cause with which the context of a released lease ends.
var errReleased = fmt.Errorf("the lease was released: %w", ErrNotLeader)

// Leader is the holder of the lease.
type Leader struct {
	ID    string
	URL   string // where it listens for front ends
	Epoch int64
	// Renewals is the number of times it has renewed the lease: a live one does so
	// twice a second.
	Renewals int64
}

// Leader returns the present leader. It reports whether a lease is held that has
// not expired by the database's clock.
func (db *DB) Leader(ctx context.Context) (l Leader, ok bool, err error) {
	err = db.read(ctx, func(ctx context.Context) error {
		return db.pool.QueryRow(ctx, "SELECT holder, url, epoch, renewals FROM lease WHERE expires > clock_timestamp()").Scan(&l.ID, &l.URL, &l.Epoch, &l.Renewals)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return Leader{}, false, nil
	}
	return l, err == nil, wrap("read the lease", err)
}

// Lease is the right to lead. It is renewed in the background until it is lost or
// released.
type Lease struct {
	db     *DB
	pool   *pgxpool.Pool // one connection: renewals wait for nobody
	holder string
	epoch  int64

	ctx     context.Context
	cancel  context.CancelCauseFunc
	stopped chan struct{} // run has returned
	kept    kept

	// Tests make renewals end silently.
	abandoned chan struct{}
	quit      sync.Once

	mu    sync.Mutex
	until time.Time
}

// Candidate campaigns for the lease. The other front ends learn the holder's ID,
// which names the process, and URL, where it listens.
type Candidate struct {
	ID, URL string
	// Able returns the reason why the candidate could not lead now, or nil. A
	// nil Able means that it always could. Able is called when the lease is
	// free, and after an error again about every second: meanwhile others can
	// take the lease. Able itself informs people.
	Able func(ctx context.Context) error
	// Barred is called with the error that keeps the candidate from campaigning,
	// other than that the lease is held, and with nil when the error is over. Barred
	// may be nil.
	Barred func(error)
}

var (
	// errUnable means that the candidate could not lead.
	errUnable = errors.New("it could not lead")
	// errHeld means that another process holds the lease, or has just taken it.
	errHeld = errors.New("the lease is held")
	// errNoLease means that the lease's row is lost, so that no process can take the
	// lease. A new row must have a larger epoch than any before. Seconds since 1970
	// are larger, because epochs count changes of leaders, which do not happen every
	// second.
	errNoLease = errors.New("the table lease of the database has lost its row; bring it back: " + bringBackLease)
)

const bringBackLease = "INSERT INTO lease (epoch, holder, url, expires) SELECT extract(epoch FROM clock_timestamp())::bigint, '', '', '-infinity'"

// Campaign waits until the lease is free and takes it for a candidate.
func (db *DB) Campaign(ctx context.Context, who Candidate) (*Lease, error) {
	config := db.config.Copy()
	config.MaxConns, config.MinConns = 1, 0
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return nil, wrap("campaign for the lease", err)
	}
	var last string
	watch := watching{ttl: db.ttl, logger: db.logger}
	for {
		began := time.Now()
		epoch, until, err := db.take(ctx, pool, who, &watch)
		if err != nil && !errors.Is(err, errHeld) && !errors.Is(err, errUnable) {
			err = wrap("take the lease", err)
		}
		who.barred(ctx, err)
		if err == nil {
			return db.hold(pool, who.ID, epoch, until), nil
		}
		pause := campaigning*3/4 + rand.N(campaigning/2)
		if errors.Is(err, errUnable) {
			pause = max(pause, unable-time.Since(began))
		} else if text := err.Error(); !errors.Is(err, errHeld) && ctx.Err() == nil && text != last {
			// The same trouble is told once.
			db.logger.Warn("cannot campaign for the lease", "err", err)
			last = text
		}
		if err := wait.For(ctx, pause); err != nil {
			pool.Close()
			return nil, fmt.Errorf("campaign for the lease: %w", err)
		}
	}
}

// barred reports the result of an attempt to take the lease. If the candidate itself could
// not lead, the result is unknown.
func (who *Candidate) barred(ctx context.Context, err error) {
	switch {
	case who.Barred == nil || ctx.Err() != nil || errors.Is(err, errUnable):
	case errors.Is(err, errHeld):
		who.Barred(nil)
	default:
		who.Barred(err)
	}
}

// leaseRow is what changes of the lease.
type leaseRow struct {
	epoch, renewals int64
	holder          string // empty: it was given up
}

// watching is the candidate's view of the lease. It relies only on its own clock:
// a step of the database's clock, or a replica with another clock, would make two
// leaders, or none for a long time.
type watching struct {
	ttl    time.Duration
	logger *slog.Logger

	row    leaseRow
	since  time.Time // when the row was seen first
	warned bool
}

// free reports whether the lease may be taken, now that its row was seen once more.
func (w *watching) free(row leaseRow, ahead time.Duration, now time.Time) bool {
	if w.since.IsZero() || row != w.row {
		w.row, w.since = row, now
	}
	if far := ahead > 2*w.ttl; far != w.warned {
		if w.warned = far; far {
			w.logger.Warn("the lease is said to last for longer than any does: the database's clock was set back, or ran ahead", "for", ahead.Round(time.Second))
		}
	}
	return row.holder == "" || w.expired(now)
}

// expired reports whether the row has been unchanged for as long as a lease lasts.
func (w *watching) expired(now time.Time) bool { return now.Sub(w.since) >= w.ttl }

// take takes the lease if it was given up, or was not renewed for as long as it lasts;
// otherwise it is errHeld.
func (db *DB) take(ctx context.Context, pool *pgxpool.Pool, who Candidate, watch *watching) (epoch int64, until time.Time, err error) {
	// The lease is usually held, and looking does not take a lock.
	looking, stop := context.WithTimeout(ctx, db.ttl)
	defer stop()
	var row leaseRow
	var ahead float64
	err = pool.QueryRow(looking, "SELECT epoch, renewals, holder, CASE WHEN isfinite(expires) THEN extract(epoch FROM expires - clock_timestamp())::float8 ELSE 0 END FROM lease").Scan(&row.epoch, &row.renewals, &row.holder, &ahead)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoLease
	}
	if err != nil {
		return 0, until, err
	}
	if !watch.free(row, time.Duration(ahead*float64(time.Second)), db.now()) {
		return 0, until, errHeld
	}
	if who.Able != nil {
		if err := who.Able(ctx); err != nil {
			return 0, until, fmt.Errorf("%w: %w", errUnable, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, db.ttl)
	defer cancel()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return 0, until, err
	}
	defer conn.Release()
	if watch.expired(db.now()) {
		var ending sync.WaitGroup
		waiting, taken := context.WithCancel(ctx)
		ending.Go(func() { db.endBlocking(waiting, conn.Conn().PgConn().PID()) })
		defer ending.Wait()
		defer taken()
	}
	until = db.now().Add(db.ttl - db.ttl/leaseMargin)
	err = conn.QueryRow(ctx, `UPDATE lease SET epoch = epoch + 1, renewals = 0, holder = $1, url = $2, expires = clock_timestamp() + $3
		WHERE epoch = $4 AND renewals = $5 AND holder = $6 RETURNING epoch`, who.ID, who.URL, db.ttl, row.epoch, row.renewals, row.holder).Scan(&epoch)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errHeld
	}
	if err == nil && !db.now().Before(until) {
		err = errors.New("taking the lease took longer than it lasts")
	}
	return epoch, until, err
}

// endBlocking ends, until ctx ends, the sessions that keep a backend waiting, of the role
// that it has, too. It is for the lease's row, whose holder is gone or stopped. All that a
// leader locks it locks in transactions that lock that row first; one that is stopped in
// the middle of a message keeps it for as long as its connection lives, because no timeout
// of the server runs meanwhile, and what it has begun will be refused or is forgotten.
func (db *DB) endBlocking(ctx context.Context, pid uint32) {
	for {
		if wait.For(ctx, db.blocking) != nil {
			return
		}
		// One that waits itself is another candidate.
		var ended, others int
		err := db.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE CASE WHEN a.usename = current_user THEN pg_terminate_backend(a.pid) ELSE false END),
			count(*) FILTER (WHERE a.usename IS DISTINCT FROM current_user)
			FROM unnest(pg_blocking_pids($1)) b JOIN pg_stat_activity a ON a.pid = b WHERE cardinality(pg_blocking_pids(b)) = 0`, int32(pid)).Scan(&ended, &others)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			db.logger.Warn("sessions that keep the lease from being taken were not ended", "err", err)
		case ended > 0:
			db.logger.Warn("sessions were ended that kept the lease of a leader that is gone", "sessions", ended)
		case others > 0:
			db.logger.Warn("sessions of another role keep the lease from being taken", "sessions", others)
		}
	}
}

func (db *DB) hold(pool *pgxpool.Pool, id string, epoch int64, until time.Time) *Lease {
	l := &Lease{db: db, pool: pool, holder: id, epoch: epoch, until: until, stopped: make(chan struct{}), abandoned: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancelCause(context.Background())
	go l.run()
	return l
}

// Context returns a context that ends when the right ends; context.Cause
// returns the reason.
func (l *Lease) Context() context.Context { return l.ctx }

// Epoch returns the number of the lease, larger than that of any before.
func (l *Lease) Epoch() int64 { return l.epoch }

// Until returns when the right ends unless the lease is renewed before; the zero
// time once it has ended. It has a monotonic reading, so that setting the clock
// changes nothing.
func (l *Lease) Until() time.Time {
	if l.ctx.Err() != nil {
		return time.Time{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// run renews the lease until its context ends, and ends that in time.
func (l *Lease) run() {
	defer close(l.stopped)
	defer l.pool.Close()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-l.abandoned:
			return
		case <-time.After(l.db.ttl / leaseRenewals):
		}
		if err := l.renew(); err != nil {
			l.cancel(err)
			return
		}
	}
}

// renew renews the lease, again and again until the right ends. A failed
// renewal may still have arrived: then the lease lasts longer than its holder
// assumes.
func (l *Lease) renew() error {
	for {
		until := l.Until()
		left := until.Sub(l.db.now())
		if left <= 0 {
			return fmt.Errorf("the lease could not be renewed in time: %w", ErrNotLeader)
		}
		before := l.db.now()
		ctx, cancel := context.WithTimeout(l.ctx, min(left, l.db.ttl/leaseRenewals*2))
		done, err := l.pool.Exec(ctx, "UPDATE lease SET renewals = renewals + 1, expires = clock_timestamp() + $1 WHERE epoch = $2 AND holder = $3",
			l.db.ttl, l.epoch, l.holder)
		cancel()
		switch {
		case err == nil && done.RowsAffected() == 0:
			return fmt.Errorf("the lease is somebody else's: %w", ErrNotLeader)
		case err == nil:
			l.mu.Lock()
			l.until = before.Add(l.db.ttl - l.db.ttl/leaseMargin)
			l.mu.Unlock()
			return nil
		case l.ctx.Err() != nil:
			return context.Cause(l.ctx)
		}
		l.db.logger.Warn("the lease was not renewed", "err", err)
		l.pool.Reset()
		if err := wait.For(l.ctx, min(left, l.db.ttl/60)); err != nil {
			return err
		}
	}
}

// Release gives the lease up, so that another front end can take it at once.
func (l *Lease) Release(ctx context.Context) error {
	l.cancel(errReleased)
	<-l.stopped
	_, err := l.db.pool.Exec(ctx, "UPDATE lease SET holder = '', expires = '-infinity' WHERE epoch = $1 AND holder = $2", l.epoch, l.holder)
	return wrap("release the lease", err)
}

// during makes a context end with the right. The time of that is not known
// beforehand, because the lease is renewed meanwhile.
func (l *Lease) during(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.ctx, cancel)
	if l.ctx.Err() != nil {
		cancel() // AfterFunc gets to it when there is time
	}
	return ctx, func() { stop(); cancel() }
}

// within is during for one short write, which must end before the presently certain end
// of the right.
func (l *Lease) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := l.during(ctx)
	ctx, stop := context.WithTimeout(ctx, l.Until().Sub(l.db.now()))
	return ctx, func() { stop(); cancel() }
}

// explain adds to an error that the right has ended, if it has. A write that was
// refused because of the lease ends the right: another process may have written since,
// even if the row names this holder again, as a row of an older date does.
func (l *Lease) explain(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == fenced {
		l.cancel(fmt.Errorf("%w: %s", ErrNotLeader, pg.Message))
	}
	if err == nil || l.ctx.Err() == nil || errors.Is(err, ErrNotLeader) {
		return err
	}
	return fmt.Errorf("%w: %w", context.Cause(l.ctx), err)
}
