package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// world is a log behind HTTP and a policy in a file.
type world struct {
	t      *testing.T
	log    *audittest.Log
	vendor *testvendor.Vendor
	repo   tuf.Digest
	url    string
	policy string // path
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldOf(t, audittest.Origin)
}

// newWorldOf is newWorld with the log's name.
func newWorldOf(t *testing.T, origin string) *world {
	t.Helper()
	w := &world{t: t, log: audittest.NewOf(t, origin)}
	srv := httptest.NewServer(w.log)
	t.Cleanup(srv.Close)
	w.url = srv.URL
	w.policy = filepath.Join(t.TempDir(), "policy.txt")
	w.must(os.WriteFile(w.policy, []byte(w.log.PolicyText(w.url)), 0o644))
	var err error
	w.vendor, err = testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	w.must(err)
	_, root := w.vendor.File(tuf.RoleRoot)
	w.repo = w.log.Register(root)
	w.release("app.bin", "one")
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// release logs targets with one file, and publishes.
func (w *world) release(path, content string) leaf.Leaf {
	w.t.Helper()
	w.must(w.vendor.Put(tuf.RoleTargets, path, []byte(content)))
	w.must(w.vendor.Release(tuf.RoleTargets))
	_, file := w.vendor.File(tuf.RoleTargets)
	_, snapshot := w.vendor.File(tuf.RoleSnapshot)
	leaf, _ := w.log.Submit(w.repo, tuf.RoleTargets, file, snapshot)
	w.log.Publish(2)
	return leaf
}

// equivocate logs another payload of the version that is released next.
func (w *world) equivocate() {
	w.t.Helper()
	evil, err := w.vendor.Clone()
	w.must(err)
	w.release("app.bin", "for everybody")
	honest := w.vendor
	w.vendor = evil
	if entry := w.release("app.bin", "for one"); entry.Kind != leaf.Evidence {
		w.t.Fatalf("%+v", entry)
	}
	w.vendor = honest
}

// run runs the program and returns what it printed, after comparing the exit
// code.
func (w *world) run(code int, args ...string) (stdout, stderr string) {
	w.t.Helper()
	stdout, stderr, got := runtest.Run(w.t, "auditor", args...)
	if got != code {
		w.t.Fatalf("%v: exit %d, want %d\nstdout %s\nstderr %s", args, got, code, stdout, stderr)
	}
	return stdout, stderr
}

func (w *world) wantAll(text string, parts ...string) {
	w.t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			w.t.Errorf("%q is not in\n%s", part, text)
		}
	}
}

func TestReplay(t *testing.T) {
	w := newWorld(t)
	// The policy says where the log is.
	out, errs := w.run(0, "replay", "--policy", w.policy)
	w.wantAll(out, "log.test/audit, size 2, root ", fmt.Sprintf("by w1 (%s), w2 (%s)", audit.When(w.log.Time+1), audit.When(w.log.Time+2)), "2 right, 0 wrong",
		w.repo.Short()+"  json      root     1", "Nothing was found.", "The log is as it should be")
	if errs != "" {
		t.Errorf("stderr %q", errs)
	}

	w.equivocate()
	out, _ = w.run(1, "replay", "--policy", w.policy, "--log", w.url+"/")
	w.wantAll(out, "equivocation  second-payload  3", "targets 3 is signed with two payloads", "The log is as it should be", "A vendor's keys signed two payloads")

	out, _ = w.run(1, "replay", "--policy", w.policy, "--json")
	var report audit.Report
	w.must(json.Unmarshal([]byte(out), &report))
	if len(report.Leaves) != 4 || report.Leaves[3].Kind != "evidence" || !report.Vouches || report.Repositories[0].Evidence != 1 {
		t.Errorf("report %+v", report)
	}

	w.log.Append([]byte("no leaf\x1b[2J"))
	w.log.Publish(2)
	out, _ = w.run(1, "replay", "--policy", w.policy)
	w.wantAll(out, "tampering     bad-leaf", "would not vouch")
	if strings.Contains(out, "\x1b") {
		t.Error("an entry drives the terminal")
	}
}

func TestReplayOutages(t *testing.T) {
	w := newWorld(t)
	state := filepath.Join(t.TempDir(), "state")
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	w.log.Publish(1)
	out, errs := w.run(2, "replay", "--policy", w.policy, "--state", state)
	w.wantAll(out, "checkpoint  none verified", "outage   quorum-short", "missing w2")
	w.wantAll(errs, "not everything could be checked")

	_, root := w.vendor.File(tuf.RoleRoot)
	w.log.Publish(2)
	w.log.Spoil(audittest.BlobPath(root), audittest.Missing)
	out, _ = w.run(2, "replay", "--policy", w.policy)
	w.wantAll(out, "outage   blob-missing  0")

	out, errs = w.run(2, "replay", "--policy", w.policy, "--log", "http://127.0.0.1:1")
	w.wantAll(out, "outage   unreachable", "Nothing could be checked")
	w.wantAll(errs, "connection refused")
	w.log.Serve(audittest.New(t).Checkpoint(0, 2))
	out, _ = w.run(2, "replay", "--policy", w.policy)
	if w.wantAll(out, "outage   unknown-log", "Nothing could be checked"); strings.Contains(out, "as it should be") {
		t.Errorf("of another log it says\n%s", out)
	}
}

func TestReplayRemembers(t *testing.T) {
	w := newWorld(t)
	state := filepath.Join(t.TempDir(), "state[1]*") // which is a name, not a pattern
	old := w.log.Checkpoint(1, 2)
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	w.log.Serve(old)
	w.run(0, "replay", "--policy", w.policy) // who does not remember sees nothing
	out, _ := w.run(1, "replay", "--policy", w.policy, "--state", state)
	w.wantAll(out, "tampering  rollback", "size 1 after one of size 2")
	notes, err := fs.Glob(os.DirFS(state), "evidence/rollback-*/*.note")
	w.must(err)
	if len(notes) != 2 {
		t.Errorf("evidence: %v", notes)
	}
	// A damaged state is not taken for a new one, and what never ends is not read to its end.
	newest, err := os.ReadFile(state + ".newest")
	w.must(err)
	w.must(os.WriteFile(state+".newest", []byte("garbage"), 0o644))
	_, errs := w.run(2, "replay", "--policy", w.policy, "--state", state)
	w.wantAll(errs, "auditor state: ", "the state is damaged", "put back a copy")
	w.must(os.Remove(state + ".newest"))
	w.must(os.Symlink("/dev/zero", state+".newest"))
	_, errs = w.run(2, "replay", "--policy", w.policy, "--state", state)
	w.wantAll(errs, "auditor state: ", "not a regular file")
	w.must(os.Remove(state + ".newest"))
	w.must(os.WriteFile(state+".newest", newest, 0o644))
	w.must(os.WriteFile(filepath.Join(state, "state.sqlite"), bytes.Repeat([]byte("garbage"), 1000), 0o644))
	_, errs = w.run(2, "replay", "--policy", w.policy, "--state", state)
	w.wantAll(errs, "auditor state: ", "the state is damaged", "put back a copy")
	// Without the state, the newest note shows that the log has gone back.
	w.must(os.RemoveAll(state))
	out, _ = w.run(1, "replay", "--policy", w.policy, "--state", state)
	w.wantAll(out, "tampering  rollback", "size 1 after one of size 2")
}

func TestShow(t *testing.T) {
	w := newWorld(t)
	w.equivocate()
	out, _ := w.run(0, "show", "--policy", w.policy)
	w.wantAll(out, w.repo.String()+"  json      0            2      3         1")
	out, _ = w.run(0, "show", w.repo.String()[:6], "--policy", w.policy)
	_, root := w.vendor.File(tuf.RoleRoot)
	w.wantAll(out, "Repository "+w.repo.String()+" has 3 releases of 2 roles in the log, and 1 proof that its keys signed a second payload. 1 file is in force.",
		"\nentry 0: root 1, seen "+audit.When(w.log.Time+2)+", expires 2040-01-01, signed by "+audittest.Parse(t, root).Signatures[0].KeyID[:8]+" (it takes 1 of 1 keys)\n  root 1 is the first; it has:\n",
		"\n  targets 2 is the first; it has:\n    Target app.bin: 3 bytes, sha256 7692c3ad….\n",
		"\nentry 2: targets 3, ", "signed by "+w.key()+" (it takes 1 of 1 keys)\n  targets 3 against 2: 1 change (entry 1).\n    Target app.bin has other content: 13 bytes, ",
		"\n  EVIDENCE: this is another payload than that at entry 2. The keys signed two for one version.\n  targets 3 against 3: 2 changes (entry 2).\n",
		"\napp.bin        13     sha256:"+tuf.Sum([]byte("for everybody")).String()+"  targets 3  2\n",
		"  ed25519  targets 1 of 1\n")
	out, _ = w.run(0, "show", w.repo.String(), "--role", "targets", "--policy", w.policy, "--json")
	var h shown
	w.must(json.Unmarshal([]byte(out), &h))
	if len(h.Rows) != 3 || len(h.Rows[1].Changes.Changes) != 1 || h.Rows[1].Changes.Changes[0].Kind != explain.TargetChanged || len(h.Files) != 1 || len(h.Keys) != 1 {
		t.Errorf("history %+v", h)
	}
	_, errs := w.run(2, "show", w.repo.String(), "--role", "nothing", "--policy", w.policy)
	w.wantAll(errs, `has no release of role "nothing"`)
	_, errs = w.run(2, "show", "--role", "root", "--policy", w.policy)
	w.wantAll(errs, "want a REPOSITORY as well")
	_, errs = w.run(2, "show", strings.Repeat("0", 64), "--policy", w.policy)
	w.wantAll(errs, "no repository in the log begins with")
	// The other ways to name it.
	file := filepath.Join(t.TempDir(), "file")
	for name, content := range map[string][]byte{
		"its first root": w.vendor.Files()["1.root.json"],
		"a proof":        []byte(w.proof(1)),
	} {
		w.must(os.WriteFile(file, content, 0o644))
		out, _ = w.run(0, "show", file, "--policy", w.policy)
		if !strings.HasPrefix(out, "Repository "+w.repo.String()+" has ") {
			t.Errorf("%s: %s", name, out)
		}
	}
	out, _ = w.run(0, "show", strings.ToUpper(w.repo.String()[:8]), "--policy", w.policy)
	w.wantAll(out, "Repository "+w.repo.String())
	_, targets := w.vendor.File(tuf.RoleTargets)
	w.must(os.WriteFile(file, targets, 0o644))
	_, errs = w.run(2, "show", file, "--policy", w.policy)
	w.wantAll(errs, "is targets metadata, which does not name its repository", ".tlog-proof")
	other, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	w.must(err)
	w.must(os.WriteFile(file, other.Files()["1.root.json"], 0o644))
	_, errs = w.run(2, "show", file, "--policy", w.policy)
	w.wantAll(errs, "no repository in the log has the id ", "of roots the first one names it")
	w.must(os.WriteFile(file, []byte("hello"), 0o644))
	_, errs = w.run(2, "show", file, "--policy", w.policy)
	w.wantAll(errs, "neither a .tlog-proof nor a root")
	_, errs = w.run(2, "show", "XYZ", "--policy", w.policy)
	w.wantAll(errs, "neither the beginning of an id in hex nor a file")
	labelled := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/repositories" {
			w.log.ServeHTTP(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"repositories":[{"id":%q,"label":"my vendor"},{"id":%q,"label":"twice"},{"id":%q,"label":"twice"},{"id":"../../etc","label":"odd"}]}`,
			w.repo, strings.Repeat("0", 64), strings.Repeat("1", 64))
	}))
	defer labelled.Close()
	out, _ = w.run(0, "show", "my vendor", "--policy", w.policy, "--log", labelled.URL)
	w.wantAll(out, "Repository "+w.repo.String())
	for label, says := range map[string]string{"twice": "name one by its id", "odd": "nor a label", "Vendor": "nor a label"} {
		_, errs = w.run(2, "show", label, "--policy", w.policy, "--log", labelled.URL)
		w.wantAll(errs, says)
	}
	var none shown
	out, _ = w.run(0, "show", "--policy", w.policy, "--json")
	if json.Unmarshal([]byte(out), &none) == nil {
		t.Errorf("the list is no list: %s", out)
	}
}

// key is the beginning of the id of the key that signs targets.
func (w *world) key() string {
	_, file := w.vendor.File(tuf.RoleTargets)
	return audittest.Parse(w.t, file).Signatures[0].KeyID[:8]
}

// proof is a tlog-proof of an entry.
func (w *world) proof(index int64) string {
	w.t.Helper()
	a, err := audit.New(w.t.Context(), audit.Config{Source: w.log.Source(), Policy: w.log.Policy()})
	w.must(err)
	defer func() { w.must(a.Close()) }()
	if _, err := a.Step(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	leaves, err := a.Leaves(w.t.Context(), index, index+1)
	w.must(err)
	entry, err := leaves[0].Leaf()
	w.must(err)
	proof, err := a.Prove(w.t.Context(), index, entry.Marshal())
	w.must(err)
	return string(proof)
}

func TestFollow(t *testing.T) {
	w := newWorld(t)
	for _, asJSON := range []bool{false, true} {
		cmd := runtest.Command(t, "auditor", "replay", "--policy", w.policy, "--follow", "--interval", "20ms", fmt.Sprintf("--json=%v", asJSON))
		stdout, err := cmd.StdoutPipe()
		w.must(err)
		w.must(cmd.Start())
		timer := time.AfterFunc(process.Patience, func() { _ = cmd.Process.Kill() })
		lines := bufio.NewScanner(stdout)
		lines.Buffer(nil, 1<<20)
		wait := func(part string) {
			t.Helper()
			for lines.Scan() {
				if strings.Contains(lines.Text(), part) {
					return
				}
			}
			t.Fatalf("the program ended without %q", part)
		}
		first, next := "The log is as it should be", fmt.Sprintf("release of repository %s, targets %d: logged rightly", w.repo.Short(), w.vendor.Version(tuf.RoleTargets)+1)
		if asJSON {
			first, next = `"from":0`, `"verdict":"right"`
		}
		wait(first)
		w.release("app.bin", fmt.Sprint("followed ", asJSON))
		wait(next)
		// An outage is told when it begins and when it is over.
		if asJSON {
			first, next = `"kind":"unreachable"`, `"over":[{"kind":"unreachable"`
		} else {
			first, next = "Z outage: unreachable: ", "Z over: unreachable: "
		}
		w.log.Spoil("checkpoint", func([]byte) ([]byte, error) { return nil, errors.New("away") })
		wait(first)
		w.log.Spoil("checkpoint", nil)
		wait(next)
		w.must(cmd.Process.Signal(os.Interrupt))
		if err := cmd.Wait(); err != nil {
			t.Errorf("after an interrupt: %v", err)
		}
		timer.Stop()
	}
}

// What a full disk keeps from being printed or remembered is no success, and no fault
// of the log.
func TestFullDisk(t *testing.T) {
	w := newWorld(t)
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	for _, args := range [][]string{{"replay"}, {"replay", "--json"}, {"replay", "--follow", "--interval", "1ms"}, {"show"}, {"lookup", strings.Repeat("0", 64)}} {
		cmd := runtest.Command(t, "auditor", append(args, "--policy", w.policy)...)
		var stderr strings.Builder
		cmd.Stdout, cmd.Stderr = full, &stderr
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != 2 {
			t.Errorf("%v: %v", args, err)
		}
		w.wantAll(stderr.String(), "auditor "+args[0]+": the result could not be printed: ", "no space left on device")
	}

	state := filepath.Join(t.TempDir(), "state")
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	db, err := sqlitefile.OpenChecked(filepath.Join(state, "state.sqlite"), 5)
	w.must(err)
	_, err = db.ExecContext(t.Context(), "CREATE TRIGGER full BEFORE INSERT ON leaves BEGIN SELECT RAISE(FAIL, 'no room'); END")
	w.must(errors.Join(err, db.Close()))
	w.release("app.bin", "two")
	out, errs := w.run(2, "replay", "--policy", w.policy, "--state", state)
	if w.wantAll(out, "The log was not checked to its end"); strings.Contains(out, "would not vouch") {
		t.Errorf("the log is blamed\n%s", out)
	}
	w.wantAll(errs, "the auditor's own state cannot be written: ", "no room")
	db, err = sqlitefile.OpenChecked(filepath.Join(state, "state.sqlite"), 5)
	w.must(err)
	_, err = db.ExecContext(t.Context(), "DROP TRIGGER full")
	w.must(errors.Join(err, db.Close()))
	w.must(os.RemoveAll(filepath.Join(state, "evidence")))
	w.must(os.Symlink("/proc/self", filepath.Join(state, "evidence"))) // nobody can write there
	w.equivocate()
	w.run(1, "replay", "--policy", w.policy, "--state", state)
}

func TestNewLog(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"type":"about:blank","title":"Not Found","status":404,"code":"nothing-published","detail":"nothing has been published yet"}`))
	}))
	defer srv.Close()
	w := newWorld(t)
	state := filepath.Join(t.TempDir(), "state")
	out, _ := w.run(0, "replay", "--policy", w.policy, "--log", srv.URL, "--state", state)
	w.wantAll(out, "none yet: the log says that it is new", "There is nothing to check yet")
	out, _ = w.run(0, "replay", "--policy", w.policy, "--log", srv.URL, "--state", state, "--json")
	w.wantAll(out, `"empty": true`)
	// Once it has published something it cannot be new.
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	out, _ = w.run(2, "replay", "--policy", w.policy, "--log", srv.URL, "--state", state)
	w.wantAll(out, "outage   unreachable", "size 2 was verified")
}

func TestStateOfOneProcess(t *testing.T) {
	w := newWorld(t)
	state := filepath.Join(t.TempDir(), "state")
	cmd := runtest.Command(t, "auditor", "replay", "--policy", w.policy, "--state", state, "--follow", "--interval", "20ms")
	stdout, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	if _, err := bufio.NewReader(stdout).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"replay"}, {"show"}, {"lookup", strings.Repeat("0", 64)}} {
		_, errs := w.run(2, append(args, "--policy", w.policy, "--state", state)...)
		w.wantAll(errs, "auditor state: ", fmt.Sprintf("in use by auditor replay (process %d)", cmd.Process.Pid))
	}
	w.must(cmd.Process.Signal(os.Interrupt))
	if err := cmd.Wait(); err != nil {
		t.Errorf("after an interrupt: %v", err)
	}
	w.run(0, "replay", "--policy", w.policy, "--state", state)
}

func TestUsage(t *testing.T) {
	w := newWorld(t)
	for _, command := range []string{"", "replay", "show", "diff", "radius", "lookup", "export"} {
		args := append(strings.Fields(command), "--help")
		out, _ := w.run(0, args...)
		w.wantAll(out, "Usage:")
		if command != "" {
			w.wantAll(out, "Exit codes:", "--policy", "--state", "--json")
		}
	}
	out, _ := w.run(0, "mirror", "--help")
	w.wantAll(out, "Usage:", "Exit codes:", "--policy", "--json")
	for _, wrong := range []string{"repaly", "compere"} {
		out, errs := w.run(2, wrong, "--policy", w.policy)
		if w.wantAll(errs, fmt.Sprintf("unknown command %q", wrong)); out != "" {
			t.Errorf("%s prints %s", wrong, out)
		}
	}
	_, errs := w.run(2, "replay")
	w.wantAll(errs, `"policy" not set`)
	_, errs = w.run(2, "replay", "--policy", "/no/such/file")
	w.wantAll(errs, "no such file")
	_, errs = w.run(2, "replay", "--policy", w.policy, "--log", "ftp://x")
	w.wantAll(errs, `--log: "ftp://x" is not an http or https URL`)
	_, errs = w.run(2, "replay", "--policy", w.policy, "--follow", "--interval", "0s")
	w.wantAll(errs, "--interval 0s: want a positive duration")
	_, errs = w.run(2, "lookup", "--policy", w.policy, t.TempDir())
	if w.wantAll(errs, "is a directory"); strings.Count(errs, "read ") != 1 {
		t.Errorf("says it twice: %s", errs)
	}
	w.must(os.WriteFile(w.policy, []byte(w.log.PolicyText("")), 0o644))
	_, errs = w.run(2, "replay", "--policy", w.policy)
	w.wantAll(errs, "say which with --log")
}
