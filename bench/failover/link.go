package main

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
)

// link is the network between a front end and a server. Cut, it swallows what is
// sent, in both directions, and says nothing to anybody, as a switch without power
// does; new connections hang. Mended it delivers what was sent meanwhile, however
// late that is, as TCP would.
type link struct {
	listener net.Listener

	mu     sync.Mutex
	to     string
	mended chan struct{} // closed unless it is cut
	conns  map[net.Conn]bool
	closed bool
	// sending is told how many bytes of a request have come from the front end since
	// the server said something, and what came last, before that is passed on; nil:
	// nobody is.
	sending func(request int, chunk []byte)
}

func newLink(to string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{to: to, listener: l, mended: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(k.mended)
	go k.accept()
	return k, nil
}

func (k *link) addr() string { return k.listener.Addr().String() }

func (k *link) accept() {
	for {
		c, err := k.listener.Accept()
		if err != nil {
			return // closed
		}
		go k.join(c)
	}
}

// join connects a connection with the server.
func (k *link) join(near net.Conn) {
	defer near.Close()
	if tcp, ok := near.(*net.TCPConn); ok {
		// A network holds less than the system's buffers: who stops in the middle of
		// what is large has not sent the rest.
		if err := tcp.SetReadBuffer(64 << 10); err != nil {
			return
		}
	}
	if !k.keep(near) {
		return
	}
	defer k.forget(near)
	k.wait()
	k.mu.Lock()
	to := k.to
	k.mu.Unlock()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	if !k.keep(far) {
		return
	}
	defer k.forget(far)
	var both sync.WaitGroup
	var request atomic.Int64
	both.Go(func() {
		k.pass(near, far, func(chunk []byte) {
			n := request.Add(int64(len(chunk)))
			k.mu.Lock()
			sending := k.sending
			k.mu.Unlock()
			if sending != nil {
				sending(int(n), chunk)
			}
		})
	})
	both.Go(func() { k.pass(far, near, func([]byte) { request.Store(0) }) })
	both.Wait()
}

// pass carries bytes one way until either side ends, of which the other is told.
func (k *link) pass(from, to net.Conn, seen func(chunk []byte)) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			seen(buf[:n])
		}
		k.wait()
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				break
			}
		}
		if err != nil {
			break
		}
	}
	_ = from.Close() // whoever was quicker
	_ = to.Close()
}

func (k *link) keep(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed {
		k.conns[c] = true
	}
	return !k.closed
}

func (k *link) forget(c net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.conns, c)
}

// wait waits until the link is not cut.
func (k *link) wait() {
	k.mu.Lock()
	mended := k.mended
	k.mu.Unlock()
	<-mended
}

func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mended = make(chan struct{})
}

func (k *link) mend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	select {
	case <-k.mended:
	default:
		close(k.mended)
	}
}

// onSending has what a front end sends told to somebody; nil: to nobody.
func (k *link) onSending(tell func(request int, chunk []byte)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.sending = tell
}

// redirect leads to another server from now on. Connections end.
func (k *link) redirect(to string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.to = to
	var err error
	for c := range k.conns {
		err = errors.Join(err, ignoreClosed(c.Close()))
	}
	return err
}

func (k *link) close() error {
	err := k.listener.Close()
	k.mend()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	for c := range k.conns {
		err = errors.Join(err, ignoreClosed(c.Close()))
	}
	return err
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
