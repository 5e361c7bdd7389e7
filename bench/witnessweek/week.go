package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/tuflog/tuflog/witness/budget"
)

// week says what is played.
type week struct {
	logs, days, hungry int
	rate               budget.Rate
	seed               uint64
}

// start is when it begins: midnight.
var start = time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)

const (
	day     = 24 * time.Hour
	refresh = 10 * time.Minute // publisher.Config.Refresh
	backoff = time.Second      // the first, and what it grows to, while a witness fails
	most    = 15 * time.Second
)

// result is what came of it.
type result struct {
	logs                     int
	all                      []time.Time // when requests were sent
	mostOfOne, mostInDay     int64
	mostInHour, mostInSecond int64
	waits                    []time.Duration // of releases, sorted
}

func (w week) play() (*result, error) {
	r := &result{logs: w.logs}
	for i := range w.logs {
		l := &player{week: w, rnd: rand.New(rand.NewPCG(w.seed, uint64(i))), hungry: i*100 < w.hungry*w.logs, kept: kept{}}
		l.plan(i)
		if err := l.run(); err != nil {
			return nil, err
		}
		r.mostOfOne = max(r.mostOfOne, mostIn(l.sent, day))
		r.all = append(r.all, l.sent...)
		if !l.hungry {
			r.waits = append(r.waits, l.waits...)
		}
	}
	slices.SortFunc(r.all, time.Time.Compare)
	slices.Sort(r.waits)
	r.mostInDay, r.mostInHour, r.mostInSecond = mostIn(r.all, day), mostIn(r.all, time.Hour), mostIn(r.all, time.Second)
	return r, nil
}

// wait is how long a part of the releases has waited at most.
func (r *result) wait(part float64) time.Duration {
	if len(r.waits) == 0 {
		return 0
	}
	return r.waits[int(part*float64(len(r.waits)-1))]
}

// mostIn is the most times, which are sorted, in any window of a length.
func mostIn(times []time.Time, window time.Duration) (n int64) {
	from := 0
	for i, t := range times {
		for t.Sub(times[from]) > window {
			from++
		}
		n = max(n, int64(i-from+1))
	}
	return n
}

// kept is a budget.Store: what outlives a restart.
type kept map[string][]byte

// Update implements budget.Store.
func (k kept) Update(_ context.Context, witness string, change func([]byte) ([]byte, error)) error {
	next, err := change(k[witness])
	if err == nil {
		k[witness] = next
	}
	return err
}

// player is one log.
type player struct {
	week
	rnd      *rand.Rand
	hungry   bool
	releases []time.Time // planned, sorted
	restarts []time.Time // the same
	kept     kept
	budget   *budget.Budget

	sent  []time.Time
	waits []time.Duration

	waiting  []time.Time // releases that are not published
	want     bool        // a checkpoint is to be cosigned
	kind     budget.Kind
	try      time.Time // when it is tried next
	pause    time.Duration
	cosigned time.Time
}

// between is a time in a day.
func (l *player) between(of int, from, length time.Duration) time.Time {
	return start.Add(time.Duration(of)*day + from + time.Duration(l.rnd.Int64N(int64(length))))
}

// plan decides what happens to the log.
func (l *player) plan(number int) {
	for d := range l.days {
		for range l.rnd.IntN(20) {
			l.releases = append(l.releases, l.between(d, 0, day))
		}
		// A burst, as a build that signs one thing after the other, and everybody's noon.
		burst := l.between(d, 0, day)
		for range l.rnd.IntN(40) {
			l.releases = append(l.releases, burst.Add(time.Duration(l.rnd.Int64N(int64(2*time.Minute)))))
		}
		for range 3 {
			l.releases = append(l.releases, l.between(d, 12*time.Hour, 30*time.Second))
		}
		if l.rnd.IntN(2) == 0 {
			l.restarts = append(l.restarts, l.between(d, 0, day))
		}
		// One in a hundred starts again every half a minute, for three hours.
		if number%100 == d {
			for from := l.between(d, 0, 20*time.Hour); from.Before(start.Add(time.Duration(d)*day + 23*time.Hour)); from = from.Add(30 * time.Second) {
				l.restarts = append(l.restarts, from)
			}
		}
		if d == 3 { // the power of a data center
			l.restarts = append(l.restarts, l.between(d, 9*time.Hour, time.Second))
		}
	}
	if l.hungry {
		for at := start; at.Before(l.end()); at = at.Add(time.Duration(l.rnd.Int64N(int64(20 * time.Second)))) {
			l.releases = append(l.releases, at)
		}
	}
	slices.SortFunc(l.releases, time.Time.Compare)
	slices.SortFunc(l.restarts, time.Time.Compare)
}

func (l *player) end() time.Time { return start.Add(time.Duration(l.days) * day) }

// away reports whether the witness answers with errors: from 15:00 to 16:30.
func away(now time.Time) bool {
	into := now.Sub(start) % day
	return into >= 15*time.Hour && into < 16*time.Hour+30*time.Minute
}

// run plays the log.
func (l *player) run() error {
	l.restart(start)
	for {
		now := l.cosigned.Add(refresh)
		if l.want {
			now = l.try
		}
		release, restart := len(l.releases) > 0 && !l.releases[0].After(now), false
		if release {
			now = l.releases[0]
		}
		if len(l.restarts) > 0 && !l.restarts[0].After(now) {
			now, release, restart = l.restarts[0], false, true
		}
		if now.After(l.end()) {
			return nil
		}
		var err error
		switch {
		case restart:
			l.restarts = l.restarts[1:]
			l.restart(now)
		case release:
			l.releases = l.releases[1:]
			l.release(now)
		case l.want:
			err = l.ask(now)
		case l.budget.Wait("w", budget.Refresh, now) == 0:
			l.want, l.kind, l.pause = true, budget.Refresh, backoff
			err = l.ask(now)
		default:
			l.cosigned = now // looked at again in ten minutes
		}
		if err != nil {
			return err
		}
	}
}

// restart begins a process: the last checkpoint is to be cosigned once more.
func (l *player) restart(now time.Time) {
	l.budget = l.count()
	l.want, l.kind, l.try, l.pause = true, budget.Growth, now, backoff
}

// count is the budget of a new process.
func (l *player) count() *budget.Budget {
	if !l.rate.Declared() {
		return budget.New(l.rate, nil)
	}
	return budget.New(l.rate, l.kept)
}

// release has one more wait. A checkpoint that the witness was asked for goes first.
func (l *player) release(now time.Time) {
	l.waiting = append(l.waiting, now)
	if !l.want || l.kind == budget.Refresh {
		l.want, l.kind, l.try, l.pause = true, budget.Growth, now, backoff
	}
}

// ask sends a request if the budget has one, and plays the witness.
func (l *player) ask(now time.Time) error {
	var paced *budget.PacedError
	err := l.budget.Take(context.Background(), "w", l.kind, now)
	switch {
	case errors.As(err, &paced):
		l.try = now.Add(max(paced.Wait, time.Millisecond))
		return nil
	case err != nil:
		return err
	}
	l.sent = append(l.sent, now)
	switch {
	case away(now):
		if l.kind == budget.Growth {
			l.kind = budget.Retry
		}
		l.try, l.pause = now.Add(l.pause), min(2*l.pause, most)
	case l.rnd.IntN(50) == 0:
		l.try = now // a conflict: at once from another size
	default:
		for _, since := range l.waiting {
			l.waits = append(l.waits, now.Sub(since))
		}
		l.waiting, l.want, l.cosigned = l.waiting[:0], false, now
	}
	return nil
}
