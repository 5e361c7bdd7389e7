package audit_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/tuf"
)

func TestHTTPSource(t *testing.T) {
	h := newHistory(t)
	h.Spoil("tile/entries/000.p/5", audittest.Missing)
	h.Spoil("tile/0/000.p/5", audittest.Missing)
	for h.Size() < 256 {
		h.Append([]byte("tuflog motto v7\n"))
	}
	var noCache atomic.Bool
	var failures atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/prefix/checkpoint" {
			noCache.Store(r.Header.Get("Cache-Control") == "no-cache")
		}
		if failures.Add(-1) >= 0 {
			http.Error(w, "busy", http.StatusServiceUnavailable)
			return
		}
		http.StripPrefix("/prefix", h.Log).ServeHTTP(w, r)
	}))
	defer srv.Close()
	src, err := audit.NewHTTPSource(srv.URL+"/prefix/", srv.Client())
	must(t, err)

	checkpoint, err := src.Checkpoint(t.Context())
	if want := h.Checkpoint(historySize, 2); err != nil || string(checkpoint) != string(want) || !noCache.Load() {
		t.Errorf("checkpoint %q, %v, no-cache %v", checkpoint, err, noCache.Load())
	}
	direct := h.Source()
	for _, width := range []int{4, 5, 256} {
		want, err := direct.Tile(t.Context(), 0, 0, 256)
		must(t, err)
		if tile, err := src.Tile(t.Context(), 0, 0, width); err != nil || string(tile) != string(want[:32*width]) {
			t.Errorf("tile of width %d: %d bytes, %v", width, len(tile), err)
		}
		want, err = direct.Entries(t.Context(), 0, 256)
		must(t, err)
		bundle, err := src.Entries(t.Context(), 0, width)
		if err != nil || !strings.HasPrefix(string(want), string(bundle)) || width == 256 && len(bundle) != len(want) {
			t.Errorf("bundle of width %d: %d bytes, %v", width, len(bundle), err)
		}
		if width == 5 {
			four, err := src.Entries(t.Context(), 0, 4)
			if err != nil || len(four) >= len(bundle) {
				t.Errorf("five entries have %d bytes, four have %d, %v", len(bundle), len(four), err)
			}
		}
	}
	if _, err := src.Tile(t.Context(), 0, 1, 256); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a tile that is not there: %v", err)
	}
	blob := h.file(tuf.RoleRoot)
	failures.Store(1)
	if got, err := src.Blob(t.Context(), tuf.Sum(blob)); err != nil || string(got) != string(blob) {
		t.Errorf("blob after one failure: %d bytes, %v", len(got), err)
	}
	if _, err := src.Blob(t.Context(), tuf.Digest{}); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a blob that is not there: %v", err)
	}

	a, err := audit.New(audit.Config{Source: src, Policy: h.Policy()})
	must(t, err)
	step(t, a)
	if r := report(t, a); !r.Vouches {
		t.Errorf("over HTTP: %+v", r.Findings)
	}
}

func TestHTTPSourceRefusesURLs(t *testing.T) {
	for _, url := range []string{"", "log.example.com", "ftp://log.example.com", "https://", "https://x/?a=b", "https://x/#y", "http://[::1"} {
		if _, err := audit.NewHTTPSource(url, nil); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
}

func TestRunFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t)
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.Interval = time.Hour })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		start := time.Now()
		steps := 0
		err := a.Run(ctx, func(result audit.StepResult, err error) error {
			must(t, err)
			steps++
			if result.To != h.Size() {
				t.Errorf("step %d judged to %d of %d", steps, result.To, h.Size())
			}
			if steps == 3 {
				cancel()
			}
			h.release(tuf.RoleTargets, "app.bin", time.Now().String())
			h.Publish(2)
			return nil
		})
		if !errors.Is(err, context.Canceled) || steps != 3 || time.Since(start) != 2*time.Hour {
			t.Errorf("%d steps in %v: %v", steps, time.Since(start), err)
		}
	})
}

// slow is a log that takes its time over each file.
type slow struct {
	audit.Source
	pause time.Duration
}

func (s slow) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.pause):
	}
	return s.Source.Blob(ctx, sum)
}

// A log that takes its time over each file does not keep its auditor from looking at what
// it signs meanwhile.
func TestRunFollowsASlowLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t)
		fork := h.clone()
		h.release(tuf.RoleTargets, "app.bin", "five")
		fork.release(tuf.RoleTargets, "app.bin", "five, for one customer")
		for i := range 20 {
			h.release(tuf.RoleTargets, "app.bin", fmt.Sprint("more ", i))
		}
		h.Publish(2)
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.Source = slow{h.Log.Source(), 50 * time.Second} })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		last, forkAt, judged, steps := time.Now(), int64(0), int64(0), 0
		err := a.Run(ctx, func(result audit.StepResult, err error) error {
			must(t, err)
			if since := time.Since(last); since > 3*time.Minute || result.From != judged || result.To <= judged || result.Waiting != h.Size()-result.To {
				t.Errorf("after %v: judged %d to %d of %d, %d wait", since, result.From, result.To, h.Size(), result.Waiting)
			}
			last, judged = time.Now(), result.To
			if strings.Contains(kinds(result.Findings), "fork") {
				forkAt = judged
			}
			if steps++; steps == 1 {
				h.Serve(fork.Checkpoint(fork.Size(), 2))
			}
			if result.Waiting == 0 || steps > 100 {
				cancel()
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || steps < 3 || forkAt == 0 || forkAt > h.Size()/2 || judged != h.Size() {
			t.Errorf("%d steps, %d of %d judged, the fork was seen at %d: %v", steps, judged, h.Size(), forkAt, err)
		}
	})
}

// A log that sends its auditor elsewhere is not followed there.
func TestHTTPSourceFollowsNoRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	src, err := audit.NewHTTPSource(srv.URL, nil)
	must(t, err)
	for path, get := range map[string]func() ([]byte, error){
		"/checkpoint":          func() ([]byte, error) { return src.Checkpoint(t.Context()) },
		"/tile/0/000":          func() ([]byte, error) { return src.Tile(t.Context(), 0, 0, 256) },
		"/tile/entries/000":    func() ([]byte, error) { return src.Entries(t.Context(), 0, 256) },
		"/blob/sha256/" + zero: func() ([]byte, error) { return src.Blob(t.Context(), tuf.Digest{}) },
	} {
		asked = 0
		if _, err := get(); err == nil || !strings.Contains(err.Error(), `redirects to "`+elsewhere.URL+path+`"`) || asked != 1 {
			t.Errorf("%s: asked %d times, %v", path, asked, err)
		}
	}
}

const zero = "0000000000000000000000000000000000000000000000000000000000000000"

// A log says that it is new by a code, and nothing else counts as that: the URL may be
// wrong.
func TestHTTPSourceOfANewLog(t *testing.T) {
	for body, is := range map[string]bool{
		`{"type":"about:blank","title":"Not Found","status":404,"code":"nothing-published","detail":"nothing has been published yet"}`: true,
		`{"code":"not-found"}`: false,
		`nothing-published`:    false,
		``:                     false,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, http.StatusNotFound) }))
		s, err := audit.NewHTTPSource(srv.URL, nil)
		must(t, err)
		if _, err := s.Checkpoint(t.Context()); errors.Is(err, audit.ErrNothingPublished) != is || err == nil {
			t.Errorf("%q: %v", body, err)
		}
		srv.Close()
	}
}
