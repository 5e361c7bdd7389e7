package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/postgresserver"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/bench/trillianserver"
	"github.com/tuflog/tuflog/log/api"
)

// sharedWorld is a log on servers with two front ends and three witnesses. The log
// of the embedded world is the first of them.
type sharedWorld struct {
	*world
	postgres       *postgresserver.Server
	entries        *postgresserver.Server // has Trillian's database: postgres, or one of its own
	trillian       *trillianserver.Servers
	storage, state string
	fronts         []*runtest.Service
}

// newServers starts PostgreSQL and Trillian, or skips the test where there is no
// PostgreSQL.
func newServers(t *testing.T) *sharedWorld { return startServers(t, false) }

// startServers starts them, with a PostgreSQL of its own for Trillian where apart is set.
func startServers(t *testing.T, apart bool) *sharedWorld {
	t.Helper()
	if testing.Short() {
		t.Skip("starts PostgreSQL and Trillian")
	}
	if _, err := postgresserver.Find(); err != nil {
		t.Skip(err)
	}
	w := &sharedWorld{world: &world{World: &runtest.World{Dir: t.TempDir()}}}
	w.postgres = startPostgres(t, w.Path("postgres"), "tuflog")
	if w.entries = w.postgres; apart {
		w.entries = startPostgres(t, w.Path("entries"))
	}
	if err := w.entries.CreateDatabase(t.Context(), "trillian"); err != nil {
		t.Fatal(err)
	}
	bin, err := trillianserver.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if w.trillian, err = trillianserver.Start(t.Context(), trillianserver.Config{Bin: bin, DatabaseURL: w.entries.URL("trillian")}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.trillian.Stop)
	w.state = w.postgres.URL("tuflog")
	return w
}

// startPostgres starts a PostgreSQL with these databases.
func startPostgres(t *testing.T, dir string, databases ...string) *postgresserver.Server {
	t.Helper()
	s, err := postgresserver.Start(t.Context(), postgresserver.Config{Dir: dir, Databases: databases})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() })
	return s
}

// newSharedWorld makes a log and starts everything.
func newSharedWorld(t *testing.T) *sharedWorld {
	t.Helper()
	return newServers(t).makeLog(t, "--only", "ed25519")
}

// makeLog makes a log on the servers, and starts its witnesses and front ends; flags are
// more arguments of logserver init.
func (w *sharedWorld) makeLog(t *testing.T, flags ...string) *sharedWorld {
	t.Helper()
	args := append([]string{"init", "--dir", w.Path("log"), "--origin", "test.example/log", "--storage", "trillian://" + w.trillian.Target(), "--state", w.state}, flags...)
	stdout, stderr, code := runtest.Run(t, "logserver", args...)
	found := regexp.MustCompile(`--storage (trillian://\S+/\d+) `).FindStringSubmatch(stderr)
	if code != 0 || found == nil {
		t.Fatalf("init: exit %d\n%s", code, stderr)
	}
	w.storage = found[1]
	if err := w.trillian.Analyze(t.Context()); err != nil {
		t.Fatal(err)
	}
	own, _, _ := strings.Cut(stdout, "\n")
	w.serve(t, own, "--storage", w.storage, "--state", w.state)
	w.fronts = []*runtest.Service{w.Log, w.addFront(t, "log2", true)}
	return w
}

// addFront starts another front end, with or without the log's key.
func (w *sharedWorld) addFront(t *testing.T, name string, key bool) *runtest.Service {
	t.Helper()
	err := os.CopyFS(w.Path(name), os.DirFS(w.Path("log")))
	for errors.Is(err, fs.ErrNotExist) { // its front end has just put a file in the place of another
		err = errors.Join(os.RemoveAll(w.Path(name)), os.CopyFS(w.Path(name), os.DirFS(w.Path("log"))))
	}
	if err != nil {
		t.Fatal(err)
	}
	if !key {
		if err := os.Remove(w.Path(name) + "/log.key"); err != nil {
			t.Fatal(err)
		}
	}
	// CopyFS gives what it makes to everybody.
	more, err := filepath.Glob(w.Path(name) + "/keys/*.key")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(more, w.Path(name)+"/log.key", w.Path(name)+"/registration.token") {
		if err := os.Chmod(path, 0o600); err != nil && (key || !errors.Is(err, fs.ErrNotExist)) {
			t.Fatal(err)
		}
	}
	return runtest.Serve(t, "logserver", "serve", "--dir", w.Path(name), "--policy", w.Path("policy"), "--storage", w.storage, "--state", w.state)
}

// leads waits for one of the front ends to lead and returns it first.
func (w *sharedWorld) leads(t *testing.T) (leader, other *runtest.Service) {
	t.Helper()
	runtest.Eventually(t, "a front end leads", func() bool {
		for i, s := range w.fronts {
			text := s.Said()
			if s.Running() && strings.Count(text, `msg="leading the log"`) > strings.Count(text, "not leading the log any more") {
				leader, other = s, w.fronts[1-i]
				return true
			}
		}
		return false
	})
	return leader, other
}

// ownToken is the token of all repositories.
const ownToken = "the-token-of-all-repositories"

// clientOf is a vendor's client.
func (w *sharedWorld) clientOf(s *runtest.Service) *api.Client {
	return &api.Client{Base: s.URL, Token: ownToken}
}

// registrar is a client that opens repositories.
func (w *sharedWorld) registrar(t *testing.T, s *runtest.Service) *api.Client {
	t.Helper()
	token, err := os.ReadFile(w.Path("log") + "/registration.token")
	if err != nil {
		t.Fatal(err)
	}
	return &api.Client{Base: s.URL, Token: strings.TrimSpace(string(token)), NewToken: ownToken}
}

// registerAt registers a vendor's repository at a front end and returns its ID.
func (w *sharedWorld) registerAt(t *testing.T, s *runtest.Service, v *testvendor.Vendor) string {
	t.Helper()
	_, root := v.File("root")
	res, err := w.registrar(t, s).Register(withTimeout(t, process.Patience), root)
	if err != nil {
		t.Fatal(err)
	}
	return res.Repository
}

// submitAt submits a release at a front end and returns the index of its targets.
func (w *sharedWorld) submitAt(t *testing.T, s *runtest.Service, repository string, v *testvendor.Vendor, content string) int64 {
	t.Helper()
	files := release(t, v, content)
	res, err := w.clientOf(s).Submit(withTimeout(t, process.Patience), repository, files)
	if err != nil || !res.Done || len(res.Results) != 1 {
		t.Fatalf("submit %s: %+v, %v", content, res, err)
	}
	w.check(t, repository, files, res.Results[0])
	return res.Results[0].Index
}

func get(t *testing.T, url string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

// same checks that all front ends answer alike.
func (w *sharedWorld) same(t *testing.T, repository string, index int64) {
	t.Helper()
	paths := []string{
		fmt.Sprintf("/tile/0/000.p/%d", index+1), fmt.Sprintf("/tile/entries/000.p/%d", index+1), fmt.Sprintf("/tile/files/000.p/%d", index+1),
		"/v1/repositories", "/v1/repositories/" + repository, "/v1/repositories/" + repository + "/roles/targets", "/v1/lookup/path/app.bin",
	}
	for _, path := range paths {
		status, want := get(t, w.fronts[0].URL+path)
		if status != 200 {
			t.Errorf("GET %s: %d %s", path, status, want)
		}
		for _, s := range w.fronts[1:] {
			// A release that lists a file may be found a little later, and that is said.
			runtest.Eventually(t, "GET "+path+" is the same everywhere", func() bool {
				_, want = get(t, w.fronts[0].URL+path)
				status, got := get(t, s.URL+path)
				return status == 200 && bytes.Equal(got, want)
			})
		}
	}
}

// Two front ends are one log: either takes submissions and serves reads, and when
// the one that leads is killed, or stopped, or the other, the log goes on.
func TestFrontEnds(t *testing.T) {
	t.Parallel()
	w := newSharedWorld(t)
	leader, follower := w.leads(t)
	v := newVendor(t)
	id := w.registerAt(t, follower, v)
	var indices []int64
	for n := range 4 {
		indices = append(indices, w.submitAt(t, []*runtest.Service{leader, follower}[n%2], id, v, fmt.Sprint("version ", n)))
	}
	w.same(t, id, indices[3])

	leader.End(t, syscall.SIGKILL)
	indices = append(indices, w.submitAt(t, follower, id, v, "after the kill"))
	// Asked from the directory of the one that was killed.
	if st := w.statusOf(t, 0); st.Leader != follower.URL || st.Unready != "" {
		t.Errorf("status: %+v", st)
	}
	leader.Start(t)
	indices = append(indices, w.submitAt(t, leader, id, v, "through the one that was killed"))
	w.same(t, id, indices[5])

	// A front end that is told to stop hands over at once.
	leader, follower = w.leads(t)
	if code := leader.End(t, syscall.SIGTERM); code != 0 {
		t.Errorf("stopped: exit %d", code)
	}
	if out, err := w.postgres.Exec(t.Context(), "tuflog", "SELECT 'held', count(*) FROM lease WHERE holder <> '' AND url = '"+leader.URL+"'"); err != nil || strings.TrimSpace(out) != "held|0" {
		t.Errorf("the lease of a leader that has stopped: %q, %v", out, err)
	}
	indices = append(indices, w.submitAt(t, follower, id, v, "after the stop"))
	if !slices.Equal(indices, []int64{1, 2, 3, 4, 5, 6, 7}) {
		t.Errorf("the releases are at %v", indices)
	}
	leader.Start(t)

	reader := w.addFront(t, "log3", false)
	w.fronts = append(w.fronts, reader)
	w.same(t, id, 7)
	// Each front end reads its own labels and policy again, whoever leads.
	for i, s := range w.fronts {
		dir := s.Args[slices.Index(s.Args, "--dir")+1]
		if err := os.WriteFile(filepath.Join(dir, "labels"), fmt.Appendf(nil, "%s by front end %d\n", id, i), 0o600); err != nil {
			t.Fatal(err)
		}
		s.Signal(t, syscall.SIGHUP)
		runtest.Eventually(t, "it has the new label", func() bool {
			repo, err := (&api.Client{Base: s.URL}).Repository(t.Context(), id)
			return err == nil && repo.Label == fmt.Sprint("by front end ", i)
		})
	}
	if index := w.submitAt(t, reader, id, v, "through one without a key"); index != 8 {
		t.Errorf("at %d", index)
	}
	w.audit(t, reader, 8)
	for _, s := range w.fronts[:2] {
		s.End(t, syscall.SIGTERM)
	}
	runtest.Eventually(t, "it says that nobody leads", func() bool {
		status, body := get(t, reader.URL+"/readyz")
		return status == 503 && bytes.Contains(body, []byte("no front end leads"))
	})
	if status, body := get(t, reader.URL+"/v1/entries/8/proof"); status != 200 {
		t.Errorf("without a leader: %d %s", status, body)
	}
	if code := reader.End(t, syscall.SIGTERM); code != 0 {
		t.Errorf("the reader: exit %d", code)
	}
	if !testing.Short() { // it waits for seven seconds
		w.anotherKey(t, follower)
	}
}

// audit gives all front ends an audited policy: each of them asks the auditor, and serves what
// it shows, also the one that has no key. An entry at index is in the log.
func (w *sharedWorld) audit(t *testing.T, reader *runtest.Service, index int64) {
	t.Helper()
	auditor := runtest.NewAuditor(t, "test.example/log")
	text, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "devices", auditor.Devices(string(text)))
	for _, s := range w.fronts {
		s.End(t, syscall.SIGTERM)
		s.Args = append(s.Args, "--audited-policy", w.Path("devices"))
		s.Start(t)
	}
	runtest.Eventually(t, "there is a leader", func() bool { status, _ := get(t, reader.URL+"/readyz"); return status == 200 })
	auditor.Cosign(t, reader.URL)
	for _, s := range w.fronts {
		runtest.Eventually(t, "the audited checkpoint is served", func() bool {
			status, _ := get(t, s.URL+"/checkpoint/audited")
			return status == 200
		})
		if status, body := get(t, fmt.Sprintf("%s/v1/entries/%d/proof?audited", s.URL, index)); status != 200 || !bytes.Contains(body, []byte("auditor.example")) {
			t.Errorf("%d %s", status, body)
		}
		s.Args = s.Args[:len(s.Args)-2] // of the next start
	}
}

// anotherKey starts a front end with a key that the log has never had: it cannot lead, says
// why once and at /readyz, and tries less and less often.
func (w *sharedWorld) anotherKey(t *testing.T, s *runtest.Service) {
	t.Helper()
	vkey := runtest.Must(t, "logserver", "init", "--dir", w.Path("stranger"), "--origin", "test.example/log", "--only", "ed25519")
	policy, err := os.ReadFile(w.Path("policy"))
	if err == nil {
		err = os.WriteFile(w.Path("policy"), fmt.Appendf(nil, "log %s\n%s", vkey, policy), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := s.Args[slices.Index(s.Args, "--dir")+1]
	for _, name := range []string{"log.key", "log.vkey"} {
		b, err := os.ReadFile(w.Path("stranger") + "/" + name)
		if err == nil {
			err = os.WriteFile(dir+"/"+name, b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(dir + "/served"); err != nil {
		t.Fatal(err)
	}
	epoch := func() int {
		out, err := w.postgres.Exec(t.Context(), "tuflog", "SELECT 'epoch', epoch FROM lease")
		n, notNumber := strconv.Atoi(strings.TrimPrefix(strings.TrimSpace(out), "epoch|"))
		if err := errors.Join(err, notNumber); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		return n
	}
	says := func() bool {
		status, body := get(t, s.URL+"/readyz")
		return status == 503 && bytes.Contains(body, []byte("leading has failed here")) && bytes.Contains(body, []byte("not signed by a known log"))
	}
	before := len(s.Said())
	s.Start(t)
	runtest.Eventually(t, "/readyz says why it cannot lead", says)
	began, first := time.Now(), epoch()
	runtest.Eventually(t, "it tries again and again", func() bool { return epoch() >= first+3 })
	if took := time.Since(began); took < 5*time.Second {
		t.Errorf("it has tried three times more in %v", took)
	}
	if !says() {
		t.Error("/readyz does not say any more why it cannot lead")
	}
	said := s.Said()[before:]
	for _, line := range []string{`msg="leading the log"`, `msg="not leading the log any more"`, `msg="cannot lead the log"`} {
		if n := strings.Count(said, line); n != 1 {
			t.Errorf("%s: %d times, want once:\n%s", line, n, said)
		}
	}
	s.Stop(t)
}

// Servers, keys and directories that do not fit together are refused.
func TestFrontEndRefuses(t *testing.T) {
	w := newServers(t)
	at := []string{"--dir", w.Path("log"), "--origin", "test.example/log", "--only", "ed25519", "--storage", "trillian://" + w.trillian.Target(), "--state", w.state}
	vkey := runtest.Must(t, "logserver", append([]string{"init"}, at...)...)
	if err := os.WriteFile(w.Path("policy"), fmt.Appendf(nil, "log %s\nquorum none\n", vkey), 0o600); err != nil {
		t.Fatal(err)
	}
	again := slices.Clone(at)
	again[1] = w.Path("other")
	if _, stderr, code := runtest.Run(t, "logserver", append([]string{"init"}, again...)...); code != 2 || !strings.Contains(stderr, "has log") {
		t.Errorf("a second log in one database: exit %d\n%s", code, stderr)
	}
	serve := []string{"serve", "--dir", w.Path("log"), "--policy", w.Path("policy"), "--listen", "127.0.0.1:0"}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--storage", "trillian://" + w.trillian.Target() + "/12345", "--state", w.state}, "not in trillian tree 12345"},
		{[]string{"--state", w.state}, "missing [storage]"},
		{[]string{"--storage", "https://example", "--state", w.state}, "want trillian://"},
		{[]string{"--storage", "trillian://" + w.trillian.Target() + "/1", "--state", w.postgres.URL("trillian2")}, "trillian2"},
	} {
		if _, stderr, code := runtest.Run(t, "logserver", append(serve, tt.args...)...); code != 2 || !strings.Contains(stderr, tt.want) {
			t.Errorf("%v: exit %d\n%s\nwant %q", tt.args, code, stderr, tt.want)
		}
	}
}

func TestReachable(t *testing.T) {
	tcp := func(s string) net.Addr {
		a, err := net.ResolveTCPAddr("tcp", s)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, tt := range []struct {
		given string
		addr  net.Addr
		want  string
	}{
		{"", tcp("10.0.0.1:7370"), "http://10.0.0.1:7370"},
		{"", tcp("[2001:db8::1]:7370"), "http://[2001:db8::1]:7370"},
		{"https://log.internal", tcp("127.0.0.1:7370"), "https://log.internal"},
		{"", tcp("0.0.0.0:7370"), ""},
		{"", tcp("[::]:7370"), ""},
		{"log.internal:7370", tcp("127.0.0.1:7370"), ""},
		{"ftp://log.internal", tcp("127.0.0.1:7370"), ""},
	} {
		got, err := reachable(tt.given, tt.addr)
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("%q, %v: %q, %v", tt.given, tt.addr, got, err)
		}
	}
}
