package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/proofs"
)

// A log that asks an auditor serves what it has cosigned beside what is published, keeps it,
// and cannot be told to wait for the auditor before it publishes.
func TestAuditedPolicy(t *testing.T) {
	if testing.Short() {
		t.Skip("a log, three witnesses and four starts; log/audited and log/leader test the parts")
	}
	w := newWorld(t, "--open-registration")
	auditor := runtest.NewAuditor(t, "test.example/log")
	text, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	devices := auditor.Devices(string(text))
	w.Write(t, "devices", devices)
	policy, err := proofs.ParsePolicy([]byte(devices))
	if err != nil {
		t.Fatal(err)
	}

	// Refused, with the audited policy or by asking the auditor.
	refused := func(code int, words string, args ...string) {
		t.Helper()
		_, stderr, got := runtest.Run(t, "logserver", append([]string{"serve", "--dir", w.Path("log"), "--listen", "127.0.0.1:0"}, args...)...)
		if got != code || !strings.Contains(stderr, words) {
			t.Errorf("serve %v: exit %d, want %d with %q:\n%s", args, got, code, words, stderr)
		}
	}
	refused(2, "--policy: the policy cannot be met without auditor, which audits", "--policy", w.Path("devices"))
	w.Write(t, "unnamed", strings.ReplaceAll(devices, "auditors", "others"))
	refused(2, "--policy: the policy cannot be met without auditor, which audits", "--policy", w.Path("unnamed"))
	if _, stderr, code := runtest.Run(t, "logserver", "freeze", "--dir", w.Path("log"), "--policy", w.Path("unnamed"), "--i-know"); code != 2 || !strings.Contains(stderr, "which audits") {
		t.Errorf("freeze: exit %d %s", code, stderr)
	}
	refused(2, "the policy cannot be met without auditor, which audits", "--policy", w.Path("devices"), "--audited-policy", w.Path("devices"))
	refused(2, "--audited-policy: the audited policy has no auditors", "--policy", w.Path("policy"), "--audited-policy", w.Path("policy"))

	w.Log.Stop(t)
	w.Log.Args = append(w.Log.Args, "--audited-policy", w.Path("devices"), "--metrics-listen", "127.0.0.1:0")
	w.Log.Start(t)
	v := newVendor(t)
	id := w.register(t, v)
	if code, body := w.get(t, "/checkpoint/audited"); code != 404 || !strings.Contains(body, "not-audited") {
		t.Errorf("before the auditor has cosigned: %d %s", code, body)
	}
	if st := w.statusOf(t, 0); st.Published.Size != 1 {
		t.Errorf("published %+v", st.Published)
	}
	auditor.Cosign(t, w.Log.URL)
	audited := func(size int64) {
		t.Helper()
		runtest.Eventually(t, "the audited checkpoint is served", func() bool {
			code, body := w.get(t, "/checkpoint/audited")
			if code != 200 {
				return false
			}
			sc, err := policy.OpenCheckpoint([]byte(body))
			if err != nil {
				t.Fatal(err)
			}
			return sc.Tree.N == size
		})
	}
	audited(1)
	if res, err := w.client.Submit(t.Context(), id, release(t, v, "one")); err != nil || res.Results[0].Index != 1 {
		t.Fatalf("submit, with the auditor behind: %+v, %v", res, err)
	}
	if code, body := w.get(t, "/v1/entries/1/proof?audited"); code != 404 || !strings.Contains(body, "not-audited") {
		t.Errorf("the proof of what is not audited: %d %s", code, body)
	}
	if _, err := w.client.AuditedProof(t.Context(), 0); err != nil {
		t.Error(err)
	}
	runtest.Eventually(t, "status says that the auditor is behind", func() bool {
		st := w.statusOf(t, 0)
		return st.Audited != nil && st.Audited.Size == 1 && len(st.Audited.Auditors) == 1 && st.Audited.Auditors[0].Behind == 1
	})
	stdout, _, _ := runtest.Run(t, "logserver", "status", "--dir", w.Path("log"))
	for _, want := range []string{"\naudited    size 1, root ", "\nauditor    auditor: size 1, cosigned ", ", 1 entries behind\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("status lacks %q:\n%s", want, stdout)
		}
	}
	w.wantMetrics(t, "tuflog_log_audited_entries 1", `tuflog_log_auditor_size{auditor="auditor"} 1`, `tuflog_log_auditor_up{auditor="auditor"} 1`, `tuflog_log_auditor_contradicts{auditor="auditor"} 0`)

	// A policy that would wait for the auditor is not taken over while the log is served.
	w.Write(t, "policy", devices)
	w.Log.Signal(t, syscall.SIGHUP)
	runtest.Eventually(t, "the policy is refused", func() bool {
		return strings.Contains(w.Log.Said(), "cannot be met without auditor") && strings.Contains(w.Log.Said(), "msg=reloaded ")
	})
	w.Write(t, "policy", string(text))

	// What is audited outlives the process, and the auditor.
	auditor.Cosign(t, w.Log.URL)
	audited(2)
	auditor.Away()
	w.Log.End(t, os.Kill)
	w.Log.Start(t)
	audited(2)
	if _, err := w.client.AuditedProof(t.Context(), 1); err != nil {
		t.Error(err)
	}
	w.Log.Stop(t)
	// An outage does not keep a log from starting, whose policy nobody can tell apart then.
	w.Log.Args = w.Log.Args[:len(w.Log.Args)-4]
	w.Write(t, "policy", strings.ReplaceAll(devices, "auditors", "others"))
	w.Log.Start(t)
	if st := w.statusOf(t, 1); st.Audited != nil || !strings.Contains(st.Unready, "auditor") {
		t.Errorf("%+v", st)
	}
}
