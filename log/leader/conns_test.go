package leader_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/httpd"
)

// Connections that do nothing make room for those that do something.
func TestConnectionsAreBounded(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	httpd.LimitConnections(server.Config, 10)
	server.Start()
	t.Cleanup(server.Close)
	var idle []net.Conn
	for range 100 {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		check(t, err)
		t.Cleanup(func() { c.Close() })
		idle = append(idle, c)
	}
	for range 20 {
		client := http.Client{Transport: &http.Transport{}, Timeout: 10 * time.Second} // a connection of its own, kept
		resp, err := client.Get(server.URL)
		check(t, err)
		body, err := io.ReadAll(resp.Body)
		check(t, err)
		resp.Body.Close()
		if string(body) != "hello" {
			t.Errorf("body %q", body)
		}
	}
	// All that were idle before are closed by now.
	for i, c := range idle {
		check(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		if n, err := c.Read(make([]byte, 1)); err == nil || n > 0 {
			t.Errorf("connection %d: read %d bytes, %v", i, n, err)
		} else if nerr, ok := err.(net.Error); ok && nerr.Timeout() {
			t.Fatalf("connection %d is open still", i)
		}
	}
}

// Who keeps all connections busy makes room for others.
func TestBusyConnectionsAreShared(t *testing.T) {
	const most = 8
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			io.Copy(io.Discard, r.Body)
		}
		io.WriteString(w, "hello")
	}))
	httpd.LimitConnections(server.Config, most)
	server.Start()
	t.Cleanup(server.Close)
	slow := func(from string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		c, err := d.Dial("tcp", server.Listener.Addr().String())
		check(t, err)
		t.Cleanup(func() { c.Close() })
		// The server says that it is reading the body.
		_, err = io.WriteString(c, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
		check(t, err)
		return c
	}
	busy := func(c net.Conn) bool {
		check(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
		b := make([]byte, 25)
		_, err := io.ReadFull(c, b)
		return err == nil && string(b) == "HTTP/1.1 100 Continue\r\n\r\n"
	}
	var greedy []net.Conn
	for range most {
		c := slow("127.0.0.1")
		if !busy(c) {
			t.Fatal("a connection is closed although there is room")
		}
		greedy = append(greedy, c)
	}
	// One more of that network takes the place of the one that has been slow for
	// longest, so that slow ones do not keep out who is quick.
	if !busy(slow("127.0.0.2")) {
		t.Error("a network that has its share gets no other connection instead")
	}
	// Half of them are the other network's before it has as many.
	var others []net.Conn
	for i := range most/2 + 1 {
		c := slow("127.0.1.1")
		if !busy(c) {
			t.Fatalf("another network's connection %d is closed", i)
		}
		others = append(others, c)
	}
	for i, c := range greedy {
		if want := i > most/2; closedByPeer(t, c) == want {
			t.Errorf("connection %d of the greedy network is open: %v, want %v", i, !want, want)
		}
	}
	for i, c := range others {
		if want := i > 0; closedByPeer(t, c) == want {
			t.Errorf("connection %d of the other network is open: %v, want %v", i, !want, want)
		}
	}
}

// closedByPeer finishes a request on a connection, if it is still there.
func closedByPeer(t *testing.T, c net.Conn) bool {
	t.Helper()
	if _, err := io.WriteString(c, "abcde"); err != nil {
		return true
	}
	check(t, c.SetReadDeadline(time.Now().Add(10*time.Second)))
	b := make([]byte, 15)
	_, err := io.ReadFull(c, b)
	return err != nil || string(b) != "HTTP/1.1 200 OK"
}
