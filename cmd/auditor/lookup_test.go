package main

import (
	"crypto/sha512"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/lookup"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// nobody is where no log answers.
const nobody = "http://127.0.0.1:1"

func TestLookup(t *testing.T) {
	w := newWorld(t)
	w.release("app.bin", "two")
	file := filepath.Join(t.TempDir(), "downloaded")
	w.must(os.WriteFile(file, []byte("one"), 0o644))
	proofsDir := filepath.Join(t.TempDir(), "proofs")
	out, _ := w.run(0, "lookup", file, "--policy", w.policy, "--proofs", proofsDir)
	w.firstLine(out, fmt.Sprintf("YES      %s is listed by release targets 2 of repository %v (entry 1), not the current release of its role, cosigned by w1, w2", file, w.repo))
	w.wantAll(out, "length      3", "1      release  "+w.repo.Short()+"  targets  2        no       yes     app.bin")
	sidecar, err := os.ReadFile(filepath.Join(proofsDir, "1.tlog-proof"))
	w.must(err)
	name := "2.targets.json"
	m := audittest.Parse(t, w.vendor.Files()[name])
	if _, err := verify.CheckSidecar(sidecar, verify.ClaimFor(w.repo, tuf.RoleTargets, m), w.log.Policy()); err != nil {
		t.Error(err)
	}

	out, _ = w.run(0, "lookup", tuf.Sum([]byte("two")).String(), "--policy", w.policy)
	w.wantAll(out, "2      release  "+w.repo.Short()+"  targets  3        yes      yes     app.bin")
	out, _ = w.run(0, "lookup", tuf.Sum([]byte("two")).String(), "--policy", w.policy, "--json")
	var answer struct {
		lookup.Lookup
		Checkpoint audit.CheckpointReport `json:"checkpoint"`
	}
	w.must(json.Unmarshal([]byte(out), &answer))
	if len(answer.Answers) != 1 || answer.Answers[0].Proof == "" || answer.Checkpoint.Size != 3 {
		t.Errorf("answer %+v", answer)
	}

	// While the log is away, the state proves what it knows.
	state, kept := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "proofs")
	w.run(0, "replay", "--policy", w.policy, "--state", state)
	out, errs := w.run(2, "lookup", file, "--policy", w.policy, "--state", state, "--proofs", kept, "--log", nobody)
	w.wantAll(out, "WARNING  ", "is listed by release targets 2", "cosigned by w1, w2", "the log could not be read: this is what the state has, up to size 3", "1      release  "+w.repo.Short()+"  targets  2        no       yes     app.bin")
	w.wantAll(errs, "the checkpoint cannot be read")
	if again, err := os.ReadFile(filepath.Join(kept, "1.tlog-proof")); err != nil {
		t.Errorf("%s, %v", again, err)
	} else if _, err := verify.CheckSidecar(again, verify.ClaimFor(w.repo, tuf.RoleTargets, m), w.log.Policy()); err != nil {
		t.Error(err)
	}

	sum512 := sha512.Sum512([]byte("two"))
	for _, hash := range []string{
		strings.ToUpper(tuf.Sum([]byte("two")).String()), "sha256:" + tuf.Sum([]byte("two")).String(),
		fmt.Sprintf("%x", sum512), fmt.Sprintf("SHA512:%X", sum512),
	} {
		out, _ = w.run(0, "lookup", hash, "--policy", w.policy)
		w.wantAll(out, "YES  ", "release targets 3 of repository", "(entry 2), the current one", "any repository of this log counted, and anybody who may register can release any file: name your vendor's with --repository")
	}

	out, errs = w.run(1, "lookup", tuf.Sum([]byte("three")).String(), "--policy", w.policy)
	w.firstLine(out, fmt.Sprintf("NO       no release in the log lists %s, up to the checkpoint of size 3, cosigned at %s", tuf.Sum([]byte("three")), audit.When(w.log.Time+2)))
	w.wantAll(out, "not listed by any of the 3 leaves")
	if errs != "" {
		t.Errorf("stderr: %s", errs)
	}
	for _, wrong := range []string{"no-such-file", strings.Repeat("0", 63), strings.Repeat("0", 40)} {
		_, errs = w.run(2, "lookup", wrong, "--policy", w.policy)
		w.wantAll(errs, "neither a file nor a hash")
	}
	_, errs = w.run(2, "lookup", file, "--policy", w.policy, "--repository", w.repo.String()[:8])
	w.wantAll(errs, "want a repository's id, 64 hex digits")
}

// firstLine compares what a command says first.
func (w *world) firstLine(out, want string) {
	w.t.Helper()
	if line, _, _ := strings.Cut(out, "\n"); line != want {
		w.t.Errorf("it begins\n%s\nwant\n%s", line, want)
	}
}

// A file that only evidence lists is not released, and who asks for a release learns
// what else is signed under its version.
func TestLookupOfAnEquivocation(t *testing.T) {
	w := newWorld(t)
	w.equivocate()
	good, bad := tuf.Sum([]byte("for everybody")).String(), tuf.Sum([]byte("for one")).String()
	out, _ := w.run(1, "lookup", bad, "--policy", w.policy)
	w.firstLine(out, fmt.Sprintf("WARNING  %s is listed only by evidence, entry 3: targets 3 of repository %v is signed with two payloads, and this is not the one that was released. Do not install it", bad, w.repo))
	out, _ = w.run(0, "lookup", good, "--policy", w.policy)
	w.firstLine(out, fmt.Sprintf("WARNING  %s is listed by release targets 3 of repository %v (entry 2), the current one, cosigned by w1, w2", good, w.repo))
	w.wantAll(out, "another payload of targets 3 is signed as well: entry 3 (evidence)")
	out, _ = w.run(0, "lookup", tuf.Sum([]byte("one")).String(), "--policy", w.policy)
	w.wantAll(out, "YES  ", "the repository's keys signed two payloads under other versions, too: auditor replay has 1 of class equivocation")

	out, _ = w.run(0, "lookup", good, "--policy", w.policy, "--json")
	var answer struct {
		Word     string
		Released bool
		Notes    []string
		Answers  []lookup.Answer
	}
	w.must(json.Unmarshal([]byte(out), &answer))
	if answer.Word != "WARNING" || !answer.Released || len(answer.Notes) != 2 || len(answer.Answers) != 1 || fmt.Sprint(answer.Answers[0].Rivals) != "[{3 evidence}]" {
		t.Errorf("answer %+v", answer)
	}
}

// A stranger's release of a file does not silence the warning about it, nor does it
// take the time and the memory of who asks, under however many paths it lists it.
func TestLookupOfAStrangersRelease(t *testing.T) {
	w := newWorld(t)
	w.equivocate()
	vendors := w.repo
	var err error
	w.vendor, err = testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	w.must(err)
	_, root := w.vendor.File(tuf.RoleRoot)
	w.repo = w.log.Register(root)
	for i := range 40 {
		w.must(w.vendor.Put(tuf.RoleTargets, fmt.Sprintf("%03d", i), []byte("for one")))
		w.must(w.vendor.Put(tuf.RoleTargets, fmt.Sprintf("x%03d", i), []byte("for everybody")))
	}
	w.release("last", "for one")
	before := len(w.log.Read())
	out, _ := w.run(0, "lookup", tuf.Sum([]byte("for one")).String(), "--policy", w.policy, "--json")
	var answer struct {
		Word    string
		Notes   []string
		Answers []lookup.Answer
	}
	w.must(json.Unmarshal([]byte(out), &answer))
	if answer.Word != "WARNING" || !strings.Contains(strings.Join(answer.Notes, "\n"), fmt.Sprintf("repository %v has it as evidence, entry 3", vendors)) {
		t.Errorf("it says %s %v", answer.Word, answer.Notes)
	}
	if n := len(answer.Answers); n != 5 || answer.Answers[4].More != 37 || answer.Answers[1].Path != "000" || answer.Answers[4].Proof == "" {
		t.Errorf("%d answers: %+v", n, answer.Answers)
	}
	tiles := 0
	for _, path := range w.log.Read()[before:] {
		if strings.HasPrefix(path, "tile/0/") {
			tiles++
		}
	}
	if tiles > 10 { // a few for each leaf, and none for each path
		t.Errorf("%d tiles were read for the proofs of two leaves", tiles)
	}
	out, _ = w.run(0, "lookup", tuf.Sum([]byte("for everybody")).String(), "--policy", w.policy)
	w.wantAll(out, "WARNING  ", "another payload of targets 3 is signed as well in repository "+vendors.String()+": entry 3 (evidence)", "x003     and under 36 more paths")
}

// Anybody who may register can release any file: a pin tells whose release it is.
func TestLookupOfOneRepository(t *testing.T) {
	w := newWorld(t)
	pinned := w.repo
	var err error
	w.vendor, err = testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	w.must(err)
	_, root := w.vendor.File(tuf.RoleRoot)
	w.repo = w.log.Register(root)
	w.release("evil.bin", "a stranger's")
	w.release("app.bin", "one")
	strangers, both := tuf.Sum([]byte("a stranger's")).String(), tuf.Sum([]byte("one")).String()

	w.run(0, "lookup", strangers, "--policy", w.policy)
	out, _ := w.run(1, "lookup", strangers, "--policy", w.policy, "--repository", strings.ToUpper(pinned.String()))
	w.firstLine(out, fmt.Sprintf("NO       no release of your vendor (repository %v) lists %s, up to the checkpoint of size 5, cosigned at %s", pinned, strangers, audit.When(w.log.Time+2)))
	w.wantAll(out, "other repositories list it, too, which does not count")
	out, _ = w.run(0, "lookup", both, "--policy", w.policy)
	w.wantAll(out, "YES  ", "2 repositories list it")
	out, _ = w.run(0, "lookup", both, "--policy", w.policy, "--repository", pinned.String())
	w.firstLine(out, fmt.Sprintf("YES      %s is released by your vendor: it is listed by release targets 2 of repository %v (entry 1), the current one, cosigned by w1, w2", both, pinned))
	if strings.Contains(out, "--repository") {
		t.Errorf("asks for what was given:\n%s", out)
	}
}

// What lists a file's hash and another length is no release of it, and an answer from a
// log that is not in order is a warning.
func TestLookupInDoubt(t *testing.T) {
	w := newWorld(t)
	file := filepath.Join(t.TempDir(), "file")
	w.must(os.WriteFile(file, []byte("one"), 0o644))
	_, root := w.vendor.File(tuf.RoleRoot)
	w.log.Spoil(audittest.BlobPath(root), audittest.Missing)
	out, _ := w.run(2, "lookup", file, "--policy", w.policy)
	w.wantAll(out, "WARNING  no release in the log lists ", "not checked to its end")
	w.log.Spoil(audittest.BlobPath(root), nil)

	// What is served wrong, as by a network that wants a log-in, and then right, is in order.
	state := filepath.Join(t.TempDir(), "state")
	bundle := proofs.EntriesPath(0, int(w.log.Size()))
	w.log.Spoil(bundle, func([]byte) ([]byte, error) { return []byte("<html>"), nil })
	out, _ = w.run(1, "lookup", file, "--policy", w.policy, "--state", state)
	w.wantAll(out, "WARNING  ")
	w.log.Spoil(bundle, nil)
	out, _ = w.run(0, "lookup", file, "--policy", w.policy, "--state", state)
	w.wantAll(out, "YES  ")
	w.run(0, "replay", "--policy", w.policy, "--state", state)

	w.log.Append([]byte("no leaf"))
	w.log.Publish(2)
	out, errs := w.run(1, "lookup", file, "--policy", w.policy)
	w.wantAll(out, "WARNING  "+file+" is listed by release targets 2", "was not in order")
	w.wantAll(errs, "tampering: bad-leaf")
}
