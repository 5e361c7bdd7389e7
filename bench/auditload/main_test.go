package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/proofs"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// The log that is written is as it should be, in each way in which it is measured, and a
// log that is not is not measured.
func TestAuditload(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the auditor, and runs it several times")
	}
	o := options{releases: 300, repositories: 7, size: 5000, rounds: 1, json: true, dir: t.TempDir(), auditor: filepath.Join(runtest.Programs(t, "auditor"), "auditor")}
	var stdout, stderr bytes.Buffer
	if err := run(t.Context(), o, &stdout, &stderr); err != nil {
		t.Fatal(err)
	}
	var all []figures
	if err := json.Unmarshal(stdout.Bytes(), &all); err != nil || len(all) != len(measurements(o.few)) {
		t.Fatalf("%v: %s", err, &stdout)
	}
	for i, f := range all {
		if f.Leaves != 300 || f.PerSecond <= 0 || f.Share <= 0 || (f.PerLeaf > 0) != (i > 0) {
			t.Errorf("%+v", f)
		}
	}

	path := filepath.Join(o.dir, "served", filepath.FromSlash(proofs.EntriesPath(0, proofs.FullWidth)))
	bundle, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(bundle, []byte("release v1"), []byte("release v2"), 1), 0o666); err != nil {
		t.Fatal(err)
	}
	m, err := openMirror(t.Context(), o, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := m.replay(t.Context(), o.auditor, files{dir: m.dir}); !errors.Is(err, errFound) {
		t.Errorf("a log that was changed: %+v, %v", got, err)
	}
}
