package source_test

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
)

const logSize = 5

// newLog returns a published log of logSize entries, and a file that it has.
func newLog(t *testing.T) (l *audittest.Log, root []byte) {
	t.Helper()
	v, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	must(t, err)
	_, root = v.File(tuf.RoleRoot)
	l = audittest.New(t)
	id := l.Register(root)
	for l.Size() < logSize {
		must(t, v.Release(tuf.RoleTargets))
		_, targets := v.File(tuf.RoleTargets)
		_, snapshot := v.File(tuf.RoleSnapshot)
		l.Submit(id, tuf.RoleTargets, targets, snapshot)
	}
	l.Publish(2)
	return l, root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHTTP(t *testing.T) {
	h, root := newLog(t)
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
		http.StripPrefix("/prefix", h).ServeHTTP(w, r)
	}))
	defer srv.Close()
	src, err := source.NewHTTP(srv.URL+"/prefix/", srv.Client())
	must(t, err)

	checkpoint, err := src.Checkpoint(t.Context())
	if want := h.Checkpoint(logSize, 2); err != nil || string(checkpoint) != string(want) || !noCache.Load() {
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
	blob := root
	failures.Store(1)
	if got, err := src.Blob(t.Context(), tuf.Sum(blob)); err != nil || string(got) != string(blob) {
		t.Errorf("blob after one failure: %d bytes, %v", len(got), err)
	}
	if _, err := src.Blob(t.Context(), tuf.Digest{}); !errors.Is(err, audit.ErrNotFound) {
		t.Errorf("a blob that is not there: %v", err)
	}

	a, err := audit.New(audit.Config{Source: src, Policy: h.Policy()})
	must(t, err)
	_, err = a.Step(t.Context())
	must(t, err)
	if r, err := a.Report(t.Context()); err != nil || !r.Vouches {
		t.Errorf("over HTTP: %+v, %v", r, err)
	}
}

func TestHTTPRefusesURLs(t *testing.T) {
	for _, url := range []string{"", "log.example.com", "ftp://log.example.com", "https://", "https://x/?a=b", "https://x/#y", "http://[::1"} {
		if _, err := source.NewHTTP(url, nil); err == nil {
			t.Errorf("%q was taken", url)
		}
	}
}

// A log that sends its auditor elsewhere is not followed there.
func TestHTTPFollowsNoRedirect(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	asked := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	src, err := source.NewHTTP(srv.URL, nil)
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

// A log says that it is new by a code, and nothing else counts as that: the URL may be
// wrong.
func TestHTTPOfANewLog(t *testing.T) {
	for body, is := range map[string]bool{
		`{"type":"about:blank","title":"Not Found","status":404,"code":"nothing-published","detail":"nothing has been published yet"}`: true,
		`{"code":"not-found"}`: false,
		`nothing-published`:    false,
		``:                     false,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, body, http.StatusNotFound) }))
		s, err := source.NewHTTP(srv.URL, nil)
		must(t, err)
		if _, err := s.Checkpoint(t.Context()); errors.Is(err, audit.ErrNothingPublished) != is || err == nil {
			t.Errorf("%q: %v", body, err)
		}
		srv.Close()
	}
}

const zero = "0000000000000000000000000000000000000000000000000000000000000000"

// Requests at once share a few connections, which are used again.
func TestHTTPKeepsItsConnections(t *testing.T) {
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("a file"))
	}))
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	src, err := source.NewHTTP(srv.URL, nil)
	must(t, err)
	for range 5 {
		var asking sync.WaitGroup
		for range 2 * source.MaxConnections {
			asking.Go(func() {
				if _, err := src.Blob(t.Context(), tuf.Digest{}); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
	}
	if n := opened.Load(); n > source.MaxConnections {
		t.Errorf("%d connections for %d requests at once, want at most %d", n, 2*source.MaxConnections, source.MaxConnections)
	}
}
