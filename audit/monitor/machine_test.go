package monitor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
)

// That the machine does not let a log be judged is told, though no finding can be kept: here a
// file is in the place of its state.
func TestTheMachineIsIll(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute, for which trouble has to last")
	}
	s := newSite(t, "a")
	path := config(t, map[string]*site{"a": s}, "[to.file]\ntype = \"jsonl\"\npath = \"alerts.jsonl\"\n")
	cfg, err := monitor.Read(t.Context(), path)
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(cfg.Dir, "logs"), 0o755))
	must(t, os.WriteFile(monitor.StateDir(cfg.Dir, "a"), nil, 0o600))
	start(t, path)
	runtest.Eventually(t, "it is told", func() bool {
		b, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "alerts.jsonl"))
		return strings.Contains(string(b), `"type":"health"`) && strings.Contains(string(b), "Log a: its state cannot be used: ")
	})
}
