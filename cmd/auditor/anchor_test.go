package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/rekor/rekortest"
	"github.com/tuflog/tuflog/proofs"
)

// anchorable makes the log of a world one that signs with ECDSA, and returns its key. The
// working directory is an empty one from now on.
func anchorable(w *world) proofs.Key {
	w.t.Helper()
	w.run(0, "anchor", "--help") // built where the module is
	w.t.Chdir(w.t.TempDir())
	s, err := proofs.GenerateSigner(rand.Reader, w.log.Signer.Key().Name(), proofs.ECDSA)
	w.must(err)
	w.log.Signer = s
	w.log.Publish(2)
	w.must(os.WriteFile(w.policy, []byte(w.log.PolicyText(w.url)), 0o644))
	return s.Key()
}

// instance starts a Rekor that took its entries so long ago, and returns the flags that name it.
func instance(w *world, version int, ago time.Duration) (*rekortest.Ledger, []string) {
	w.t.Helper()
	l := rekortest.New(w.t, version)
	l.Time = func(int) time.Time { return time.Now().Add(-ago) }
	file := filepath.Join(w.t.TempDir(), "rekor.pem")
	w.must(os.WriteFile(file, l.PEM(), 0o644))
	return l, []string{"--instance", fmt.Sprintf("rekor%d", version), "--url", l.URL(), "--rekor-version", fmt.Sprint(version), "--rekor-key", file}
}

// Checkpoints are anchored in both versions of Rekor, their receipts are verified offline, and all
// that stands there fits the log, what it has not published yet included.
func TestAnchor(t *testing.T) {
	w := newWorld(t)
	anchorable(w)
	v1, flags1 := instance(w, 1, 2*time.Hour)
	v2, flags2 := instance(w, 2, 0)

	_, errs := w.run(2, "anchor", "submit", "--policy", w.policy)
	w.wantAll(errs, "anchors has no instance of Rekor", "--rekor-key")
	_, errs = w.run(2, append([]string{"anchor", "submit", "--policy", w.policy}, flags1[:4]...)...)
	w.wantAll(errs, "--rekor-key: want the public key")
	out, _ := w.run(0, append([]string{"anchor", "submit", "--policy", w.policy}, flags1...)...)
	w.wantAll(out, "The checkpoint of size 2 of log log.test/audit is pinned in 1 of 1 instance of Rekor.\n", "rekor1    0 ", "anchors/rekor1/")
	w.run(0, append([]string{"anchor", "submit", "--policy", w.policy}, flags2...)...)
	w.release("app.bin", "two")
	out, _ = w.run(0, "anchor", "submit", "--policy", w.policy, "--json") // the folder knows both by now
	var done []submitted
	w.must(json.Unmarshal([]byte(out), &done))
	if len(done) != 2 || done[0].Size != 3 || done[1].LogIndex != 1 || !done[1].Time.IsZero() || done[0].Time.IsZero() {
		t.Errorf("%+v", done)
	}
	// A file, that is there already.
	note := filepath.Join(t.TempDir(), "a.note")
	w.must(os.WriteFile(note, w.log.Checkpoint(3, 0), 0o644))
	w.run(0, "anchor", "submit", "--policy", w.policy, "--instance", "rekor1", note)
	if len(v1.Leaves) != 2 || len(v2.Leaves) != 2 {
		t.Errorf("%d and %d entries", len(v1.Leaves), len(v2.Leaves))
	}
	other := newWorld(t)
	_, errs = w.run(2, "anchor", "submit", "--policy", other.policy)
	w.wantAll(errs, "no key of the log of type ECDSA")

	out, _ = w.run(0, "anchor", "list")
	w.wantAll(out, "There are 4 receipts in anchors, which say:\n", "rekor1", "rekor2", "log.test/audit", "     not said   ", ".json")
	out, _ = w.run(0, "anchor", "list", "--remote", "--policy", w.policy)
	w.wantAll(out, "Rekor has 4 anchors under the keys", "rekor1", "rekor2")
	receipts, err := filepath.Glob("anchors/*/*/receipts/*.json")
	w.must(err)
	out, _ = w.run(0, append([]string{"anchor", "verify", "--policy", w.policy}, receipts...)...)
	w.wantAll(out, "4 of 4 receipts verified", "log.test/audit  2     rekor1    0 ")
	bad := filepath.Join(t.TempDir(), "bad.json")
	b, err := os.ReadFile(receipts[0])
	w.must(err)
	w.must(os.WriteFile(bad, bytes.Replace(b, []byte(`log.test/audit\n2\n`), []byte(`log.test/audit\n1\n`), 1), 0o644))
	w.run(1, "anchor", "verify", "--policy", w.policy, bad)
	w.run(1, "anchor", "verify", "--policy", w.policy, "--rekor-key", flags2[len(flags2)-1], receipts[0])
	w.run(2, "anchor", "verify", "--policy", w.policy, "--dir", t.TempDir(), receipts[0])

	state := filepath.Join(t.TempDir(), "state")
	audit := []string{"anchor", "audit", "--policy", w.policy, "--state", state}
	out, _ = w.run(0, audit...)
	w.wantAll(out, "Nothing speaks against log log.test/audit, at size 3", "rekor1    1        2           0", "rekor2    2        2           0")
	// What the log has signed and not published yet is open, and fits once it is published.
	next := w.log.Clone()
	w.must(w.vendor.Put("targets", "app.bin", []byte("three")))
	ahead := w.log
	w.log = next
	w.release("app.bin", "three")
	next = w.log
	w.log = ahead
	w.must(os.WriteFile(note, next.Checkpoint(4, 0), 0o644))
	w.run(0, "anchor", "submit", "--policy", w.policy, "--instance", "rekor2", note)
	v1.Set(func(l *rekortest.Ledger) { l.Time = func(int) time.Time { return time.Now() } })
	w.run(0, "anchor", "submit", "--policy", w.policy, "--instance", "rekor1", note)
	out, _ = w.run(0, audit...)
	w.wantAll(out, "rekor1    1        2           1", "rekor2    2        2           1", "open")
	w.log.Become(next)
	out, _ = w.run(0, audit...)
	w.wantAll(out, "at size 4", "rekor1    1        3           0", "rekor2    2        3           0")

	// A key that the instance shows and nobody gave is said, and never taken over.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.must(err)
	before := v1.Private
	v1.Set(func(l *rekortest.Ledger) { l.Private = key })
	for range 2 {
		_, errs = w.run(2, audit...)
		w.wantAll(errs, "rekor1: it shows a public key that is not among those that are trusted")
	}
	v1.Set(func(l *rekortest.Ledger) { l.Private = before })
	w.run(0, audit...)
}

// A log signs a history that it shows to one victim, with all witnesses on its side. The victim, or
// whoever it asks, pins what it was shown; an auditor who has never seen it finds the entry. With the text
// of it, the fork is proved to everyone. An entry that somebody forged accuses nobody.
func TestAnchorOfHiddenFork(t *testing.T) {
	for _, version := range []int{1, 2} {
		t.Run(fmt.Sprintf("v%d", version), func(t *testing.T) {
			w := newWorld(t)
			key := anchorable(w)
			w.log.Time = time.Now().Add(3 * time.Hour).Unix() // witnesses cosign what the log shows, later
			hidden := w.log.Beginning(1)
			hidden.Append([]byte("for the victim alone"))
			shown := filepath.Join(t.TempDir(), "victim.note")
			w.must(os.WriteFile(shown, hidden.Checkpoint(2, 2), 0o644)) // both witnesses cosigned it
			rekor, flags := instance(w, version, 2*time.Hour)
			w.run(0, append([]string{"anchor", "submit", "--policy", w.policy, "--dir", "victim", shown}, flags...)...)

			state := filepath.Join(t.TempDir(), "state")
			look := append([]string{"anchor", "audit", "--policy", w.policy, "--state", state}, flags...)
			w.log.Publish(2)
			out, _ := w.run(1, look...)
			w.wantAll(out, "ORPHANS: 1 of 1 entries under the keys of log log.test/audit", "accuses nobody by itself")
			out, _ = w.run(0, "findings", "--state", state)
			w.wantAll(out, "unexpected", "orphan-anchor", "is the checkpoint of no tree up to the verified one of 2 entries")
			// It is remembered, whatever the instance shows later.
			if version == 1 {
				rekor.Set(func(l *rekortest.Ledger) {
					l.Instead = func(w http.ResponseWriter, r *http.Request) bool {
						hides := strings.HasSuffix(r.URL.Path, "/index/retrieve")
						if hides {
							_, _ = w.Write([]byte("[]"))
						}
						return hides
					}
				})
				out, _ = w.run(1, look...)
				w.wantAll(out, "ORPHANS: 1 of 1")
			}

			// The victim hands over the receipt, in which its note is.
			receipts, err := filepath.Glob("victim/*/*/receipts/*.json")
			w.must(err)
			if len(receipts) != 1 {
				t.Fatal(receipts)
			}
			b, err := os.ReadFile(receipts[0])
			w.must(err)
			w.must(os.WriteFile(strings.Replace(receipts[0], "victim", "anchors", 1), b, 0o644))
			out, _ = w.run(1, append(look, "--out", "evidence")...)
			w.wantAll(out, "FORK: log log.test/audit signed two histories", "evidence/fork.conflict")
			out, _ = w.run(0, "evidence", "check", "--key", key.String(), "evidence/fork.conflict")
			w.wantAll(out, "log.test/audit")
			// Or the note alone.
			w.run(1, "gossip", "--policy", w.policy, "--out", t.TempDir(), shown)
		})
	}
	t.Run("forged", func(t *testing.T) {
		w := newWorld(t)
		key := anchorable(w)
		rekor, flags := instance(w, 1, 2*time.Hour)
		w.run(0, append([]string{"anchor", "submit", "--policy", w.policy}, flags...)...)
		for range 25 {
			digest, sig := rekortest.Forge(t, key)
			rekor.Submit(digest, sig, key)
		}
		state := filepath.Join(t.TempDir(), "state")
		out, _ := w.run(1, "anchor", "audit", "--policy", w.policy, "--state", state)
		w.wantAll(out, "ORPHANS: 25 of 26 entries", "accuses nobody by itself")
		out, _ = w.run(0, "findings", "--state", state, "--json")
		if n := strings.Count(out, `"kind": "orphan-anchor"`); n != 21 {
			t.Errorf("%d findings", n)
		}
		w.wantAll(out, "has 5 more entries under the log's key")
		// Once all were acknowledged, only another one counts.
		var list []audit.Finding
		w.must(json.Unmarshal([]byte(out), &list))
		for _, f := range list {
			w.run(0, "findings", "ack", f.ID, "--reason", "nobody has the text", "--state", state)
		}
		out, _ = w.run(0, "anchor", "audit", "--policy", w.policy, "--state", state)
		w.wantAll(out, "Nothing speaks against log", "ACKNOWLEDGED", "25       25")
		digest, sig := rekortest.Forge(t, key)
		rekor.Submit(digest, sig, key)
		w.run(1, "anchor", "audit", "--policy", w.policy, "--state", state)
		// The log still stands: a stranger cannot make it look wrong.
		out, _ = w.run(0, "replay", "--policy", w.policy)
		w.wantAll(out, "The log is as it should be")
	})
}

// An instance that is away is no verdict.
func TestAnchorAway(t *testing.T) {
	w := newWorld(t)
	anchorable(w)
	_, flags := instance(w, 1, 0)
	flags[3] = "http://127.0.0.1:1"
	_, errs := w.run(2, append([]string{"anchor", "submit", "--policy", w.policy}, flags...)...)
	w.wantAll(errs, "rekor1: ", "connection refused")
	out, errs := w.run(2, append([]string{"anchor", "audit", "--policy", w.policy}, flags...)...)
	w.wantAll(out, "INCOMPLETE: of what could be looked at nothing speaks against log log.test/audit", "NOT ALL")
	w.wantAll(errs, "rekor1: ", "connection refused")
	// It is not kept: the URL may be a wrong one.
	_, errs = w.run(2, "anchor", "audit", "--policy", w.policy)
	w.wantAll(errs, "anchors has no instance of Rekor")
}
