package watch_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

var releases = flag.Int("releases", 100, "releases of the honest history, with a fifth as many outages and a fiftieth as many rotations")

// A line stands between a monitor and a server, and breaks in the ways that networks,
// servers and proxies do.
type line struct {
	mu sync.Mutex
	// broken is how the line is broken; 0: it is not.
	broken int
	met    int               // requests that met it so
	old    map[string][]byte // the first checkpoints that passed, by their paths
	base   string
}

// ways are how many ways there are to be broken.
const ways = 8

func (l *line) breakIn(way int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken, l.met = way, 0
}

func (l *line) hits() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.met
}

// first returns the first checkpoint that passed at a path.
func (l *line) first(path string, body []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.old[path] == nil {
		if l.old == nil {
			l.old = map[string][]byte{}
		}
		l.old[path] = body
	}
	return l.old[path]
}

// ServeHTTP passes a request on, or fails it.
func (l *line) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	way := l.broken
	l.met++
	l.mu.Unlock()
	switch way {
	case 1:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case 2:
		panic(http.ErrAbortHandler) // the connection is reset
	case 3:
		http.Error(w, "no", http.StatusNotFound)
		return
	case 4:
		fmt.Fprint(w, "<html>please log in</html>")
		return
	case 5:
		http.Error(w, "slow down", http.StatusTooManyRequests)
		return
	}
	q, err := http.NewRequestWithContext(r.Context(), r.Method, l.base+r.URL.RequestURI(), nil)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	q.Header = r.Header.Clone()
	answer, err := http.DefaultTransport.RoundTrip(q)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), answer.Header)
	if strings.HasSuffix(r.URL.Path, "/checkpoint") && answer.StatusCode == http.StatusOK {
		// Way 7 is a cache that shows what was there at first.
		if first := l.first(r.URL.Path, body); way == 7 {
			body = first
			w.Header().Del("Etag")
			w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		}
	}
	w.WriteHeader(answer.StatusCode)
	if way == 6 && len(body) > 1 {
		body = body[:len(body)/2] // and the connection ends before the length that was said
	}
	_, _ = w.Write(body)
}

// An honest history is no reason to wake anybody: not by releases, rotations of keys, a
// repository that loses files, and not by outages of the log, its witnesses or the
// repository.
func TestHonestHistory(t *testing.T) {
	if testing.Short() {
		t.Skip("a real log with its witnesses, and a hundred releases")
	}
	w := runtest.NewWorld(t, "--open-registration")
	toLog := &line{base: w.Log.URL}
	lines := []*line{toLog}
	policy, err := os.ReadFile(filepath.Join(w.Dir, "policy"))
	check(t, err)
	text := string(policy)
	for _, s := range append([]*runtest.Service{w.Log}, w.Witnesses...) {
		l := toLog
		if s != w.Log {
			l = &line{base: s.URL}
			lines = append(lines, l)
		}
		server := httptest.NewServer(l)
		t.Cleanup(server.Close)
		if !strings.Contains(text, s.URL) {
			text = strings.Replace(text, "\nwitness", " "+s.URL+"\nwitness", 1)
		}
		text = strings.ReplaceAll(text, s.URL, server.URL)
	}
	dir, d := t.TempDir(), newDesk(t)
	check(t, os.WriteFile(filepath.Join(dir, "policy"), []byte(text), 0o644))

	v, err := testvendor.New(time.Now().AddDate(10, 0, 0))
	check(t, err)
	client := &api.Client{Base: w.Log.URL}
	_, root := v.File(tuf.RoleRoot)
	registered, err := client.Register(t.Context(), root)
	check(t, err)
	repository := registered.Repository
	live := &shelf{}
	live.put(v.Files())
	toLive := &line{base: httptest.NewServer(live).URL}
	lines = append(lines, toLive)
	liveServer := httptest.NewServer(toLive)
	t.Cleanup(liveServer.Close)

	c := newConfig(t, dir, d)
	fmt.Fprintf(c, "[[log]]\nname = \"honest\"\npolicy = \"policy\"\ninterval = \"100ms\"\n  [[log.repository]]\n  id = %q\n  name = \"vendor\"\n  urls = [%q]\n  every = \"1s\"\n", repository, liveServer.URL+"/")
	service := runtest.Serve(t, "auditor", "monitor", "run", "--config", c.write(t, dir))

	logged := func(roles ...string) {
		var files []api.File
		for _, role := range append(roles, tuf.RoleSnapshot) {
			name, b := v.File(role)
			files = append(files, api.File{Name: name, Data: b})
		}
		result, err := client.Submit(t.Context(), repository, files)
		check(t, err)
		if !result.Done {
			t.Fatalf("the log has not taken all: %+v", result)
		}
	}
	size := int64(1)
	outages := 0
	for i := range *releases {
		if i%50 == 25 {
			check(t, v.Rotate(tuf.RoleTargets))
			_, r := v.File(tuf.RoleRoot)
			name, _ := v.File(tuf.RoleRoot)
			_, err := client.Submit(t.Context(), repository, []api.File{{Name: name, Data: r}})
			check(t, err)
			size++
		}
		check(t, v.Put(tuf.RoleTargets, "app.bin", fmt.Appendf(nil, "version %d", i)))
		check(t, v.Release(tuf.RoleTargets))
		logged(tuf.RoleTargets)
		size++
		live.put(v.Files())
		if i == *releases/2 {
			live.remove("2.targets.json", "3.targets.json", "1.root.json") // the tag of an old release is deleted
		}
		if i%5 == 4 {
			// Some are over before anybody notices: only what is asked often has to meet one.
			l := lines[outages%len(lines)]
			l.breakIn(1 + outages%(ways-1))
			outages++
			if l == toLog || l == toLive {
				runtest.Eventually(t, "the outage is met", func() bool { return l.hits() > 0 })
			}
			l.breakIn(0)
		}
	}
	runtest.Eventually(t, "all is judged", func() bool { return judged(dir, "honest") >= size })
	looks(t, service, "honest")
	for _, e := range d.opened("") {
		t.Errorf("an alert: %s: %s", e.Finding.Kind, e.Finding.Sentence)
	}
	t.Logf("%d releases, %d outages", *releases, outages)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A shelf serves files.
type shelf struct {
	mu    sync.Mutex
	files map[string][]byte
	gone  map[string]bool
}

func (s *shelf) put(files map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = maps.Clone(files)
}

func (s *shelf) remove(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gone = map[string]bool{}
	for _, name := range names {
		s.gone[name] = true
	}
}

func (s *shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	b, ok := s.files[strings.TrimPrefix(r.URL.Path, "/")]
	gone := s.gone[strings.TrimPrefix(r.URL.Path, "/")]
	s.mu.Unlock()
	if !ok || gone {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
}
