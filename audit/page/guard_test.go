package page_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

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
