package gate_test

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/gate"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// world is a vendor, the log of its releases, and gates, of which a timestamp needs some.
type world struct {
	t      testing.TB
	dir    string
	vendor *testvendor.Vendor
	log    *testlog.Log
	proofs map[tuf.Digest][]byte // of files
	served http.Handler
	site   *httptest.Server
	id     tuf.Digest
	gates  []*testGate
	fetch  []string
}

// testGate is a gate at an address that stays the same.
type testGate struct {
	w       *world
	dir     string
	key     *gate.Key
	server  *httptest.Server
	handler atomic.Value // of http.Handler
	gate    *gate.Gate
	metrics *prometheus.Registry
	cfg     func(*gate.Config)
	now     func() time.Time // nil: the real time
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// newWorld makes a world with gates that are running. The threshold is 1 + k.
func newWorld(t testing.TB, gates, k int) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: testlog.New(t, "log.example/a", 3, "2"), proofs: map[tuf.Digest][]byte{}}
	var err error
	w.vendor, err = testvendor.New(time.Now().Add(7 * 24 * time.Hour))
	must(t, err)
	w.site = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.served == nil {
			http.NotFound(rw, r)
			return
		}
		w.served.ServeHTTP(rw, r)
	}))
	t.Cleanup(w.site.Close)
	_, root := w.vendor.File(tuf.RoleRoot)
	m, err := tuf.ParseJSON(root)
	must(t, err)
	w.id = m.PayloadDigest
	must(t, os.WriteFile(w.path("root.json"), root, 0o600), os.WriteFile(w.path("policy"), []byte(w.log.PolicyText()), 0o600))
	var keys []ed25519.PublicKey
	for range gates {
		g := w.newGate()
		w.gates = append(w.gates, g)
		public, err := hex.DecodeString(g.key.String())
		must(t, err)
		keys = append(keys, public)
	}
	must(t, w.vendor.Gate(1+k, keys...), w.vendor.Release(tuf.RoleTargets))
	for _, g := range w.gates {
		g.start()
	}
	return w
}

func (w *world) path(elements ...string) string {
	return filepath.Join(append([]string{w.dir}, elements...)...)
}

func (w *world) newGate() *testGate {
	w.t.Helper()
	g := &testGate{w: w, dir: w.t.TempDir(), cfg: func(*gate.Config) {}}
	var err error
	g.key, err = gate.GenerateKey()
	must(w.t, err, keyfile.Create(filepath.Join(g.dir, "key"), g.key.Private()))
	g.server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		h, ok := g.handler.Load().(http.Handler)
		if !ok {
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(func() { g.server.Close(); g.stop() })
	return g
}

// start opens the gate.
func (g *testGate) start() {
	g.w.t.Helper()
	must(g.w.t, g.tryStart())
}

// config is the gate's configuration.
func (g *testGate) config() *gate.Config {
	cfg := &gate.Config{Dir: filepath.Join(g.dir, "state"), Key: filepath.Join(g.dir, "key"), PerRepository: -1, PerAddress: -1}
	r := gate.RepositoryConfig{Name: "acme", Root: g.w.path("root.json"), Policy: g.w.path("policy"), Served: g.w.site.URL + "/", Fetch: g.w.fetch}
	for _, other := range g.w.gates {
		if other != g {
			r.Gates = append(r.Gates, gate.PeerConfig{Key: other.key.String(), URL: other.server.URL})
		}
	}
	cfg.Repositories = []gate.RepositoryConfig{r}
	g.cfg(cfg)
	return cfg
}

func (g *testGate) tryStart() error {
	g.metrics = prometheus.NewRegistry()
	opened, err := gate.New(g.w.t.Context(), g.config(), gate.Options{Metrics: g.metrics, Now: g.now})
	if err != nil {
		return err
	}
	g.gate = opened
	h := g.gate.Handler(g.metrics)
	g.handler.Store(http.Handler(http.HandlerFunc(h.ServeHTTP)))
	return nil
}

// stop closes the gate; who asks gets no answer.
func (g *testGate) stop() {
	if g.gate != nil {
		g.handler.Store(http.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })))
		_ = g.gate.Close()
		g.gate = nil
	}
}

// restart stops and starts the gate, with another configuration than before.
func (g *testGate) restart(cfg func(*gate.Config)) {
	g.w.t.Helper()
	g.stop()
	g.cfg = cfg
	g.start()
}

// backup copies the gate's directory, and returns a function that restores it from the copy.
func (g *testGate) backup() (restore func()) {
	g.w.t.Helper()
	state, copied := filepath.Join(g.dir, "state"), filepath.Join(g.w.t.TempDir(), "copy")
	must(g.w.t, os.CopyFS(copied, os.DirFS(state)))
	return func() {
		g.w.t.Helper()
		g.stop()
		must(g.w.t, os.RemoveAll(state), os.CopyFS(state, os.DirFS(copied)))
		g.start()
	}
}

func (g *testGate) client() client.Gate { return client.Gate{URL: g.server.URL} }

// release changes a target and publishes it.
func (w *world) release(content string, roles ...string) {
	w.t.Helper()
	if len(roles) == 0 {
		roles = []string{tuf.RoleTargets}
	}
	must(w.t, w.vendor.Put(roles[0], "firmware.bin", []byte(content)), w.vendor.Release(roles...))
}

// logged logs what a vendor has published last of roles.
func (w *world) logged(v *testvendor.Vendor, kind leaf.Kind, roles ...string) {
	w.t.Helper()
	for _, role := range roles {
		_, file := v.File(role)
		m, err := tuf.ParseJSON(file)
		must(w.t, err)
		entry := leaf.Leaf{
			Kind: kind, Repository: w.id, Role: role, Version: m.Version, Payload: m.PayloadDigest,
			Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
		}.Marshal()
		now := time.Now().Unix()
		w.proofs[m.FileDigest] = w.log.Proof(entry, w.log.Add(entry), now, now)
	}
}

// stage writes a vendor's repository, with the proofs that there are, into a new folder.
func (w *world) stage(v *testvendor.Vendor) string {
	w.t.Helper()
	dir, err := os.MkdirTemp(w.dir, "staged-")
	must(w.t, err)
	for name, file := range v.Files() {
		must(w.t, os.WriteFile(filepath.Join(dir, name), file, 0o600))
		if proof := w.proofs[tuf.Sum(file)]; proof != nil {
			must(w.t, os.WriteFile(filepath.Join(dir, name+verify.SidecarSuffix), proof, 0o600))
		}
	}
	return dir
}

// sign asks a gate for what is in a folder.
func (w *world) sign(g *testGate, dir string) (*client.Answer, error) {
	w.t.Helper()
	s, err := client.ReadStaged(dir)
	must(w.t, err)
	tar, err := s.Tar()
	must(w.t, err)
	return g.client().Sign(context.Background(), w.id, tar)
}

func (w *world) wantSigned(g *testGate, dir string) *client.Answer {
	w.t.Helper()
	a, err := w.sign(g, dir)
	must(w.t, err)
	s, err := client.ReadStaged(dir)
	must(w.t, err)
	sig, err := hex.DecodeString(a.Sig)
	if err != nil || !s.Keys().Key(a.KeyID).Verify(s.Timestamp.Payload, sig) || a.Payload != s.Timestamp.PayloadDigest || a.Version != s.Timestamp.Version {
		w.t.Fatalf("a wrong answer: %+v", a)
	}
	return a
}

// allSign has every gate sign what is staged in dir.
func (w *world) allSign(dir string) {
	w.t.Helper()
	for _, g := range w.gates {
		w.wantSigned(g, dir)
	}
}

// wantRefused asks a gate, which has to refuse.
func (w *world) wantRefused(g *testGate, dir string, code verify.Code, role string) {
	w.t.Helper()
	_, err := w.sign(g, dir)
	wantCode(w.t, err, code, role)
}

func wantCode(t testing.TB, err error, code verify.Code, role string) {
	t.Helper()
	var r *client.Refused
	if !errors.As(err, &r) || r.Code != code || r.Role != role {
		t.Fatalf("got %v; want %s of %q", err, code, role)
	}
	t.Log(err)
}

// metric returns the value of a metric without labels that a gate shows.
func metric(t testing.TB, g *testGate, name string) string {
	t.Helper()
	resp, err := http.Get(g.server.URL + "/metrics")
	must(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(t, err)
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
