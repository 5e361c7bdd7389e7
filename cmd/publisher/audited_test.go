package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/publish"
	"github.com/tuflog/tuflog/verify"
)

// A vendor whose devices need an auditor submits at once, and waits for the auditor then.
func TestRefreshWaitsForAuditors(t *testing.T) {
	if testing.Short() {
		t.Skip("a log that is started twice, three witnesses, and waiting; package publish tests the parts")
	}
	w := newWorld(t)
	auditor := runtest.NewAuditor(t, "test.example/log")
	text, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "devices", auditor.Devices(string(text)))
	w.Log.Stop(t)
	w.Log.Args = append(w.Log.Args, "--audited-policy", w.Path("devices"))
	w.Log.Start(t)
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(v.Put("targets", "a", []byte("a")), v.Release("targets")); err != nil {
		t.Fatal(err)
	}
	dir := w.Path("metadata")
	writeAll(t, v, dir)
	args := func(command string, more ...string) []string {
		return append([]string{command, "--log", w.Log.URL, "--policy", w.Path("devices")}, more...)
	}
	out, stderr, code := runtest.Run(t, "publisher", args("submit", "--token-file", w.Path("log/registration.token"), "--token-out", w.Path("vendor.token"), dir)...)
	if code != 0 || !strings.Contains(stderr, "note: 3 of the proofs will do for devices under this policy once its auditors") {
		t.Fatalf("submit: exit %d\n%s%s", code, out, stderr)
	}
	sidecar := filepath.Join(dir, "2.targets.json"+verify.SidecarSuffix)
	met := func() error {
		b, err := os.ReadFile(sidecar)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := proofs.ParseProof(b)
		if err != nil {
			t.Fatal(err)
		}
		policy, err := proofs.ParsePolicy([]byte(auditor.Devices(string(text))))
		if err != nil {
			t.Fatal(err)
		}
		_, err = proof.Verify(policy, proof.Extra)
		return err
	}
	var short *proofs.QuorumError
	if err := met(); !errors.As(err, &short) || len(short.Auditors) != 1 {
		t.Errorf("before the auditor: %v", err)
	}
	if _, stderr, code := runtest.Run(t, "publisher", args("refresh", dir)...); code != 1 || !strings.Contains(stderr, "3 proofs are not cosigned by the policy's auditors yet") || !strings.Contains(stderr, "--wait") {
		t.Errorf("refresh, not waiting: exit %d %s", code, stderr)
	}
	if _, stderr, code := runtest.Run(t, "publisher", args("refresh", "--wait=100ms", dir)...); code != 1 || !strings.Contains(stderr, "waiting for auditors: 3 proofs left; the log says: ") || !strings.Contains(stderr, "run this again") {
		t.Errorf("refresh, waiting in vain: exit %d %s", code, stderr)
	}
	auditor.Cosign(t, w.Log.URL)
	var list []publish.Refreshed
	out, stderr, code = runtest.Run(t, "publisher", args("refresh", "--wait", "--json", dir)...)
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 || len(list) != 5 {
		t.Fatalf("refresh --wait: exit %d, %v\n%s%s", code, err, out, stderr)
	}
	if err := met(); err != nil {
		t.Error(err)
	}
	out, _, code = runtest.Run(t, "publisher", args("refresh", "--wait", dir)...)
	if code != 0 || !strings.HasPrefix(out, "0 of 2 proofs refreshed") {
		t.Errorf("again: exit %d %s", code, out)
	}
	// Without the group nobody can know that it is an auditor, and the advice says so.
	w.Write(t, "unnamed", strings.ReplaceAll(auditor.Devices(string(text)), " auditors", " others"))
	if err := os.Remove(sidecar); err != nil {
		t.Fatal(err)
	}
	v2 := []string{"submit", "--log", w.Log.URL, "--policy", w.Path("unnamed"), "--token-file", w.Path("vendor.token"), dir}
	if _, stderr, code := runtest.Run(t, "publisher", v2...); code != 1 || !strings.Contains(stderr, `put it into a group "auditors"`) {
		t.Errorf("an auditor that is not called one: exit %d %s", code, stderr)
	}
}
