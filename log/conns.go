package log

import (
	"net"
	"net/http"
	"net/netip"

	"github.com/tuflog/tuflog/internal/room"
)

// LimitConnections keeps a server from having more connections than most at once.
// One more takes the place of another: see package internal/room. So nobody keeps
// others out by sending slowly.
func LimitConnections(server *http.Server, most int) {
	room.LimitConnections(server, room.New(most, 0), networkOfConn)
}

// networkOfConn returns the network that a connection comes from, as for quotas;
// empty for a socket of the host's own.
func networkOfConn(conn net.Conn) string {
	peer, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if err != nil {
		return ""
	}
	return networkOf(peer.Addr().Unmap())
}
