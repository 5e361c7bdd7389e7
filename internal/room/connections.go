package room

import (
	"net"
	"net/http"
	"sync"
)

// LimitConnections gives each connection of a server a place, counted by the source
// that a function returns for it; a connection without a place is closed. A
// connection is idle before its first request and between requests; it is busy from
// the first byte of a request until the answer.
func LimitConnections(server *http.Server, r *Room, source func(net.Conn) string) {
	c := &connections{room: r, source: source, places: make(map[net.Conn]*Place)}
	server.ConnState = c.changed
}

type connections struct {
	room   *Room
	source func(net.Conn) string

	mu     sync.Mutex
	places map[net.Conn]*Place
}

// changed is http.Server.ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if state == http.StateNew {
		c.add(conn)
		return
	}
	c.mu.Lock()
	p := c.places[conn]
	if state == http.StateClosed || state == http.StateHijacked {
		delete(c.places, conn)
	}
	c.mu.Unlock()
	switch {
	case p == nil:
	case state == http.StateActive:
		p.busy()
	case state == http.StateIdle:
		p.idle()
	default:
		p.Leave()
	}
}

func (c *connections) add(conn net.Conn) {
	// Its own goroutine finds it closed, and says so.
	p, ok := c.room.Enter(c.source(conn), func() { _ = conn.Close() })
	if !ok {
		_ = conn.Close()
		return
	}
	p.idle()
	c.mu.Lock()
	c.places[conn] = p
	c.mu.Unlock()
}
