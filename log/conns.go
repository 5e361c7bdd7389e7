package log

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// LimitConnections keeps a server from having more connections than most at
// once. When there is one more, the one that has been idle for longest is closed,
// whether it has ever sent anything or not; when none is idle, the new one.
func LimitConnections(server *http.Server, most int) {
	c := &connections{most: most, all: map[net.Conn]*list.Element{}}
	server.ConnState = c.changed
}

type connections struct {
	most int
	mu   sync.Mutex
	all  map[net.Conn]*list.Element // in idle, or nil for those that are busy
	idle list.List                  // of net.Conn, the longest idle first
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
	if e := c.all[conn]; e != nil {
		c.idle.Remove(e)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		if state == http.StateNew && len(c.all) >= c.most {
			if oldest := c.idle.Front(); oldest != nil {
				victim = oldest.Value.(net.Conn)
				c.idle.Remove(oldest)
				c.all[victim] = nil // until it is closed it counts
			} else {
				victim = conn
			}
		}
		c.all[conn] = c.idle.PushBack(conn)
	case http.StateActive:
		c.all[conn] = nil
	case http.StateClosed, http.StateHijacked:
		delete(c.all, conn)
	}
	return victim
}
