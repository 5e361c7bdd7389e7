package page_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/page"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
)

// exchanged is a log that can become another one, at the moment when a file is asked for.
type exchanged struct {
	mu  sync.Mutex
	now audit.Source
	at  func() // nil: nothing happens
}

func (e *exchanged) source() audit.Source {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.now
}

func (e *exchanged) Checkpoint(ctx context.Context) ([]byte, error) {
	return e.source().Checkpoint(ctx)
}
func (e *exchanged) Tile(ctx context.Context, level int, index int64, width int) ([]byte, error) {
	return e.source().Tile(ctx, level, index, width)
}
func (e *exchanged) Entries(ctx context.Context, index int64, width int) ([]byte, error) {
	return e.source().Entries(ctx, index, width)
}
func (e *exchanged) Blob(ctx context.Context, sum tuf.Digest) ([]byte, error) {
	e.mu.Lock()
	at := e.at
	e.at = nil
	e.mu.Unlock()
	if at != nil {
		at()
	}
	return e.source().Blob(ctx, sum)
}

// audited replays a log into a new state.
func audited(t *testing.T, log *audittest.Log, dir string) {
	t.Helper()
	a, err := audit.New(t.Context(), audit.Config{Source: log.Source(), Policy: log.Policy(), StateDir: dir})
	must(t, err)
	_, err = a.Step(t.Context())
	must(t, err)
	must(t, a.Close())
}

// The state may be replaced by another one, restored or made anew: nothing that was kept of the
// one before is shown then, and no page is made of both.
func TestStateReplaced(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	log := audittest.New(t)
	log.Time -= 4 * 3600
	vendor, err := testvendor.New(time.Now().AddDate(1, 0, 0))
	must(t, err)
	_, root := vendor.File(tuf.RoleRoot)
	repo := log.Register(root)
	release := func(log *audittest.Log, v *testvendor.Vendor, content string) {
		must(t, v.Put(tuf.RoleTargets, "firmware.bin", []byte(content)))
		must(t, v.Release(tuf.RoleTargets))
		_, file := v.File(tuf.RoleTargets)
		_, snapshot := v.File(tuf.RoleSnapshot)
		log.Submit(repo, tuf.RoleTargets, file, snapshot)
	}
	release(log, vendor, "before")
	twin, err := vendor.Clone()
	must(t, err)
	other := log.Clone() // as long, with another newest release
	release(log, vendor, "one")
	release(other, twin, "two")
	other.Time += 3600
	log.Publish(2)
	other.Publish(2)
	audited(t, log, at("one"))
	audited(t, other, at("two"))

	server := func(source audit.Source, state string) *page.Server {
		now := time.Now()
		s, err := page.New(page.Config{Now: func() time.Time { return now }, Limits: page.Limits{PerSecond: -1},
			Logs: []page.Log{{Name: "example", StateDir: state, Policy: log.Policy(), Source: source}}})
		must(t, err)
		t.Cleanup(func() { must(t, s.Close()) })
		return s
	}
	index := log.Size() - 1
	paths := []string{"/", "/logs/example/", "/logs/example/repositories/" + repo.String(), "/search?q=firmware.bin",
		fmt.Sprintf("/logs/example/releases/%d", index), fmt.Sprintf("/logs/example/releases/%d/proof", index), fmt.Sprintf("/logs/example/releases/%d/metadata", index)}
	answers := func(s *page.Server) (all []string) {
		for _, path := range paths {
			r := get(t, s, path, "Accept", "application/json")
			b := string(body(t, r))
			if r.StatusCode != http.StatusOK || strings.Contains(b, "could not be read") {
				t.Errorf("%s: %s: %s", path, r.Status, b)
			}
			all = append(all, b)
		}
		return all
	}
	same := func(what string, got, want []string) {
		t.Helper()
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("%s: %s: %s\nwant %s", what, paths[i], got[i], want[i])
			}
		}
	}
	now := &exchanged{now: log.Source()}
	must(t, os.CopyFS(at("now"), os.DirFS(at("one"))))
	wantOne, wantTwo := answers(server(log.Source(), at("one"))), answers(server(other.Source(), at("two")))
	if wantOne[2] == wantTwo[2] || wantOne[5] == wantTwo[5] {
		t.Fatal("the states are the same")
	}
	exchange := func(state string, source audit.Source) {
		must(t, os.RemoveAll(at("now")))
		must(t, os.CopyFS(at("now"), os.DirFS(at(state))))
		now.mu.Lock()
		now.now = source
		now.mu.Unlock()
	}
	s := server(now, at("now"))
	same("at first", answers(s), wantOne)
	same("again", answers(s), wantOne)
	exchange("two", other.Source())
	same("another one", answers(s), wantTwo)
	exchange("one", log.Source())
	same("restored", answers(s), wantOne)

	// While a page is made.
	for i, path := range paths {
		s := server(now, at("now"))
		for n, want := range [][]string{wantTwo, wantOne} {
			now.mu.Lock()
			now.at = func() { exchange([]string{"two", "one"}[n], []audit.Source{other.Source(), log.Source()}[n]) }
			now.mu.Unlock()
			r := get(t, s, path, "Accept", "application/json")
			b := string(body(t, r))
			now.mu.Lock()
			pending := now.at
			now.at = nil
			now.mu.Unlock()
			if pending != nil { // it reads no file
				pending()
				continue
			}
			if r.StatusCode == http.StatusServiceUnavailable && r.Header.Get("Retry-After") != "" {
				continue
			}
			// A file alone is of one state, whichever.
			if b != want[i] && !(strings.HasSuffix(path, "/metadata") && (b == wantOne[i] || b == wantTwo[i])) {
				t.Errorf("%s, replaced while it was made: %s: %s\nwant %s", path, r.Status, b, want[i])
			}
		}
	}
}
