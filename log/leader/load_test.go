package leader_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/httpd"
)

// lockedBuffer is a buffer that many goroutines write to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func debugLogger(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// real puts the log behind the http.Server that logserver uses.
func (r *running) real(t *testing.T) {
	t.Helper()
	r.http.Close()
	server := httptest.NewUnstartedServer(r.log.Handler())
	server.Config = httpd.NewHTTPServer(r.log.Handler())
	server.Start()
	r.http, r.client.Base = server, server.URL
}

// Clients that connect and say nothing, that send their headers or bodies
// slowly, that read nothing, or that send far too much, do not keep a vendor
// from its release.
func TestBadClientsDoNoHarm(t *testing.T) {
	r := start(t, nil)
	r.real(t)
	v := newVendor(t)
	id := r.register(t, file(v, "root").Data)
	addr := r.http.Listener.Addr().String()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	dial := func(request string) net.Conn {
		c, err := net.Dial("tcp", addr)
		check(t, err)
		t.Cleanup(func() { c.Close() })
		_, err = io.WriteString(c, request)
		check(t, err)
		return c
	}
	for i := range 500 {
		switch i % 5 {
		case 0, 1:
			dial("")
		case 2:
			dial("GET /checkpoint HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		case 3: // promises the most there may be, sends a byte
			dial(fmt.Sprintf("POST /v1/repositories/%s/metadata HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-tar\r\nContent-Length: %d\r\n\r\nx", id, api.MaxSubmission))
		case 4: // asks often and never reads
			dial(strings.Repeat("GET /v1/repositories HTTP/1.1\r\nHost: x\r\n\r\n", 50))
		}
	}
	for i := range 5 {
		check(t, v.Put("targets", "app.bin", fmt.Appendf(nil, "%d", i)))
		check(t, v.Release("targets"))
		began := time.Now()
		if got := r.submit(t, id, file(v, "targets"), file(v, "snapshot")); got[0].Status != api.StatusReleased {
			t.Fatalf("beside 500 bad clients: %+v", got)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Errorf("beside 500 bad clients a release takes %v", took)
		}
	}
	var after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 100<<20 {
		t.Errorf("500 bad clients take %d MiB", grown>>20)
	}
}

// A body of 100 MB is refused by its announcement, or once it is too long.
func TestHugeBodies(t *testing.T) {
	r := start(t, nil)
	r.real(t)
	id := r.register(t, file(newVendor(t), "root").Data)
	const huge = 100_000_000
	for _, announced := range []int64{huge, -1} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", r.http.URL+"/v1/repositories/"+id+"/metadata", io.LimitReader(zeros{}, huge))
		check(t, err)
		req.ContentLength = announced
		req.Header.Set("Content-Type", api.TypeTar)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			// The server hangs up on who goes on sending; what it said may
			// be lost with the connection.
			continue
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil {
			problem(t, resp, body, 413, api.CodeTooLarge)
		}
	}
	if resp, body := r.do(t, "POST", "/v1/repositories", file(newVendor(t), "root").Data); resp.StatusCode != 200 {
		t.Errorf("after two bodies of 100 MB: %d %s", resp.StatusCode, body)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
