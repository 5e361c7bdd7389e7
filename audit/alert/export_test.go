package alert

import (
	"context"
	"net"
	"time"

	"github.com/tuflog/tuflog/audit"
)

// Dialable says whether a receiver at an IP address may be dialed.
func Dialable(address string) error {
	network := "tcp4"
	if host, _, err := net.SplitHostPort(address); err == nil && net.ParseIP(host).To4() == nil {
		network = "tcp6"
	}
	return dialable(network, address)
}

// RetryAfter reads the header.
func RetryAfter(value string, now time.Time) (time.Duration, bool) { return retryAfter(value, now) }

// Dialer returns what dials a receiver.
func Dialer(allowPrivate bool) *net.Dialer { return dialer(allowPrivate) }

// SetRetry sets the pause after the outbox could not be used.
func (d *Desk) SetRetry(pause time.Duration) { d.retryAfter = pause }

// MakeHealth makes the health mail if it is due.
func (d *Desk) MakeHealth(ctx context.Context) error {
	_, err := d.health(ctx)
	return err
}

// Sync takes all findings about a log that are there.
func (d *Desk) Sync(ctx context.Context, log, origin string, open []audit.Finding) error {
	return d.change(ctx, log, origin, func(c *change) error { return c.sync(ctx, open) })
}

// Step takes the findings about a log that came, or were acknowledged, and those that went.
func (d *Desk) Step(ctx context.Context, log, origin string, opened, closed []audit.Finding) error {
	return d.change(ctx, log, origin, func(c *change) error {
		for i := range opened {
			if err := c.open(ctx, &opened[i]); err != nil {
				return err
			}
		}
		for i := range closed {
			if err := c.close(ctx, closed[i].Digest()); err != nil {
				return err
			}
		}
		return nil
	})
}

// Pause is how long nothing is looked for.
func (d *Desk) Pause(ctx context.Context, dest string) time.Duration { return d.pause(ctx, dest) }

// Mail returns the mail about an event.
func Mail(e *Event) ([]byte, error) {
	m := &mailer{to: To{Addresses: []string{"ops@example.com"}, From: "auditor@example.net"}}
	msg, err := m.message(e, m.to.Addresses[0])
	if err != nil {
		return nil, err
	}
	raw, err := written(msg)
	return []byte(raw), err
}

// OpeningIDBefore returns the id of an opening that an outbox of version 1 has told.
func OpeningIDBefore(origin string, f audit.Finding, episode int64) string {
	return openingIDBefore(origin, f.Digest(), episode)
}
