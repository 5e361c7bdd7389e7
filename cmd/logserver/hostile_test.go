package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
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

// hostileWorld is a log with small limits, a vendor, and a network that takes what it can.
type hostileWorld struct {
	*world
	*hostile
	vendor   *testvendor.Vendor
	genesis  []byte
	id       string            // of the vendor's repository
	metadata string            // where its files are sent
	token    string            // the vendor's
	shown    map[string]string // share of a source, by the field of quota.Limits
}

// The limits that the test gives the log, and what the network takes of it.
const (
	hostileConnections, hostileSubmissions = 48, 20
	idle, bodies, body, part               = 60, 3, 60 << 20, 9 << 20
	stranger                               = "198.51.100.1"
)

func newHostileWorld(t *testing.T) *hostileWorld {
	t.Helper()
	flags := []string{"--quota", fmt.Sprintf("0.0001/%d", hostileSubmissions), "--max-connections", fmt.Sprint(hostileConnections)}
	w := &hostileWorld{world: newWorld(t, flags...), vendor: newVendor(t), shown: map[string]string{}}
	w.hostile = &hostile{host: strings.TrimPrefix(w.Log.URL, "http://")}
	stdout, stderr, _ := runtest.Run(t, "logserver", append([]string{"status", "--json", "--dir", w.Path("log")}, flags...)...)
	var st status
	if err := json.Unmarshal([]byte(stdout), &st); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	for _, r := range st.Limits {
		w.shown[r.Field] = cmp.Or(r.Source, r.All)
	}
	registration, err := os.ReadFile(w.Path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	w.client.Token = strings.TrimSpace(string(registration))
	_, w.genesis = w.vendor.File("root")
	registered, err := w.client.Register(t.Context(), w.genesis)
	if err != nil || registered.Token == nil {
		t.Fatalf("registered: %+v, %v", registered, err)
	}
	w.id, w.token, w.metadata = registered.Repository, registered.Token.Text, "/v1/repositories/"+registered.Repository+"/metadata"
	w.client.Token = w.token
	return w
}

// One network takes all that it can get at once, which is not more than docs/limits.md
// says, and a vendor and a stranger from elsewhere are answered meanwhile. Queue and look-ups
// are not among it: it takes 10 s of a processor to fill them, and log/quota tests their shares.
func TestHostileNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a log and three witnesses for itself; the limits are tested one by one in log/quota, log/httpd and log/leader")
	}
	w := newHostileWorld(t)
	if c, m := w.shown["Connections"], w.shown["Memory"]; c != fmt.Sprint(hostileConnections) || m != "160 MiB" {
		t.Errorf("status shows %q connections and %q of memory for a source", c, m)
	}
	large, size := w.releaseLarge(t)
	w.takeMemory(t)
	answers := w.takeAnswers(t, large, size)
	w.takeConnections(t, len(answers))
	w.guess(t)
	w.othersAreAnswered(t, large, size)
	for _, resp := range answers { // nobody needed their room
		if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != size {
			t.Errorf("a large answer ended after %d bytes of %d: %v", n, size, err)
		}
		resp.Body.Close()
	}
}

// releaseLarge releases a file of some MiB, more than what lies in the buffers of a connection,
// and returns its path and size.
func (w *hostileWorld) releaseLarge(t *testing.T) (path string, size int64) {
	t.Helper()
	for i := range 4500 {
		if err := w.vendor.Put("targets", fmt.Sprintf("%s/%d", strings.Repeat("x", 2000), i), nil); err != nil {
			t.Fatal(err)
		}
	}
	list := release(t, w.vendor, "large")
	res, err := w.client.Submit(t.Context(), w.id, list)
	if err != nil || len(res.Results) == 0 || res.Results[0].Status != api.StatusReleased {
		t.Fatalf("the large release: %+v, %v", res, err)
	}
	_, file := w.vendor.File("targets")
	return fmt.Sprintf("/blob/sha256/%v", tuf.Sum(file)), int64(len(file))
}

// takeMemory announces more than the share of a source: all that is announced takes room once
// an eighth has come. The body beyond the share is refused, the rest stays.
func (w *hostileWorld) takeMemory(t *testing.T) {
	t.Helper()
	if share := quota.DefaultLimits.Memory.Share; (bodies-1)*body > share || bodies*body <= share {
		t.Fatalf("%d bodies are no test of a share of %d", bodies, share)
	}
	answers := make(chan int, bodies)
	for range bodies {
		w.slow(t, w.metadata, body, part, answers)
	}
	if got := <-answers; got != http.StatusServiceUnavailable {
		t.Errorf("a body beyond the share: %d", got)
	}
}

// takeAnswers asks for large answers until the share of a source is used up, and takes of each
// no more than the beginning.
func (w *hostileWorld) takeAnswers(t *testing.T, path string, size int64) (answers []*http.Response) {
	t.Helper()
	if b, err := os.ReadFile("/proc/sys/net/ipv4/tcp_wmem"); err == nil {
		var least, usual, most int64
		if _, err := fmt.Sscan(string(b), &least, &usual, &most); err != nil || most > size/2 {
			t.Logf("large answers are not taken: they could be sent whole into buffers of this host (tcp_wmem is %s)", bytes.TrimSpace(b))
			return nil
		}
	}
	for share := quota.DefaultLimits.Answers.Share / size; ; {
		c := w.dial(t)
		if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: log\r\nX-Forwarded-For: 203.0.113.%d\r\n\r\n", path, w.n); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		switch {
		case err != nil:
			t.Fatal(err)
		case resp.StatusCode == http.StatusServiceUnavailable && int64(len(answers)) == share:
			resp.Body.Close()
			return answers
		case resp.StatusCode != http.StatusOK || int64(len(answers)) == share:
			t.Fatalf("large answer %d of %d: %s", len(answers)+1, share, resp.Status)
		}
		answers = append(answers, resp)
	}
}

// takeConnections opens more connections than there are, beside those under way: those beyond
// are ended, the network's own.
func (w *hostileWorld) takeConnections(t *testing.T, others int) {
	t.Helper()
	ended := make(chan struct{}, idle)
	for range idle {
		c := w.dial(t)
		go func() {
			_, _ = io.Copy(io.Discard, c)
			ended <- struct{}{}
		}()
	}
	for range idle + bodies - 1 + others - hostileConnections {
		<-ended
	}
}

// guess guesses tokens, from many addresses: guesses count as submissions, as the bodies did.
func (w *hostileWorld) guess(t *testing.T) {
	t.Helper()
	outcomes := map[int]int{}
	for i := range 2 * hostileSubmissions {
		outcomes[post(t, w.Log.URL+w.metadata, string(w.genesis), "Content-Type", api.TypeJSON, "X-Forwarded-For", fmt.Sprintf("203.0.113.%d", i), "Authorization", fmt.Sprint("Bearer guess ", i))]++
	}
	if outcomes[http.StatusUnauthorized] != hostileSubmissions-bodies || outcomes[http.StatusTooManyRequests] != hostileSubmissions+bodies {
		t.Errorf("%d guesses: %v", 2*hostileSubmissions, outcomes)
	}
}

// othersAreAnswered lets the vendor release, and a stranger read the release and the large file,
// and send what there is already.
func (w *hostileWorld) othersAreAnswered(t *testing.T, large string, size int64) {
	t.Helper()
	res, err := w.client.Submit(t.Context(), w.id, release(t, w.vendor, "meanwhile"))
	if err != nil || len(res.Results) == 0 || res.Results[0].Status != api.StatusReleased {
		t.Errorf("the vendor's release: %+v, %v", res, err)
	}
	for _, path := range []string{"/checkpoint", "/v1/lookup/path/app.bin", "/v1/repositories/" + w.id + "/roles/targets", large} {
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
		if resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK || path == large && int64(len(text)) != size || path == "/v1/lookup/path/app.bin" && !strings.Contains(string(text), w.id) {
			t.Errorf("GET %s: %d, %d bytes, %v", path, resp.StatusCode, len(text), err)
		}
	}
	if got := post(t, w.Log.URL+w.metadata, string(w.genesis), "Content-Type", api.TypeJSON, "X-Forwarded-For", stranger); got != http.StatusOK {
		t.Errorf("the stranger's root: %d", got)
	}
}
