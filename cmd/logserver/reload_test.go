package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
)

// SIGHUP makes the log read labels, token and policy again, and a file that cannot be
// used changes nothing.
func TestReload(t *testing.T) {
	w := newWorld(t)
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(w.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(string(b), "\n")
	}
	register := func(token string) (string, error) {
		t.Helper()
		_, root := newVendor(t).File("root")
		res, err := (&api.Client{Base: w.Log.URL, Token: token}).Register(t.Context(), root)
		if err != nil {
			return "", err
		}
		return res.Repository, nil
	}
	reloads := 0
	reload := func() {
		t.Helper()
		w.Log.Signal(t, syscall.SIGHUP)
		reloads++
		runtest.Eventually(t, "it has read its files again", func() bool {
			return strings.Count(w.Log.Said(), "msg=reloaded ") == reloads
		})
	}
	first, second := read("log/registration.token"), "another-registration-token"
	id, err := register(first)
	if err != nil {
		t.Fatal(err)
	}

	// Another witness, without which there is no quorum any more.
	key := runtest.Must(t, "witness", "init", "--dir", w.Path("w4"), "--name", "w4.example")
	runtest.Must(t, "witness", "log", "add", "--dir", w.Path("w4"), read("log/log.vkey"))
	s := runtest.Serve(t, "witness", "serve", "--dir", w.Path("w4"))
	before := read("policy")
	changed := strings.Replace(before, "group witnesses 2 w1 w2 w3", fmt.Sprintf("witness w4 %s %s\ngroup some 2 w1 w2 w3\ngroup witnesses all some w4", key, s.URL), 1)
	w.Write(t, "policy", changed+"\n")
	w.Write(t, "log/labels", id+" Test vendor\n")
	w.Write(t, "log/registration.token", second+"\n")
	reload()
	policy, err := proofs.ParsePolicy([]byte(changed + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	runtest.Eventually(t, "the published checkpoint meets the new policy, without a release", func() bool {
		_, published := w.get(t, "/checkpoint")
		_, err := policy.OpenCheckpoint([]byte(published))
		return err == nil
	})
	if repo, err := (&api.Client{Base: w.Log.URL}).Repository(t.Context(), id); err != nil || repo.Label != "Test vendor" {
		t.Errorf("its label is %+v, %v", repo, err)
	}
	if _, err := register(first); err == nil || !strings.Contains(err.Error(), "The one that was sent is not it") {
		t.Errorf("by the old token: %v", err)
	}
	if _, err := register(second); err != nil {
		t.Errorf("by the new token: %v", err)
	}

	w.Write(t, "policy", before) // without its last newline
	w.Write(t, "log/labels", "no repository\n")
	if err := os.Remove(w.Path("log/registration.token")); err != nil {
		t.Fatal(err)
	}
	reload()
	for _, want := range []string{`what=labels err="` + w.Path("log/labels") + ": line 1:", "what=\"registration token\" err=\"stat " + w.Path("log/registration.token"), `what=policy err="` + w.Path("policy") + ": policy: line 6: no newline"} {
		if !strings.Contains(w.Log.Said(), want) {
			t.Errorf("it does not say %s", want)
		}
	}
	// A policy that lists another log is one that cannot be used, too.
	other := runtest.Must(t, "logserver", "init", "--dir", w.Path("other"), "--origin", "other.example")
	w.Write(t, "policy", "log "+other+"\nquorum none\n")
	w.Write(t, "log/labels", id+" Another name\n")
	reload()
	if !strings.Contains(w.Log.Said(), "the policy lists logs, but not this one; it needs the line: log "+read("log/log.vkey")) {
		t.Error("it takes another log's policy")
	}
	if repo, err := (&api.Client{Base: w.Log.URL}).Repository(t.Context(), id); err != nil || repo.Label != "Another name" {
		t.Errorf("its label is %+v, %v", repo, err)
	}
	// Nor is a token that is half written, or can be guessed.
	w.Write(t, "log/registration.token", second[:12]+"\n")
	reload()
	if want := `what="registration token" err="the registration token in ` + w.Path("log/registration.token") + ": want 22 to 128 letters"; !strings.Contains(w.Log.Said(), want) {
		t.Errorf("it does not say %s", want)
	}
	if _, err := register(second); err != nil {
		t.Errorf("after files that cannot be used: %v", err)
	}

	// While the log stops, SIGHUP does not end it before its submissions are published.
	witnesses := append([]*runtest.Service{s}, w.Witnesses...)
	for _, s := range witnesses {
		s.Stop(t)
	}
	_, root := newVendor(t).File("root")
	type answer struct {
		res *api.Result
		err error
	}
	answers := make(chan answer, 1)
	registered := strings.Count(w.Log.Said(), `msg="repository registered"`)
	go func() {
		res, err := (&api.Client{Base: w.Log.URL, Token: second, Prefer: time.Minute}).Register(t.Context(), root)
		answers <- answer{res, err}
	}()
	runtest.Eventually(t, "a submission waits", func() bool {
		return strings.Count(w.Log.Said(), `msg="repository registered"`) > registered
	})
	w.Log.Signal(t, syscall.SIGTERM)
	runtest.Eventually(t, "it is stopping", func() bool { return strings.Contains(w.Log.Said(), `msg="stopping;`) })
	w.Log.Signal(t, syscall.SIGHUP)
	for _, s := range witnesses {
		s.Start(t)
	}
	if code := w.Log.End(t, syscall.SIGHUP); code != 0 {
		t.Errorf("SIGHUP while it stops: exit %d", code)
	}
	if a := <-answers; a.err != nil || !a.res.Done || len(a.res.Results) != 1 || a.res.Results[0].Sidecar == "" {
		t.Errorf("the submission that waited: %+v, %v", a.res, a.err)
	}
}
