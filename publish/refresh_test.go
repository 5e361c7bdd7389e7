package publish

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

func TestRefresh(t *testing.T) {
	l := newFake(t, "snapshot", "timestamp")
	dir := release(t, rotated())
	refresh := func(cfg Config) ([]Refreshed, error) {
		t.Helper()
		set, err := ReadFiles([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		return Refresh(t.Context(), cfg, set)
	}
	if _, err := refresh(l.config()); !errors.Is(err, ErrNoProofs) {
		t.Errorf("without proofs: %v", err)
	}
	mustSubmit(t, l.config(), dir)
	// One that is broken keeps no other from being refreshed.
	broken := filepath.Join(dir, "3.root.json.tlog-proof")
	whole := mustRead(t, broken)
	for _, content := range []string{"junk", mustRead(t, filepath.Join(dir, "3.targets.json.tlog-proof"))} {
		if err := os.WriteFile(broken, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := refresh(l.config())
		if err == nil || !strings.Contains(err.Error(), "3.root.json.tlog-proof: ") || len(list) != 4 {
			t.Errorf("beside a broken proof: %+v, %v", list, err)
		}
	}
	for _, role := range []string{"3.targets", "3.role1", "1.role2", "2.deep"} {
		if err := os.Remove(filepath.Join(dir, role+".json.latest.tlog-proof")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(broken, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	first := mustRead(t, filepath.Join(dir, "3.targets.json.tlog-proof"))
	if _, err := l.Register(t.Context(), rootFile(1, "r5", "k5", "r5")); err != nil {
		t.Fatal(err)
	}
	list, err := refresh(l.config())
	if err != nil {
		t.Fatal(err)
	}
	// Of each role the highest version, also of those that were withdrawn.
	want := map[string]bool{"3.root.json": true, "3.targets.json": true, "3.role1.json": true, "1.role2.json": true, "2.deep.json": true}
	for _, r := range list {
		name := filepath.Base(r.File)
		if !want[name] || !r.Written || r.Size != int64(len(l.leaves)) {
			t.Errorf("%+v", r)
		}
		delete(want, name)
	}
	if len(want) != 0 {
		t.Errorf("not refreshed: %v", want)
	}
	m, err := tuf.ParseJSON([]byte(mustRead(t, filepath.Join(dir, "3.targets.json"))))
	if err != nil {
		t.Fatal(err)
	}
	claim := verify.ClaimFor(l.repos[0].ID(), "targets", m)
	latest, err := verify.CheckSidecar([]byte(mustRead(t, filepath.Join(dir, "3.targets.json.latest.tlog-proof"))), claim, l.policy)
	if err != nil || latest.Checkpoint.Tree.N != int64(len(l.leaves)) {
		t.Errorf("%+v, %v", latest, err)
	}
	if mustRead(t, filepath.Join(dir, "3.targets.json.tlog-proof")) != first {
		t.Error("the first proof was changed")
	}

	// Nothing newer, nothing written; what is broken is written anew.
	write(t, filepath.Join(dir, "3.role1.json.latest.tlog-proof"), []byte("broken"))
	if list, err = refresh(l.config()); err != nil {
		t.Fatal(err)
	}
	for _, r := range list {
		if r.Written != (r.Role == "role1") {
			t.Errorf("again: %+v", r)
		}
	}
	var b strings.Builder
	if err := WriteRefreshed(&b, list); err != nil || !strings.HasPrefix(b.String(), "1 of 5 proofs refreshed") || !strings.Contains(b.String(), "\n3.targets.json.latest.tlog-proof ") {
		t.Errorf("%v\n%s", err, b.String())
	}

	// A log that proves another entry is not believed, and another log's proofs stay.
	cfg := l.config()
	cfg.Log = otherEntry{l}
	var unproved *ProofError
	if _, err := refresh(cfg); !errors.As(err, &unproved) {
		t.Errorf("another entry's proof: %v", err)
	}
	var replaces *ReplaceError
	if _, err := refresh(newFake(t).config()); !errors.As(err, &replaces) {
		t.Errorf("another log: %v", err)
	}
	cfg = l.config()
	cfg.Repository = tuf.Sum([]byte("another"))
	var refusal *verify.Refusal
	if _, err := refresh(cfg); !errors.As(err, &refusal) || refusal.Code != verify.CodeWrongRepository {
		t.Errorf("another repository: %v", err)
	}
	// A file that was changed after its proof was written.
	if err := os.Rename(filepath.Join(dir, "1.role2.json.tlog-proof"), filepath.Join(dir, "2.deep.json.tlog-proof")); err != nil {
		t.Fatal(err)
	}
	if _, err := refresh(l.config()); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "2.deep.json.tlog-proof") {
		t.Errorf("another file's proof: %v", err)
	}
}

// otherEntry is a log that proves something else.
type otherEntry struct{ *fakeLog }

func (l otherEntry) EntryProof(ctx context.Context, index int64) ([]byte, error) {
	return l.fakeLog.EntryProof(ctx, (index+1)%int64(len(l.leaves)))
}

// Where a policy lists two logs, and both have a release, the proofs beside it are of one
// of them: devices refuse two that are not.
func TestProofsBesideAFileAreOfOneEntry(t *testing.T) {
	a, b := newFakeAs(t, "fake.example/a"), newFakeAs(t, "fake.example/b")
	both, err := proofs.ParsePolicy([]byte("log " + a.signer.Key().String() + "\nlog " + b.signer.Key().String() + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	root := filepath.Join(dir, "1.root.json")
	first, latest := root+verify.SidecarSuffix, root+verify.LatestSuffix
	write(t, root, rootFile(1, "r1", "k1", "r1"))
	refresh := func(l *fakeLog) ([]Refreshed, error) {
		t.Helper()
		set, err := ReadFiles([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		return Refresh(t.Context(), Config{Log: l, Policy: both}, set)
	}
	mustSubmit(t, a.config(), dir)
	if _, err := b.Register(t.Context(), rootFile(1, "r1", "k1", "r1")); err != nil {
		t.Fatal(err)
	}
	for _, k := range []key{"r2", "r3", "r4"} { // b is the longer log
		if _, err := b.Register(t.Context(), rootFile(1, k, "k5", k)); err != nil {
			t.Fatal(err)
		}
	}

	// The other log has it as the same entry.
	var unproved *ProofError
	if _, err := refresh(b); !errors.As(err, &unproved) || !strings.Contains(err.Error(), "fake.example/b") {
		t.Errorf("a newer proof of another log: %v", err)
	}
	if _, err := os.Stat(latest); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was written: %v", err)
	}
	// Where one lies nevertheless, it is replaced, though its log is longer.
	write(t, latest, []byte(b.sidecar(0)))
	list, err := refresh(a)
	if err != nil || len(list) != 1 || !list[0].Written || mustRead(t, latest) != a.sidecar(0) {
		t.Errorf("%+v, %v", list, err)
	}

	// A first proof that is replaced takes the newer one with it.
	cfg := b.config()
	cfg.Replace = true
	mustSubmit(t, cfg, dir)
	if mustRead(t, first) != b.sidecar(0) {
		t.Error("the first proof was not replaced")
	}
	if _, err := os.Stat(latest); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the newer proof of the log before stays: %v", err)
	}
	// One that belongs to the first stays.
	write(t, latest, []byte(b.sidecar(0)))
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	mustSubmit(t, b.config(), dir)
	if mustRead(t, latest) != b.sidecar(0) {
		t.Error("a newer proof of the same entry was changed")
	}
}
