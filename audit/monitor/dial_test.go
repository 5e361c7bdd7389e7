package monitor

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Names lead to no address that only the machine's own network knows.
func TestDialable(t *testing.T) {
	for _, address := range []string{"169.254.169.254:80", "[::ffff:169.254.169.254]:80", "[fe80::1%eth0]:443", "0.0.0.0:80", "[::]:80", "224.0.0.1:80",
		"[fd00:ec2::254]:80", "[fd20:ce::254%eth0]:80", "100.100.100.200:80", "168.63.129.16:80", "[64:ff9b::a9fe:a9fe]:80"} {
		if err := dialable(address); !errors.Is(err, errLinkLocal) {
			t.Errorf("%s: %v", address, err)
		}
	}
	for _, address := range []string{"127.0.0.1:80", "10.1.2.3:443", "[::1]:80", "[2001:db8::1]:443", "192.0.2.1:80"} {
		if err := dialable(address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	}
	if err := dialable("somewhere"); err == nil {
		t.Error("a name is taken for an address")
	}
	// Names and addresses are both dialed.
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost"} {
		conn, err := dial(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		_ = conn.Close()
	}
}
