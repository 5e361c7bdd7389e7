package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// built returns the folder with the programs, and the demo itself.
func built(t *testing.T) string {
	t.Helper()
	names := []string{"demo"}
	for _, name := range programNames {
		if name == stockClient {
			name = stockPackage
		}
		names = append(names, name)
	}
	return runtest.Programs(t, names...)
}

// newTestWorld starts a log and its witnesses for a test.
func newTestWorld(t *testing.T, logFlags ...string) *world {
	t.Helper()
	dir := t.TempDir()
	p := &programs{bin: built(t), logs: filepath.Join(dir, "logs")}
	if err := os.MkdirAll(p.logs, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stopAll()
		if !t.Failed() {
			return
		}
		logs, err := filepath.Glob(filepath.Join(p.logs, "*.log"))
		if err != nil {
			t.Error(err)
		}
		for _, path := range logs {
			b, err := os.ReadFile(path)
			t.Logf("the end of %s (%v):\n%s", filepath.Base(path), err, b[max(0, len(b)-4000):])
		}
	})
	w, err := newWorld(t.Context(), p, filepath.Join(dir, "world"), nil, logFlags...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// testHistory returns a history to import and how many leaves the log has after
// it, where snapshots and timestamps are logged: a real one where there is one.
func testHistory(t *testing.T) (dir string, leaves int64) {
	t.Helper()
	if data := os.Getenv("TUFLOG_DATA"); data != "" && !testing.Short() {
		return filepath.Join(data, "tuf_histories", "sigstore_root_signing"), 977
	}
	return generatedHistory(t)
}

func generatedHistory(t *testing.T) (dir string, leaves int64) {
	t.Helper()
	const releases = 100
	dir = t.TempDir()
	if err := writeHistory(dir, releases); err != nil {
		t.Fatal(err)
	}
	return dir, 4 + 3*releases
}
