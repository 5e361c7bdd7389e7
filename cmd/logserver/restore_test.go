package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/proofs"
)

// restoreSteps are the commands of the procedure after a restore, as they are written.
func restoreSteps(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(deploy + "trillian/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(b), "After every restore, of either database")
	text, _, ok2 := strings.Cut(text, "### When two databases disagree")
	if !ok || !ok2 {
		t.Fatal("the procedure is not there")
	}
	var steps []string
	for _, m := range regexp.MustCompile("(?m)^       ((?:curl|logserver) .*)$|`(logserver [^`]*)`").FindAllStringSubmatch(text, -1) {
		steps = append(steps, m[1]+m[2])
	}
	return steps
}

// bash runs a command of the documents, with what stands in it for something replaced.
func (w *sharedWorld) bash(t *testing.T, command string, replace ...string) (stdout, stderr string, code int) {
	t.Helper()
	replace = append(replace, "--config ...", "--config "+w.Path("front.conf"), "log.example.org", "test.example/log")
	cmd := exec.CommandContext(withTimeout(t, process.Patience), "bash", "-c", strings.NewReplacer(replace...).Replace(command))
	cmd.Env = append(os.Environ(), "PATH="+runtest.Programs(t, "logserver")+":"+os.Getenv("PATH"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", command, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// restarted starts Trillian's programs anew.
func (w *sharedWorld) restarted(ctx context.Context, t *testing.T) {
	t.Helper()
	w.trillian.KillServer()
	w.trillian.KillSigner()
	if err := errors.Join(w.trillian.RestartServer(ctx), w.trillian.RestartSigner(ctx)); err != nil {
		t.Fatal(err)
	}
}

// The procedure after a restore, as it is written, from base backups of the state database
// that are older than Trillian, of Trillian that are older than the state database, and of
// both.
func TestRestoreAsWritten(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts two PostgreSQL servers, and Trillian")
	}
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip(err)
	}
	steps := restoreSteps(t)
	want := []string{"curl https://WITNESS/", "logserver resume ", "logserver fsck ", "logserver blob add ", "logserver reindex ", "logserver token list "}
	if len(steps) != len(want) {
		t.Fatalf("the procedure has the commands %q", steps)
	}
	for i := range want {
		if !strings.HasPrefix(steps[i], want[i]) {
			t.Errorf("step %d is %q, want one that begins with %q", i, steps[i], want[i])
		}
	}
	w := startServers(t, true).makeLog(t)
	ctx := t.Context()
	w.Write(t, "front.conf", fmt.Sprintf("dir = %s\nstorage = %s\nstate = %s\npolicy = %s\n", w.Path("log"), w.storage, w.state, w.Path("policy")))
	leader, _ := w.leads(t)
	v := newVendor(t)
	id := w.registerAt(t, leader, v)
	w.submitAt(t, leader, id, v, "in every backup")
	backup := func(name string) {
		t.Helper()
		if err := errors.Join(w.postgres.Backup(ctx, name), w.entries.Backup(ctx, name)); err != nil {
			t.Fatal(err)
		}
	}
	backup("first")
	var paths []string
	for n := range 2 {
		w.submitAt(t, leader, id, v, fmt.Sprint("in no backup ", n))
		paths = append(paths, onDisk(t, files(v))[:2]...)
	}
	// The followers have served it, too, and will know that.
	allServe := func(size int64) {
		t.Helper()
		for _, s := range w.fronts {
			runtest.Eventually(t, "it serves the newest", func() bool { return w.serves(t, s).N == size })
		}
	}
	allServe(4)
	w.stop(t, 0)

	// The state database is older than Trillian.
	if err := w.postgres.Replace(ctx, "first", "lost"); err != nil {
		t.Fatal(err)
	}
	if st := w.statusOf(t, 1); st.Code != log.HaltLedgerBehind || st.Ledger.Size != 2 || st.Trillian.Size != 4 {
		t.Errorf("status over an old state database: %+v", st)
	}
	for _, s := range w.fronts {
		s.Start(t)
	}
	for _, s := range w.fronts { // somebody has started them too early
		unready(t, s, "contradicts", "this front end has served a checkpoint of size 4")
		s.End(t, syscall.SIGKILL)
	}
	newest := w.newest(t, steps[0])
	if stdout, stderr, code := w.bash(t, steps[1], "FILE", newest); code != 0 || !strings.Contains(stdout, "size 4") {
		t.Errorf("resume: exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := w.bash(t, steps[2]); code != 1 || strings.Count(stdout, "file does not exist") < 2 {
		t.Errorf("fsck over lost files: exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := w.bash(t, steps[3], "FILE...", strings.Join(paths, " ")); code != 0 || strings.Count(stdout, maintain.Stored) != 4 {
		t.Errorf("blob add: exit %d\n%s%s", code, stdout, stderr)
	}
	for _, step := range []string{steps[4], steps[2], steps[5]} {
		if stdout, stderr, code := w.bash(t, step); code != 0 {
			t.Errorf("%s: exit %d\n%s%s", step, code, stdout, stderr)
		}
	}
	goesOn := func(content string, index int64) {
		t.Helper()
		for _, s := range w.fronts {
			s.Start(t)
		}
		if got := w.submitAt(t, w.fronts[1], id, v, content); got != index {
			t.Errorf("%s is at %d, want %d", content, got, index)
		}
		w.same(t, id, index)
		if out := runtest.Must(t, "auditor", "replay", "--log", w.fronts[0].URL, "--policy", w.Path("policy")); !strings.Contains(out, "The log is as it should be") {
			t.Errorf("auditor: %s", out)
		}
		w.stop(t, 0)
	}
	goesOn("after the first restore", 4)

	// Trillian's database is older than the state database.
	if err := w.entries.Replace(ctx, "first", "lost"); err != nil {
		t.Fatal(err)
	}
	w.restarted(ctx, t)
	if st := w.statusOf(t, 1); st.Code != log.HaltStorageBehind || st.Ledger.Size != 5 || st.Trillian.Size != 2 {
		t.Errorf("status over an old Trillian: %+v", st)
	}
	for _, step := range []string{steps[1], steps[4] + " --tiles"} {
		if _, stderr, code := w.bash(t, step, "FILE", newest); code != 2 || !strings.Contains(stderr, "newest database") {
			t.Errorf("%s over an old Trillian: exit %d\n%s", step, code, stderr)
		}
	}
	if err := w.entries.Replace(ctx, "lost", "first"); err != nil {
		t.Fatal(err)
	}
	w.restarted(ctx, t)
	goesOn("after the second restore", 5)

	// Both are, and nobody has done as written: nothing is signed.
	backup("second")
	for _, s := range w.fronts {
		s.Start(t)
	}
	w.submitAt(t, w.fronts[0], id, v, "in none of both")
	allServe(7)
	w.stop(t, 0)
	if err := errors.Join(w.postgres.Replace(ctx, "second", "lost again"), w.entries.Replace(ctx, "second", "lost again")); err != nil {
		t.Fatal(err)
	}
	w.restarted(ctx, t)
	old := w.signed(t)
	newest = w.newest(t, steps[0])
	if _, stderr, code := w.bash(t, steps[1], "FILE", newest); code != 2 || !strings.Contains(stderr, "bring back the newest storage first") {
		t.Errorf("resume over two old databases: exit %d\n%s", code, stderr)
	}
	if st := w.statusOf(t, 1); st.Code != log.HaltStorageBehind {
		t.Errorf("status over two old databases: %+v", st)
	}
	for _, s := range w.fronts {
		s.Start(t)
	}
	for _, s := range w.fronts {
		unready(t, s, "contradicts", "this front end has served a checkpoint of size 7")
		s.End(t, syscall.SIGKILL)
	}
	if now := w.signed(t); now != old {
		t.Errorf("%v was signed after %v", now, old)
	}
	if err := errors.Join(w.postgres.Replace(ctx, "lost again", "second"), w.entries.Replace(ctx, "lost again", "second")); err != nil {
		t.Fatal(err)
	}
	w.restarted(ctx, t)
	goesOn("after the third restore", 7)
}

// newest asks every witness as written, and returns a file with the checkpoint of the
// largest tree.
func (w *sharedWorld) newest(t *testing.T, step string) (path string) {
	t.Helper()
	path, size := filepath.Join(t.TempDir(), "newest"), int64(-1)
	for _, witness := range w.Witnesses {
		stdout, stderr, code := w.bash(t, step, "https://WITNESS", witness.URL)
		note, err := proofs.ParseNote([]byte(stdout))
		if code != 0 || err != nil {
			t.Fatalf("%s: exit %d, %v\n%s%s", step, code, err, stdout, stderr)
		}
		cp, err := proofs.ParseCheckpoint(note.Text)
		if err != nil {
			t.Fatal(err)
		}
		if cp.Tree.N > size {
			size = cp.Tree.N
			if err := os.WriteFile(path, []byte(stdout), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return path
}
