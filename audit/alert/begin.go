package alert

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/tuf"
)

// This file is about what changes with the settings: who is new is told of what is open, and what
// waited for somebody who is gone is not lost without a word.

// begin takes the right to deliver, and the destinations as the settings have them.
func (d *Desk) begin(ctx context.Context) (*lockfile.Lock, error) {
	lock, err := lockfile.Acquire(d.path+".lock", "")
	if err != nil {
		return nil, err
	}
	if err := d.write(ctx, func(tx *sql.Tx) error { return d.takeSettings(ctx, tx) }); err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return lock, nil
}

// routingName is the name in meta of who is told of what: a routing in JSON.
const routingName = "routing"

// routing is what the outbox remembers of the settings.
type routing struct {
	To     []string   `json:"to"`     // names of the destinations
	Routes tuf.Digest `json:"routes"` // of the routes
}

// routing returns that of the settings.
func (d *Desk) routing() (routing, error) {
	b, err := json.Marshal(d.cfg.Routes)
	return routing{d.Destinations(), tuf.Sum(b)}, err
}

// takeSettings makes the outbox follow the settings.
func (d *Desk) takeSettings(ctx context.Context, tx *sql.Tx) error {
	before, err := d.routingBefore(ctx, tx)
	if err != nil {
		return err
	}
	for name := range d.cfg.To {
		if err := d.settle(ctx, tx, name); err != nil {
			return err
		}
	}
	if err := d.forget(ctx, tx); err != nil {
		return err
	}
	now, err := d.routing()
	if err != nil || reflect.DeepEqual(now, before) {
		return err
	}
	if err := d.tellOpen(ctx, tx, func(to string) bool { return !slices.Contains(before.To, to) }); err != nil {
		return err
	}
	text, err := json.Marshal(now)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", routingName, string(text)); err != nil {
		return err
	}
	return d.trim(ctx, tx)
}

// routingBefore returns what the outbox remembers. One that remembers nothing knows the
// destinations at least that have been delivered to.
func (d *Desk) routingBefore(ctx context.Context, tx *sql.Tx) (before routing, err error) {
	var text string
	err = tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", routingName).Scan(&text)
	if err == nil {
		err = json.Unmarshal([]byte(text), &before)
		return before, err
	}
	if !errors.Is(err, sql.ErrNoRows) {
		return before, err
	}
	err = query(ctx, tx, "SELECT name FROM destinations", nil, func(rows *sql.Rows) error {
		var name string
		err := rows.Scan(&name)
		before.To = append(before.To, name)
		return err
	})
	return before, err
}

// settle makes the row of a destination. One whose settings have changed is on.
func (d *Desk) settle(ctx context.Context, tx *sql.Tx, name string) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO destinations (name, settings) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE
		SET settings = ?2, off = 0, failing = 0, tries = 0, next = 0 WHERE settings <> ?2`, name, d.settings[name])
	return err
}

// forget removes what waits for destinations that are no more, and tells the others how much
// that was.
func (d *Desk) forget(ctx context.Context, tx *sql.Tx) error {
	gone := map[string]int{} // events and messages
	err := query(ctx, tx, `SELECT name, (SELECT count(*) FROM queue WHERE dest = name) + (SELECT count(*) FROM messages WHERE dest = name) FROM destinations`, nil, func(rows *sql.Rows) error {
		var name string
		var n int
		err := rows.Scan(&name, &n)
		if _, ok := d.cfg.To[name]; !ok {
			gone[name] = n
		}
		return err
	})
	if err != nil {
		return err
	}
	now := d.cfg.Now()
	for name, n := range gone {
		for _, statement := range []string{
			"DELETE FROM queue WHERE dest = ?", "DELETE FROM messages WHERE dest = ?", "DELETE FROM storms WHERE dest = ?", "DELETE FROM destinations WHERE name = ?",
		} {
			if _, err := tx.ExecContext(ctx, statement, name); err != nil {
				return err
			}
		}
		if n == 0 {
			continue
		}
		text := fmt.Sprintf("The destination %s is not configured any more, and %s for it had not been delivered. What is still so and went to nobody else goes to those who are told of it now; the feeds, the page and auditor findings have the rest.", name, plural(n, "message"))
		d.cfg.Logger.Warn("what waited for a destination that is not configured any more is not delivered to it", "to", name, "messages", n)
		e := &Event{Version: eventVersion, ID: newID("gone", name, now.UnixNano()), Type: Health, Time: now.UTC().Truncate(time.Millisecond), Text: text}
		if err := d.announce(ctx, tx, e, d.Destinations()); err != nil {
			return err
		}
	}
	return nil
}

// tellOpen tells destinations that are new of what is open and not acknowledged, and of what went
// to nobody who is still there those who are told of it by the present routes.
func (d *Desk) tellOpen(ctx context.Context, tx *sql.Tx, fresh func(to string) bool) error {
	type row struct {
		origin, log string
		sum         tuf.Digest
	}
	var list []row
	err := query(ctx, tx, "SELECT origin, log, sum FROM findings WHERE open AND NOT acked", nil, func(rows *sql.Rows) error {
		var r row
		var sum []byte
		err := rows.Scan(&r.origin, &r.log, &sum)
		r.sum = tuf.Digest(sum)
		list = append(list, r)
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range list {
		c := &change{desk: d, tx: tx, log: r.log, origin: r.origin, now: d.cfg.Now()}
		if err := c.tellAgain(ctx, r.sum, fresh); err != nil {
			return err
		}
	}
	return nil
}

// tellAgain tells those who have not been told of a finding that is open.
func (c *change) tellAgain(ctx context.Context, sum tuf.Digest, fresh func(to string) bool) error {
	k, err := c.known(ctx, sum)
	if err != nil {
		return err
	}
	var f audit.Finding
	if err := json.Unmarshal(k.body, &f); err != nil {
		return fmt.Errorf("finding %s: %w", sum, err)
	}
	if !k.told {
		if err := c.tell(ctx, &k, sum, &f); err != nil {
			return err
		}
		return c.keep(ctx, sum, f.Class, k)
	}
	k.sent = slices.DeleteFunc(k.sent, func(s sent) bool {
		_, there := c.desk.cfg.To[s.To]
		return !there
	})
	nobody := len(k.sent) == 0
	_, route := c.desk.cfg.Route(c.log, &f)
	var more []sent
	for _, to := range route.To {
		told := slices.ContainsFunc(k.sent, func(s sent) bool { return s.To == to })
		if !told && (nobody || fresh(to)) {
			more = append(more, sent{To: to, Digest: route.Digest})
		}
	}
	e := c.event(Opened, k.opening, &f, sum, k.episode)
	number, err := c.numberOf(ctx, e, len(more) > 0)
	if err != nil {
		return err
	}
	for _, s := range more {
		if err := c.enqueue(ctx, number, e, s, c.desk.cfg.To[s.To].Type); err != nil {
			return err
		}
	}
	k.sent = append(k.sent, more...)
	return c.keep(ctx, sum, f.Class, k)
}

// numberOf returns the number of an event, which it makes if it is needed and no longer kept.
func (c *change) numberOf(ctx context.Context, e *Event, needed bool) (number int64, err error) {
	if !needed {
		return 0, nil
	}
	err = c.tx.QueryRowContext(ctx, "SELECT number FROM events WHERE id = ?", e.ID).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return c.insert(ctx, e)
	}
	return number, err
}
