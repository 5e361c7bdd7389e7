package monitor_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// site is a log with what its witnesses show of it, over HTTP.
type site struct {
	*audittest.Log
	vendor *testvendor.Vendor
	repo   tuf.Digest
	url    string
	shown  atomic.Pointer[[]byte] // by the witnesses; nil: nothing
	down   atomic.Bool
}

func newSite(t testing.TB, name string) *site {
	t.Helper()
	s := &site{Log: audittest.NewOf(t, name+".test/log")}
	var err error
	s.vendor, err = testvendor.New(time.Now().AddDate(1, 0, 0))
	must(t, err)
	_, root := s.vendor.File(tuf.RoleRoot)
	s.repo = s.Register(root)
	s.release(t, "1")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// release logs and publishes a release.
func (s *site) release(t testing.TB, content string) {
	t.Helper()
	must(t, s.vendor.Put(tuf.RoleTargets, "app.bin", []byte(content)))
	must(t, s.vendor.Release(tuf.RoleTargets))
	_, file := s.vendor.File(tuf.RoleTargets)
	_, snapshot := s.vendor.File(tuf.RoleSnapshot)
	s.Submit(s.repo, tuf.RoleTargets, file, snapshot)
	s.Publish(2)
}

// policy writes the policy of the log with the URLs of its witnesses.
func (s *site) policy(t testing.TB, path string) {
	t.Helper()
	witness := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		note := s.shown.Load()
		if r.URL.Path != fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte(s.Signer.Key().Name()))) || note == nil {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(*note)
	}))
	t.Cleanup(witness.Close)
	text := s.PolicyText(s.url)
	for i, key := range []string{s.Witnesses[0].Key().String(), s.Witnesses[1].Key().String()} {
		// Each has a URL of its own.
		other := strings.Replace(witness.URL, "127.0.0.1", []string{"127.0.0.1", "localhost"}[i], 1)
		text = strings.Replace(text, key+"\n", key+" "+other+"\n", 1)
	}
	must(t, os.WriteFile(path, []byte(text), 0o600))
}

// watch is a monitor that runs, and its news.
type watch struct {
	*monitor.Monitor
	news chan monitor.News
	stop func()
}

// start follows the logs of a configuration.
func start(t testing.TB, path string) *watch {
	t.Helper()
	cfg, err := monitor.Read(t.Context(), path)
	must(t, err)
	return startOf(t, cfg)
}

func startOf(t testing.TB, cfg *monitor.Config) *watch { return startAt(t, cfg, 0) }

// startAt follows logs with a clock that is ahead.
func startAt(t testing.TB, cfg *monitor.Config, ahead time.Duration) *watch {
	t.Helper()
	read, write := io.Pipe()
	m, err := monitor.New(t.Context(), cfg, monitor.Options{News: write, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Now().Add(ahead) }})
	must(t, err)
	w := &watch{Monitor: m, news: make(chan monitor.News, 1000)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	go func() {
		lines := bufio.NewScanner(read)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var n monitor.News
			if err := json.Unmarshal(lines.Bytes(), &n); err != nil {
				t.Error(err)
			}
			w.news <- n
		}
	}()
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		must(t, m.Close())
		_ = write.Close()
	}
	t.Cleanup(w.stop)
	return w
}

// until waits for news, and returns all that came before.
func (w *watch) until(t testing.TB, is func(monitor.News) bool) (before []monitor.News, it monitor.News) {
	t.Helper()
	for {
		select {
		case n := <-w.news:
			if is(n) {
				return before, n
			}
			before = append(before, n)
		case <-time.After(time.Minute):
			t.Fatalf("nothing came; before: %+v; now: %+v", before, w.Statuses()[0])
		}
	}
}

func judged(log string, to int64) func(monitor.News) bool {
	return func(n monitor.News) bool { return n.Type == monitor.NewsJudged && n.Log == log && n.To == to }
}

func opened(log string, kind audit.Kind) func(monitor.News) bool {
	return func(n monitor.News) bool {
		return n.Log == log && n.Type == monitor.NewsOpened && n.Finding.Kind == kind
	}
}

func config(t testing.TB, logs map[string]*site, more string) string {
	t.Helper()
	dir := t.TempDir()
	text := "dir = \"dir\"\nlisten = \"none\"\n"
	for name, s := range logs {
		s.policy(t, filepath.Join(dir, name+".policy"))
		text += fmt.Sprintf("[[log]]\nname = %q\npolicy = %q\ninterval = \"100ms\"\n", name, name+".policy")
	}
	path := filepath.Join(dir, "monitor.toml")
	must(t, os.WriteFile(path, []byte(text+more), 0o600))
	return path
}

// One log that does not answer, or whose state is damaged, delays no other, and goes on when
// all is well.
func TestLogsAreApart(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of waiting for outages, or for what must not come")
	}
	sites := map[string]*site{}
	for _, name := range []string{"good", "down", "damaged"} {
		sites[name] = newSite(t, name)
	}
	path := config(t, sites, "")
	dir := filepath.Join(filepath.Dir(path), "dir")
	sites["down"].down.Store(true)
	damaged := filepath.Join(monitor.StateDir(dir, "damaged"), state.FileName)
	must(t, os.MkdirAll(filepath.Dir(damaged), 0o755))
	must(t, os.WriteFile(damaged, []byte("this was a database"), 0o600))
	w := start(t, path)
	troubled := map[string]string{}
	good := false
	_, _ = w.until(t, func(n monitor.News) bool {
		if n.Type == monitor.NewsTrouble {
			troubled[n.Log] = n.Text
		}
		if n.Finding != nil && n.Finding.Class != audit.Outage && n.Finding.Class != audit.Hygiene {
			t.Errorf("%+v", n.Finding)
		}
		good = good || judged("good", 2)(n)
		return good && len(troubled) == 2
	})
	if !strings.Contains(troubled["down"], "503") || !strings.Contains(troubled["damaged"], "damaged") {
		t.Errorf("%q", troubled)
	}
	h, err := w.Handler(prometheus.NewRegistry(), nil, nil)
	must(t, err)
	ready := httptest.NewRecorder()
	h.ServeHTTP(ready, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	if said := ready.Body.String(); ready.Code != http.StatusServiceUnavailable || !strings.Contains(said, "down: since ") || strings.Contains(said, "127.0.0.1") || strings.Contains(said, dir) {
		t.Errorf("/readyz: %d %s", ready.Code, said)
	}
	sites["good"].release(t, "2")
	_, _ = w.until(t, judged("good", 3))
	must(t, os.RemoveAll(filepath.Dir(damaged)))
	sites["down"].down.Store(false)
	well := map[string]bool{}
	_, _ = w.until(t, func(n monitor.News) bool {
		well[n.Log] = well[n.Log] || n.Type == monitor.NewsWell
		return well["down"] && well["damaged"]
	})
	w.stop()
	for name, s := range sites {
		status, err := monitor.ReadStatus(dir, name)
		must(t, err)
		if status.Judged != s.Size() || !status.Vouches || status.Origin != name+".test/log" || status.Trouble != "" {
			t.Errorf("%s: %+v", name, status)
		}
	}
}

// A log that shows the monitor one history and its witnesses another is found through the
// witnesses, whichever comes first, and once. The evidence convinces whoever has the keys.
func TestForkThroughWitnesses(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of waiting for outages, or for what must not come")
	}
	s := newSite(t, "a")
	s.release(t, "base")
	w := start(t, config(t, map[string]*site{"a": s}, ""))
	_, _ = w.until(t, judged("a", s.Size()))
	other := s.Clone()
	other.Append([]byte("other"))
	note := other.Checkpoint(other.Size(), 2)
	s.shown.Store(&note)
	s.release(t, "shown")
	_, n := w.until(t, opened("a", audit.Fork))
	if len(n.Finding.Evidence) != 1 {
		t.Fatalf("%+v", n.Finding)
	}
	dir := w.Config().Dir
	b, err := os.ReadFile(filepath.Join(monitor.StateDir(dir, "a"), "evidence", "fork-"+n.Finding.ID, n.Finding.Evidence[0].Name))
	must(t, err)
	statement, err := evidence.Check(t.Context(), b, s.Policy().Keys()...)
	must(t, err)
	if !strings.Contains(statement.Sentence, "two") {
		t.Error(statement.Sentence)
	}
	other.Append([]byte("and on"))
	note2 := other.Checkpoint(other.Size(), 2)
	s.shown.Store(&note2)
	s.release(t, "again")
	time.Sleep(1500 * time.Millisecond)
	for len(w.news) > 0 {
		if n := <-w.news; n.Finding != nil && n.Finding.Kind == audit.Fork {
			t.Errorf("told again: %+v", n)
		}
	}
}

// A live repository that serves what is not logged is found out, with proof where there is one;
// what it does not serve is an outage, and over when it is there again.
func TestLiveRepository(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of waiting for outages, or for what must not come")
	}
	s := newSite(t, "a")
	var served atomic.Pointer[map[string][]byte]
	publish := func(files map[string][]byte) { served.Store(&files) }
	publish(s.vendor.Files())
	live := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, ok := (*served.Load())[strings.TrimPrefix(r.URL.Path, "/metadata/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(b)
	}))
	t.Cleanup(live.Close)
	path := config(t, map[string]*site{"a": s}, fmt.Sprintf("[[log.repository]]\nid = %q\nname = \"acme\"\nurls = [\"%s/metadata/\"]\nevery = \"1s\"\n", s.repo, live.URL))
	w := start(t, path)
	said := func() monitor.Live { return w.Statuses()[0].Repositories[0].Live[0] }
	runtest.Eventually(t, "it is compared", func() bool { return said().Word == "logged" || said().Word == "untracked" })
	if id := w.Statuses()[0].Repositories[0].ID; id != s.repo {
		t.Errorf("it is %v", id)
	}

	evil, err := s.vendor.Clone()
	must(t, err)
	must(t, evil.Put(tuf.RoleTargets, "app.bin", []byte("for one")))
	must(t, evil.Release(tuf.RoleTargets))
	publish(evil.Files())
	_, n := w.until(t, opened("a", audit.LiveUnlogged))
	if f := n.Finding; f.Class != audit.Unexpected || f.Role != tuf.RoleTargets || f.Version != 3 || f.Repository != s.repo || len(f.Evidence) != 1 {
		t.Errorf("%+v", f)
	}
	gone := func(kind audit.Kind) func(monitor.News) bool {
		return func(n monitor.News) bool { return n.Type == monitor.NewsGone && n.Finding.Kind == kind }
	}
	// The vendor logs another payload of that version: what was unlogged contradicts it now.
	s.release(t, "for everybody")
	_, n = w.until(t, opened("a", audit.LiveEquivocation))
	b, err := os.ReadFile(filepath.Join(monitor.StateDir(w.Config().Dir, "a"), "evidence", "live-equivocation-"+n.Finding.ID, n.Finding.Evidence[0].Name))
	must(t, err)
	if _, err := evidence.Check(t.Context(), b, s.Policy().Keys()...); err != nil {
		t.Errorf("the evidence is refused elsewhere: %v", err)
	}
	// A server that answers no more has taken nothing back.
	publish(map[string][]byte{})
	news, n := w.until(t, opened("a", audit.LiveMissing))
	if n.Finding.Class != audit.Outage {
		t.Errorf("%+v", n.Finding)
	}
	compared := said().Compared
	runtest.Eventually(t, "it is compared again", func() bool { return said().Compared > compared+1 })
	for len(w.news) > 0 {
		news = append(news, <-w.news)
	}
	if slices.ContainsFunc(news, gone(audit.LiveEquivocation)) {
		t.Error("a server that does not answer has taken back what it served")
	}
	publish(s.vendor.Files())
	closed := 0
	_, _ = w.until(t, func(n monitor.News) bool {
		if gone(audit.LiveMissing)(n) || gone(audit.LiveEquivocation)(n) {
			closed++
		}
		return closed == 2
	})
	runtest.Eventually(t, "it is counted", func() bool { return w.Statuses()[0].Open[audit.Equivocation] == 0 })
	if s := w.Statuses()[0]; !s.Vouches || s.Open[audit.Equivocation]+s.Open[audit.Unexpected]+s.Open[audit.Tampering] != 0 {
		t.Errorf("%+v", s)
	}

	// A configuration is tested over what was found, while a monitor runs.
	text, err := os.ReadFile(path)
	must(t, err)
	more := `[[route]]
classes = ["equivocation", "unexpected"]
repositories = ["acme"]
to = ["file"]
[[route]]
logs = ["a"]
repositories = ["` + strings.Repeat("1", 64) + `"]
to = []
[to.file]
type = "jsonl"
path = "alerts.jsonl"
`
	cfg, err := monitor.Parse(path, append(text, more...))
	must(t, err)
	c, err := monitor.CheckConfig(t.Context(), cfg)
	must(t, err)
	if r := c.Routes[0]; r.Matched != 2 || !strings.HasPrefix(r.Last, "a: live-equivocation: ") || len(c.Routes) != 4 || c.Logs[0].Judged != s.Size() {
		t.Errorf("%+v", c)
	}
	if len(c.Wrong) != 1 || !strings.HasPrefix(c.Wrong[0], "route[1].repositories: the log a has no repository") {
		t.Errorf("%q", c.Wrong)
	}
	cfg, err = monitor.Parse(path, bytes.Replace(text, []byte(s.repo.String()), []byte(strings.Repeat("1", 64)), 1))
	must(t, err)
	if c, err = monitor.CheckConfig(t.Context(), cfg); err != nil || len(c.Wrong) != 1 || !strings.HasPrefix(c.Wrong[0], "log[0].repository[0].id: ") {
		t.Errorf("%+v, %v", c, err)
	}
	for _, wrong := range []string{"classes = [\"fork\"]", "kinds = [\"fork\"]\nclasses = [\"hygiene\"]", "logs = [\"b\"]", "repositories = [\"nobody\"]", "to = [\"nobody\"]"} {
		_, err := monitor.Parse(path, append(append([]byte{}, text...), "[[route]]\n"+wrong+"\n"...))
		if err == nil || !strings.Contains(err.Error(), "monitor.toml:12: route 1: ") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// What a quorum of witnesses cosigned long ago and the log does not show is a finding, until it
// shows it. What one witness alone cosigned is not: the log may not publish it.
func TestWithheldView(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of waiting for outages, or for what must not come")
	}
	s := newSite(t, "a")
	ahead := s.Clone()
	ahead.Append([]byte("withheld"))
	one := ahead.Checkpoint(ahead.Size(), 1)
	s.shown.Store(&one)
	path := config(t, map[string]*site{"a": s}, "withheld = \"1s\"\n")
	w := start(t, path)
	_, _ = w.until(t, judged("a", s.Size()))
	runtest.Eventually(t, "the witness was asked", func() bool { return w.Statuses()[0].Witnesses[0].Size == ahead.Size() })
	time.Sleep(1500 * time.Millisecond)
	if open := w.Statuses()[0].Open; open[audit.Tampering] != 0 {
		t.Errorf("one witness alone: %v", open)
	}
	both := ahead.Checkpoint(ahead.Size(), 2)
	s.shown.Store(&both)
	_, n := w.until(t, opened("a", audit.ViewWithheld))
	if !strings.Contains(n.Finding.Sentence, fmt.Sprintf("cosigned size %d", ahead.Size())) {
		t.Error(n.Finding.Sentence)
	}
	s.Append([]byte("withheld"))
	s.Publish(2)
	_, _ = w.until(t, func(n monitor.News) bool { return n.Type == monitor.NewsGone && n.Finding.Kind == audit.ViewWithheld })
	// What the log shows and too few have cosigned is trouble.
	s.Append([]byte("alone"))
	s.Publish(1)
	_, n = w.until(t, func(n monitor.News) bool { return n.Type == monitor.NewsTrouble })
	if !strings.Contains(n.Text, "too few witnesses") {
		t.Error(n.Text)
	}
}
