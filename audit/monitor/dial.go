package monitor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"
)

// errLinkLocal is wrapped if a name leads to an address that only a machine's own network
// knows, such as that at which clouds give machines their credentials.
var errLinkLocal = errors.New("a name must not lead to a link-local address, or to a cloud's own")

// clouds are addresses that are not link-local, at which clouds give machines their credentials.
var clouds = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),      // AWS
	netip.MustParseAddr("fd20:ce::254"),       // Google
	netip.MustParseAddr("fd00:c1::a9fe:a9fe"), // Oracle
	netip.MustParseAddr("100.100.100.200"),    // Alibaba
	netip.MustParseAddr("168.63.129.16"),      // Azure
	netip.MustParseAddr("192.0.0.192"),        // Oracle, before
}

// translated are prefixes of IPv6 behind which a gateway reaches the IPv4 address in the last four
// bytes (RFC 6052).
var translated = []netip.Prefix{netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48")}

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
	a := at.Addr().Unmap()
	if slices.ContainsFunc(translated, func(p netip.Prefix) bool { return p.Contains(a) }) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() || slices.Contains(clouds, a.WithZone("")) {
		return fmt.Errorf("%s: %w", a, errLinkLocal)
	}
	return nil
}
