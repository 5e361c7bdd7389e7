package log

import (
	"container/list"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// LimitConnections keeps a server from having more connections than most at
// once. When there is one more, the one that has been idle for longest is closed,
// whether it has ever sent anything or not; when none is idle, the oldest of the
// network that has the most, unless the new one's own has as many: then the new one.
// So nobody keeps others out by sending slowly.
func LimitConnections(server *http.Server, most int) {
	c := &connections{most: most, all: map[net.Conn]*connection{}, networks: map[string]*list.List{}}
	server.ConnState = c.changed
}

type connections struct {
	most     int
	mu       sync.Mutex
	all      map[net.Conn]*connection
	idle     list.List             // of *connection, the longest idle first
	networks map[string]*list.List // of *connection, the oldest first; those that are being closed are in none
}

type connection struct {
	net.Conn
	network         string
	idle, inNetwork *list.Element // nil: not in the list
}

// changed is http.Server.ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	victim := c.update(conn, state)
	c.mu.Unlock()
	if victim != nil {
		// Its own goroutine finds it closed, and says so.
		_ = victim.Close()
	}
}

// update keeps count, and returns the connection that is to be closed, if one is.
func (c *connections) update(conn net.Conn, state http.ConnState) (victim net.Conn) {
	if state == http.StateNew {
		return c.add(conn)
	}
	known := c.all[conn]
	if known == nil {
		return nil
	}
	if known.idle != nil {
		c.idle.Remove(known.idle)
		known.idle = nil
	}
	switch state {
	case http.StateIdle:
		if known.inNetwork != nil {
			known.idle = c.idle.PushBack(known)
		}
	case http.StateClosed, http.StateHijacked:
		c.leave(known)
		delete(c.all, conn)
	}
	return nil
}

// add takes in a new connection.
func (c *connections) add(conn net.Conn) (victim net.Conn) {
	added := &connection{Conn: conn, network: networkOfConn(conn)}
	if len(c.all) >= c.most {
		leaves := c.leaves(added)
		c.leave(leaves) // until it is closed it counts
		victim = leaves.Conn
	}
	c.all[conn] = added
	if victim == conn {
		return victim
	}
	added.idle = c.idle.PushBack(added)
	list := c.network(added.network)
	added.inNetwork = list.PushBack(added)
	return victim
}

// leaves returns the connection that is closed for another, or that other one.
func (c *connections) leaves(added *connection) *connection {
	if oldest := c.idle.Front(); oldest != nil {
		return oldest.Value.(*connection)
	}
	largest := c.networks[added.network]
	if largest == nil {
		largest = list.New()
	}
	leaves := added
	for _, network := range c.networks {
		if network.Len() > largest.Len() {
			largest, leaves = network, network.Front().Value.(*connection)
		}
	}
	return leaves
}

// leave takes a connection out of the lists.
func (c *connections) leave(conn *connection) {
	if conn.idle != nil {
		c.idle.Remove(conn.idle)
		conn.idle = nil
	}
	if conn.inNetwork != nil {
		l := c.networks[conn.network]
		if l.Remove(conn.inNetwork); l.Len() == 0 {
			delete(c.networks, conn.network)
		}
		conn.inNetwork = nil
	}
}

func (c *connections) network(name string) *list.List {
	l := c.networks[name]
	if l == nil {
		l = list.New()
		c.networks[name] = l
	}
	return l
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
