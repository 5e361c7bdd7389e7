package httpd

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
)

// Bodies that are announced and do not come shut out nobody who sends less: neither
// their networks' neighbours nor anybody else.
func TestUnfinishedBodiesHoldUpNobody(t *testing.T) {
	const room, announced = 4 << 20, 1 << 20
	from := quotas(quota.Config{}, quota.Limits{Memory: quota.Pool{Capacity: room, Share: room / 2}}, "")
	s := New(nil, Config{}, from)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, h, p := s.body(w, r, from.Of(r), tuf.MaxFileSize)
		if p != nil {
			p.write(w)
			return
		}
		defer h.release()
		fmt.Fprint(w, len(b))
	}))
	defer server.Close()
	taken := func() int64 {
		return from.Memory.Used()
	}
	var strangers []net.Conn
	for i := range 4 {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 198.51.%d.1\r\nContent-Length: %d\r\n\r\n%s", i/2, announced-1, strings.Repeat("x", announced/8+firstBuffer))
		strangers = append(strangers, c)
		for deadline := time.Now().Add(30 * time.Second); taken() < int64(i+1)*announced; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d are taken", taken(), (i+1)*announced)
			}
		}
	}
	post := func(network string, size int) (int, string) {
		t.Helper()
		req, err := http.NewRequest("POST", server.URL, strings.NewReader(strings.Repeat("y", size)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", network)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, body := post("203.0.113.1", 100_000); status != http.StatusOK || body != "100000" {
		t.Errorf("one who sends little: %d %s", status, body)
	}
	// Of the sources that have the most, the first had to give way, and is told so.
	check := strangers[0]
	_ = check.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(check), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(b), "had not come whole") || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a stranger is told %d %s", resp.StatusCode, b)
	}
}
