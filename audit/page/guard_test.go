package page_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/page"
	"github.com/tuflog/tuflog/tuf"
)

// stuck is a log that does not answer until it is let.
type stuck struct {
	audit.Source
	asked, let chan struct{}
}

func (s stuck) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	select {
	case s.asked <- struct{}{}:
	default:
	}
	select {
	case <-s.let:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.Source.Blob(ctx, sum)
}

// While a slow log keeps the requests of one address, those of others are answered, and more
// of that address are told to wait.
func TestConcurrent(t *testing.T) {
	w, _ := pages(t)
	cfg := w.config()
	log := stuck{w.log.Source(), make(chan struct{}, 1), make(chan struct{})}
	cfg.Logs[0].Source, cfg.Limits.Concurrent = log, 4 // one of one address
	s, err := page.New(cfg)
	must(t, err)
	defer s.Close()
	ask := func(from, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.RemoteAddr = from + ":1234"
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		return rec
	}
	done := make(chan *httptest.ResponseRecorder)
	go func() { done <- ask("192.0.2.1", "/logs/example/releases/1/metadata") }()
	<-log.asked
	if rec := ask("192.0.2.1", "/about"); rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
		t.Errorf("a second request of that address: %d %v", rec.Code, rec.Header())
	}
	if rec := ask("192.0.2.2", "/about"); rec.Code != http.StatusOK {
		t.Errorf("another address: %d", rec.Code)
	}
	close(log.let)
	if rec := <-done; rec.Code != http.StatusOK || rec.Body.Len() == 0 {
		t.Errorf("the first request: %d", rec.Code)
	}
	if rec := ask("192.0.2.1", "/about"); rec.Code != http.StatusOK {
		t.Errorf("afterwards: %d", rec.Code)
	}
}

// A page says what it can without the log's files, and what is missing.
func TestNoSource(t *testing.T) {
	w, _ := pages(t)
	cfg := w.config()
	cfg.Logs[0].Source = nil
	s, err := page.New(cfg)
	must(t, err)
	defer s.Close()
	for path, status := range map[string]int{
		"/": 200, "/logs/example/repositories/" + w.repo.String(): 200, "/logs/example/releases/2": 200, "/logs/example/releases/2/proof": 404, "/logs/example/releases/2/metadata": 404,
	} {
		r := get(t, s, path)
		if b := body(t, r); r.StatusCode != status {
			t.Errorf("%s: %s", path, r.Status)
		} else if status == http.StatusOK {
			parse(t, path, b).check(t)
		}
	}
}

// slowReader takes nothing of an answer until its deadline is over.
type slowReader struct {
	header http.Header
	asked  *sync.WaitGroup
	once   sync.Once
	over   chan struct{}
}

func (s *slowReader) Header() http.Header { return s.header }
func (s *slowReader) WriteHeader(int)     {}
func (s *slowReader) Write([]byte) (int, error) {
	s.asked.Done()
	<-s.over
	return 0, os.ErrDeadlineExceeded
}

func (s *slowReader) SetWriteDeadline(t time.Time) error {
	if t.Before(time.Now()) {
		s.once.Do(func() { close(s.over) })
	}
	return nil
}

// Readers who do not read keep nobody else waiting, and an address that has too many of them
// loses the first ones.
func TestSlowReaders(t *testing.T) {
	w, _ := pages(t)
	cfg := w.config()
	cfg.Limits.PerSecond, cfg.Limits.Concurrent = -1, 4
	s, err := page.New(cfg)
	must(t, err)
	defer s.Close()
	beside := s.Limited(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("feed")) }), false)
	var answers sync.WaitGroup
	slow := func(h http.Handler, from string) *slowReader {
		var asked sync.WaitGroup
		asked.Add(1)
		reader := &slowReader{header: http.Header{}, asked: &asked, over: make(chan struct{})}
		r := httptest.NewRequest(http.MethodGet, "/robots.txt", nil)
		r.RemoteAddr = from + ":1234"
		answers.Go(func() { h.ServeHTTP(reader, r) })
		asked.Wait()
		return reader
	}
	var readers []*slowReader
	for i := range 128 {
		h := http.Handler(s)
		if i%2 == 1 {
			h = beside
		}
		readers = append(readers, slow(h, "192.0.2.1"))
	}
	other := slow(s, "192.0.2.2")
	for _, from := range []string{"192.0.2.1", "192.0.2.3"} {
		r := httptest.NewRequest(http.MethodGet, "/about", nil)
		r.RemoteAddr = from + ":1234"
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		if rec.Code != http.StatusOK {
			t.Errorf("beside them %s: %d", from, rec.Code)
		}
	}
	<-readers[0].over // the answer to the same address above took its line
	select {
	case <-other.over:
		t.Error("another address lost its answer")
	case <-readers[1].over:
		t.Error("more than one answer was given up")
	default:
	}
	for _, reader := range append(readers, other) {
		_ = reader.SetWriteDeadline(time.Unix(1, 0))
	}
	answers.Wait()
}

// What is served beside the pages shares an address's limits; files cost a fiftieth.
func TestLimitsBeside(t *testing.T) {
	w, _ := pages(t)
	cfg := w.config()
	now := time.Now()
	cfg.Now = func() time.Time { return now }
	cfg.Limits.PerSecond, cfg.Limits.Burst = 1, 10
	s, err := page.New(cfg)
	must(t, err)
	defer s.Close()
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	ask := func(h http.Handler) *httptest.ResponseRecorder {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/robots.txt", nil))
		return rec
	}
	for range 250 {
		if rec := ask(s.Limited(ok, true)); rec.Code != http.StatusOK || rec.Header().Get("Content-Security-Policy") == "" {
			t.Fatalf("a file: %d %v", rec.Code, rec.Header())
		}
	}
	for range 5 {
		if rec := ask(s.Limited(ok, false)); rec.Code != http.StatusOK {
			t.Fatalf("a feed: %d", rec.Code)
		}
	}
	for name, h := range map[string]http.Handler{"a file": s.Limited(ok, true), "a feed": s.Limited(ok, false), "a page": s} {
		if rec := ask(h); rec.Code != http.StatusTooManyRequests || rec.Header().Get("Retry-After") == "" {
			t.Errorf("%s beyond the limit: %d %v", name, rec.Code, rec.Header())
		}
	}
}

// holding is a log that keeps back all files but one.
type holding struct {
	audit.Source
	but tuf.Digest
	let chan struct{}
}

func (h holding) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	if sum != h.but {
		select {
		case <-h.let:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return h.Source.Blob(ctx, sum)
}

// One address, whatever many connections it has, does not keep another one from work that
// costs much: the history of releases, a search, a proof.
func TestHeavyWorkIsShared(t *testing.T) {
	w, shared := pages(t)
	first := sha256.Sum256(body(t, get(t, shared, "/logs/example/releases/0/metadata")))
	for name, test := range map[string]struct {
		header     string
		one, other func(i int) string
	}{
		"IPv4":           {"", func(int) string { return "192.0.2.1" }, func(int) string { return "192.0.2.2" }},
		"IPv6":           {"", func(i int) string { return fmt.Sprintf("[2001:db8::%x]", i+1) }, func(int) string { return "[2001:db8:0:1::1]" }},
		"behind a proxy": {"X-Forwarded-For", func(i int) string { return fmt.Sprintf("198.51.100.%d, 192.0.2.1", i) }, func(int) string { return "192.0.2.2" }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config()
			log := holding{w.log.Source(), first, make(chan struct{})}
			cfg.Logs[0].Source, cfg.ClientAddressHeader = log, test.header
			s, err := page.New(cfg)
			must(t, err)
			defer s.Close()
			ask := func(from, path string) *httptest.ResponseRecorder {
				r := httptest.NewRequest(http.MethodGet, path, nil)
				r.RemoteAddr = "127.0.0.1:1234"
				if test.header != "" {
					r.Header.Set(test.header, from)
				} else {
					r.RemoteAddr = from + ":1234"
				}
				rec := httptest.NewRecorder()
				s.ServeHTTP(rec, r)
				return rec
			}
			const connections = 64
			answers := make(chan *httptest.ResponseRecorder, connections)
			for i := range connections {
				go func() { answers <- ask(test.one(i), fmt.Sprintf("/logs/example/releases/%d", 1+i%3)) }()
			}
			// Those that have no place are told at once; eight wait.
			for range connections - 8 {
				if rec := <-answers; rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" {
					t.Errorf("one too many: %d %v", rec.Code, rec.Header())
				}
			}
			for _, path := range []string{"/logs/example/releases/0", "/search?q=firmware", "/logs/example/releases/2/proof", "/logs/example/", "/"} {
				if rec := ask(test.other(0), path); rec.Code != http.StatusOK || strings.Contains(rec.Body.String(), "could not be read") {
					t.Errorf("another address: %s: %d", path, rec.Code)
				}
			}
			close(log.let)
			for range 8 {
				if rec := <-answers; rec.Code != http.StatusOK {
					t.Errorf("once there is an answer: %d", rec.Code)
				}
			}
		})
	}
}
