package publish

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// Under a policy that needs an auditor a release is submitted at once, and its proofs are
// replaced when the auditor has cosigned.
func TestAuditedProofs(t *testing.T) {
	l := newFake(t, "snapshot", "timestamp")
	var err error
	if l.auditor, err = proofs.GenerateSigner(rand.Reader, "auditor.example", proofs.CosignatureV1); err != nil {
		t.Fatal(err)
	}
	plain := l.policy
	if l.policy, err = proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nwitness a %v\ngroup auditors any a\nquorum auditors\n", l.signer.Key(), l.auditor.Key())); err != nil {
		t.Fatal(err)
	}
	dir := release(t, rotated())
	report := mustSubmit(t, l.config(), dir)
	notes := strings.Join(report.Notes, "\n")
	unaudited := 0
	for _, v := range report.Files {
		if v.Unaudited {
			unaudited++
		}
	}
	if unaudited == 0 || !strings.Contains(notes, fmt.Sprintf("%d of the proofs will do for devices under this policy once its auditors", unaudited)) || !strings.Contains(notes, "publisher refresh --wait") {
		t.Fatalf("%d unaudited: %q", unaudited, notes)
	}
	again := mustSubmit(t, l.config(), dir) // keeps what is there, and says it again
	if strings.Join(again.Notes, "\n") != notes {
		t.Errorf("again: %q", again.Notes)
	}
	sidecars := func() map[string]string {
		found := map[string]string{}
		paths, err := filepath.Glob(filepath.Join(dir, "*"+verify.SidecarSuffix))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			found[filepath.Base(path)] = mustRead(t, path)
		}
		return found
	}
	first := sidecars()
	refresh := func(cfg Config) ([]Refreshed, error) {
		t.Helper()
		set, err := ReadFiles([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		return Refresh(t.Context(), cfg, set)
	}
	var waits *UnauditedError
	if list, err := refresh(l.config()); !errors.As(err, &waits) || waits.Proofs != unaudited || !strings.Contains(err.Error(), "the log says: the first 0 entries are") || len(list) != 0 {
		t.Errorf("before the auditor: %+v, %v", list, err)
	}
	if now := sidecars(); fmt.Sprint(now) != fmt.Sprint(first) {
		t.Error("a proof was changed for nothing")
	}
	// It comes to the middle of the log, and while Refresh waits to its end.
	l.audited = 2
	cfg := l.config()
	told := 0
	cfg.Wait = time.Minute
	cfg.Waiting = func(left int, why string) {
		told++
		if left != unaudited-2 || !strings.Contains(why, "the first 2 entries are") {
			t.Errorf("%d left, %s", left, why)
		}
		l.audited = int64(len(l.leaves))
	}
	list, err := refresh(cfg)
	if err != nil || told != 1 {
		t.Fatalf("told %d times: %v", told, err)
	}
	replaced, newest := 0, 0
	for _, r := range list {
		if r.First {
			replaced++
		} else {
			newest++
		}
		if !r.Written {
			t.Errorf("%+v", r)
		}
	}
	if replaced != unaudited || newest != 5 {
		t.Errorf("%d replaced, %d refreshed: %+v", replaced, newest, list)
	}
	for name, sidecar := range sidecars() {
		proof, err := proofs.ParseProof([]byte(sidecar))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := proof.Verify(l.policy, proof.Extra); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	var b strings.Builder
	if err := WriteRefreshed(&b, list); err != nil || !strings.HasPrefix(b.String(), "5 of 5 proofs refreshed, the others are as new as the log's\n"+fmt.Sprintf("%d first proofs replaced", replaced)) || !strings.Contains(b.String(), "\n3.targets.json.tlog-proof ") {
		t.Errorf("%v\n%s", err, b.String())
	}
	// Once more: nothing to do, also without the auditor.
	after := sidecars()
	l.audited = 0
	if list, err = refresh(l.config()); err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.Written || r.First {
			t.Errorf("again: %+v", r)
		}
	}
	if fmt.Sprint(sidecars()) != fmt.Sprint(after) {
		t.Error("a proof was changed again")
	}
	if report := mustSubmit(t, l.config(), dir); len(report.Notes) != 0 {
		t.Errorf("when all is audited: %q", report.Notes)
	}

	// What the log's auditors have cosigned is not enough for this policy.
	l.audited = int64(len(l.leaves))
	other, err := proofs.GenerateSigner(rand.Reader, "other.example", proofs.CosignatureV1)
	if err != nil {
		t.Fatal(err)
	}
	cfg = l.config()
	if cfg.Policy, err = proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nwitness a %v\ngroup auditors any a\nquorum auditors\n", l.signer.Key(), other.Key())); err != nil {
		t.Fatal(err)
	}
	if _, err := refresh(cfg); !errors.As(err, &waits) || !strings.Contains(err.Error(), "what the log has from its auditors is not enough") {
		t.Errorf("another auditor: %v", err)
	}
	// A witness is no auditor.
	cfg.Policy, err = proofs.ParsePolicy(fmt.Appendf(nil, "log %v\nwitness a %v\nquorum a\n", l.signer.Key(), other.Key()))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "1.root.json"+verify.SidecarSuffix)); err != nil {
		t.Fatal(err)
	}
	set, err := ReadFiles([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	var unproved *ProofError
	if _, err := Submit(t.Context(), cfg, set); !errors.As(err, &unproved) {
		t.Errorf("too few witnesses: %v", err)
	}
	if _, err := Submit(t.Context(), Config{Log: l, Policy: plain}, set); err != nil {
		t.Error(err)
	}
}
