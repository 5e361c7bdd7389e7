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
	"github.com/tuflog/tuflog/bench/testvendor"
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
	w := newRestoring(t)
	w.stateBehind()
	w.storageBehind()
	w.bothBehind()
}

// restoring is a log on servers, of which backups are brought back.
type restoring struct {
	*sharedWorld
	t          *testing.T
	steps      []string // the commands of the procedure
	vendor     *testvendor.Vendor
	id         string   // of the vendor's repository
	paths      []string // files that are in no backup of the state
	checkpoint string   // file with the newest checkpoint of the witnesses
}

// newRestoring makes a log with a backup of its first two entries, and two more.
func newRestoring(t *testing.T) *restoring {
	t.Helper()
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
	w := &restoring{sharedWorld: startServers(t, true).makeLog(t, "--only", "ed25519"), t: t, steps: steps}
	w.Write(t, "front.conf", fmt.Sprintf("dir = %s\nstorage = %s\nstate = %s\npolicy = %s\n", w.Path("log"), w.storage, w.state, w.Path("policy")))
	leader, _ := w.leads(t)
	w.vendor = newVendor(t)
	w.id = w.registerAt(t, leader, w.vendor)
	w.submitAt(t, leader, w.id, w.vendor, "in every backup")
	w.backup("first")
	for n := range 2 {
		w.submitAt(t, leader, w.id, w.vendor, fmt.Sprint("in no backup ", n))
		w.paths = append(w.paths, onDisk(t, files(w.vendor))[:2]...)
	}
	// The followers have served it, too, and will know that.
	w.allServe(4)
	w.stop(t, 0)
	return w
}

func (w *restoring) backup(name string) {
	w.t.Helper()
	if err := errors.Join(w.postgres.Backup(w.t.Context(), name), w.entries.Backup(w.t.Context(), name)); err != nil {
		w.t.Fatal(err)
	}
}

// allServe waits until every front end serves a checkpoint of that size.
func (w *restoring) allServe(size int64) {
	w.t.Helper()
	for _, s := range w.fronts {
		runtest.Eventually(w.t, "it serves the newest", func() bool { return w.serves(w.t, s).N == size })
	}
}

// goesOn checks that a log that was restored takes releases again, and contradicts nothing.
func (w *restoring) goesOn(content string, index int64) {
	w.t.Helper()
	for _, s := range w.fronts {
		s.Start(w.t)
	}
	if got := w.submitAt(w.t, w.fronts[1], w.id, w.vendor, content); got != index {
		w.t.Errorf("%s is at %d, want %d", content, got, index)
	}
	w.same(w.t, w.id, index)
	if out := runtest.Must(w.t, "auditor", "replay", "--log", w.fronts[0].URL, "--policy", w.Path("policy")); !strings.Contains(out, "The log is as it should be") {
		w.t.Errorf("auditor: %s", out)
	}
	w.stop(w.t, 0)
}

// stateBehind: the state database is older than Trillian.
func (w *restoring) stateBehind() {
	if err := w.postgres.Replace(w.t.Context(), "first", "lost"); err != nil {
		w.t.Fatal(err)
	}
	if st := w.statusOf(w.t, 1); st.Code != log.HaltLedgerBehind || st.Ledger.Size != 2 || st.Trillian.Size != 4 {
		w.t.Errorf("status over an old state database: %+v", st)
	}
	for _, s := range w.fronts {
		s.Start(w.t)
	}
	for _, s := range w.fronts { // somebody has started them too early
		unready(w.t, s, "contradicts", "this front end has served a checkpoint of size 4")
		s.End(w.t, syscall.SIGKILL)
	}
	w.checkpoint = w.newest(w.t, w.steps[0])
	if stdout, stderr, code := w.bash(w.t, w.steps[1], "FILE", w.checkpoint); code != 0 || !strings.Contains(stdout, "size 4") {
		w.t.Errorf("resume: exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := w.bash(w.t, w.steps[2]); code != 1 || strings.Count(stdout, "file does not exist") < 2 {
		w.t.Errorf("fsck over lost files: exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := w.bash(w.t, w.steps[3], "FILE...", strings.Join(w.paths, " ")); code != 0 || strings.Count(stdout, maintain.Stored) != 4 {
		w.t.Errorf("blob add: exit %d\n%s%s", code, stdout, stderr)
	}
	for _, step := range []string{w.steps[4], w.steps[2], w.steps[5]} {
		if stdout, stderr, code := w.bash(w.t, step); code != 0 {
			w.t.Errorf("%s: exit %d\n%s%s", step, code, stdout, stderr)
		}
	}
	w.goesOn("after the first restore", 4)
}

// storageBehind: Trillian's database is older than the state database.
func (w *restoring) storageBehind() {
	if err := w.entries.Replace(w.t.Context(), "first", "lost"); err != nil {
		w.t.Fatal(err)
	}
	w.restarted(w.t.Context(), w.t)
	if st := w.statusOf(w.t, 1); st.Code != log.HaltStorageBehind || st.Ledger.Size != 5 || st.Trillian.Size != 2 {
		w.t.Errorf("status over an old Trillian: %+v", st)
	}
	for _, step := range []string{w.steps[1], w.steps[4] + " --tiles"} {
		if _, stderr, code := w.bash(w.t, step, "FILE", w.checkpoint); code != 2 || !strings.Contains(stderr, "newest database") {
			w.t.Errorf("%s over an old Trillian: exit %d\n%s", step, code, stderr)
		}
	}
	if err := w.entries.Replace(w.t.Context(), "lost", "first"); err != nil {
		w.t.Fatal(err)
	}
	w.restarted(w.t.Context(), w.t)
	w.goesOn("after the second restore", 5)
}

// bothBehind: both are, and the procedure was not followed; nothing is signed.
func (w *restoring) bothBehind() {
	w.backup("second")
	for _, s := range w.fronts {
		s.Start(w.t)
	}
	w.submitAt(w.t, w.fronts[0], w.id, w.vendor, "in none of both")
	w.allServe(7)
	w.stop(w.t, 0)
	if err := errors.Join(w.postgres.Replace(w.t.Context(), "second", "lost again"), w.entries.Replace(w.t.Context(), "second", "lost again")); err != nil {
		w.t.Fatal(err)
	}
	w.restarted(w.t.Context(), w.t)
	old := w.signed(w.t)
	w.checkpoint = w.newest(w.t, w.steps[0])
	if _, stderr, code := w.bash(w.t, w.steps[1], "FILE", w.checkpoint); code != 2 || !strings.Contains(stderr, "bring back the newest storage first") {
		w.t.Errorf("resume over two old databases: exit %d\n%s", code, stderr)
	}
	if st := w.statusOf(w.t, 1); st.Code != log.HaltStorageBehind {
		w.t.Errorf("status over two old databases: %+v", st)
	}
	for _, s := range w.fronts {
		s.Start(w.t)
	}
	for _, s := range w.fronts {
		unready(w.t, s, "contradicts", "this front end has served a checkpoint of size 7")
		s.End(w.t, syscall.SIGKILL)
	}
	if now := w.signed(w.t); now != old {
		w.t.Errorf("%v was signed after %v", now, old)
	}
	if err := errors.Join(w.postgres.Replace(w.t.Context(), "lost again", "second"), w.entries.Replace(w.t.Context(), "lost again", "second")); err != nil {
		w.t.Fatal(err)
	}
	w.restarted(w.t.Context(), w.t)
	w.goesOn("after the third restore", 7)
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
