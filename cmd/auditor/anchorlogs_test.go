package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
)

// All logs of a policy that sign with ECDSA are anchored and audited, each with a state of its own.
func TestAnchorsOfTwoLogs(t *testing.T) {
	w, second := newWorld(t), newWorldOf(t, "log.test/second")
	second.log.Witnesses = w.log.Witnesses
	late := time.Now().Add(3 * time.Hour).Unix()
	w.log.Time, second.log.Time = late, late
	anchorable(w)
	key := anchorable(second)
	mine, err := os.ReadFile(w.policy)
	w.must(err)
	both := filepath.Join(t.TempDir(), "both.txt")
	w.must(os.WriteFile(both, fmt.Appendf(nil, "log %v %s\n%s", key, second.url, mine), 0o644))
	rekor, flags := instance(w, 1, 2*time.Hour)

	out, _ := w.run(0, append([]string{"anchor", "submit", "--policy", both}, flags...)...)
	w.wantAll(out, "The checkpoint of size 2 of log log.test/second is pinned in 1 of 1", "The checkpoint of size 2 of log log.test/audit is pinned in 1 of 1")
	note := filepath.Join(t.TempDir(), "a.note")
	w.must(os.WriteFile(note, second.log.Checkpoint(1, 0), 0o644))
	out, _ = w.run(0, "anchor", "submit", "--policy", both, note)
	w.wantAll(out, "The checkpoint of size 1 of log log.test/second is pinned in 1 of 1")
	out, _ = w.run(0, "anchor", "list", "--remote", "--policy", both)
	w.wantAll(out, "Rekor has 3 anchors", "log.test/second", "log.test/audit")

	audit := []string{"anchor", "audit", "--policy", both, "--state", "state"}
	out, _ = w.run(0, audit...)
	w.wantAll(out, "Nothing speaks against log log.test/second", "Nothing speaks against log log.test/audit")
	digest, sig := rekortest.Forge(t, key)
	rekor.Submit(digest, sig, key)
	out, _ = w.run(1, audit...)
	w.wantAll(out, "ORPHANS: 1 of 3 entries under the keys of log log.test/second", "Nothing speaks against log log.test/audit")
	states, err := filepath.Glob("state/*/state.sqlite")
	w.must(err)
	if len(states) != 2 {
		t.Errorf("states: %v", states)
	}
	_, after, _ := strings.Cut(out, "findings: auditor findings --state ")
	dir, _, _ := strings.Cut(after, "\n")
	out, _ = w.run(0, "findings", "--state", dir)
	w.wantAll(out, "orphan-anchor")
	out, _ = w.run(0, "anchor", "audit", "--policy", both, "--log", w.url, "--state", "one")
	w.wantAll(out, "Nothing speaks against log log.test/audit, at size 2.\n")
	if strings.Contains(out, "second") {
		t.Error(out)
	}
	_, errs := w.run(2, "anchor", "audit", "--policy", both, "--state", "one")
	w.wantAll(errs, "one is the state of one log, and the policy has 2")
	// What cannot be audited is said, and the other log is audited.
	w.must(os.WriteFile(both, fmt.Appendf(nil, "log %v\n%s", key, mine), 0o644))
	out, errs = w.run(2, audit...)
	w.wantAll(errs, "log log.test/second: the policy does not name its URL")
	w.wantAll(out, "Nothing speaks against log log.test/audit")
	// What is at a log's URL is not that log.
	w.must(os.WriteFile(both, fmt.Appendf(nil, "log %v %s\n%s", key, w.url, mine), 0o644))
	_, errs = w.run(1, audit...) // the orphan is remembered
	w.wantAll(errs, "outage: unknown-log: the log serves a checkpoint of log "+audittest.Origin)
	_, errs = w.run(2, "anchor", "audit", "--policy", both, "--state", "new")
	w.wantAll(errs, "it shows log "+audittest.Origin+", and the policy says that log log.test/second is there")
}

// What DIR knows of an instance is changed by what was given alone, and never by a URL that looks alike;
// no flag is passed over.
func TestAnchorFlags(t *testing.T) {
	w := newWorld(t)
	anchorable(w)
	_, flags1 := instance(w, 1, 0)
	v2, flags2 := instance(w, 2, 0)
	submit := []string{"anchor", "submit", "--policy", w.policy}
	w.run(0, append(submit, flags1[2:]...)...) // named for its host

	_, errs := w.run(2, append(submit, flags2[2:]...)...)
	w.wantAll(errs, "anchors has an instance 127.0.0.1 already, version 1 at "+flags1[3], "call this one otherwise with --instance")
	for _, flag := range []string{"--tiles", "--rekor-origin", "--rekor-key"} {
		_, errs = w.run(2, append(submit, flag, "http://x.example")...)
		w.wantAll(errs, flag+": of which instance?")
	}
	for _, flag := range []string{"--url", "--policy"} {
		_, errs = w.run(2, "anchor", "list", flag, "http://x.example")
		w.wantAll(errs, flag+": without --remote")
	}
	_, errs = w.run(2, "anchor", "list", "--instance", "x")
	w.wantAll(errs, "anchors has no instance x")

	// What answers another version, or has its tiles elsewhere, is not there, and is not accused.
	for _, wrong := range []struct{ url, version, says string }{{flags2[3], "1", "--rekor-version 2"}, {flags1[3], "2", "--tiles"}} {
		_, errs = w.run(2, append(submit, "--instance", "other", "--url", wrong.url, "--rekor-version", wrong.version, "--rekor-key", flags2[7])...)
		w.wantAll(errs, "nothing is at that path", wrong.says)
	}

	// Its checkpoints have another name than its host: nobody is accused, and it says what to do.
	local := append([]string{}, flags2...)
	local[3] = strings.Replace(v2.URL(), "127.0.0.1", "localhost", 1)
	_, errs = w.run(2, append(submit, local...)...)
	w.wantAll(errs, `rekor2: `, `have the origin "127.0.0.1", and "localhost" is expected`, "--rekor-origin 127.0.0.1")
	if strings.Contains(errs, "misbehaves") {
		t.Error(errs)
	}
	w.run(0, append(append(submit, local...), "--rekor-origin", "127.0.0.1")...)
	_, errs = w.run(2, append(submit, "--instance", "rekor2", "--rekor-origin", "x.example")...)
	w.wantAll(errs, `have the origin "127.0.0.1", and "x.example" is expected`)
	out, _ := w.run(0, append(submit, "--instance", "rekor2", "--rekor-origin", "127.0.0.1")...)
	w.wantAll(out, "pinned in 1 of 1")
	_, errs = w.run(2, "anchor", "verify", "--policy", w.policy, "anchors/*/*/receipts/*.txt")
	w.wantAll(errs, "no receipt has such a name")
}
