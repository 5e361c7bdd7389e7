package alert

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/internal/wait"
)

// healthName is the name in meta of when the next health mail is due.
const healthName = "health-due"

// reportHealth makes the health mails until ctx ends.
func (d *Desk) reportHealth(ctx context.Context) {
	for ctx.Err() == nil {
		due, err := d.health(ctx)
		pause := diskRetry
		if err == nil {
			pause = min(due.Sub(d.cfg.Now()), time.Minute)
		} else if ctx.Err() == nil {
			d.cfg.Logger.Error("the health mail was not made", "error", printable.Line(err.Error()))
		}
		_ = wait.For(ctx, pause)
	}
}

// health makes the health mail if it is due, and returns when the next one is.
func (d *Desk) health(ctx context.Context) (time.Time, error) {
	due, err := d.healthDue(ctx)
	if err != nil || d.cfg.Now().Before(due) {
		return due, err
	}
	return d.makeHealth(ctx, due)
}

// healthDue returns when the next health mail is due: never is far.
func (d *Desk) healthDue(ctx context.Context) (time.Time, error) {
	now := d.cfg.Now()
	every := d.cfg.HealthMails.Every
	if every < 0 || len(d.cfg.HealthMails.To) == 0 {
		return now.Add(day), nil
	}
	var text string
	err := d.db.QueryRowContext(ctx, "SELECT value FROM meta WHERE name = ?", healthName).Scan(&text)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, err
	}
	next := nextRound(now, every)
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && time.UnixMilli(ms).Before(next) {
		return time.UnixMilli(ms), nil
	}
	_, err = d.db.ExecContext(ctx, "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", healthName, strconv.FormatInt(next.UnixMilli(), 10))
	return next, err
}

// makeHealth queues the health mail that was due, and returns when the next one is.
func (d *Desk) makeHealth(ctx context.Context, due time.Time) (time.Time, error) {
	now := d.cfg.Now()
	e := &Event{Version: eventVersion, ID: newID(string(Health), due.UnixMilli()), Type: Health, Time: now.UTC().Truncate(time.Millisecond), Link: d.cfg.URL}
	for _, l := range d.cfg.Logs {
		h, err := d.logHealth(ctx, l.Name)
		if err != nil {
			return due, err
		}
		e.Health = append(e.Health, h)
	}
	off, err := d.troubled(ctx)
	if err != nil {
		return due, err
	}
	e.Text = healthText(e.Health, off)
	next := nextRound(now, d.cfg.HealthMails.Every)
	return next, d.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", healthName, strconv.FormatInt(next.UnixMilli(), 10)); err != nil {
			return err
		}
		return d.announce(ctx, tx, e, d.cfg.HealthMails.To)
	})
}

func (d *Desk) logHealth(ctx context.Context, log string) (LogHealth, error) {
	h := LogHealth{Log: log}
	if d.cfg.Line != nil {
		h.Line = d.cfg.Line(ctx, log)
	}
	var body []byte
	err := d.db.QueryRowContext(ctx, "SELECT count(*), coalesce(min(body), '') FROM findings WHERE open AND log = ? AND class = ?", log, audit.Outage).Scan(&h.Outages, &body)
	if err != nil {
		return h, err
	}
	if h.Outages > 0 {
		var f audit.Finding
		if err := json.Unmarshal(body, &f); err != nil {
			return h, err
		}
		h.Outage = short(printable.Line(f.Sentence), 500)
	}
	err = d.db.QueryRowContext(ctx, "SELECT count(*) FROM findings WHERE open AND NOT acked AND log = ? AND class <> ?", log, audit.Outage).Scan(&h.Open)
	return h, err
}

// troubled says which destinations are off, fail, or have not taken all.
func (d *Desk) troubled(ctx context.Context) ([]string, error) {
	all, err := d.Status(ctx, d.cfg.Now())
	var list []string
	for _, s := range all {
		switch {
		case !s.Off.IsZero():
			list = append(list, fmt.Sprintf("%s is switched off since %s (%s)", s.To, s.Off.Format(time.RFC3339), s.Trouble))
		case !s.Failing.IsZero():
			list = append(list, fmt.Sprintf("%s fails since %s (%s)", s.To, s.Failing.Format(time.RFC3339), s.Trouble))
		case s.Trouble != "":
			list = append(list, fmt.Sprintf("%s takes messages, but not all of it did (%s)", s.To, s.Trouble))
		}
	}
	return list, err
}

// healthText is the sentence of a health mail.
func healthText(logs []LogHealth, troubled []string) string {
	bad := len(logs) - len(slices.DeleteFunc(slices.Clone(logs), func(h LogHealth) bool { return h.Outages > 0 }))
	text := fmt.Sprintf("%s, without an outage.", plural(len(logs), "log"))
	if bad > 0 {
		text = fmt.Sprintf("%d of %s has an outage.", bad, plural(len(logs), "log"))
		if bad > 1 {
			text = fmt.Sprintf("%d of %s have an outage.", bad, plural(len(logs), "log"))
		}
	}
	if len(troubled) > 0 {
		text += " Destinations: " + strings.Join(troubled, "; ") + "."
	}
	return text
}

// Alerting reports whether a finding is open that nobody has acknowledged and that somebody
// is to be told of at once: of a class that makes a replay fail, unless a route without
// receivers silences it, or with a route to a destination that collects no digest.
func (d *Desk) Alerting(ctx context.Context) (bool, error) {
	alerting := false
	err := query(ctx, d.db, "SELECT log, body FROM findings WHERE open AND NOT acked", nil, func(rows *sql.Rows) error {
		var log string
		var body []byte
		var f audit.Finding
		if err := rows.Scan(&log, &body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &f); err != nil {
			return err
		}
		number, route := d.cfg.Route(log, &f)
		silenced := number >= 0 && number < len(d.cfg.Routes) && len(route.To) == 0
		alerting = alerting || f.Class.Fails() && !silenced || len(route.To) > 0 && route.Digest == 0
		return nil
	})
	return alerting, err
}
