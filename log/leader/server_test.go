package leader_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/logtest"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// running is a log that serves, with storage, ledger and witnesses faked.
type running struct {
	*logtest.Fixture
	log    *leader.Log
	config leader.Config
	http   *httptest.Server
	client *api.Client
	dir    string

	state  *sqlite.State
	blobs  *sqlite.Blobs
	cancel context.CancelFunc
	ended  chan error
	holds  func(log.Holds) log.Holds // what is put before those beside the blobs; nil: nothing
}

// ownTokens stands in a leader.Config for those beside the blobs.
var ownTokens log.Tokens = (*sqlite.Blobs)(nil)

func start(t testing.TB, change func(*leader.Config)) *running {
	t.Helper()
	r := &running{Fixture: logtest.New(t), dir: t.TempDir()}
	check(t, sqlite.CreateBlobs(filepath.Join(r.dir, "blobs.db")))
	check(t, sqlite.CreateState(filepath.Join(r.dir, "state.db")))
	if change != nil {
		change(&r.config)
	}
	r.open(t)
	t.Cleanup(func() { r.close(t) })
	return r
}

func (r *running) open(t testing.TB) {
	t.Helper()
	check(t, r.tryOpen(t))
	r.serve()
}

// serve runs the log that tryOpen has opened.
func (r *running) serve() {
	r.http = httptest.NewServer(r.log.Handler())
	if r.client == nil {
		r.client = &api.Client{Token: r.config.Token}
	}
	r.client.Base = r.http.URL // it keeps the tokens that it was given
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- r.log.Run(ctx) }()
}

// tryOpen opens the log without running it.
func (r *running) tryOpen(t testing.TB) error {
	t.Helper()
	var err error
	r.blobs, err = sqlite.OpenBlobs(filepath.Join(r.dir, "blobs.db"))
	check(t, err)
	r.state, err = sqlite.OpenState(filepath.Join(r.dir, "state.db"))
	check(t, err)
	cfg := r.config
	cfg.Publisher = r.Cfg
	if cfg.Logger == nil {
		cfg.Logger = r.Cfg.Logger
	}
	if wrapper, ok := cfg.Blobs.(interface{ wraps(log.Blobs) }); ok {
		wrapper.wraps(r.blobs)
	} else if cfg.Blobs == nil {
		cfg.Blobs = r.blobs
	}
	if cfg.Tokens == ownTokens {
		cfg.Tokens = r.blobs
	}
	if cfg.Holds == ownHolds {
		cfg.Holds = r.blobs
		if r.holds != nil {
			cfg.Holds = r.holds(r.blobs)
		}
	}
	if wrapper, ok := cfg.State.(interface{ wraps(log.State) }); ok {
		wrapper.wraps(r.state)
	} else {
		cfg.State = r.state
	}
	if r.log, err = leader.Open(t.Context(), cfg); err != nil {
		r.log = nil
		check(t, errors.Join(r.state.Close(), r.blobs.Close()))
	}
	return err
}

func (r *running) close(t testing.TB) {
	t.Helper()
	if r.log == nil {
		return
	}
	r.cancel()
	err := <-r.ended
	var halt *log.Halt
	if err != nil && !errors.As(err, &halt) {
		t.Errorf("Run: %v", err)
	}
	r.http.Close()
	check(t, errors.Join(r.state.Close(), r.blobs.Close()))
	r.log = nil
}

func newVendor(t *testing.T) *testvendor.Vendor {
	t.Helper()
	v, err := testvendor.New(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	check(t, err)
	return v
}

// file returns a published file of a vendor.
func file(v *testvendor.Vendor, role string) api.File {
	name, data := v.File(role)
	return api.File{Name: name, Data: data}
}

// all returns everything that a vendor has published but the timestamp.
func all(v *testvendor.Vendor) []api.File {
	var files []api.File
	for name, data := range v.Files() {
		files = append(files, api.File{Name: name, Data: data})
	}
	return files
}

func (r *running) register(t testing.TB, root []byte) string {
	t.Helper()
	res, err := r.client.Register(t.Context(), root)
	check(t, err)
	if !res.Done || len(res.Results) != 1 || res.Results[0].Index < 0 {
		t.Fatalf("register: %+v", res)
	}
	return res.Repository
}

func (r *running) submit(t *testing.T, id string, files ...api.File) []api.FileResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	res, err := r.client.Submit(ctx, id, files)
	check(t, err)
	if !res.Done || res.Repository != id {
		t.Fatalf("submit: %+v", res)
	}
	for _, f := range res.Results {
		r.proved(t, id, files, f)
	}
	return res.Results
}

// proved checks the sidecar of an accepted file as a device would.
func (r *running) proved(t *testing.T, id string, files []api.File, f api.FileResult) {
	t.Helper()
	if f.Status == api.StatusRefused {
		if f.Sidecar != "" || f.Index != -1 || f.Code == "" || f.Detail == "" {
			t.Errorf("refused: %+v", f)
		}
		return
	}
	i := slices.IndexFunc(files, func(sent api.File) bool { return sent.Name == f.File })
	if i < 0 {
		t.Fatalf("a result for %q, which was not sent", f.File)
	}
	m, err := tuf.ParseJSON(files[i].Data)
	check(t, err)
	repository, err := tuf.ParseDigest(id)
	check(t, err)
	logged, err := verify.CheckSidecar([]byte(f.Sidecar), verify.ClaimFor(repository, f.Role, m), r.Policy)
	var refusal *verify.Refusal
	if f.Status == api.StatusEvidence {
		if !errors.As(err, &refusal) || refusal.Code != verify.CodeEvidence && refusal.Code != verify.CodeBadProof {
			t.Errorf("the sidecar of evidence: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatalf("the sidecar of %s: %v", f.File, err)
	}
	if logged.Index != f.Index {
		t.Errorf("%s is at %d, the answer says %d", f.File, logged.Index, f.Index)
	}
}

// summary prints results in one line each.
func summary(results []api.FileResult) string {
	var b strings.Builder
	for _, f := range results {
		b.WriteString(f.File + " " + f.Role + " " + string(f.Status))
		if f.Code != "" {
			b.WriteString(" " + f.Code)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func wantSummary(t *testing.T, results []api.FileResult, want ...string) {
	t.Helper()
	if got := summary(results); got != strings.Join(want, "\n")+"\n" {
		t.Errorf("got\n%swant\n%s", got, strings.Join(want, "\n"))
	}
}

// do makes a request and reads the answer.
func (r *running) do(t testing.TB, method, path string, body []byte, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.http.URL+path, bytes.NewReader(body))
	check(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	check(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	check(t, err)
	return resp, b
}

// location is the path of an answer's Location.
func location(t testing.TB, resp *http.Response) string {
	t.Helper()
	if resp.Header.Get("Location") == "" {
		t.Fatalf("%s %s: %d without a Location", resp.Request.Method, resp.Request.URL, resp.StatusCode)
	}
	u, err := resp.Request.URL.Parse(resp.Header.Get("Location"))
	check(t, err)
	return u.EscapedPath()
}

// problem checks that an answer is a problem document.
func problem(t *testing.T, resp *http.Response, body []byte, status int, code string) api.Problem {
	t.Helper()
	var p api.Problem
	if resp.StatusCode != status || resp.Header.Get("Content-Type") != api.TypeProblem || json.Unmarshal(body, &p) != nil || p.Code != code || p.Status != status {
		t.Errorf("%s %s: %d %s %s; want %d %s", resp.Request.Method, resp.Request.URL.Path, resp.StatusCode, resp.Header.Get("Content-Type"), body, status, code)
	}
	if (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) != (resp.Header.Get("Retry-After") != "") {
		t.Errorf("%s %s: %d with Retry-After %q", resp.Request.Method, resp.Request.URL.Path, status, resp.Header.Get("Retry-After"))
	}
	if strings.Contains(p.Detail, "%!") || strings.Contains(p.Detail, "<nil>") {
		t.Errorf("%s %s: %s", resp.Request.Method, resp.Request.URL.Path, p.Detail)
	}
	if p.Instance == "" || p.Instance != resp.Header.Get("X-Request-Id") {
		t.Errorf("%s %s: instance %q, X-Request-Id %q", resp.Request.Method, resp.Request.URL.Path, p.Instance, resp.Header.Get("X-Request-Id"))
	}
	return p
}
