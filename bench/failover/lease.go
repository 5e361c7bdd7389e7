package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// leaseFaults give the lease to somebody else while its holder lives, or try to.
var leaseFaults = []part{
	{name: "the lease of a live leader is given up for it", inject: takeLease, step: true},
	{name: "two live leaders: the lease is taken from one that goes on", inject: twoLeaders},
	{name: "two live leaders: the lease is taken, and its row then is the one of before", inject: swapLeases},
	{name: "leader stopped (SIGSTOP) in the middle of a large file, for {hang}", inject: stopSending(1, 1<<20)},
	{name: "leader stopped (SIGSTOP) in the middle of the derived state of a large file, for {hang}", inject: stopSending(4, 64<<10)},
	{name: "the lease of a live leader is said to have expired", inject: expireLease, step: true},
	{name: "the database's clock is set", inject: setClock, step: true},
	{name: "the database's clock stands still for {pause}", inject: func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		return w.runClock(ctx, l, 0, r)
	}},
	{name: "the database's clock runs ten times as fast for {pause}", inject: func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
		return w.runClock(ctx, l, 10, r)
	}},
	{name: "the database's clock is set back by an hour, and the leader killed", inject: killAhead, most: mostPause},
}

// makeClock has the state database go by a clock that can be set and made slower or
// faster: programs ask for clock_timestamp() and find this one before PostgreSQL's.
func (w *world) makeClock(ctx context.Context) error {
	_, err := w.postgres.Exec(ctx, stateDatabase, `CREATE SCHEMA clock;
CREATE TABLE clock.clock (since timestamptz NOT NULL, shown timestamptz NOT NULL, rate float8 NOT NULL);
INSERT INTO clock.clock SELECT now, now, 1 FROM pg_catalog.clock_timestamp() AS now;
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
	'SELECT shown + (pg_catalog.clock_timestamp() - since) * rate FROM clock.clock';
ALTER DATABASE `+stateDatabase+` SET search_path = public, clock, pg_catalog;`)
	return err
}

// adjust sets the database's clock by so much, and how fast it runs from now on.
func (w *world) adjust(ctx context.Context, by time.Duration, rate float64) error {
	_, err := w.postgres.Exec(ctx, stateDatabase, fmt.Sprintf(
		"UPDATE clock.clock SET shown = clock.clock_timestamp() + interval '%d milliseconds', since = pg_catalog.clock_timestamp(), rate = %g", by.Milliseconds(), rate))
	return err
}

// takeLease gives the lease of a live leader up for it. Whoever comes first takes it; a
// leader learns of it at its next write, or its next renewal.
func takeLease(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	before, err := w.epoch(ctx)
	if err != nil {
		return err
	}
	if err := w.giveUp(ctx); err != nil {
		return err
	}
	if err := l.progress(ctx, 10, w.fronts...); err != nil {
		return err
	}
	return w.ledOn(ctx, before, r)
}

func (w *world) giveUp(ctx context.Context) error {
	_, err := w.postgres.Exec(ctx, stateDatabase, "UPDATE lease SET holder = '', expires = '-infinity'")
	return err
}

// twoLead has the other front end lead although the leader's right has not ended: it is
// stopped for so short a time, in the middle of whatever it does, that it goes on with
// that. Before it does, what was done to the lease meanwhile.
func (w *world) twoLead(ctx context.Context, before func() error) (was *front, since time.Time, err error) {
	if was, err = w.leader(ctx); err != nil {
		return nil, since, err
	}
	since = time.Now()
	if err := was.process.Signal(syscall.SIGSTOP); err != nil {
		return nil, since, err
	}
	err = w.giveUp(ctx)
	if err == nil {
		err = process.Eventually(ctx, "the other front end leads", process.Patience, func() bool {
			_, ok := was.other().since(opened, since)
			return ok
		})
	}
	if err == nil && before != nil {
		err = before()
	}
	if err = errors.Join(err, was.process.Signal(syscall.SIGCONT)); err != nil {
		err = fmt.Errorf("%w%s", err, w.lastWords())
	}
	return was, since, err
}

// twoLeaders has two front ends lead at once, until one learns of it.
func twoLeaders(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	was, since, err := w.twoLead(ctx, nil)
	if err != nil {
		return err
	}
	return w.leadsNoMore(ctx, l, was, since, r)
}

// swapLeases has two front ends lead at once and the row say that it is the first one's,
// as a database of an older date does.
func swapLeases(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	const columns = "epoch, holder, url, expires, renewals"
	_, err := w.postgres.Exec(ctx, stateDatabase, "DROP TABLE IF EXISTS clock.lease; CREATE TABLE clock.lease AS SELECT "+columns+" FROM lease")
	if err != nil {
		return err
	}
	_, _, err = w.twoLead(ctx, func() error {
		_, err := w.postgres.Exec(ctx, stateDatabase, "UPDATE lease SET ("+columns+") = (SELECT "+columns+" FROM clock.lease)")
		return err
	})
	return err
}

// epoch is the number of the lease.
func (w *world) epoch(ctx context.Context) (epoch string, err error) {
	wait := process.Eventually(ctx, "the lease can be read", process.Patience, func() bool {
		epoch, err = w.postgres.Exec(ctx, stateDatabase, "SELECT epoch FROM lease")
		return err == nil
	})
	return epoch, errors.Join(wait, err)
}

// ledOn notes whether the lease is the one of before.
func (w *world) ledOn(ctx context.Context, before string, r *rehearsal.Row) error {
	now, err := w.epoch(ctx)
	if now == before {
		r.Outcomes["the leader led on"]++
	} else {
		r.Outcomes["the lease changed hands"]++
	}
	return err
}

// expireLease has the lease of a live leader expire.
func expireLease(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	before, err := w.epoch(ctx)
	if err != nil {
		return err
	}
	if _, err := w.postgres.Exec(ctx, stateDatabase, "UPDATE lease SET expires = clock_timestamp() - interval '1 second'"); err != nil {
		return err
	}
	if err := l.progress(ctx, 10, w.fronts...); err != nil {
		return err
	}
	return w.ledOn(ctx, before, r)
}

// setClock sets the database's clock forward or back, by more than a lease lasts or by
// less.
func setClock(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	before, err := w.epoch(ctx)
	if err != nil {
		return err
	}
	steps := []time.Duration{time.Second, 4 * time.Second, time.Minute, time.Hour, 24 * time.Hour}
	by := steps[w.rand.IntN(len(steps))]
	if w.rand.IntN(2) == 0 {
		by = -by
	}
	if err := w.adjust(ctx, by, 1); err != nil {
		return err
	}
	if err := l.progress(ctx, 10, w.fronts...); err != nil {
		return fmt.Errorf("after a step of %v: %w", by, err)
	}
	return w.ledOn(ctx, before, r)
}

// runClock has the database's clock run at another rate for a while.
func (w *world) runClock(ctx context.Context, l *load, rate float64, r *rehearsal.Row) error {
	before, err := w.epoch(ctx)
	if err != nil {
		return err
	}
	if err := w.adjust(ctx, 0, rate); err != nil {
		return err
	}
	process.Pause(ctx, w.h.pause)
	err = l.progress(ctx, 5, w.fronts...)
	if err := errors.Join(err, w.adjust(ctx, 0, 1)); err != nil {
		return err
	}
	return w.ledOn(ctx, before, r)
}

// killAhead sets the clock back and kills the leader, so that its lease seems to last
// for an hour.
func killAhead(ctx context.Context, w *world, l *load, r *rehearsal.Row) error {
	leader, err := w.leader(ctx)
	if err != nil {
		return err
	}
	// Nothing of it arrives any more, and it does not renew the lease by the new clock.
	killed := time.Now()
	leader.kill()
	if err := w.adjust(ctx, -time.Hour, 1); err != nil {
		return err
	}
	ahead, err := w.postgres.Exec(ctx, stateDatabase, "SELECT expires > clock_timestamp() + interval '30 minutes' FROM lease")
	if err != nil || ahead != "t" {
		return errors.Join(err, fmt.Errorf("the lease does not seem to last for long: %q", ahead))
	}
	if err := w.takenOver(ctx, l, leader, killed); err != nil {
		return err
	}
	if !strings.Contains(leader.other().lastWords(), "the lease is said to last for longer than any does") {
		return fmt.Errorf("%s does not say that the lease is said to last for too long: %s", leader.other().name, leader.other().lastWords())
	}
	r.Outcomes["another one led all the same, and said what was wrong"]++
	return leader.start(ctx)
}
