package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// site is a vendor's repository with its log: a file server, and the proofs
// beside the files.
type site struct {
	t      *testing.T
	vendor *testvendor.Vendor
	log    *testLog
	logged map[string]bool // file names
	id     tuf.Digest
	url    string // of the file server

	mu       sync.Mutex
	files    map[string][]byte // by URL path, unescaped
	status   map[string]int    // answers other than 200, by URL path
	hold     map[string]*held  // answers that wait, by URL path
	requests []string          // escaped paths
	packed   string            // the URL path of a file that is labelled as packed
}

func newSite(t *testing.T) *site {
	t.Helper()
	return newSiteOf(t, time.Now())
}

// newSiteOf returns a site whose first files were released at a time.
func newSiteOf(t *testing.T, at time.Time) *site {
	t.Helper()
	s := &site{t: t, log: newTestLog(t), logged: map[string]bool{}, files: map[string][]byte{}, status: map[string]int{}, hold: map[string]*held{}}
	var err error
	if s.vendor, err = testvendor.New(at.Add(24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.log.at = at
	s.publish()
	s.log.at = time.Time{}
	return s
}

// held is an answer that waits.
type held struct {
	asked, let chan struct{} // closed when it is asked for, and when it may come
	once       sync.Once
}

// holdBack makes the server keep the answer to a path to itself, as it would be now,
// until it may come or who asks has gone.
func (s *site) holdBack(path string) *held {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &held{asked: make(chan struct{}), let: make(chan struct{})}
	s.hold[path] = h
	return h
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	if h := s.hold[r.URL.Path]; h != nil {
		delete(s.hold, r.URL.Path)
		content := s.files[r.URL.Path]
		s.mu.Unlock()
		h.once.Do(func() { close(h.asked) })
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		select {
		case <-h.let:
			_, _ = w.Write(content)
		case <-r.Context().Done():
		}
		return
	}
	defer s.mu.Unlock()
	if s.packed == r.URL.Path {
		w.Header().Set("Content-Encoding", "gzip")
	}
	asked := r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		asked += "?" + r.URL.RawQuery
	}
	s.requests = append(s.requests, asked)
	if status := s.status[r.URL.Path]; status != 0 {
		w.WriteHeader(status)
		return
	}
	content, ok := s.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	if _, err := w.Write(content); err != nil {
		s.t.Log(err)
	}
}

// seen returns the requests since it was asked last, without the slash before
// metadata and with the server's files as they were asked for.
func (s *site) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.requests
	s.requests = nil
	return seen
}

// publish serves what the vendor has and logs what it has not logged.
func (s *site) publish() {
	s.t.Helper()
	files := s.vendor.Files()
	for _, name := range sortedNames(files) {
		s.set("/metadata/"+name, files[name])
		m, err := tuf.ParseJSON(files[name])
		if err != nil {
			s.t.Fatal(err)
		}
		if m.Type != tuf.RoleRoot && m.Type != tuf.RoleTargets || s.logged[name] {
			continue
		}
		s.logged[name] = true
		if name == "1.root.json" {
			s.id = m.PayloadDigest
		}
		s.set("/metadata/"+name+verify.SidecarSuffix, s.log.submit(s.leaf(name), 2))
	}
	for path, content := range s.vendor.TargetFiles() {
		s.set("/targets/"+path, content)
	}
}

func sortedNames(files map[string][]byte) []string {
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// leaf is what the log says of a file of the repository.
func (s *site) leaf(name string) leaf.Leaf {
	s.t.Helper()
	file := s.get("/metadata/" + name)
	m, err := tuf.ParseJSON(file)
	if err != nil {
		s.t.Fatal(err)
	}
	_, role, _ := strings.Cut(strings.TrimSuffix(name, ".json"), ".")
	return leaf.Leaf{
		Kind: leaf.Release, Repository: s.id, Role: role, Version: m.Version, Payload: m.PayloadDigest,
		Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
	}
}

func (s *site) get(path string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[path]
}

// set serves content under a path; nil takes it away.
func (s *site) set(path string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if content == nil {
		delete(s.files, path)
		return
	}
	s.files[path] = content
}

// answer has the server answer a path with a status; 0: as usual.
func (s *site) answer(path string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status[path] = status
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// release has the vendor release a target and serves it.
func (s *site) release(path, content string) {
	s.t.Helper()
	s.must(s.vendor.Put("targets", path, []byte(content)))
	s.must(s.vendor.Release("targets"))
	s.publish()
}

// testLog is a log with three witnesses, of which two are needed.
type testLog struct {
	*testlog.Log
	policy string // file
	size   int64
	at     time.Time // when witnesses cosign; zero: now
}

func newTestLog(t *testing.T) *testLog {
	t.Helper()
	l := &testLog{Log: testlog.New(t, "log.example/test", 3, "2"), policy: filepath.Join(t.TempDir(), "trust.txt")}
	if err := os.WriteFile(l.policy, []byte(l.PolicyText()), 0o644); err != nil {
		t.Fatal(err)
	}
	return l
}

// submit logs a leaf and returns its proof with so many cosignatures.
func (l *testLog) submit(leaf leaf.Leaf, cosignatures int) []byte {
	l.size = l.Add(leaf.Marshal()) + 1
	at := l.at
	if at.IsZero() {
		at = time.Now()
	}
	return l.proof(leaf, l.size-1, cosignatures, at)
}

func (l *testLog) proof(leaf leaf.Leaf, index int64, cosignatures int, at time.Time) []byte {
	return l.Proof(leaf.Marshal(), index, slices.Repeat([]int64{at.Unix()}, cosignatures)...)
}

// machine is where one updater keeps its files.
type machine struct {
	t    *testing.T
	site *site
	dir  string
}

// newDevice returns a device that was given root 1.
func (s *site) newDevice() *machine {
	s.t.Helper()
	d := &machine{t: s.t, site: s, dir: s.t.TempDir()}
	root := filepath.Join(d.dir, "given.json")
	s.must(os.WriteFile(root, s.get("/metadata/1.root.json"), 0o644))
	d.run("--metadata-dir", d.metadata(), "init", root).want(0)
	return d
}

func (d *machine) metadata() string { return filepath.Join(d.dir, "metadata") }
func (d *machine) targets() string  { return filepath.Join(d.dir, "targets") }

// ran is a finished updater.
type ran struct {
	t              *testing.T
	args           []string
	code           int
	stdout, stderr string
}

// runUpdater runs the program as a process.
func runUpdater(t *testing.T, args ...string) ran {
	t.Helper()
	stdout, stderr, code := runtest.Run(t, "updater", args...)
	return ran{t, args, code, stdout, stderr}
}

func (d *machine) run(args ...string) ran {
	d.t.Helper()
	return runUpdater(d.t, args...)
}

// refresh and download run the updater with the flags that it needs, and more.
func (d *machine) refresh(more ...string) ran {
	d.t.Helper()
	return d.run(append([]string{"--policy", d.site.log.policy, "--metadata-url", d.site.url + "/metadata", "--metadata-dir", d.metadata(), "refresh"}, more...)...)
}

func (d *machine) download(name string, more ...string) ran {
	d.t.Helper()
	return d.run(append([]string{"--policy", d.site.log.policy, "--metadata-url", d.site.url + "/metadata/", "--metadata-dir", d.metadata(),
		"--target-name", name, "--target-dir", d.targets(), "--target-base-url", d.site.url + "/targets", "download"}, more...)...)
}

// approve has the owner approve of what waits of a role.
func (d *machine) approve(role string, more ...string) {
	d.t.Helper()
	var waiting []waitingRow
	if err := json.Unmarshal([]byte(d.run("pending", "--json", "--metadata-dir", d.metadata()).want(0).stdout), &waiting); err != nil {
		d.t.Fatal(err)
	}
	for _, w := range waiting {
		if w.Role == role {
			d.run(append([]string{"approve", "--metadata-dir", d.metadata(), w.ID}, more...)...).want(0, "approved: ")
			return
		}
	}
	d.t.Fatalf("nothing of %q waits: %+v", role, waiting)
}

// want fails the test unless the exit code and all the words are as wanted. Words
// are looked for in stdout after code 0, in stderr otherwise.
func (r ran) want(code int, words ...string) ran {
	r.t.Helper()
	out := r.stdout
	if code != 0 {
		out = r.stderr
	}
	for _, w := range words {
		if !strings.Contains(out, w) {
			r.t.Errorf("%q is missing", w)
			code = -1
		}
	}
	if r.code != code {
		r.t.Fatalf("updater %s\nexit %d, want %d\nstdout: %s\nstderr: %s", strings.Join(r.args, " "), r.code, code, r.stdout, r.stderr)
	}
	return r
}

// version is the version of the role's file that the device keeps, 0 for none.
func (d *machine) version(role string) int64 {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.metadata(), url.PathEscape(role)+".json"))
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		d.t.Fatal(err)
	}
	m, err := tuf.ParseJSON(b)
	if err != nil {
		d.t.Fatal(err)
	}
	return m.Version
}

// edit changes a file of the device.
func (d *machine) edit(name string, change func([]byte) []byte) {
	d.t.Helper()
	path := filepath.Join(d.metadata(), name)
	b, err := os.ReadFile(path)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, change(b), 0o644); err != nil {
		d.t.Fatal(err)
	}
}

// names lists the device's metadata directory.
func (d *machine) names() []string {
	d.t.Helper()
	entries, err := os.ReadDir(d.metadata())
	if err != nil {
		d.t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
