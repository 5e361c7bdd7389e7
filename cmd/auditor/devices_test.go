package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/cosign"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// deviceWorld is a log with three witnesses, a monitor that audits it through a proxy that can
// withhold a file from it, a vendor, and devices that need two of the witnesses and the auditor.
type deviceWorld struct {
	*runtest.World
	t        *testing.T
	auditor  *runtest.Service
	withheld atomic.Pointer[string] // the path of a file
	vendor   *testvendor.Vendor
}

// A device whose policy is two of three witnesses and the auditor accepts a release only after
// the auditor has cosigned, and never one of which the log keeps a file from the auditor.
func TestDevicesNeedTheAuditor(t *testing.T) {
	if testing.Short() {
		t.Skip("a log, three witnesses, a monitor, and some twenty runs of publisher and updater")
	}
	w := &deviceWorld{World: runtest.NewWorld(t, "--open-registration"), t: t}
	w.begin()
	var err error
	if w.vendor, err = testvendor.New(time.Now().AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	w.release("one")

	// The auditor does not run: the release is in the log at once, and no device takes it.
	w.submit("the proofs will do for devices under this policy once its auditors")
	w.verify("policy", 0)
	w.verify("devices", 1, "quorum-short", "the cosignature of an auditor is missing")
	w.refresh("--wait=100ms", 1, "not cosigned by the policy's auditors yet")
	w.verify("devices", 1, "quorum-short")

	w.auditor.Start(t)
	w.refresh("--wait", 0)
	w.verify("devices", 0)
	w.verify("policy", 0)

	// The log withholds one file of the next release from the auditor.
	before := w.auditedSize()
	sum := sha256.Sum256(w.release("two"))
	path := "/blob/sha256/" + hex.EncodeToString(sum[:])
	w.withheld.Store(&path)
	w.submit("the proofs will do for devices under this policy once its auditors")
	runtest.Eventually(t, "the auditor misses the file", func() bool {
		resp, err := http.Get(w.auditor.URL + cosign.Prefix + "/")
		if err != nil {
			t.Fatal(err)
		}
		status, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		var said cosign.Status
		if err := json.Unmarshal(status, &said); err != nil {
			t.Fatalf("%v: %s", err, status)
		}
		return len(said.Logs) == 1 && strings.Contains(said.Logs[0].Why, "not everything could be checked")
	})
	w.refresh("--wait=3s", 1, "waiting for auditors")
	w.verify("policy", 0)
	w.verify("devices", 1, "quorum-short", "the cosignature of an auditor is missing")
	if got := w.auditedSize(); got != before {
		t.Errorf("the log has an audited checkpoint of size %d, before the file was withheld %d", got, before)
	}
	w.Log.End(t, os.Kill) // the log cannot make up for it
	w.Log.Start(t)
	w.refresh("--wait=1s", 1, "waiting for auditors")
	w.verify("devices", 1, "quorum-short")

	// Then it does not.
	w.withheld.Store(nil)
	w.refresh("--wait", 0)
	w.verify("devices", 0)
}

// begin lets the monitor audit the log, ends it when it is known where it listens, and gives the
// log the policy of the devices.
func (w *deviceWorld) begin() {
	text, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		w.t.Fatal(err)
	}
	target, err := url.Parse(w.Log.URL)
	if err != nil {
		w.t.Fatal(err)
	}
	through := httputil.NewSingleHostReverseProxy(target)
	proxy := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if path := w.withheld.Load(); path != nil && (r.URL.Path == *path || strings.HasPrefix(r.URL.Path, "/tile/files/")) {
			http.NotFound(rw, r)
			return
		}
		through.ServeHTTP(rw, r)
	}))
	w.t.Cleanup(proxy.Close)
	w.Write(w.t, "auditor.policy", strings.Replace(string(text), "\nwitness", " "+proxy.URL+"\nwitness", 1))
	w.Write(w.t, "monitor.toml", `dir = "d"
[[log]]
name = "one"
policy = "auditor.policy"
interval = "100ms"
mirror = true
[cosign]
name = "auditor.example"
keys = ["ed25519.key", "mldsa.key"]
`)
	keys, err := cosign.Create(w.Path("d/cosign"), cosign.Config{Name: "auditor.example", Keys: []string{w.Path("ed25519.key"), w.Path("mldsa.key")}}, false)
	if err != nil {
		w.t.Fatal(err)
	}
	w.auditor = runtest.Serve(w.t, "auditor", "monitor", "run", "--config", w.Path("monitor.toml"))
	rest, quorum, _ := strings.Cut(string(text), "quorum ")
	w.Write(w.t, "devices", fmt.Sprintf("%s%sgroup devices all %s auditors\nquorum devices\n", rest, cosign.PolicyText(keys, w.auditor.URL+cosign.Prefix), strings.TrimSpace(quorum)))
	w.auditor.Stop(w.t)
	w.Log.Stop(w.t)
	w.Log.Args = append(w.Log.Args, "--audited-policy", w.Path("devices"))
	w.Log.Start(w.t)
}

// release releases a target, writes all files, and returns that of the targets role.
func (w *deviceWorld) release(content string) []byte {
	w.t.Helper()
	err := errors.Join(w.vendor.Put(tuf.RoleTargets, "app", []byte(content)), w.vendor.Release(tuf.RoleTargets), os.MkdirAll(w.Path("metadata"), 0o755))
	for name, b := range w.vendor.Files() {
		err = errors.Join(err, os.WriteFile(filepath.Join(w.Path("metadata"), name), b, 0o644))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	_, file := w.vendor.File(tuf.RoleTargets)
	return file
}

func (w *deviceWorld) wants(code int, words []string, name string, args ...string) {
	w.t.Helper()
	out, errs, got := runtest.Run(w.t, name, args...)
	for _, word := range words {
		if !strings.Contains(out+errs, word) {
			w.t.Errorf("%q is missing", word)
			code = -1
		}
	}
	if got != code {
		w.t.Fatalf("%s %s: exit %d, want %d\n%s%s", name, strings.Join(args, " "), got, code, out, errs)
	}
}

func (w *deviceWorld) submit(words ...string) {
	w.t.Helper()
	w.wants(0, words, "publisher", "submit", "--log", w.Log.URL, "--policy", w.Path("devices"), w.Path("metadata"))
}

func (w *deviceWorld) refresh(wait string, code int, words ...string) {
	w.t.Helper()
	w.wants(code, words, "publisher", "refresh", "--log", w.Log.URL, "--policy", w.Path("devices"), wait, w.Path("metadata"))
}

// verify verifies the vendor's files, as a device under a policy does.
func (w *deviceWorld) verify(policy string, code int, words ...string) {
	w.t.Helper()
	w.wants(code, words, "updater", "verify", "--policy", w.Path(policy), w.Path("metadata"))
}

// auditedSize returns the size of the audited checkpoint that the log serves.
func (w *deviceWorld) auditedSize() int64 {
	w.t.Helper()
	note, err := (&api.Client{Base: w.Log.URL}).AuditedCheckpoint(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := os.ReadFile(w.Path("devices"))
	if err != nil {
		w.t.Fatal(err)
	}
	policy, err := proofs.ParsePolicy(text)
	if err != nil {
		w.t.Fatal(err)
	}
	cp, err := policy.OpenCheckpoint(note)
	if err != nil {
		w.t.Fatal(err)
	}
	return cp.Tree.N
}
