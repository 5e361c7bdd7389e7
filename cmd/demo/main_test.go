package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// builtPrograms is where TestMain has built the programs, and the demo itself.
var builtPrograms string

func TestMain(m *testing.M) {
	code, err := testMain(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func testMain(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "tuflog-demo-test-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	builtPrograms = filepath.Join(dir, "bin")
	ctx := context.Background()
	root, err := moduleRoot(ctx)
	if err != nil {
		return 1, err
	}
	if err := build(ctx, root, builtPrograms); err != nil {
		return 1, err
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(builtPrograms, "demo"), "./cmd/demo")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build the demo: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// newTestWorld starts a log and its witnesses for a test.
func newTestWorld(t *testing.T, logFlags ...string) *world {
	t.Helper()
	dir := t.TempDir()
	p := &programs{bin: builtPrograms, logs: filepath.Join(dir, "logs")}
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
			s := service{log: path}
			t.Logf("the end of %s:\n%s", filepath.Base(path), s.lastWords())
		}
	})
	w, err := newWorld(t.Context(), p, filepath.Join(dir, "world"), nil, logFlags...)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// eventually polls until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	const patience = 30 * time.Second
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// testHistory returns a history to import and how many leaves the log has after
// it, where snapshots and timestamps are logged: a real one where there is one.
func testHistory(t *testing.T) (dir string, leaves int64) {
	t.Helper()
	if data := os.Getenv("TUFLOG_DATA"); data != "" {
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
