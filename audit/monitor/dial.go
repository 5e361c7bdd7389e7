package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// errLinkLocal is wrapped if a name leads to an address that only a machine's own network
// knows, such as that at which clouds give machines their credentials.
var errLinkLocal = errors.New("a name must not lead to a link-local address")

// dial connects to what URLs of the configuration name. Others say where their names lead, and
// each time somewhere else; an address that the operator wrote is asked as it is.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	if host, _, err := net.SplitHostPort(address); err == nil {
		if _, err := netip.ParseAddr(host); err != nil {
			d.Control = func(_, to string, _ syscall.RawConn) error { return dialable(to) }
		}
	}
	return d.DialContext(ctx, network, address)
}

// dialable takes what is about to be dialed for a name: an IP address and a port.
func dialable(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s: not an address", address)
	}
	if a := at.Addr().Unmap(); a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return fmt.Errorf("%s: %w", a, errLinkLocal)
	}
	return nil
}
