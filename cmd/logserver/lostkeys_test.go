package main

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/proofs"
)

// metric returns a line of the metrics of the log, which serves them.
func metric(t *testing.T, s *runtest.Service, name string) string {
	t.Helper()
	urls := regexp.MustCompile(`http://\S+/metrics`).FindAllString(s.Said(), -1)
	if urls == nil {
		t.Fatalf("no metrics:\n%s", s.Said())
	}
	_, body := get(t, urls[len(urls)-1])
	return regexp.MustCompile(`(?m)^` + name + ` .*$`).FindString(string(body))
}

// A log that starts without a key with which it has signed says so: at its start, in its
// metrics and in its status. It says nothing more once the key is back, or is retired.
func TestLostKey(t *testing.T) {
	w := newTwoKeys(t)
	w.Write(t, "policy", w.ed25519)
	w.Log = runtest.Serve(t, "logserver", "serve", "--dir", w.Path("log"), "--policy", w.Path("policy"), "--metrics-listen", "127.0.0.1:0")
	mldsa := strings.TrimPrefix(strings.SplitN(w.mldsa, "\n", 2)[0], "log ")
	key := w.Path("log/keys/ml-dsa-44.key")
	check := func(when string, lost bool) {
		t.Helper()
		w.Log.Stop(t)
		before := len(w.Log.Said())
		w.Log.Start(t)
		said := w.Log.Said()[before:]
		if warned := strings.Contains(said, "a key of the log is lost: "+key+" is missing") && strings.Contains(said, mldsa) && strings.Contains(said, "logserver key retire --dir"); warned != lost {
			t.Errorf("%s the log warns: %v\n%s", when, warned, said)
		}
		count, code := "tuflog_log_lost_keys 0", 0
		if lost {
			count, code = "tuflog_log_lost_keys 1", 1
		}
		if got := metric(t, w.Log, "tuflog_log_lost_keys"); got != count {
			t.Errorf("%s the metric is %q", when, got)
		}
		stdout, stderr, got := runtest.Run(t, "logserver", "status", "--dir", w.Path("log"), "--json")
		var st status
		if err := json.Unmarshal([]byte(stdout), &st); err != nil || got != code {
			t.Fatalf("%s status: exit %d, %v\n%s%s", when, got, err, stdout, stderr)
		}
		if named := slices.ContainsFunc(st.Faults, func(f maintain.Fault) bool { return strings.Contains(f.What, mldsa) }); named != lost {
			t.Errorf("%s status finds %+v", when, st.Faults)
		}
	}
	check("with its keys", false)
	if err := os.Rename(key, w.Path("kept")); err != nil {
		t.Fatal(err)
	}
	check("without one", true)
	if err := os.Rename(w.Path("kept"), key); err != nil {
		t.Fatal(err)
	}
	check("with the key again", false)
	if err := os.Remove(key); err != nil {
		t.Fatal(err)
	}
	if got := runtest.Must(t, "logserver", "key", "retire", "--dir", w.Path("log"), "ml-dsa-44"); got != mldsa {
		t.Errorf("retire prints %q", got)
	}
	check("with the key retired", false)
}

// A key that is retired signs nothing more, and its files are kept. One that was the log's
// own after it was a further one has left a public key under its former name as well.
func TestRetireKey(t *testing.T) {
	w := newTwoKeys(t)
	w.Write(t, "policy", w.both)
	dir := w.Path("log")
	next := runtest.Must(t, "logserver", "key", "add", "--dir", dir, "--type", "ed25519", "next")
	copyFile(t, w.Path("log/keys/next.vkey"), w.Path("log/keys/former.vkey"))
	w.Log = runtest.Serve(t, "logserver", "serve", "--dir", dir, "--policy", w.Path("policy"))
	if strings.Contains(w.Log.Said(), "is lost") {
		t.Errorf("a second file of one public key:\n%s", w.Log.Said())
	}
	if got := runtest.Must(t, "logserver", "key", "retire", "--dir", dir, "next"); got != next {
		t.Errorf("retire prints %q, want %q", got, next)
	}
	for name, mode := range map[string]fs.FileMode{"next.key.retired": 0o600, "next.vkey.retired": 0o644, "former.vkey.retired": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, "keys", name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v %v", name, info, err)
		}
	}
	w.Log.Stop(t)
	w.Log.Start(t)
	if strings.Contains(w.Log.Said(), "is lost") {
		t.Errorf("a key that was retired:\n%s", w.Log.Said())
	}
	stdout, stderr, code := runtest.Run(t, "logserver", "key", "list", "--dir", dir)
	if code != 0 || stderr != "" || strings.Contains(stdout, next) || strings.Count(stdout, "\n") != 2 {
		t.Errorf("the keys then: exit %d\n%s%s", code, stdout, stderr)
	}
	// Nothing is overwritten, and nothing else is moved.
	runtest.Must(t, "logserver", "key", "add", "--dir", dir, "--type", "ed25519", "next")
	for name, want := range map[string]string{"next": "is there already", "absent": `no key "absent"`, "../log": "is not a name", "": "is not a name"} {
		if _, stderr, code := runtest.Run(t, "logserver", "key", "retire", "--dir", dir, name); code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("retire %q: exit %d %s", name, code, stderr)
		}
	}
}

// A front end that never leads needs the public keys alone, whichever of them its policy
// lists. A public key that was left when its key was removed by hand is none of the log's.
func TestFrontEndWithPublicKeys(t *testing.T) {
	w := newServers(t).makeLog(t)
	leader, _ := w.leads(t)
	_, root := newVendor(t).File("root")
	if res, err := w.registrar(t, leader).Register(t.Context(), root); err != nil || !res.Done {
		t.Fatalf("register: %+v, %v", res, err)
	}
	keys := strings.Split(runtest.Must(t, "logserver", "key", "list", "--dir", w.Path("log")), "\n")
	old := runtest.Must(t, "logserver", "init", "--dir", w.Path("before"), "--origin", "test.example/log", "--only", "ed25519")
	if len(keys) != 2 {
		t.Fatalf("the keys are %q", keys)
	}
	text, err := os.ReadFile(w.Path("policy"))
	if err != nil {
		t.Fatal(err)
	}
	public := w.Path("public")
	if err := os.MkdirAll(filepath.Join(public, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log.vkey", "registration.token", "keys/ml-dsa-44.vkey"} {
		copyFile(t, w.Path("log/"+name), filepath.Join(public, name))
	}
	w.Write(t, "public/keys/old.vkey", old+"\n")
	w.Write(t, "mldsa", strings.Replace(string(text), keys[0], keys[1], 1))
	reader := runtest.Serve(t, "logserver", "serve", "--dir", public, "--policy", w.Path("mldsa"), "--storage", w.storage, "--state", w.state)
	policy, err := proofs.ParsePolicy([]byte("log " + keys[1] + "\nquorum none\n"))
	if err != nil {
		t.Fatal(err)
	}
	runtest.Eventually(t, "it serves what the ML-DSA-44 key has signed", func() bool {
		_, signed := get(t, reader.URL+"/checkpoint")
		_, err := policy.OpenCheckpoint(signed)
		return err == nil
	})
	if strings.Contains(reader.Said(), "is lost") {
		t.Errorf("it signs nothing, and misses a key:\n%s", reader.Said())
	}
	if stdout, stderr, code := runtest.Run(t, "logserver", "status", "--dir", public, "--storage", w.storage, "--state", w.state); code != 0 {
		t.Errorf("status there: exit %d\n%s%s", code, stdout, stderr)
	}
	// What only the key that was left has signed is not the log's.
	reader.Stop(t)
	stranger, err := os.ReadFile(w.Path("before/log.key"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := proofs.ParseSigner(strings.TrimSpace(string(stranger)))
	if err != nil {
		t.Fatal(err)
	}
	empty := proofs.Checkpoint{Origin: "test.example/log", Tree: proofs.EmptyTree}.String()
	sig, err := signer.Sign(empty, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(t, "public/served", empty+"\n"+sig.String())
	if _, stderr, code := runtest.Run(t, "logserver", reader.Args...); code != 2 || !strings.Contains(stderr, "no key of the log has signed it") {
		t.Errorf("with a checkpoint of the key that was left: exit %d\n%s", code, stderr)
	}
}
