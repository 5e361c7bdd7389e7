package alert

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/printable"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/tuf"
)

const (
	// look is how often a destination looks at its queue, which another process may have
	// changed.
	look = 5 * time.Second
	// A failed destination is asked again after firstRetry, then twice as long each time.
	firstRetry = 2 * time.Second
	lastRetry  = 30 * time.Minute
	// maxRetryAfter bounds what a receiver may ask for.
	maxRetryAfter = 6 * time.Hour
	// triesBeforeOff is how often a destination fails at least before it is switched off.
	triesBeforeOff = 5
	// triesBeforePlain is how often a message, or its destination, has failed before it is
	// offered without the words of others as well.
	triesBeforePlain = 2
	// triesBeforeGivenUp is how often a message has failed at least before it is given up.
	triesBeforeGivenUp = 20
	// latestRetry is the latest that a destination or a message is ever asked to wait. A time
	// further in the future was noted by a clock that was ahead: it has come.
	latestRetry = maxRetryAfter + time.Minute
	// longestGap is how much of the time between two attempts counts as time in which a
	// destination failed.
	longestGap = 6 * time.Hour
	// defaultTimeout is that of one attempt.
	defaultTimeout = 30 * time.Second
	// diskRetry is the pause after the outbox could not be read or written.
	diskRetry = 10 * time.Second
)

// sender delivers events, all or none: if it returns nil, the receiver has taken them. It
// bounds the time of an attempt itself.
type sender interface {
	send(ctx context.Context, events []outgoing) error
}

// errGone is wrapped if a receiver says that it wants nothing more.
var errGone = errors.New("gone")

// errRefused is wrapped if a receiver was reached and does not want this message: it may
// take others.
var errRefused = errors.New("refused by the receiver")

// laterError is the error of a receiver that says when it may be asked again.
type laterError struct {
	after time.Duration
	err   error
}

func (e *laterError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *laterError) Unwrap() error { return e.err }

// destination is a receiver with what is needed to reach it.
type destination struct {
	name   string
	to     To
	sender sender
	wake   chan struct{}
}

// Destinations returns the names of the destinations.
func (d *Desk) Destinations() []string { return slices.Sorted(maps.Keys(d.cfg.To)) }

// Run delivers until ctx ends, and returns then what ended it. Whatever keeps it from delivering,
// such as a full disk or another process that delivers, it tries again: Undelivered says since
// when it cannot.
func (d *Desk) Run(ctx context.Context) error {
	for {
		lock, err := d.begin(ctx)
		if err == nil {
			d.stuck.note("", nil, d.cfg.Now())
			defer lock.Release()
			break
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if d.stuck.note("", err, d.cfg.Now()) {
			d.cfg.Logger.Error("alerts are not delivered", "error", printable.Line(err.Error()), "tried_again_after", d.retryAfter)
		}
		if wait.For(ctx, d.retryAfter) != nil {
			return context.Cause(ctx)
		}
	}
	var all sync.WaitGroup
	for _, dest := range d.senders {
		all.Go(func() { d.serve(ctx, dest) })
	}
	all.Go(func() { d.reportHealth(ctx) })
	all.Wait()
	return context.Cause(ctx)
}

// Flush tries to deliver what is due, and ends when each destination has taken it or has
// failed. The error says which have.
func (d *Desk) Flush(ctx context.Context) error {
	lock, err := d.begin(ctx)
	if err != nil {
		return err
	}
	defer lock.Release()
	errs := make(chan error, len(d.senders))
	for _, dest := range d.senders {
		go func() {
			var failed error
			for {
				more, err := d.deliver(ctx, dest)
				if err != nil {
					failed = err
				}
				if !more {
					errs <- failed
					return
				}
			}
		}()
	}
	var failed []error
	for range d.senders {
		failed = append(failed, <-errs)
	}
	return errors.Join(failed...)
}

// serve empties a queue until ctx ends.
func (d *Desk) serve(ctx context.Context, dest *destination) {
	for ctx.Err() == nil {
		more, err := d.deliver(ctx, dest)
		var failed *deliveryError
		if err != nil && ctx.Err() == nil && !errors.As(err, &failed) {
			if d.stuck.note(dest.name, err, d.cfg.Now()) {
				d.cfg.Logger.Error("the outbox could not be read or written", "to", dest.name, "error", printable.Line(err.Error()))
			}
			_ = wait.For(ctx, d.retryAfter)
			continue
		}
		d.stuck.note(dest.name, nil, d.cfg.Now())
		if more {
			continue
		}
		idle, cancel := context.WithTimeout(ctx, d.pause(ctx, dest.name))
		select {
		case <-dest.wake:
		case <-idle.Done():
		}
		cancel()
	}
}

// pause is how long a destination has nothing to do, at most until it looks anyway.
func (d *Desk) pause(ctx context.Context, dest string) time.Duration {
	var next int64
	err := d.db.QueryRowContext(ctx, `SELECT max((SELECT next FROM destinations WHERE name = ?1), min(
		coalesce((SELECT min(due) FROM queue WHERE dest = ?1), 1 << 60), coalesce((SELECT min(next) FROM messages WHERE dest = ?1), 1 << 60)))`, dest).Scan(&next)
	left := time.UnixMilli(next).Sub(d.cfg.Now())
	if err != nil || left < -time.Second {
		return look // it is switched off, or may not have more messages that failed
	}
	return min(max(left, 10*time.Millisecond), look)
}

// deliveryError says that a destination did not take something.
type deliveryError struct {
	to  string
	err error
}

func (e *deliveryError) Error() string { return e.to + ": " + e.err.Error() }

// Unwrap returns the cause.
func (e *deliveryError) Unwrap() error { return e.err }

// deliver makes one attempt, and reports whether it succeeded: then there may be more. An
// error is a *deliveryError, or one of the outbox.
//
// A message has words of strangers, which a receiver may refuse, or break on. What has failed
// a few times is therefore offered without them in the same attempt: only a destination that
// does not take our own words either is one that fails for good.
func (d *Desk) deliver(ctx context.Context, dest *destination) (bool, error) {
	var off, next int64
	var tries int
	if err := d.db.QueryRowContext(ctx, "SELECT off, next, tries FROM destinations WHERE name = ?", dest.name).Scan(&off, &next, &tries); err != nil {
		return false, err
	}
	now := d.cfg.Now().UnixMilli()
	if off != 0 || next > now && next <= now+latestRetry.Milliseconds() {
		return false, nil
	}
	p, err := d.next(ctx, dest, tries > 0)
	if p == nil || err != nil {
		return false, err
	}
	err = dest.sender.send(ctx, p.events)
	both := false
	if err != nil && ctx.Err() == nil && p.message != 0 && max(tries, p.tries) >= triesBeforePlain && mayBeWords(err) {
		var own outgoing
		if own, both = plain(p.events[0].Event), true; dest.sender.send(ctx, []outgoing{own}) == nil {
			d.cfg.Logger.Warn("a message was taken without the words of others alone", "to", dest.name, "id", own.ID, "error", printable.Line(err.Error()))
			err = nil
		}
	}
	ended := ctx.Err() != nil
	// What the receiver has taken is noted even if the process is asked to end meanwhile.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err == nil {
		return true, d.delivered(ctx, dest.name, p, "")
	}
	if ended && errors.Is(err, context.Canceled) {
		return false, &deliveryError{dest.name, err} // that was not the receiver
	}
	failed := &deliveryError{dest.name, err}
	var partly *partlyError
	switch refused := errors.Is(err, errRefused); {
	case p.message == 0:
	case errors.As(err, &partly) && refused && both:
		d.cfg.Logger.Error("some of a destination do not take an alert", "to", dest.name, "id", p.events[0].ID, "error", troubleOf(err))
		if err := d.delivered(ctx, dest.name, p, troubleOf(err)); err != nil {
			return false, err
		}
		return true, failed
	case partly != nil || refused && !both: // there may be others that are taken
		if err := d.refused(ctx, dest, p, err, partly != nil); err != nil {
			return false, err
		}
		return true, failed
	}
	return false, errors.Join(failed, d.failed(ctx, dest, p, err))
}

// mayBeWords reports whether a failure can be due to what was sent.
func mayBeWords(err error) bool {
	var network *net.OpError
	return !errors.Is(err, errGone) && !(errors.As(err, &network) && network.Op == "dial")
}

// delivered forgets what has been taken. The trouble is that of those of the destination that
// have not.
func (d *Desk) delivered(ctx context.Context, dest string, p *parcel, trouble string) error {
	return d.inTx(ctx, func(tx *sql.Tx) error {
		for _, number := range p.queued {
			if _, err := tx.ExecContext(ctx, "DELETE FROM queue WHERE number = ?", number); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM messages WHERE number = ?", p.message); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE destinations SET failing = 0, tries = 0, next = 0, trouble = ?, last = ?, sent = sent + ? WHERE name = ?",
			trouble, d.cfg.Now().UnixMilli(), len(p.events), dest)
		return err
	})
}

// refused notes that a destination, which may be well, did not want a message, or that some of
// it have taken the message and others not: then it is well.
func (d *Desk) refused(ctx context.Context, dest *destination, p *parcel, cause error, well bool) error {
	now := d.cfg.Now()
	trouble := troubleOf(cause)
	d.cfg.Logger.Warn("an alert was refused", "to", dest.name, "id", p.events[0].ID, "tries", p.tries+1, "error", trouble)
	return d.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "UPDATE destinations SET trouble = ?, failed = failed + 1 WHERE name = ?", trouble, dest.name); err != nil {
			return err
		}
		if !well {
			return d.failedMessage(ctx, tx, dest.name, p, now, time.Time{})
		}
		if _, err := tx.ExecContext(ctx, "UPDATE destinations SET failing = 0, tries = 0, next = 0, last = ? WHERE name = ?", now.UnixMilli(), dest.name); err != nil {
			return err
		}
		// What waits for a few of a destination leaves room for what is for all.
		var n int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM messages WHERE dest = ?", dest.name).Scan(&n); err != nil {
			return err
		}
		if n > maxRefused/2 {
			return d.giveUp(ctx, tx, dest.name, p)
		}
		return d.failedMessage(ctx, tx, dest.name, p, now, now)
	})
}

func troubleOf(cause error) string {
	return tuf.Clip(printable.Line(strings.ToValidUTF8(cause.Error(), "?")))
}

// failed notes that an attempt failed, and switches the destination off if that has lasted
// too long.
func (d *Desk) failed(ctx context.Context, dest *destination, p *parcel, cause error) error {
	now := d.cfg.Now()
	trouble := troubleOf(cause)
	return d.write(ctx, func(tx *sql.Tx) error {
		var failing, last, before int64
		var tries int
		if err := tx.QueryRowContext(ctx, "SELECT failing, tries, last, next FROM destinations WHERE name = ?", dest.name).Scan(&failing, &tries, &last, &before); err != nil {
			return err
		}
		since := failingSince(failing, before, now)
		tries++
		next := now.Add(backoff(tries))
		var later *laterError
		if errors.As(cause, &later) {
			next = now.Add(max(min(later.after, maxRetryAfter), firstRetry))
		}
		_, err := tx.ExecContext(ctx, "UPDATE destinations SET failing = ?, tries = ?, next = ?, trouble = ?, failed = failed + 1 WHERE name = ?",
			since.UnixMilli(), tries, next.UnixMilli(), trouble, dest.name)
		if err != nil {
			return err
		}
		if err := d.failedMessage(ctx, tx, dest.name, p, now, time.UnixMilli(last)); err != nil {
			return err
		}
		long := now.Sub(since)
		d.cfg.Logger.Warn("an alert was not delivered", "to", dest.name, "tries", tries, "failing_for", long.Round(time.Second), "next", next.UTC(), "error", trouble)
		if errors.Is(cause, errGone) || long >= d.cfg.OffAfter && tries >= triesBeforeOff {
			return d.switchOff(ctx, tx, dest, since, trouble)
		}
		return nil
	})
}

// failingSince returns since when a destination has failed, by when that was noted first (0:
// it has not) and when it was to be asked again. Between two attempts at most longestGap
// counts: a clock that was wrong, or a process that did not run, switches nothing off.
func failingSince(noted, next int64, now time.Time) time.Time {
	since := time.UnixMilli(noted)
	if noted == 0 || since.After(now) {
		return now
	}
	if gap := now.Sub(time.UnixMilli(next)); gap > longestGap {
		since = since.Add(gap - longestGap)
	}
	return since
}

// failedMessage notes when a message is tried again. One that a destination does not take
// though it has taken others since is given up after the time after which a destination is.
func (d *Desk) failedMessage(ctx context.Context, tx *sql.Tx, dest string, p *parcel, now, last time.Time) error {
	if p.message == 0 {
		return nil
	}
	if last.After(p.made) && now.Sub(p.made) > d.cfg.OffAfter && p.tries >= triesBeforeGivenUp {
		return d.giveUp(ctx, tx, dest, p)
	}
	_, err := tx.ExecContext(ctx, "UPDATE messages SET tries = tries + 1, next = ? WHERE number = ?", now.Add(backoff(p.tries+1)).UnixMilli(), p.message)
	return err
}

func (d *Desk) giveUp(ctx context.Context, tx *sql.Tx, dest string, p *parcel) error {
	d.cfg.Logger.Error("a destination, or some of it, takes other messages and not this one: it is given up", "to", dest, "id", p.events[0].ID)
	if _, err := tx.ExecContext(ctx, "DELETE FROM messages WHERE number = ?", p.message); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE destinations SET lost = lost + 1, unsaid = unsaid + 1 WHERE name = ?", dest)
	return err
}

// backoff is how long is waited after so many failures, a quarter more or less: receivers
// that were down are not asked by all at once.
func backoff(tries int) time.Duration {
	d := min(firstRetry<<min(tries-1, 20), lastRetry)
	return d*3/4 + rand.N(d/2)
}

// switchOff switches a destination off, and tells the others.
func (d *Desk) switchOff(ctx context.Context, tx *sql.Tx, dest *destination, since time.Time, trouble string) error {
	now := d.cfg.Now()
	if _, err := tx.ExecContext(ctx, "UPDATE destinations SET off = ? WHERE name = ?", now.UnixMilli(), dest.name); err != nil {
		return err
	}
	text := fmt.Sprintf("The destination %s has failed since %s and is switched off: nothing is sent to it until its settings change or somebody runs: auditor monitor enable %s. The last error: %s",
		dest.name, since.UTC().Format(time.RFC3339), dest.name, trouble)
	d.cfg.Logger.Error("a destination is switched off", "to", dest.name, "since", since.UTC(), "error", trouble)
	return d.announce(ctx, tx, &Event{
		Version: eventVersion, ID: newID("off", dest.name, since.UnixMilli()), Type: Health, Time: now.UTC().Truncate(time.Millisecond), Text: text,
	}, slices.DeleteFunc(d.Destinations(), func(name string) bool { return name == dest.name }))
}

// announce queues an event that is not about a finding.
func (d *Desk) announce(ctx context.Context, tx *sql.Tx, e *Event, to []string) error {
	c := &change{desk: d, tx: tx, now: d.cfg.Now()}
	var where []sent
	for _, name := range to {
		where = append(where, sent{To: name})
	}
	return c.post(ctx, e, where)
}

// ErrDestination is wrapped if there is no destination of a name.
var ErrDestination = errors.New("there is no such destination")

// Enable switches a destination on.
func (d *Desk) Enable(ctx context.Context, to string) error {
	if _, ok := d.cfg.To[to]; !ok {
		return fmt.Errorf("%w: %q, want one of %v", ErrDestination, clip(to), d.Destinations())
	}
	return d.write(ctx, func(tx *sql.Tx) error {
		if err := d.settle(ctx, tx, to); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE destinations SET off = 0, failing = 0, tries = 0, next = 0 WHERE name = ?", to); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE messages SET next = 0 WHERE dest = ?", to)
		return err
	})
}
