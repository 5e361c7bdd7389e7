package log_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
)

// Connections that do nothing make room for those that do something.
func TestConnectionsAreBounded(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	log.LimitConnections(server.Config, 10)
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
