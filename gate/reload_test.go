package gate_test

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/tuflog/tuflog/gate"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// reload reads a configuration into a gate that is running.
func (g *testGate) reload(cfg func(*gate.Config)) error {
	c := g.config()
	cfg(c)
	return g.gate.Reload(g.w.t.Context(), c)
}

// Repositories, roots, policies and limits are taken over without a restart, and what was signed
// is not forgotten. With anything wrong all stays as it was.
func TestReload(t *testing.T) {
	w, v := newWorld(t, 1, 1), newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	v.logged(v.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	one := w.stage(w.vendor)
	g := w.gates[0]
	w.wantSigned(g, one)
	second := gate.RepositoryConfig{Name: "second", Root: v.path("root.json"), Policy: v.path("policy"), Served: v.site.URL + "/", Gates: []gate.PeerConfig{{Key: v.gates[0].key.String()}}}
	list := func() (names string) {
		for _, s := range g.gate.Statuses() {
			names += s.Name + " "
		}
		return names
	}
	must(t, g.reload(func(c *gate.Config) { c.Repositories = append(c.Repositories, second) }))
	if list() != "acme second " {
		t.Fatalf("after a second one came: %s", list())
	}
	w.wantSigned(g, one)
	s, err := client.ReadStaged(v.stage(v.vendor))
	must(t, err)
	tar, err := s.Tar()
	must(t, err)
	_, err = g.client().Sign(t.Context(), v.id, tar)
	wantCode(t, err, client.CodeNotInRole, tuf.RoleTimestamp) // all else is in order

	must(t, os.WriteFile(w.path("bad"), []byte("no policy"), 0o600))
	for name, cfg := range map[string]func(*gate.Config){
		"policy":               func(c *gate.Config) { c.Repositories[0].Policy = w.path("bad") },
		"root":                 func(c *gate.Config) { c.Repositories[0].Root = w.path("none") },
		"the same repository":  func(c *gate.Config) { c.Repositories = append(c.Repositories, c.Repositories[0]) },
		"fetch_timeout":        func(c *gate.Config) { c.FetchTimeout = 1 },
		"dir: it was":          func(c *gate.Config) { c.Dir = w.path("elsewhere") },
		"takes a restart":      func(c *gate.Config) { c.Key = w.path("elsewhere") },
		"listen: it was \"127": func(c *gate.Config) { c.Listen = "127.0.0.1:1" },
		"want a section":       func(c *gate.Config) { c.Repositories = nil },
	} {
		if err := g.reload(cfg); err == nil {
			t.Errorf("%s: it is taken over", name)
		} else {
			t.Log(err)
		}
		if list() != "acme second " {
			t.Errorf("%s: then there are %s", name, list())
		}
	}
	if got := metric(t, g, "tuflog_gate_reload_refused"); got != "1" {
		t.Errorf("reload_refused is %q", got)
	}

	// It goes, and comes again with a lower limit: its record was not lost.
	must(t, g.reload(func(c *gate.Config) { c.Repositories = []gate.RepositoryConfig{second} }))
	w.wantRefused(g, one, client.CodeUnknown, "")
	must(t, g.reload(func(c *gate.Config) { c.Repositories[0].MaxJump = 1 }))
	w.wantSigned(g, one)
	must(t, w.vendor.Release(), w.vendor.Release())
	w.wantRefused(g, w.stage(w.vendor), client.CodeVersionJump, tuf.RoleTimestamp)
	if got := metric(t, g, "tuflog_gate_reload_refused"); got != "0" {
		t.Errorf("reload_refused is %q", got)
	}
	// A policy that requires less is not taken over, as on a device.
	must(t, os.WriteFile(w.path("policy"), []byte(strings.Replace(w.log.PolicyText(), "all-of-them 2 ", "all-of-them 1 ", 1)), 0o600))
	must(t, g.reload(func(*gate.Config) {}))
	w.wantRefused(g, w.stage(w.vendor), verify.CodeDowngrade, "")
}

// A root that the next start would refuse is refused at a reload.
func TestReloadAnotherRoot(t *testing.T) {
	w := newWorld(t, 1, 1)
	g := w.gates[0]
	_, newer := w.vendor.File(tuf.RoleRoot)
	must(t, os.WriteFile(w.path("newer.json"), newer, 0o600))
	another := func(c *gate.Config) {
		c.Repositories[0].Root, c.Repositories[0].ID = w.path("newer.json"), w.id.String()
	}
	reloaded := g.reload(another)
	g.stop()
	g.cfg = another
	started := g.tryStart()
	if reloaded == nil || started == nil {
		t.Errorf("reload: %v; start: %v", reloaded, started)
	}
	t.Log(reloaded)
	g.restart(func(*gate.Config) {})
}

// Requests of before and after a reload exclude each other.
func TestReloadBetweenTwins(t *testing.T) {
	w := newWorld(t, 1, 1)
	w.logged(w.vendor, leaf.Release, tuf.RoleRoot, tuf.RoleTargets)
	g := w.gates[0]
	w.wantSigned(g, w.stage(w.vendor))
	for range 5 {
		var dirs []string
		twin, err := w.vendor.Clone()
		must(t, err, twin.Put(tuf.RoleTargets, "firmware.bin", []byte("another")), twin.Release(tuf.RoleTargets))
		w.release("one")
		w.logged(twin, leaf.Release, tuf.RoleTargets)
		w.logged(w.vendor, leaf.Release, tuf.RoleTargets)
		dirs = append(dirs, w.stage(w.vendor), w.stage(twin))
		signed := make([]bool, len(dirs))
		var all sync.WaitGroup
		for i, dir := range dirs {
			all.Go(func() {
				_, err := w.sign(g, dir)
				signed[i] = err == nil
				var r *client.Refused
				if err != nil && !errors.As(err, &r) {
					t.Error(err)
				}
			})
			all.Go(func() {
				for range 3 {
					if err := g.reload(func(*gate.Config) {}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		if signed[0] == signed[1] {
			t.Fatalf("both or none of two contents is signed: %v", signed)
		}
		if signed[1] {
			w.vendor = twin
		}
	}
}
