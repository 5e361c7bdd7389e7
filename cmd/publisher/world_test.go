package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// world is a log, its witnesses and a client; the file strict is a policy that wants
// all witnesses.
type world struct {
	*runtest.World
	client *api.Client
}

func newWorld(t testing.TB, flags ...string) *world {
	t.Helper()
	runtest.Programs(t, "publisher") // not within the time that a test measures
	w := &world{World: runtest.NewWorld(t, flags...)}
	policy, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "strict", strings.Replace(string(policy), "group witnesses 2 ", "group witnesses all ", 1))
	w.client = &api.Client{Base: w.Log.URL}
	return w
}

// args are a publisher command's arguments for this world.
func (w *world) args(command string, more ...string) []string {
	return append([]string{command, "--log", w.Log.URL, "--policy", w.Path("policy"), "--token-file", w.Path("log/registration.token"), "--token-out", w.Path("vendor.token")}, more...)
}

// writeAll writes everything that a vendor has published to a directory.
func writeAll(t *testing.T, v *testvendor.Vendor, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, data := range v.Files() {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
