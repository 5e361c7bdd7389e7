package main

import (
	"net"
	"sync"

	"github.com/tuflog/tuflog/internal/room"
)

// limitListener accepts no more connections than a number that are open at once:
// a client that comes later waits until one ends.
type limitListener struct {
	net.Listener
	free chan struct{}
	done chan struct{} // closed by Close, which may be called twice
	once sync.Once
}

// limitConnections leaves half of the files that the process may have open to
// the log itself. Tessera ends the process when it cannot open a file, so without
// a limit idle connections could stop the log.
func limitConnections(l net.Listener) net.Listener {
	return &limitListener{Listener: l, free: make(chan struct{}, room.ForConnections()), done: make(chan struct{})}
}

func (l *limitListener) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.free })}, nil
}

func (l *limitListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	err := c.Conn.Close()
	c.release()
	return err
}
