package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// auditing is a monitor that cosigns.
type auditing struct {
	dir, config string
	service     *runtest.Service
	page        string // the path of the log's audited checkpoint
}

// newAuditing configures a monitor of the log one, with a policy, and makes its keys.
func newAuditing(t *testing.T, policy, origin string) *auditing {
	t.Helper()
	a := &auditing{dir: t.TempDir(), page: fmt.Sprintf("%s/%x/checkpoint", cosign.Prefix, sha256.Sum256([]byte(origin)))}
	a.config = filepath.Join(a.dir, "monitor.toml")
	text := fmt.Sprintf("dir = 'd'\nlisten = '127.0.0.1:0'\n[[log]]\nname = 'one'\npolicy = '%s'\ninterval = '100ms'\nmirror = true\n[cosign]\nname = 'auditor.example'\nkeys = ['ed25519.key', 'mldsa.key']\n", policy)
	if err := os.WriteFile(a.config, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	runtest.Must(t, "auditor", "cosign", "init", "--config", a.config)
	return a
}

func (a *auditing) serve(t *testing.T) {
	t.Helper()
	a.service = runtest.Serve(t, "auditor", "monitor", "run", "--config", a.config)
}

// devices returns a policy that needs the auditor beside the quorum of another policy.
func (a *auditing) devices(t *testing.T, policy string) string {
	t.Helper()
	rest, quorum, _ := strings.Cut(policy, "quorum ")
	lines := runtest.Must(t, "auditor", "cosign", "key", "--config", a.config) + "\n"
	lines = strings.ReplaceAll(lines, "\ngroup auditors", " "+a.service.URL+cosign.Prefix+"\ngroup auditors")
	first, more, _ := strings.Cut(lines, "\n")
	return fmt.Sprintf("%s%s %s%s\n%sgroup audited all %s auditors\nquorum audited\n", rest, first, a.service.URL, cosign.Prefix, more, strings.TrimSpace(quorum))
}

func (a *auditing) get(t *testing.T, path string) (int, []byte) {
	t.Helper()
	resp, err := http.Get(a.service.URL + path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	if err = firstOf(err, resp.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, b
}

// size returns the size of the tree that is cosigned, by the policy of devices; -1: none is.
func (a *auditing) size(t *testing.T, policy *proofs.Policy) int64 {
	t.Helper()
	code, b := a.get(t, a.page)
	if code == http.StatusNotFound {
		return -1
	}
	cp, err := policy.OpenCheckpoint(b)
	if err != nil {
		t.Fatalf("%d %s: %v", code, b, err)
	}
	return cp.Tree.N
}

// status returns what auditor cosign status says of the log, which ends with a code.
func (a *auditing) status(t *testing.T) (l cosign.LogStatus, code int) {
	t.Helper()
	out, errs, code := runtest.Run(t, "auditor", "cosign", "status", "--json", "--config", a.config)
	var s cosign.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%v: %s%s", err, out, errs)
	}
	if len(s.Logs) == 1 {
		return s.Logs[0], code
	}
	return l, code
}

// A monitor cosigns what it has audited and holds: not while a file is withheld, not after
// wrong bytes until a person resumes it, and through kill -9.
func TestCosign(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the program twenty times; audit/cosign tests the rule")
	}
	w := newWorld(t)
	a := newAuditing(t, w.policy, audittest.Origin)
	a.serve(t)
	policy, err := proofs.ParsePolicy([]byte(a.devices(t, w.log.PolicyText(w.url))))
	w.must(err)
	cosigned := func(size int64) {
		t.Helper()
		runtest.Eventually(t, fmt.Sprintf("size %d is cosigned", size), func() bool { return a.size(t, policy) == size })
	}
	cosigned(2)
	if l, code := a.status(t); code != 0 || l.Size != 2 || l.Stopped() {
		t.Errorf("%d %+v", code, l)
	}

	// The copy has the audited checkpoint, and can be read as the log.
	runtest.Eventually(t, "the copy is audited", func() bool {
		_, b := a.get(t, "/mirror/one/checkpoint")
		_, err := policy.OpenCheckpoint(b)
		return err == nil
	})
	devices := filepath.Join(a.dir, "devices.txt")
	w.must(os.WriteFile(devices, []byte(a.devices(t, w.log.PolicyText(w.url))), 0o644))
	out, _ := w.run(0, "replay", "--log", a.service.URL+"/mirror/one/", "--policy", devices)
	w.wantAll(out, "2 leaves")

	// One file withheld: as long as it is, nothing; then it comes by itself.
	w.log.Spoil("checkpoint", audittest.Missing)
	w.release("app.bin", "two")
	_, file := w.vendor.File(tuf.RoleTargets)
	w.log.Spoil(audittest.BlobPath(file), audittest.Missing)
	w.log.Spoil("checkpoint", nil)
	runtest.Eventually(t, "the file is missed", func() bool { l, _ := a.status(t); return strings.Contains(l.Why, "blob") })
	if l, code := a.status(t); code != 0 || l.Size != 2 || a.size(t, policy) != 2 {
		t.Errorf("%d %+v", code, l)
	}
	w.log.Spoil(audittest.BlobPath(file), nil)
	cosigned(3)

	// kill -9 forgets nothing.
	a.service.End(t, os.Kill)
	w.release("app.bin", "three")
	a.service.Start(t)
	cosigned(4)

	// Wrong bytes: as long as they are served, nothing.
	w.log.Spoil("checkpoint", audittest.Missing)
	w.release("app.bin", "four")
	_, file = w.vendor.File(tuf.RoleTargets)
	w.log.Spoil(audittest.BlobPath(file), audittest.Flip(1, 3))
	w.log.Spoil("checkpoint", nil)
	runtest.Eventually(t, "the wrong file is seen", func() bool {
		l, _ := a.status(t)
		return strings.Contains(l.Why, tuf.Sum(file).String()[:12]) || strings.Contains(l.Why, "not everything could be checked")
	})
	if l, code := a.status(t); code != 0 || l.Size != 4 {
		t.Errorf("%d %+v", code, l)
	}
	w.log.Spoil(audittest.BlobPath(file), nil)
	cosigned(5)

	// A false admission: a latch, which names the finding, until a person resumes it.
	w.must(w.vendor.Release(tuf.RoleTargets))
	_, file = w.vendor.File(tuf.RoleTargets)
	_, snapshot := w.vendor.File(tuf.RoleSnapshot)
	entry := w.log.Judge(w.repo, tuf.RoleTargets, file, snapshot).Leaf
	entry.Version = 99
	w.log.Append(entry.Marshal(), file, snapshot)
	w.log.Publish(2)
	runtest.Eventually(t, "it is stopped", func() bool { _, code := a.status(t); return code == 1 })
	out, _ = w.run(1, "cosign", "status", "--config", a.config)
	l, _ := a.status(t)
	w.wantAll(out, "Cosigning is stopped for 1 log of 1", l.Latched[0].Findings[0][:12], "false-admission", "to accept it: --finding "+l.Latched[0].Accept[0])
	if got := a.size(t, policy); got != 5 {
		t.Errorf("stopped, size %d is cosigned", got)
	}
	resume := func(code int, log, reason string, more ...string) (string, string) {
		return w.run(code, append([]string{"cosign", "resume", "--config", a.config, "--log", log, "--reason", reason}, more...)...)
	}
	_, errs := resume(2, "two", "x")
	w.wantAll(errs, `no log "two"`)
	_, errs = resume(1, "one", "without having looked")
	w.wantAll(errs, "not everything that stops cosigning is accepted", l.Latched[0].Accept[0])
	out, _ = resume(0, "one", "known, and published", "--finding", l.Latched[0].Accept[0])
	w.wantAll(out, "one is cosigned again", "false-admission")
	cosigned(6)
	resume(1, "one", "again")
	_, public := a.get(t, cosign.Prefix+"/")
	w.wantAll(string(public), "known, and published", "auditor.example")
	resp, err := http.Post(a.service.URL+cosign.Prefix+"/add-checkpoint", "text/plain", strings.NewReader("old 0\n\n"))
	w.must(err)
	w.must(resp.Body.Close())
	if resp.StatusCode != http.StatusForbidden || resp.Header.Get(cosign.Header) != "auditor.example" {
		t.Errorf("add-checkpoint: %v %v", resp.Status, resp.Header)
	}
	_, errs = w.run(2, "cosign", "init", "--config", a.config)
	w.wantAll(errs, "exists already")

	// After a lost disk the old keys are not those of an empty state.
	a.service.Stop(t)
	w.must(os.RemoveAll(filepath.Join(a.dir, "d")))
	_, errs = w.run(2, "cosign", "init", "--config", a.config)
	w.wantAll(errs, "ed25519.key: there is a key already", "--unused-keys")
	_, errs = w.run(0, "cosign", "init", "--config", a.config, "--unused-keys")
	w.wantAll(errs, "the ledger is beside the state")
	_, errs = w.run(0, "cosign", "key", "--config", a.config)
	w.wantAll(errs, "the configuration has no url")
}

// A log with three witnesses, a monitor that audits it, and devices that need both: the
// audited checkpoint comes to the log, which refuses to wait for it before it publishes.
func TestCosignForLog(t *testing.T) {
	if testing.Short() {
		t.Skip("a log, three witnesses and a monitor")
	}
	w := runtest.NewWorld(t, "--open-registration")
	text, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	own := strings.Replace(string(text), "\nwitness", " "+w.Log.URL+"\nwitness", 1)
	w.Write(t, "auditor.policy", own)
	a := newAuditing(t, w.Path("auditor.policy"), "test.example/log")
	a.serve(t)
	devices := a.devices(t, string(text))
	w.Write(t, "devices", devices)
	policy, err := proofs.ParsePolicy([]byte(devices))
	if err != nil {
		t.Fatal(err)
	}
	// Neither the log nor the auditor takes a policy for its own that waits for the auditor.
	waiting := filepath.Join(a.dir, "waiting.toml")
	config, err := os.ReadFile(a.config)
	if err != nil {
		t.Fatal(err)
	}
	config = []byte(strings.ReplaceAll(string(config), "auditor.policy'", "devices'\nurl = '"+w.Log.URL+"'"))
	if err := os.WriteFile(waiting, config, 0o644); err != nil {
		t.Fatal(err)
	}
	a.service.Stop(t)
	if _, errs, code := runtest.Run(t, "auditor", "monitor", "run", "--config", waiting); code != 2 || !strings.Contains(errs, "cannot be met without this auditor") {
		t.Errorf("exit %d: %s", code, errs)
	}
	a.service.Start(t)
	for _, list := range [][]string{{"devices"}, {"policy", "policy"}} {
		args := []string{"serve", "--dir", w.Path("log"), "--listen", "127.0.0.1:0", "--policy", w.Path(list[0])}
		if len(list) > 1 {
			args = append(args, "--audited-policy", w.Path(list[1]))
		}
		if _, errs, code := runtest.Run(t, "logserver", args...); code != 2 || !strings.Contains(errs, "audit") {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	w.Log.Stop(t)
	w.Log.Args = append(w.Log.Args, "--audited-policy", w.Path("devices"))
	w.Log.Start(t)
	vendor := vendorFolder(t)
	runtest.Must(t, "publisher", "submit", "--log", w.Log.URL, "--policy", w.Path("policy"), vendor)
	runtest.Eventually(t, "the log has the audited checkpoint", func() bool {
		resp, err := http.Get(w.Log.URL + "/checkpoint/audited")
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err = firstOf(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK {
			return false
		}
		cp, err := policy.OpenCheckpoint(b)
		if err != nil {
			t.Fatal(err)
		}
		return cp.Tree.N >= 2
	})
	// A replay by the policy of devices reads what an auditor has cosigned, and says so.
	out, errs, code := runtest.Run(t, "auditor", "replay", "--policy", w.Path("devices"), "--log", w.Log.URL)
	if code != 0 || !strings.Contains(errs, w.Log.URL+"/checkpoint/audited, and not what it has published since") || !strings.Contains(out, "auditor.example") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if _, errs, code = runtest.Run(t, "auditor", "replay", "--policy", w.Path("auditor.policy")); code != 0 || strings.Contains(errs, "audited") {
		t.Errorf("exit %d: %s", code, errs)
	}
	// The plain proofs are not enough for these devices.
	if out, errs, code := runtest.Run(t, "updater", "verify", "--policy", w.Path("devices"), vendor); code != 1 {
		t.Errorf("verified with proofs that are not audited: exit %d: %s%s", code, out, errs)
	}
}

// vendorFolder returns a folder with a vendor's metadata.
func vendorFolder(t *testing.T) string {
	t.Helper()
	v, err := testvendor.New(time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, b := range v.Files() {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
