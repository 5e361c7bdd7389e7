package alert

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit"
)

const (
	// maxCauses is how many causes a digest has. Of the classes that must not wait none is left out,
	// but for repositories that the settings do not name.
	maxCauses = 500
	// maxAlso is how many sentences of others an event has, of at most maxAlsoWords bytes.
	maxAlso      = 20
	maxAlsoWords = 300
	// maxOthers is how many ids an event has of those that it stands for.
	maxOthers = 100
	// flood is how many causes that are to be told at once are messages of their own.
	flood = 10
	// maxMessages is how many messages to a destination that fails wait at most before no
	// further one is made.
	maxMessages = 8
	// maxRefused is the same for one that does not fail, and refuses some: these few are soon
	// offered in other words.
	maxRefused = 100
	// linesAtOnce is how many lines are written to a file at once.
	linesAtOnce = 200
	// longestStorm is how long at most a cause is not told again.
	longestStorm = 6 * time.Hour
)

// post keeps an event and queues it to destinations.
func (c *change) post(ctx context.Context, e *Event, where []sent) error {
	number, err := c.insert(ctx, e)
	if err != nil || number == 0 {
		return err
	}
	for _, s := range where {
		to, ok := c.desk.cfg.To[s.To]
		if !ok {
			continue
		}
		if err := c.enqueue(ctx, number, e, s, to.Type); err != nil {
			return err
		}
	}
	return nil
}

// insert returns the number of a new event; 0: there is one with the id.
func (c *change) insert(ctx context.Context, e *Event) (int64, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return 0, err
	}
	class, repository := "", []byte{}
	if e.Finding != nil {
		class = string(e.Finding.Class)
		if !e.Finding.Repository.IsZero() {
			repository = e.Finding.Repository[:]
		}
	}
	r, err := c.tx.ExecContext(ctx, "INSERT OR IGNORE INTO events (id, time, class, log, repository, body) VALUES (?, ?, ?, ?, ?, ?)",
		e.ID, e.Time.UnixMilli(), class, e.Log, repository, body)
	if err != nil {
		return 0, err
	}
	if n, err := r.RowsAffected(); n == 0 || err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

func (c *change) enqueue(ctx context.Context, number int64, e *Event, s sent, destType string) error {
	due, cause, bulk := c.now, "", false
	if f := e.Finding; f != nil {
		if destType != typeJSONL {
			cause = causeOf(e)
			if e.Unnamed && s.Digest == 0 {
				cause = string(f.Kind) + " unnamed " + e.Origin
			}
			if bulk = s.Digest > 0; bulk {
				due = nextRound(c.now, s.Digest)
			} else if c.desk.cfg.Collapse < 0 {
				cause = ""
			} else if until, err := c.stormEnds(ctx, s.To, cause, e.isNew()); err != nil {
				return err
			} else if until.After(due) {
				due = until
			}
		}
	}
	_, err := c.tx.ExecContext(ctx, "INSERT OR IGNORE INTO queue (dest, event, cause, bulk, urgent, due) VALUES (?, ?, ?, ?, ?, ?)",
		s.To, number, cause, bulk, urgency(e), due.UnixMilli())
	return err
}

// urgency says how much an event matters where there is no room for all: the higher, the more. What
// others can cause at will must not push out what they cannot.
func urgency(e *Event) int {
	switch f := e.Finding; {
	case f == nil || f.Class == audit.Tampering:
		return 4
	case !f.Class.Fails():
		return 0
	case e.Unnamed:
		return 1
	case f.Class == audit.Equivocation:
		return 3
	}
	return 2
}

// isNew reports whether an event is the first about a finding of a class that must not wait.
// Whoever can cause harmless findings must not be able to make one that is not wait for the end
// of their storm. Those about repositories that the settings do not name wait: anybody can
// register one more, and what is done there is new each time.
func (e *Event) isNew() bool {
	return e.Type == Opened && e.Episode == 1 && e.Finding.Class.Fails() && !e.Unnamed
}

// causeOf names what events of one storm have in common.
func causeOf(e *Event) string {
	return string(e.Finding.Kind) + " " + e.Finding.Repository.String() + " " + e.Origin
}

// nextRound returns when what is collected every so often is next told. What is told once
// a day, or rarer, is told in the morning (UTC).
func nextRound(now time.Time, every time.Duration) time.Time {
	offset := time.Duration(0)
	if every%day == 0 {
		offset = 6 * time.Hour
	}
	return now.Add(-offset).Truncate(every).Add(every + offset)
}

// stormEnds returns until when an event of a cause waits. One that is new waits as if no other
// message but the last had been sent.
func (c *change) stormEnds(ctx context.Context, dest, cause string, isNew bool) (time.Time, error) {
	var until int64
	var step int
	err := c.tx.QueryRowContext(ctx, "SELECT until, step FROM storms WHERE dest = ? AND cause = ?", dest, cause).Scan(&until, &step)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	if end := time.UnixMilli(until); end.Before(c.now.Add(longestStorm + time.Second)) {
		if isNew {
			end = end.Add(c.desk.stormTime(0) - c.desk.stormTime(step))
		}
		return end, err
	}
	return time.Time{}, err // noted by a clock that was ahead
}

// withdraw takes the opening of a finding, which somebody has acknowledged, from the queues in
// which it still waits.
func (c *change) withdraw(ctx context.Context, k *known) error {
	for i := range k.sent {
		r, err := c.tx.ExecContext(ctx, "DELETE FROM queue WHERE dest = ? AND event = (SELECT number FROM events WHERE id = ?)", k.sent[i].To, k.opening)
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		if err != nil {
			return err
		}
		k.sent[i].Withdrawn = n > 0
	}
	return nil
}

// tellWithdrawn queues an opening that was withdrawn: nobody acknowledges it any more.
func (c *change) tellWithdrawn(ctx context.Context, k *known) error {
	var number int64
	var body []byte
	err := c.tx.QueryRowContext(ctx, "SELECT number, body FROM events WHERE id = ?", k.opening).Scan(&number, &body)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it is long ago
	}
	if err != nil {
		return err
	}
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	for i := range k.sent {
		s := &k.sent[i]
		to, ok := c.desk.cfg.To[s.To]
		if !s.Withdrawn || !ok {
			continue
		}
		s.Withdrawn = false
		if err := c.enqueue(ctx, number, &e, *s, to.Type); err != nil {
			return err
		}
	}
	return nil
}

// trim bounds what is kept.
func (d *Desk) trim(ctx context.Context, tx *sql.Tx) error {
	keep := d.cfg.Keep
	for name := range d.cfg.To {
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM queue WHERE dest = ?", name).Scan(&n); err != nil {
			return err
		}
		if n <= keep {
			continue
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM queue WHERE number IN (SELECT number FROM queue WHERE dest = ? ORDER BY urgent, number LIMIT ?)", name, n-keep); err != nil {
			return err
		}
		if err := d.settle(ctx, tx, name); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE destinations SET lost = lost + ?1, unsaid = unsaid + ?1 WHERE name = ?2", n-keep, name); err != nil {
			return err
		}
		d.cfg.Logger.Error("more events wait for a destination than are kept: the oldest were left out", "to", name, "left_out", n-keep)
	}
	var first, last sql.NullInt64
	if err := tx.QueryRowContext(ctx, "SELECT min(number), max(number) FROM events").Scan(&first, &last); err != nil {
		return err
	}
	if last.Int64-first.Int64 < int64(keep+keep/10) {
		return nil
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM events WHERE number <= ? AND NOT EXISTS (SELECT 1 FROM queue WHERE event = events.number)", last.Int64-int64(keep))
	return err
}

// outgoing is what a destination gets.
type outgoing struct {
	ID    string
	Event *Event
	Body  []byte // the event in JSON
}

// parcel is what is delivered in one attempt: a message, or several lines.
type parcel struct {
	events  []outgoing
	message int64   // messages.number; 0: it is events of the queue
	queued  []int64 // queue.number of these
	tries   int
	made    time.Time
}

// queued is an event that waits.
type queued struct {
	number int64
	cause  string
	bulk   bool
	event  Event
	body   []byte
}

// next returns what is to be delivered to a destination now; nil: nothing is. At one that
// takes messages what is new comes before what it did not take: nobody delays an alarm by a
// message that is refused. At one that fails it is the other way round.
func (d *Desk) next(ctx context.Context, dest *destination, failing bool) (*parcel, error) {
	now := d.cfg.Now()
	most := maxRefused
	if failing {
		most = maxMessages
		if p, err := d.retry(ctx, dest.name, now); p != nil || err != nil {
			return p, err
		}
	}
	var n int
	if err := d.db.QueryRowContext(ctx, "SELECT count(*) FROM messages WHERE dest = ?", dest.name).Scan(&n); err != nil {
		return nil, err
	}
	if n < most {
		if p, err := d.fresh(ctx, dest, now); p != nil || err != nil {
			return p, err
		}
	}
	return d.retry(ctx, dest.name, now)
}

// fresh makes the next parcel of what is due.
func (d *Desk) fresh(ctx context.Context, dest *destination, now time.Time) (p *parcel, err error) {
	if dest.to.Type == typeJSONL {
		list, err := d.due(ctx, d.db, dest.name, now, linesAtOnce)
		if err != nil || len(list) == 0 {
			return nil, err
		}
		p := &parcel{}
		for _, q := range list {
			p.queued = append(p.queued, q.number)
			p.events = append(p.events, outgoing{q.event.ID, &q.event, q.body})
		}
		return p, nil
	}
	if list, err := d.due(ctx, d.db, dest.name, now, 1); err != nil || len(list) == 0 {
		return nil, err
	}
	err = d.inTx(ctx, func(tx *sql.Tx) error {
		list, err := d.due(ctx, tx, dest.name, now, d.cfg.Keep+1)
		if err != nil || len(list) == 0 {
			return err
		}
		p, err = d.pack(ctx, tx, dest.name, list, now)
		return err
	})
	return p, err
}

// retry returns a message that failed before and whose time has come.
func (d *Desk) retry(ctx context.Context, dest string, now time.Time) (*parcel, error) {
	var p parcel
	var made int64
	var body []byte
	err := d.db.QueryRowContext(ctx, "SELECT number, body, tries, made FROM messages WHERE dest = ? AND (next <= ? OR next > ?) ORDER BY next, number LIMIT 1",
		dest, now.UnixMilli(), now.Add(latestRetry).UnixMilli()).
		Scan(&p.message, &body, &p.tries, &made)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return nil, err
	}
	p.made, p.events = time.UnixMilli(made), []outgoing{{e.ID, &e, body}}
	return &p, nil
}

// due returns what waits for a destination and whose time has come, in the order in which
// it happened. A time that is further ahead than any is made was noted by a clock that was
// wrong.
func (d *Desk) due(ctx context.Context, q queryer, dest string, now time.Time, limit int) (list []queued, err error) {
	err = query(ctx, q, `SELECT queue.number, cause, bulk, body FROM queue JOIN events ON events.number = queue.event
		WHERE dest = ?1 AND (due <= ?2 OR due > iif(bulk, ?3, ?4)) ORDER BY queue.number LIMIT ?5`,
		[]any{dest, now.UnixMilli(), now.Add(d.cfg.longestDigest()).UnixMilli(), now.Add(longestStorm).UnixMilli(), limit}, func(rows *sql.Rows) error {
			var q queued
			if err := rows.Scan(&q.number, &q.cause, &q.bulk, &q.body); err != nil {
				return err
			}
			list = append(list, q)
			return json.Unmarshal(q.body, &list[len(list)-1].event)
		})
	return list, err
}

// pack makes the next message of what is due, and keeps it.
func (d *Desk) pack(ctx context.Context, tx *sql.Tx, dest string, list []queued, now time.Time) (*parcel, error) {
	taken, e := choose(dest, list, now)
	var causes []string
	for _, q := range taken {
		if q.cause != "" && !q.bulk && !slices.Contains(causes, q.cause) {
			causes = append(causes, q.cause)
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM queue WHERE number = ?", q.number); err != nil {
			return nil, err
		}
	}
	for _, cause := range causes {
		if err := d.storm(ctx, tx, dest, cause, now); err != nil {
			return nil, err
		}
	}
	if err := tx.QueryRowContext(ctx, "SELECT unsaid FROM destinations WHERE name = ?", dest).Scan(&e.Lost); err != nil {
		return nil, err
	}
	if e.Lost > 0 {
		if _, err := tx.ExecContext(ctx, "UPDATE destinations SET unsaid = 0 WHERE name = ?", dest); err != nil {
			return nil, err
		}
	}
	body, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	r, err := tx.ExecContext(ctx, "INSERT INTO messages (dest, body, made, tries, next) VALUES (?, ?, ?, 0, ?)", dest, body, now.UnixMilli(), now.UnixMilli())
	if err != nil {
		return nil, err
	}
	number, err := r.LastInsertId()
	return &parcel{events: []outgoing{{e.ID, e, body}}, message: number, made: now}, err
}
