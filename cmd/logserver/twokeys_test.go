package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
)

// twoKeys is a log as init makes it, with a witness as witness init makes it, and the
// policies by which the world can know both.
type twoKeys struct {
	*runtest.World
	ed25519, mldsa, both string // texts of policies: of either key, and of whichever there is
	all                  string // the log's own: it asks for the cosignatures of both keys
}

func newTwoKeys(t *testing.T) *twoKeys {
	runtest.Programs(t, "logserver", "witness", "publisher", "updater", "auditor")
	w := &twoKeys{World: &runtest.World{Dir: t.TempDir()}}
	log := strings.Split(runtest.Must(t, "logserver", "init", "--dir", w.Path("log"), "--origin", "test.example/log"), "\n")
	witness := strings.Split(runtest.Must(t, "witness", "init", "--dir", w.Path("w"), "--name", "w.example"), "\n")
	if len(log) != 2 || len(witness) != 2 {
		t.Fatalf("the log has the keys %q, the witness %q", log, witness)
	}
	// The witness knows the log by the Ed25519 key, as the lists of witnesses do.
	runtest.Must(t, "witness", "log", "add", "--dir", w.Path("w"), log[0])
	s := runtest.Serve(t, "witness", "serve", "--dir", w.Path("w"))
	lines := func(i int) string { return fmt.Sprintf("log %s\nwitness w%d %s %s\n", log[i], i, witness[i], s.URL) }
	w.ed25519, w.mldsa = lines(0)+"quorum w0\n", lines(1)+"quorum w1\n"
	w.both = lines(0) + lines(1) + "group w any w0 w1\nquorum w\n"
	w.all = strings.Replace(w.both, " any ", " all ", 1)
	return w
}

// release logs a vendor's files, and returns the folder in which they are, with proofs
// for a policy.
func (w *twoKeys) release(t *testing.T, v *testvendor.Vendor, policy string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for name, data := range v.Files() {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	runtest.Must(t, "publisher", "submit", "--log", w.Log.URL, "--policy", write(t, "vendor.policy", policy, 0o600), "--token-file", w.Path("log/registration.token"), folder)
	return folder
}

// device says whether a device with a policy takes what is in a folder.
func (w *twoKeys) device(t *testing.T, folder, policy string, takes bool) {
	t.Helper()
	stdout, stderr, code := runtest.Run(t, "updater", "verify", "--policy", write(t, "device.policy", policy, 0o600), folder)
	if takes && code != 0 || !takes && code != 1 {
		t.Errorf("a device with %.60q: exit %d, %s%s", policy, code, stdout, stderr)
	}
}

// restart has the log go by another policy from its next start on.
func (w *twoKeys) restart(t *testing.T, policy string) {
	t.Helper()
	w.Log.Stop(t)
	w.Write(t, "policy", policy)
	w.Log.Start(t)
}

// audit replays the log under a policy.
func (w *twoKeys) audit(t *testing.T, policy string) {
	t.Helper()
	runtest.Must(t, "auditor", "replay", "--log", w.Log.URL, "--policy", write(t, "auditor.policy", policy, 0o600))
}

// A log that init has made signs with both keys: a policy that names one of them, or both,
// works for publishers, devices and auditors, and none has to know of the other key. The
// proofs beside files have the signatures that the policy can use.
func TestTwoKeys(t *testing.T) {
	w := newTwoKeys(t)
	w.Write(t, "policy", w.all)
	w.Log = runtest.Serve(t, "logserver", "serve", "--dir", w.Path("log"), "--policy", w.Path("policy"))
	vendor, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for _, policy := range []string{w.ed25519, w.mldsa, w.both} {
		folder := w.release(t, vendor, policy)
		w.device(t, folder, w.ed25519, policy != w.mldsa)
		w.device(t, folder, w.mldsa, policy != w.ed25519)
		w.device(t, folder, w.both, true)
		w.audit(t, policy)
	}
	// The log itself may go by either.
	for _, policy := range []string{w.ed25519, w.mldsa} {
		w.restart(t, policy)
		w.device(t, w.release(t, vendor, policy), policy, true)
	}

	// The Ed25519 key is replaced, and the log ends: those with the ML-DSA-44 key need not
	// notice the former.
	folder := w.release(t, vendor, w.mldsa)
	next := runtest.Must(t, "logserver", "key", "add", "--dir", w.Path("log"), "--type", "ed25519", "next")
	w.Log.Stop(t)
	runtest.Must(t, "witness", "log", "add", "--dir", w.Path("w"), "--another-key", next)
	for _, move := range [][2]string{{"log/log.key", "log/keys/old.key"}, {"log/keys/next.key", "log/log.key"}} {
		if err := os.Rename(w.Path(move[0]), w.Path(move[1])); err != nil {
			t.Fatal(err)
		}
	}
	w.Write(t, "log/log.vkey", next+"\n")
	w.Write(t, "policy", w.all)
	runtest.Must(t, "logserver", "freeze", "--dir", w.Path("log"), "--policy", w.Path("policy"), "--i-know")
	w.Log.Start(t)
	w.device(t, folder, w.mldsa, true)
	_, signed := get(t, w.Log.URL+"/checkpoint")
	for name, text := range map[string]string{"ed25519": w.ed25519, "mldsa": w.mldsa, "next": "log " + next + "\nquorum none\n"} {
		policy, err := proofs.ParsePolicy([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policy.OpenCheckpoint(signed); err != nil {
			t.Errorf("the last checkpoint under %s: %v\n%s", name, err, signed)
		}
	}
	w.audit(t, w.mldsa)
}

// A policy that names the ML-DSA-44 key wants its signature: what a log publishes that has
// lost the key is good for those alone that name the Ed25519 key.
func TestTwoKeysOneLost(t *testing.T) {
	w := newTwoKeys(t)
	if err := os.Remove(w.Path("log/keys/ml-dsa-44.key")); err != nil {
		t.Fatal(err)
	}
	w.Write(t, "policy", w.ed25519)
	w.Log = runtest.Serve(t, "logserver", "serve", "--dir", w.Path("log"), "--policy", w.Path("policy"))
	vendor, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	folder := w.release(t, vendor, w.ed25519)
	w.device(t, folder, w.ed25519, true)
	w.device(t, folder, w.mldsa, false)
}

// A log that has signed with a key which is not there at a start, as after a restore of half
// of the directory, says so.
func TestTwoKeysNotRestored(t *testing.T) {
	w := newTwoKeys(t)
	w.Write(t, "policy", w.ed25519)
	w.Log = runtest.Serve(t, "logserver", "serve", "--dir", w.Path("log"), "--policy", w.Path("policy"))
	vendor, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	w.device(t, w.release(t, vendor, w.ed25519), w.ed25519, true)
	const says = "a key that signed the last checkpoint is not here"
	w.restart(t, w.ed25519)
	if strings.Contains(w.Log.Said(), says) {
		t.Errorf("it misses a key with all of them there: %s", w.Log.Said())
	}
	w.Log.Stop(t)
	if err := os.RemoveAll(w.Path("log/keys")); err != nil {
		t.Fatal(err)
	}
	w.Log.Start(t)
	if n := strings.Count(w.Log.Said(), says); n != 1 {
		t.Errorf("it says %d times that a key is not there: %s", n, w.Log.Said())
	}
}
