package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/internal/cli"
	"github.com/tuflog/tuflog/witness/conformance"
)

// newSuiteLog makes the key of the suite's log known to a witness.
func newSuiteLog(t *testing.T, dir string) (keyFile string) {
	t.Helper()
	keyFile = filepath.Join(t.TempDir(), "suite.key")
	vkeys := strings.Fields(mustRun(t, "conformance", "new-log", keyFile, "--origin", "suite.example/log", "--first", "3"))
	if len(vkeys) != 4 || !strings.HasPrefix(vkeys[3], "suite.example/log/3+") {
		t.Errorf("new-log prints %q", vkeys)
	}
	for _, vkey := range vkeys {
		mustRun(t, "log", "add", "--dir", dir, vkey)
	}
	return keyFile
}

// TestConformance: the program passes every case, and skips none, with both keys and
// with either.
func TestConformance(t *testing.T) {
	for _, flags := range [][]string{nil, {"--only", "ed25519"}, {"--only", "ml-dsa-44"}} {
		dir := filepath.Join(t.TempDir(), "w")
		vkeys := mustRun(t, append([]string{"init", "--dir", dir, "--name", "witness.example/w1"}, flags...)...)
		keyFile := newSuiteLog(t, dir)
		p := serveProgram(t, dir)

		junit := filepath.Join(t.TempDir(), "junit.xml")
		out := mustRun(t, "conformance", p.URL, "--key", vkeys, "--log-key", keyFile, "--monitoring", p.URL, "--junit", junit)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		cases := conformance.Cases(conformance.Main)
		if len(lines) != len(cases)+2 || strings.Contains(out, "FAIL") || strings.Contains(out, "NOTE") || strings.Contains(out, "SKIP") || strings.Count(out, "  PASS  ") != len(cases) {
			t.Errorf("with %v:\n%s", flags, out)
		}
		if b, err := os.ReadFile(junit); err != nil || !strings.Contains(string(b), `failures="0" errors="0" skipped="0"`) {
			t.Errorf("JUnit: %.400s, %v", b, err)
		}

		// Once more, for machines: only a new log can be met for the first time, and
		// one that was not used by a case still is.
		var r conformance.Report
		if err := json.Unmarshal([]byte(mustRun(t, "conformance", p.URL, "--key", vkeys, "--log-key", keyFile, "--json")), &r); err != nil {
			t.Fatal(err)
		}
		if skipped := r.Count(conformance.Skip); len(r.Results) != len(cases) || r.Count(conformance.Fail) != 0 || skipped != 1 || r.Monitoring != p.URL {
			t.Errorf("second run: %s, monitoring prefix %q", r.Summary(), r.Monitoring)
		}
	}
}

func TestConformanceExitCodes(t *testing.T) {
	dir, _ := newWitness(t)
	keys := mustRead(t, filepath.Join(dir, "witness.vkey"))
	keyFile := newSuiteLog(t, dir)
	p := serveProgram(t, dir)

	// Our witness follows the main branch: version 1.0.0 wants another status.
	r := runProgram(t, "conformance", p.URL, "--key", keys, "--log-key", keyFile, "--spec", "v1.0.0")
	if r.code != cli.ExitFailed || strings.Count(r.stdout, "  FAIL  ") != 1 || !strings.Contains(r.stdout, "want 409") {
		t.Errorf("against version 1.0.0: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}

	other := filepath.Join(t.TempDir(), "other.key")
	mustRun(t, "conformance", "new-log", other, "--origin", "other.example/log")
	args := []string{"--key", keys, "--log-key"}
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"does not know the log", append([]string{"conformance", p.URL, "--json"}, append(args, other)...)},
		{"no answer", append([]string{"conformance", "http://127.0.0.1:1", "--json"}, append(args, keyFile)...)},
		{"no such file", append([]string{"conformance", p.URL}, append(args, other+".none")...)},
		{"neither", append([]string{"conformance", p.URL, "--json", "--spec", "v9"}, append(args, keyFile)...)},
		{"verifier key", []string{"conformance", p.URL, "--key", "rubbish", "--log-key", keyFile}},
		{`required flag(s) "key", "log-key"`, []string{"conformance", p.URL}},
		{"accepts 1 arg(s)", append([]string{"conformance"}, append(args, keyFile)...)},
		{"not overwritten", []string{"conformance", "new-log", other, "--origin", "other.example/log"}},
		{"-1 logs", []string{"conformance", "new-log", other + "2", "--origin", "other.example/log", "--first", "-1"}},
		{"neither", []string{"conformance", "cases", "--spec", "v9"}},
	} {
		mustRefuse(t, tt.want, tt.args...)
	}
	// The last word of what could not be tested is on stderr, before any table.
	if r := runProgram(t, "conformance", "http://127.0.0.1:1", "--key", keys, "--log-key", keyFile); r.code != cli.ExitUsage || strings.Contains(r.stdout, "PASS") {
		t.Errorf("nobody there: exit %d, %q", r.code, r.stdout)
	}
}

func TestConformanceCases(t *testing.T) {
	list := mustRun(t, "conformance", "cases")
	if n := strings.Count(list, "\n"); n != len(conformance.Cases(conformance.Main)) {
		t.Errorf("%d lines of cases", n)
	}
	var cases []conformance.Case
	if err := json.Unmarshal([]byte(mustRun(t, "conformance", "cases", "--json", "--spec", "v1.0.0")), &cases); err != nil || len(cases) == 0 || cases[0].Sentence == "" {
		t.Errorf("cases %+v, %v", cases, err)
	}
	if table := mustRun(t, "conformance", "cases", "--markdown"); strings.Count(table, "\n") != len(cases)+2 {
		t.Errorf("table %q", table)
	}
}
