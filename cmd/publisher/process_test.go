package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/publish"
	"github.com/tuflog/tuflog/verify"
)

func TestSubmit(t *testing.T) {
	w := newWorld(t)
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(v.Delegate("targets", "d", "d/*"), v.Put("d", "d/x", []byte("x")), v.Release("targets", "d"))
	if err != nil {
		t.Fatal(err)
	}
	dir := w.Path("metadata")
	writeAll(t, v, dir)

	// Registration takes the token.
	_, stderr, code := runtest.Run(t, "publisher", "submit", "--log", w.Log.URL, "--policy", w.Path("policy"), dir)
	if code != 2 || !strings.Contains(stderr, "--token-file") {
		t.Errorf("without token: exit %d, %s", code, stderr)
	}

	table := runtest.Must(t, "publisher", w.args("submit", dir)...)
	for _, want := range []string{"1.root.json ", "2.targets.json ", "1.d.json ", "released", "timestamp.json", "not logged here", "repository "} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	for name := range v.Files() {
		_, err := os.Stat(filepath.Join(dir, name+verify.SidecarSuffix))
		voucher := strings.Contains(name, "snapshot") || strings.Contains(name, "timestamp")
		if (err == nil) == voucher {
			t.Errorf("proof beside %s: %v", name, err)
		}
	}

	// Once more, for machines: everything is logged, the token is not needed.
	var report publish.Report
	out := runtest.Must(t, "publisher", "submit", "--json", "--log", w.Log.URL+"/", "--policy", w.Path("policy"), dir)
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Repositories) != 1 || len(report.Files) != len(v.Files()) {
		t.Fatalf("report %+v", report)
	}
	for _, f := range report.Files {
		if f.Status != api.StatusLogged && !f.NotLoggedHere() {
			t.Errorf("%+v", f)
		}
	}

	// Another payload of a logged version becomes evidence and gets no proof.
	twin, err := v.Clone()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Put("targets", "a", []byte("good")), v.Release("targets"), twin.Put("targets", "a", []byte("evil")), twin.Release("targets")); err != nil {
		t.Fatal(err)
	}
	writeAll(t, v, dir)
	runtest.Must(t, "publisher", w.args("submit", dir)...)
	evil := w.Path("evil")
	writeAll(t, twin, evil)
	stdout, stderr, code := runtest.Run(t, "publisher", w.args("submit", evil)...)
	if code != 1 || !contains(stdout, "evidence", " signed both.", "stay there", "publish version 4", "/blob/sha256/") || stderr != "" {
		t.Errorf("evil twin: exit %d, %s%s", code, stdout, stderr)
	}
	name, _ := twin.File("targets")
	if _, err := os.Stat(filepath.Join(evil, name+verify.SidecarSuffix)); err == nil {
		t.Errorf("a proof beside the evil twin's %s", name)
	}

	// The log's proofs carry two cosignatures at least; who wants three may not
	// get them, and then gets nothing.
	w.Witnesses[2].End(t, os.Kill)
	if err := errors.Join(v.Put("targets", "b", []byte("b")), v.Release("targets")); err != nil {
		t.Fatal(err)
	}
	writeAll(t, v, dir)
	stdout, stderr, code = runtest.Run(t, "publisher", append(w.args("submit", dir), "--policy", w.Path("strict"))...)
	if code != 1 || !strings.Contains(stderr, "quorum-short") {
		t.Errorf("strict policy: exit %d, %s%s", code, stdout, stderr)
	}
	name, _ = v.File("targets")
	if _, err := os.Stat(filepath.Join(dir, name+verify.SidecarSuffix)); err == nil {
		t.Errorf("a proof beside %s that does not satisfy the policy", name)
	}
}

func TestSubmitWithoutQuorum(t *testing.T) {
	w := newWorld(t)
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	dir := w.Path("metadata")
	writeAll(t, v, dir)
	w.Witnesses[0].End(t, os.Kill)
	w.Witnesses[1].End(t, os.Kill)
	_, stderr, code := runtest.Run(t, "publisher", append(w.args("submit", dir), "--timeout", "300ms")...)
	if code != 2 || !strings.Contains(stderr, "deadline") || !strings.Contains(stderr, "the log says") {
		t.Errorf("without quorum: exit %d, %s", code, stderr)
	}
	if found, err := filepath.Glob(filepath.Join(dir, "*"+verify.SidecarSuffix)); err != nil || len(found) > 0 {
		t.Errorf("proofs %v, %v", found, err)
	}
	w.Witnesses[0].Start(t)
	runtest.Must(t, "publisher", w.args("submit", dir)...)
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy")
	if err := os.WriteFile(policy, []byte("quorum none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	writeAll(t, v, dir)
	root, targets := filepath.Join(dir, "1.root.json"), filepath.Join(dir, "1.targets.json")
	nowhere := []string{"--log", "http://127.0.0.1:1", "--policy", policy}
	tests := []struct {
		name   string
		args   []string
		stderr string
	}{
		{"no log", []string{"submit", "--policy", policy, root}, "--log"},
		{"no policy", []string{"submit", "--log", "http://127.0.0.1:1", root}, `"policy"`},
		{"no path", append([]string{"submit"}, nowhere...), "arg"},
		{"no such path", append([]string{"submit", filepath.Join(dir, "none")}, nowhere...), "none"},
		{"bad policy", []string{"submit", "--log", "x", "--policy", root, root}, "1.root.json"},
		{"bad repository", append([]string{"submit", "--repository", "ABC", root}, nowhere...), "--repository"},
		{"bad timeout", append([]string{"submit", "--timeout", "0s", root}, nowhere...), "--timeout"},
		{"no token", append([]string{"submit", "--token-file", filepath.Join(dir, "token"), root}, nowhere...), "token"},
		{"no root", append([]string{"submit", targets}, nowhere...), "--repository"},
		{"log away", append([]string{"submit", "--repository", strings.Repeat("a", 64), root}, nowhere...), "connection refused"},
		{"no history", append([]string{"import", dir}, nowhere...), "publisher submit takes a metadata directory"},
		{"nothing to import", append([]string{"import"}, nowhere...), "--git"},
		{"two histories", append([]string{"import", "--git", dir, dir}, nowhere...), "either"},
		{"no git repository", append([]string{"import", "--git", dir}, nowhere...), "not a git repository"},
		{"bad genesis", append([]string{"submit", "--genesis", "-1", root}, nowhere...), "--genesis -1"},
		{"no URL", []string{"submit", "--log", "localhost:7370", "--policy", policy, root}, "is not an http or https URL"},
		{"nonsense", []string{"nonsense"}, "unknown command"},
	}
	for _, tt := range tests {
		stdout, stderr, code := runtest.Run(t, "publisher", tt.args...)
		if code != 2 || !strings.Contains(stderr, tt.stderr) || stdout != "" && tt.name != "log away" {
			t.Errorf("%s: exit %d, stdout %q, stderr %q; want exit 2 and %q", tt.name, code, stdout, stderr, tt.stderr)
		}
	}
	for _, cmd := range []string{"check", "submit", "refresh", "import"} {
		if help := runtest.Must(t, "publisher", cmd, "--help"); !strings.Contains(help, "Exit codes:") {
			t.Errorf("%s --help:\n%s", cmd, help)
		}
	}
}

// history returns a real history, or skips the test.
func history(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(realdata.Histories(t), name)
}

// importReport is what import --json prints.
type importReport struct {
	publish.Report
	Counts []publish.Count `json:"counts"`
	Total  publish.Count   `json:"total"`
}

func importJSON(t *testing.T, w *world, dir string) importReport {
	t.Helper()
	var r importReport
	if err := json.Unmarshal([]byte(runtest.Must(t, "publisher", w.args("import", "--json", dir)...)), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// The log is killed in the middle of an import. Started again, it has all that it
// acknowledged, and the import goes on; nothing is logged twice.
func TestImportSurvivesAKill(t *testing.T) {
	if testing.Short() {
		t.Skip("kills real programs again and again")
	}
	dir := history(t, "docker_tuf")
	w := newWorld(t, "--log-snapshots", "--log-timestamps")
	ctx := t.Context()
	cmd := runtest.Command(t, "publisher", w.args("import", dir)...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	published := func() int64 {
		list, err := w.client.Repositories(ctx)
		if err != nil || len(list.Repositories) == 0 {
			return 0
		}
		return list.Repositories[0].Releases
	}
	runtest.Eventually(t, "the import begins", func() bool { return published() >= 30 })
	acknowledged := published()
	w.Log.End(t, os.Kill)
	var code int
	if err := cmd.Wait(); err == nil {
		t.Fatal("the import did not notice that the log is gone: too fast for this test")
	}
	if code = cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(errs.String(), "of 167 files") {
		t.Errorf("exit %d, %s", code, errs.String())
	}

	w.Log.Start(t)
	if n := published(); n < acknowledged {
		t.Errorf("%d releases after the restart, %d were published before", n, acknowledged)
	}
	r := importJSON(t, w, dir)
	if r.Total.Files != 167 || r.Total.Released+r.Total.Logged != 167 || r.Total.Logged < int(acknowledged) {
		t.Errorf("second import: %+v, %d releases before it", r.Total, acknowledged)
	}
	repo, err := w.client.Repository(ctx, r.Repositories[0])
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i, leaf := range repo.Leaves {
		if leaf.Index != int64(i) {
			t.Errorf("leaf %d has index %d", i, leaf.Index)
		}
		seen[fmt.Sprint(leaf.Role, leaf.Metadata)]++
	}
	for what, n := range seen {
		if n > 1 {
			t.Errorf("%s is logged %d times", what, n)
		}
	}
	if len(repo.Leaves) != 167 {
		t.Errorf("%d leaves, want 167", len(repo.Leaves))
	}

	third := importJSON(t, w, dir)
	if third.Total.Logged != 167 {
		t.Errorf("third import: %+v", third.Total)
	}
}

func TestImportSigstore(t *testing.T) {
	w := newWorld(t, "--open-registration")
	dir := history(t, "sigstore_root_signing")
	start := time.Now()
	r := importJSON(t, w, dir)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("%v for %d files", took, r.Total.Files)
	}
	want := map[string][3]int{"root": {15, 3, 0}, "targets": {14, 3, 0}, "registry.npmjs.org": {8, 1, 0}, "rekor": {3, 0, 0},
		"revocation": {2, 0, 1}, "staging": {2, 1, 1}, "snapshot": {}, "timestamp": {}}
	for _, c := range r.Counts {
		if got := [3]int{c.Released, c.Logged, c.Evidence}; got != want[c.Role] {
			t.Errorf("%s: released, logged, evidence %v, want %v", c.Role, got, want[c.Role])
		}
	}

	// The table for people, of the drafts: the fully signed root 2 that was
	// replaced is evidence in the repository that the log knows by its roots.
	table := runtest.Must(t, "publisher", w.args("import", history(t, "sigstore_root_signing_drafts"))...)
	evidence := slices.IndexFunc(strings.Split(table, "\n"), func(line string) bool {
		return strings.Contains(line, "root/2.root.json") && strings.Contains(line, r.Repositories[0][:12]) && strings.Contains(line, "contradicts")
	})
	if evidence < 0 || !strings.Contains(table, "refused:") || !strings.Contains(table, "not-delegated") {
		t.Errorf("drafts:\n%s", table)
	}
}
