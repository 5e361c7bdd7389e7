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
// reloading is a log that reads its files again at SIGHUP.
type reloading struct {
	*world
	t       *testing.T
	reloads int
	id      string           // of a repository
	token   string           // for the registration of others
	policy  string           // the first one
	fourth  *runtest.Service // a witness that is not in the first policy
}

func TestReload(t *testing.T) {
	w := &reloading{world: newWorld(t), t: t}
	w.policy, w.token = w.read("policy"), w.read("log/registration.token")
	id, err := w.register(w.token)
	if err != nil {
		t.Fatal(err)
	}
	w.id = id
	w.changes()
	w.unusable()
	w.otherLogs()
	w.whileStopping()
}

func (w *reloading) read(name string) string {
	w.t.Helper()
	b, err := os.ReadFile(w.Path(name))
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSuffix(string(b), "\n")
}

// register registers another repository.
func (w *reloading) register(token string) (string, error) {
	w.t.Helper()
	_, root := newVendor(w.t).File("root")
	res, err := (&api.Client{Base: w.Log.URL, Token: token}).Register(w.t.Context(), root)
	if err != nil {
		return "", err
	}
	return res.Repository, nil
}

func (w *reloading) reload() {
	w.t.Helper()
	w.Log.Signal(w.t, syscall.SIGHUP)
	w.reloads++
	runtest.Eventually(w.t, "it has read its files again", func() bool {
		return strings.Count(w.Log.Said(), "msg=reloaded ") == w.reloads
	})
}

// changes: the policy gets another witness, without which there is no quorum any more, and the
// registration token and the labels change.
func (w *reloading) changes() {
	key := runtest.Must(w.t, "witness", "init", "--dir", w.Path("w4"), "--name", "w4.example", "--only", "ed25519")
	runtest.Must(w.t, "witness", "log", "add", "--dir", w.Path("w4"), w.read("log/log.vkey"))
	w.fourth = runtest.Serve(w.t, "witness", "serve", "--dir", w.Path("w4"))
	changed := strings.Replace(w.policy, "group witnesses 2 w1 w2 w3", fmt.Sprintf("witness w4 %s %s\ngroup some 2 w1 w2 w3\ngroup witnesses all some w4", key, w.fourth.URL), 1)
	w.Write(w.t, "policy", changed+"\n")
	w.Write(w.t, "log/labels", w.id+" Test vendor\n")
	first := w.token
	w.token = "another-registration-token"
	w.Write(w.t, "log/registration.token", w.token+"\n")
	w.reload()
	policy, err := proofs.ParsePolicy([]byte(changed + "\n"))
	if err != nil {
		w.t.Fatal(err)
	}
	runtest.Eventually(w.t, "the published checkpoint meets the new policy, without a release", func() bool {
		_, published := w.get(w.t, "/checkpoint")
		_, err := policy.OpenCheckpoint([]byte(published))
		return err == nil
	})
	if repo, err := (&api.Client{Base: w.Log.URL}).Repository(w.t.Context(), w.id); err != nil || repo.Label != "Test vendor" {
		w.t.Errorf("its label is %+v, %v", repo, err)
	}
	if _, err := w.register(first); err == nil || !strings.Contains(err.Error(), "The one that was sent is not it") {
		w.t.Errorf("by the old token: %v", err)
	}
	if _, err := w.register(w.token); err != nil {
		w.t.Errorf("by the new token: %v", err)
	}
}

// unusable: files that cannot be used do not take the place of those that could.
func (w *reloading) unusable() {
	w.Write(w.t, "policy", w.policy) // without its last newline
	w.Write(w.t, "log/labels", "no repository\n")
	if err := os.Remove(w.Path("log/registration.token")); err != nil {
		w.t.Fatal(err)
	}
	w.reload()
	for _, want := range []string{`what=labels err="` + w.Path("log/labels") + ": line 1:", "what=\"registration token\" err=\"stat " + w.Path("log/registration.token"), `what=policy err="--policy: ` + w.Path("policy") + ": policy: line 6: no newline"} {
		if !strings.Contains(w.Log.Said(), want) {
			w.t.Errorf("it does not say %s", want)
		}
	}
}

// otherLogs: a policy that lists another log cannot be used, nor can a token that is half
// written, or can be guessed.
func (w *reloading) otherLogs() {
	other := runtest.Must(w.t, "logserver", "init", "--dir", w.Path("other"), "--origin", "other.example", "--only", "ed25519")
	w.Write(w.t, "policy", "log "+other+"\nquorum none\n")
	w.Write(w.t, "log/labels", w.id+" Another name\n")
	w.reload()
	if !strings.Contains(w.Log.Said(), "the policy lists logs, but not this one; it needs the line: log "+w.read("log/log.vkey")) {
		w.t.Error("it takes another log's policy")
	}
	if repo, err := (&api.Client{Base: w.Log.URL}).Repository(w.t.Context(), w.id); err != nil || repo.Label != "Another name" {
		w.t.Errorf("its label is %+v, %v", repo, err)
	}
	// Nor is a token that is half written, or can be guessed.
	w.Write(w.t, "log/registration.token", w.token[:12]+"\n")
	w.reload()
	if want := `what="registration token" err="the registration token in ` + w.Path("log/registration.token") + ": want 22 to 128 letters"; !strings.Contains(w.Log.Said(), want) {
		w.t.Errorf("it does not say %s", want)
	}
	if _, err := w.register(w.token); err != nil {
		w.t.Errorf("after files that cannot be used: %v", err)
	}
}

// whileStopping: while the log stops, SIGHUP does not end it before its submissions are
// published.
func (w *reloading) whileStopping() {
	witnesses := append([]*runtest.Service{w.fourth}, w.Witnesses...)
	for _, s := range witnesses {
		s.Stop(w.t)
	}
	_, root := newVendor(w.t).File("root")
	type answer struct {
		res *api.Result
		err error
	}
	answers := make(chan answer, 1)
	registered := strings.Count(w.Log.Said(), `msg="repository registered"`)
	go func() {
		res, err := (&api.Client{Base: w.Log.URL, Token: w.token, Prefer: time.Minute}).Register(w.t.Context(), root)
		answers <- answer{res, err}
	}()
	runtest.Eventually(w.t, "a submission waits", func() bool {
		return strings.Count(w.Log.Said(), `msg="repository registered"`) > registered
	})
	w.Log.Signal(w.t, syscall.SIGTERM)
	runtest.Eventually(w.t, "it is stopping", func() bool { return strings.Contains(w.Log.Said(), `msg="stopping;`) })
	w.Log.Signal(w.t, syscall.SIGHUP)
	for _, s := range witnesses {
		s.Start(w.t)
	}
	if code := w.Log.End(w.t, syscall.SIGHUP); code != 0 {
		w.t.Errorf("SIGHUP while it stops: exit %d", code)
	}
	if a := <-answers; a.err != nil || !a.res.Done || len(a.res.Results) != 1 || a.res.Results[0].Sidecar == "" {
		w.t.Errorf("the submission that waited: %+v, %v", a.res, a.err)
	}
}
