package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
)

// gateWorld is a log, its witnesses, a vendor and his gates, and a site that serves what he
// publishes.
type gateWorld struct {
	*world
	vendor *testvendor.Vendor
	gates  []*runtest.Service
	site   *httptest.Server
	root   []byte // the first

	mu     sync.Mutex
	served string // a folder
}

// newGateWorld starts gates, k of which a timestamp needs.
func newGateWorld(t testing.TB, gates, k int) *gateWorld {
	t.Helper()
	runtest.Programs(t, "publisher", "auditor", "logserver", "witness")
	g := &gateWorld{world: newWorld(t)}
	var err error
	if g.vendor, err = testvendor.New(time.Now().Add(7 * 24 * time.Hour)); err != nil {
		t.Fatal(err)
	}
	_, g.root = g.vendor.File(tuf.RoleRoot)
	g.Write(t, "root.json", string(g.root))
	g.site = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		dir := g.served
		g.mu.Unlock()
		http.FileServer(http.Dir(dir)).ServeHTTP(rw, r)
	}))
	t.Cleanup(g.site.Close)
	g.served = t.TempDir()
	var keys []ed25519.PublicKey
	var peers []string
	for i := range gates {
		key := strings.TrimSpace(runtest.Must(t, "auditor", "gate", "key", "--out", g.Path(fmt.Sprintf("gate%d.key", i))))
		public, err := hex.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, public)
		address := freeAddress(t)
		g.gates = append(g.gates, &runtest.Service{Name: "auditor", URL: "http://" + address, Args: []string{"gate", "serve", "--config", g.Path(fmt.Sprintf("gate%d.toml", i))}})
		peers = append(peers, fmt.Sprintf("[[repository.gate]]\nkey = %q\nurl = %q\n", key, "http://"+address))
	}
	for i, s := range g.gates {
		others := ""
		for j, peer := range peers {
			if j != i {
				others += peer
			}
		}
		g.Write(t, fmt.Sprintf("gate%d.toml", i), fmt.Sprintf("dir = 'state%d'\nkey = 'gate%d.key'\nmax_per_address = -1\nmax_per_repository = -1\n[[repository]]\nname = 'acme'\nroot = 'root.json'\npolicy = 'policy'\nserved = '%s/'\n%s", i, i, g.site.URL, others))
		s.Start(t)
	}
	if err := g.vendor.Gate(1+k, keys...); err != nil {
		t.Fatal(err)
	}
	return g
}

// freeAddress is an address at which nobody listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// release puts a target into a new release of a vendor, and all of it into a folder.
func (g *gateWorld) release(t testing.TB, v *testvendor.Vendor, content, dir string) {
	t.Helper()
	if err := v.Put(tuf.RoleTargets, "firmware.bin", []byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := v.Release(tuf.RoleTargets); err != nil {
		t.Fatal(err)
	}
	g.write(t, v, dir)
}

func (g *gateWorld) write(t testing.TB, v *testvendor.Vendor, dir string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(dir, "targets"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range v.Files() {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, data := range v.TargetFiles() {
		if err := os.WriteFile(filepath.Join(dir, "targets", name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func (g *gateWorld) submit(t testing.TB, dir string) (stdout string, code int) {
	t.Helper()
	stdout, stderr, code := runtest.Run(t, "publisher", g.args("submit", dir)...)
	return stdout + stderr, code
}

// gate runs publisher gate.
func (g *gateWorld) gate(t testing.TB, dir string, flags ...string) (out string, code int) {
	t.Helper()
	args := append([]string{"gate"}, flags...)
	for _, s := range g.gates {
		args = append(args, "--gate", s.URL)
	}
	stdout, stderr, code := runtest.Run(t, "publisher", append(args, dir)...)
	return stdout + stderr, code
}

func (g *gateWorld) mustGate(t testing.TB, dir string, flags ...string) {
	t.Helper()
	if out, code := g.gate(t, dir, flags...); code != 0 {
		t.Fatalf("publisher gate: exit %d\n%s", code, out)
	}
}

// publish serves a folder as it is now.
func (g *gateWorld) publish(t testing.TB, dir string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "served")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	g.mu.Lock()
	g.served = to
	g.mu.Unlock()
}
