package alert

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/printable"
)

// sayWithin bounds the wait for the outbox, before what is said goes past it.
const sayWithin = 20 * time.Second

// Say tells all destinations a sentence about this machine, such as that its disk is full. It is
// queued as all else; if the outbox cannot be written it is sent past it, once, also to
// destinations that are switched off. The error says who was not told.
func (d *Desk) Say(ctx context.Context, text string) error {
	e := d.ownEvent(Health, text)
	within, cancel := context.WithTimeout(ctx, sayWithin)
	defer cancel()
	err := d.write(within, func(tx *sql.Tx) error { return d.announce(within, tx, e, d.Destinations()) })
	if _, stuck := d.Undelivered(); err == nil && stuck == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	d.cfg.Logger.Warn("what is said of this machine goes past the outbox", "text", printable.Line(text))
	return d.sendNow(ctx, e, d.Destinations())
}

// Test sends an event of type test to a destination, or with an empty name to each, past
// the queue and even if it is switched off. The error says which do not take it, and why.
func (d *Desk) Test(ctx context.Context, to string) error {
	names := d.Destinations()
	if to != "" {
		if _, ok := d.cfg.To[to]; !ok {
			return fmt.Errorf("%w: %q, want one of %v", ErrDestination, clip(to), names)
		}
		names = []string{to}
	}
	return d.sendNow(ctx, d.ownEvent(Test, "This is a test: alerts of this auditor arrive here."), names)
}

// ownEvent makes an event about no finding.
func (d *Desk) ownEvent(t Type, text string) *Event {
	now := d.cfg.Now()
	return &Event{
		Version: eventVersion, ID: newID(string(t), now.UnixNano(), rand.Uint64()), Type: t, Time: now.UTC().Truncate(time.Millisecond),
		Text: text, Link: d.cfg.URL,
	}
}

// sendNow sends an event past the queue.
func (d *Desk) sendNow(ctx context.Context, e *Event, names []string) error {
	body, err := json.Marshal(e)
	if err != nil {
		return err
	}
	errs := make([]error, len(names))
	var all sync.WaitGroup
	for i, name := range names {
		all.Go(func() {
			if err := d.senders[name].sender.send(ctx, []outgoing{{e.ID, e, body}}); err != nil {
				errs[i] = &deliveryError{name, err}
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
