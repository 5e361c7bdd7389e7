package alert

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// errPrivate is wrapped if a receiver's address is not a public one.
var errPrivate = errors.New("not a public address (allow_private = true permits it)")

// dialer refuses addresses that are not public, at the moment at which they are dialed: the
// name of a receiver may lead anywhere, and each time somewhere else.
func dialer(allowPrivate bool) *net.Dialer {
	d := &net.Dialer{Timeout: 10 * time.Second}
	if !allowPrivate {
		d.Control = func(network, address string, _ syscall.RawConn) error { return dialable(network, address) }
	}
	return d
}

// dialable takes what is about to be dialed: an IP address and a port.
func dialable(network, address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%s %s: %w", network, address, errPrivate)
	}
	if network != "tcp4" && network != "tcp6" || !public(at.Addr()) {
		return fmt.Errorf("%s: %w", at.Addr(), errPrivate)
	}
	return nil
}

// reserved are the IPv4 networks that are not of the internet (RFC 6890 and the registry
// that it made), but for those that netip knows.
var reserved = prefixes("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4")

// unicast is what of IPv6 is of the internet, and within are those parts of it that are
// not, or in which an IPv4 address stands for itself.
var (
	unicast = netip.MustParsePrefix("2000::/3")
	within  = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
	nat64   = netip.MustParsePrefix("64:ff9b::/96")
)

func prefixes(texts ...string) (list []netip.Prefix) {
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// public reports whether an address is one of the internet.
func public(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	if nat64.Contains(a) { // a network without IPv4 reaches it so
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	parts := reserved
	if a.Is6() {
		if parts = within; !unicast.Contains(a) {
			return false
		}
	}
	for _, p := range parts {
		if p.Contains(a) {
			return false
		}
	}
	return true
}
