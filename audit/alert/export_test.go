package alert

import (
	"context"
	"net"
	"time"
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

// MakeHealth makes the health mail if it is due.
func (d *Desk) MakeHealth(ctx context.Context) error {
	_, err := d.health(ctx)
	return err
}
