package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
)

// Errors that may pass by themselves end the log with 1, so that systemd starts it again;
// those that a person has to look at with 2.
func TestExitCodesOfServe(t *testing.T) {
	w := newWorld(t)
	serve := func(args ...string) (string, int) {
		t.Helper()
		_, stderr, code := runtest.Run(t, "logserver", append([]string{"serve", "--dir", w.Path("log"), "--policy", w.Path("policy")}, args...)...)
		return stderr, code
	}
	if said, code := serve("--listen", "127.0.0.1:0"); code != 1 || !strings.Contains(said, "in use by logserver serve (process ") {
		t.Errorf("a second one: exit %d, %s", code, said)
	}
	taken := strings.TrimPrefix(w.Witnesses[0].URL, "http://")
	w.Log.Stop(t)
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--listen", taken}, 1, "address already in use"},
		{[]string{"--listen", "192.0.2.1:7370"}, 1, "cannot assign requested address"},
		{[]string{"--listen", "127.0.0.1:0", "--metrics-listen", taken}, 1, "metrics: listen tcp " + taken},
		{[]string{"--listen", "127.0.0.1"}, 2, `--listen "127.0.0.1": want HOST:PORT`},
		{[]string{"--listen", "7370"}, 2, `--listen "7370": want HOST:PORT`},
		{[]string{"--listen", "127.0.0.1:0", "--metrics-listen", "x"}, 2, `--metrics-listen "x": want HOST:PORT`},
		{[]string{"--listen", "127.0.0.1:0", "--token-file", "none"}, 2, "none: no such file"},
	} {
		if said, code := serve(tt.args...); code != tt.code || !strings.Contains(said, tt.want) {
			t.Errorf("%v: exit %d, %s; want %d, %s", tt.args, code, said, tt.code, tt.want)
		}
	}
	_, said, code := runtest.Run(t, "witness", "serve", "--dir", w.Path("w1"), "--listen", taken)
	if code != 1 || !strings.Contains(said, "in use by witness serve (process ") {
		t.Errorf("a second witness: exit %d, %s", code, said)
	}
	w.Witnesses[1].Stop(t)
	_, said, code = runtest.Run(t, "witness", "serve", "--dir", w.Path("w2"), "--listen", taken)
	if code != 1 || !strings.Contains(said, "address already in use") {
		t.Errorf("a witness's address that is taken: exit %d, %s", code, said)
	}
	if _, said, code = runtest.Run(t, "witness", "serve", "--dir", w.Path("w2"), "--listen", "7380"); code != 2 || !strings.Contains(said, "want HOST:PORT") {
		t.Errorf("a witness's address that is none: exit %d, %s", code, said)
	}
	// The ledger is gone: the log must not sign.
	if err := os.Rename(w.Path("log.ledger/ledger"), w.Path("away")); err != nil {
		t.Fatal(err)
	}
	if said, code := serve("--listen", "127.0.0.1:0"); code != 2 || !strings.Contains(said, "or see logserver status --dir "+w.Path("log")+"\n") {
		t.Errorf("without a ledger: exit %d, %s", code, said)
	}
}

// Status of a log that is served asks whether anything can be published, and needs no
// private key. Its advice is a command that works as it stands.
func TestStatusOfWhatIsServed(t *testing.T) {
	w := newWorld(t)
	runtest.Must(t, "logserver", "key", "add", "--dir", w.Path("log"), "--type", "ecdsa-p256", "rekor")
	w.Log.Stop(t)
	w.Log.Start(t)
	for _, key := range []string{"log/log.key", "log/keys/rekor.key"} {
		if err := os.Rename(w.Path(key), w.Path(key)+".away"); err != nil {
			t.Fatal(err)
		}
		w.Write(t, key, "not for status\n")
	}
	if st := w.statusOf(t, 0); !st.Served || !strings.HasPrefix(st.Holder, "logserver serve (process ") || st.Serving != w.Log.URL || st.Unready != "" || len(st.Keys) != 2 {
		t.Errorf("status: %+v", st)
	}
	for _, witness := range w.Witnesses {
		witness.Stop(t)
	}
	_, root := newVendor(t).File("root")
	token, err := os.ReadFile(w.Path("log/registration.token"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, _ = (&api.Client{Base: w.Log.URL, Token: strings.TrimSpace(string(token)), Prefer: 1}).Register(ctx, root)
	var stdout string
	runtest.Eventually(t, "status says that nothing can be published", func() bool {
		var code int
		stdout, _, code = runtest.Run(t, "logserver", "status", "--dir", w.Path("log"))
		return code == 1
	})
	if !strings.Contains(stdout, "nothing can be published now: nothing is signed before a quorum has said") || !strings.Contains(stdout, "connection refused") || !strings.Contains(stdout, "serving    "+w.Log.URL+"\n") {
		t.Errorf("status says\n%s", stdout)
	}
	w.Log.End(t, os.Kill)
	if st := w.statusOf(t, 0); st.Served || st.Serving != "" || st.Holder != "" {
		t.Errorf("status of a log that was killed: %+v", st)
	}

	// The advice, pasted.
	if err := os.Remove(w.Path("log/state.db")); err != nil {
		t.Fatal(err)
	}
	stdout, _, code := runtest.Run(t, "logserver", "status", "--dir", w.Path("log"))
	_, command, ok := strings.Cut(stdout, "Make it anew: logserver ")
	if code != 1 || !ok {
		t.Fatalf("status: exit %d\n%s", code, stdout)
	}
	command = strings.TrimSuffix(strings.TrimSpace(command), ".")
	shell := exec.CommandContext(t.Context(), "sh", "-c", runtest.Programs(t, "logserver")+"/logserver "+command)
	if out, err := shell.CombinedOutput(); err != nil || !strings.Contains(string(out), "entries indexed") {
		t.Errorf("%s: %v\n%s", command, err, out)
	}
}

// A directory is a name, and never a pattern: a log below "[1]" keeps its further keys.
func TestFurtherKeysBelowAnyName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log[1]*")
	runtest.Must(t, "logserver", "init", "--dir", dir, "--origin", "log.example/names")
	more := runtest.Must(t, "logserver", "key", "add", "--dir", dir, "--type", "ecdsa-p256", "rekor")
	if out, errs, _ := runtest.Run(t, "logserver", "status", "--dir", dir); !strings.Contains(out, strings.TrimSpace(more)) {
		t.Errorf("status has no %s\n%s%s", more, out, errs)
	}
}
