package alert

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"slices"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// This file is about which of the events that are due become one message.

// choose takes of what is due that of one message: what is by itself, the digest, all of
// one cause, or where very many are waiting a line for each cause.
func choose(dest string, list []queued, now time.Time) (taken []queued, e *Event) {
	if i := slices.IndexFunc(list, func(q queued) bool { return q.cause == "" }); i >= 0 {
		return list[i : i+1], &list[i].event
	}
	bulk, single := split(list, func(q queued) bool { return q.bulk })
	if len(single) == 0 {
		return bulk, digestOf(dest, bulk, now)
	}
	first := map[string]bool{}
	for _, q := range single {
		first[q.cause] = true
	}
	if len(first) <= flood {
		taken, _ = split(single, func(q queued) bool { return q.cause == single[0].cause })
		if others, _ := split(taken, func(q queued) bool { return causeOf(&q.event) != causeOf(&taken[0].event) }); len(others) > 0 {
			return taken, digestOf(dest, taken, now) // of several repositories
		}
		return taken, standingFor(taken)
	}
	// What does not find room is the next message.
	first = map[string]bool{}
	for _, q := range single {
		if len(first) < maxCauses {
			first[q.cause] = true
		}
	}
	taken, _ = split(single, func(q queued) bool { return first[q.cause] })
	return taken, digestOf(dest, taken, now)
}

func split(list []queued, in func(queued) bool) (yes, no []queued) {
	for _, q := range list {
		if in(q) {
			yes = append(yes, q)
		} else {
			no = append(no, q)
		}
	}
	return yes, no
}

// standingFor returns the event that stands for all of one cause: the first that opened.
func standingFor(list []queued) *Event {
	i := max(0, slices.IndexFunc(list, func(q queued) bool { return q.event.Type == Opened }))
	e := list[i].event
	if len(list) == 1 {
		return &e
	}
	e.Counts = &Counts{}
	for j, q := range list {
		e.Counts.add(q.event.Type)
		if j != i && q.event.Type == Opened {
			e.Also = append(e.Also, short(q.event.Finding.Sentence, maxAlsoWords))
		}
		if j != i && len(e.Others) < maxOthers {
			e.Others = append(e.Others, q.event.ID)
		}
	}
	e.Also = e.Also[max(0, len(e.Also)-maxAlso):] // the first is in Finding
	return &e
}

func (c *Counts) add(t Type) {
	if t == Closed {
		c.Closed++
	} else {
		c.Opened++
	}
}

// digestOf returns an event with a line for each cause, the worst first.
func digestOf(dest string, list []queued, now time.Time) *Event {
	e := &Event{Version: eventVersion, Type: Digest, Time: now.UTC().Truncate(time.Millisecond), Counts: &Counts{}}
	words := []any{dest}
	at := map[string]int{}
	for _, q := range list {
		words = append(words, q.event.ID)
		e.Counts.add(q.event.Type)
		cause := causeOf(&q.event)
		i, ok := at[cause]
		if !ok {
			i = len(e.Causes)
			at[cause] = i
			e.Causes = append(e.Causes, causeLine(&q.event))
		}
		e.Causes[i].add(q.event.Type)
	}
	e.ID = newID(string(Digest), words...)
	slices.SortStableFunc(e.Causes, func(a, b Cause) int {
		return cmp.Or(ordered(a.isGrave(), b.isGrave()), cmp.Compare(slices.Index(allClasses, a.Class), slices.Index(allClasses, b.Class)),
			ordered(!a.Unnamed, !b.Unnamed), cmp.Compare(a.Log, b.Log))
	})
	// They are the first.
	grave := slices.IndexFunc(e.Causes, func(c Cause) bool { return !c.isGrave() })
	if grave < 0 {
		grave = len(e.Causes)
	}
	if room := max(maxCauses, grave); len(e.Causes) > room {
		e.Omitted = len(e.Causes) - room
		e.Causes = e.Causes[:room]
	}
	return e
}

// isGrave reports whether no digest leaves a cause out.
func (c *Cause) isGrave() bool { return c.Class.Fails() && !c.Unnamed }

// ordered compares: what is true comes first.
func ordered(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

func causeLine(e *Event) Cause {
	f := e.Finding
	return Cause{
		Class: f.Class, Kind: f.Kind, Log: e.Log, Repository: f.Repository, RepositoryName: e.RepositoryName, Unnamed: e.Unnamed,
		Sentence: tuf.Clip(f.Sentence), First: e.ID, Command: e.Command, Asks: e.Asks, Link: e.Link,
	}
}

// storm notes that a destination is told of a cause now: further events of it wait. As
// long as they come the time between two messages doubles.
func (d *Desk) storm(ctx context.Context, tx *sql.Tx, dest, cause string, now time.Time) error {
	var until int64
	step := 0
	err := tx.QueryRowContext(ctx, "SELECT until, step FROM storms WHERE dest = ? AND cause = ?", dest, cause).Scan(&until, &step)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return err
	case time.UnixMilli(until).After(now.Add(longestStorm)): // noted by a clock that was ahead
		step = 0
	case now.Before(time.UnixMilli(until).Add(d.stormTime(step))):
		step = min(step+1, 16)
	default:
		step = 0
	}
	_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO storms (dest, cause, until, step) VALUES (?, ?, ?, ?)", dest, cause, now.Add(d.stormTime(step)).UnixMilli(), step)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM storms WHERE dest = ? AND until < ?", dest, now.Add(-2*longestStorm).UnixMilli())
	return err
}

func (d *Desk) stormTime(step int) time.Duration {
	return min(d.cfg.Collapse<<step, longestStorm)
}
