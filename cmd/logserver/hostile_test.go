package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/quota"
)

// hostile is one network that takes what it can of a log: its connections come from
// addresses of this host, and what it sends from as many behind the proxy here.
type hostile struct {
	host string
	n    int // of addresses used
}

// dial opens a connection from another of its addresses.
func (h *hostile) dial(t *testing.T) net.Conn {
	t.Helper()
	h.n++
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 9, byte(h.n))}}
	c, err := d.DialContext(t.Context(), "tcp", h.host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// slow announces a body, sends a part of it and returns the answer.
func (h *hostile) slow(t *testing.T, path string, announced, sent int64, answer chan<- int) {
	t.Helper()
	c := h.dial(t)
	_, err := fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: log\r\nContent-Type: %s\r\nX-Forwarded-For: 203.0.113.%d\r\nContent-Length: %d\r\n\r\n", path, api.TypeTar, h.n, announced)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = c.Write(make([]byte, sent)) // the log may end it before
	}()
	go func() {
		if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
			answer <- resp.StatusCode
			resp.Body.Close()
		}
	}()
}

// One network takes all that it can get at once, which is not more than docs/limits.md
// says, and a vendor and a stranger from elsewhere are answered meanwhile.
func TestHostileNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a log and three witnesses for itself; the limits are tested one by one in log/quota, log/httpd and log/leader")
	}
	const connections, submissions, idle, bodies, body, part = 48, 20, 60, 3, 60 << 20, 9 << 20
	flags := []string{"--quota", fmt.Sprintf("0.0001/%d", submissions), "--max-connections", fmt.Sprint(connections)}
	w := newWorld(t, flags...)
	shown := map[string]quota.LimitRow{}
	stdout, stderr, _ := runtest.Run(t, "logserver", append([]string{"status", "--json", "--dir", w.Path("log")}, flags...)...)
	var st status
	if err := json.Unmarshal([]byte(stdout), &st); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	for _, r := range st.Limits {
		shown[r.Field] = r
	}
	if c, m := shown["Connections"].All, shown["Memory"].Source; c != fmt.Sprint(connections) || m != "160 MiB" {
		t.Errorf("status shows %q connections and %q of memory for a source", c, m)
	}
	registration, err := os.ReadFile(w.Path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	w.client.Token = strings.TrimSpace(string(registration))
	v := newVendor(t)
	rootName, root := v.File("root")
	registered, err := w.client.Register(t.Context(), root)
	if err != nil || registered.Token == nil {
		t.Fatalf("registered: %+v, %v", registered, err)
	}
	metadata := "/v1/repositories/" + registered.Repository + "/metadata"
	h := &hostile{host: strings.TrimPrefix(w.Log.URL, "http://")}

	// Memory: all that is announced takes room once an eighth has come. What is more than
	// the share of a source is refused, the rest stays.
	answers := make(chan int, bodies)
	for range bodies {
		h.slow(t, metadata, body, part, answers)
	}
	if got := <-answers; got != http.StatusServiceUnavailable {
		t.Errorf("a body beyond the share: %d", got)
	}
	if share := quota.DefaultLimits.Memory.Share; (bodies-1)*body > share || bodies*body <= share {
		t.Fatalf("%d bodies are no test of a share of %d", bodies, share)
	}
	// Connections: those beyond what there is are ended, the network's own.
	ended := make(chan struct{}, idle)
	for range idle {
		c := h.dial(t)
		go func() {
			_, _ = io.Copy(io.Discard, c)
			ended <- struct{}{}
		}()
	}
	for range idle + bodies - 1 - connections {
		<-ended
	}
	// Guesses, from many addresses, count as submissions, as the bodies did.
	outcomes := map[int]int{}
	for i := range 2 * submissions {
		outcomes[post(t, w.Log.URL+metadata, string(root), "Content-Type", api.TypeJSON, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i), "Authorization", fmt.Sprint("Bearer guess ", i))]++
	}
	if outcomes[http.StatusUnauthorized] != submissions-bodies || outcomes[http.StatusTooManyRequests] != submissions+bodies {
		t.Errorf("%d guesses: %v", 2*submissions, outcomes)
	}

	// The vendor releases.
	w.client.Token = registered.Token.Text
	files := release(t, v, "meanwhile")
	res, err := w.client.Submit(t.Context(), registered.Repository, files)
	if err != nil || len(res.Results) == 0 || res.Results[0].Status != api.StatusReleased {
		t.Errorf("the vendor's release: %+v, %v", res, err)
	}
	// A stranger reads it, and sends what there is already.
	const stranger = "198.51.100.1"
	for _, path := range []string{"/checkpoint", "/v1/lookup/path/app.bin", "/v1/repositories/" + registered.Repository + "/roles/targets"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.Log.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Forwarded-For", stranger)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK || path == "/v1/lookup/path/app.bin" && !strings.Contains(string(text), registered.Repository) {
			t.Errorf("GET %s: %d %s, %v", path, resp.StatusCode, text, err)
		}
	}
	if got := post(t, w.Log.URL+metadata, string(root), "Content-Type", api.TypeJSON, "X-Forwarded-For", stranger); got != http.StatusOK {
		t.Errorf("the stranger's %s: %d", rootName, got)
	}
}
