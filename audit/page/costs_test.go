package page_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/page"
	"github.com/tuflog/tuflog/tuf"
)

// counting counts what is asked of a log, which may have no files.
type counting struct {
	audit.Source
	blobs, tiles atomic.Int64
	gone         atomic.Bool
}

func (c *counting) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	c.blobs.Add(1)
	if c.gone.Load() {
		return nil, errors.New("it is gone")
	}
	return c.Source.Blob(ctx, sum)
}

func (c *counting) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	c.tiles.Add(1)
	return c.Source.Tile(ctx, level, index, width)
}

// What strangers ask again does not cost the log again, nor does what has no body.
func TestAskedAgain(t *testing.T) {
	w, _ := pages(t)
	cfg := w.config()
	log := &counting{Source: w.log.Source()}
	cfg.Logs[0].Source = log
	s, err := page.New(cfg)
	must(t, err)
	defer s.Close()
	ask := func(method, path, tag string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("If-None-Match", tag)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, r)
		return rec
	}
	const release = "/logs/example/releases/1"
	head := ask(http.MethodHead, release+"/metadata", "")
	if n := log.blobs.Load(); n != 0 || head.Code != http.StatusOK {
		t.Errorf("HEAD: %d, %d files were read", head.Code, n)
	}
	if rec := ask(http.MethodGet, release+"/metadata", head.Header().Get("ETag")); rec.Code != http.StatusNotModified || log.blobs.Load() != 0 {
		t.Errorf("the client has it: %d, %d files were read", rec.Code, log.blobs.Load())
	}
	got := ask(http.MethodGet, release+"/metadata", "")
	for _, name := range []string{"Content-Length", "Content-Type", "Content-Disposition", "Cache-Control", "ETag", "Vary"} {
		if got.Header().Get(name) != head.Header().Get(name) || got.Header().Get(name) == "" {
			t.Errorf("%s: %q, and %q of HEAD", name, got.Header().Get(name), head.Header().Get(name))
		}
	}
	if length := strconv.Itoa(got.Body.Len()); got.Header().Get("Content-Length") != length {
		t.Errorf("%s bytes: %v", length, got.Header())
	}

	proof := ask(http.MethodGet, release+"/proof", "").Body.String()
	tiles := log.tiles.Load()
	if again := ask(http.MethodGet, release+"/proof", "").Body.String(); tiles == 0 || log.tiles.Load() != tiles || again != proof {
		t.Errorf("a proof: %d tiles, again %d; the same: %v", tiles, log.tiles.Load(), again == proof)
	}
	if rec := ask(http.MethodGet, "/logs/example/releases/2/proof", ""); rec.Code != http.StatusOK || log.tiles.Load() != tiles {
		t.Errorf("another proof: %d, %d tiles, after %d", rec.Code, log.tiles.Load(), tiles)
	}

	log.gone.Store(true)
	for _, path := range []string{"/logs/example/releases/3", "/logs/example/repositories/" + w.repo.String()} {
		before := log.blobs.Load()
		if b := ask(http.MethodGet, path, "").Body.String(); !strings.Contains(b, "could not be read now") {
			t.Fatalf("%s: %s", path, b)
		}
		once := log.blobs.Load()
		if ask(http.MethodGet, path, ""); once == before || log.blobs.Load() != once {
			t.Errorf("%s: %d files were asked for, and again %d", path, once-before, log.blobs.Load()-once)
		}
	}
}

// What is in force comes before what was: it is what a visitor has, or should have.
func TestSearchOrder(t *testing.T) {
	_, s := pages(t)
	var found struct {
		Logs []struct {
			Files []struct {
				Force    string `json:"force"`
				Last     int64  `json:"last"`
				Evidence bool   `json:"evidence"`
			} `json:"files"`
		} `json:"logs"`
	}
	must(t, json.Unmarshal(body(t, get(t, s, "/search?q=firmware.bin", "Accept", "application/json")), &found))
	files := found.Logs[0].Files
	if len(files) < 4 || files[0].Force != "in force" || !files[len(files)-1].Evidence {
		t.Fatalf("%+v", files)
	}
	for i := 2; i < len(files)-1; i++ {
		if files[i].Last > files[i-1].Last {
			t.Errorf("a newer one comes after an older one: %+v", files)
		}
	}
}
