package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/publish"
)

// The token that a repository gets is printed or kept in a file; what comes without it
// is held, and the publisher says until when and what to do.
func TestSubmitTokens(t *testing.T) {
	w := newWorld(t)
	v, err := testvendor.New(time.Now().Add(24 * time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	dir, vendor := w.Path("metadata"), w.Path("vendor.token")
	submit := func(flags ...string) (stdout, stderr string, code int) {
		t.Helper()
		writeAll(t, v, dir)
		return runtest.Run(t, "publisher", append([]string{"submit", "--policy", w.Path("policy"), "--log", w.Log.URL, dir}, flags...)...)
	}
	registration := []string{"--token-file", w.Path("log/registration.token")}
	stdout, stderr, code := submit(registration...)
	printed := regexp.MustCompile(`shown this once: ([A-Z2-7]{26})\n`).FindStringSubmatch(stderr)
	if code != 0 || printed == nil || strings.Contains(stdout, "held") || strings.Contains(stdout, printed[1]) {
		t.Fatalf("registered: exit %d, %s%s", code, stdout, stderr)
	}

	// Without it, and with the registration token as well, the next release is held.
	next := func(content string) {
		t.Helper()
		if err := errors.Join(v.Put("targets", "a", []byte(content)), v.Release("targets")); err != nil {
			t.Fatal(err)
		}
	}
	next("one")
	for _, flags := range [][]string{nil, registration} {
		stdout, stderr, code := submit(flags...)
		why := "they came without it"
		if flags != nil {
			why = "the one from " + w.Path("log/registration.token") + " is another"
		}
		if code != 2 || !strings.Contains(stdout, " held ") || !strings.Contains(stderr, why) || !strings.Contains(stderr, "--token-file") || !regexp.MustCompile(`until \d{4}-\d\d-\d\dT`).MatchString(stderr) {
			t.Errorf("without the token: exit %d\n%s%s", code, stdout, stderr)
		}
	}
	var report publish.Report
	stdout, _, code = submit("--json")
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 2 || len(report.Held()) != 1 || report.Held()[0].HeldUntil == "" || report.Total().Held != 1 {
		t.Errorf("for machines: exit %d, %v\n%s", code, err, stdout)
	}
	if _, err := os.Stat(filepath.Join(dir, "2.targets.json.tlog-proof")); err == nil {
		t.Error("a proof beside what is held")
	}
	w.Write(t, "own.token", printed[1]+"\n")
	if stdout, stderr, code := submit("--token-file", w.Path("own.token")); code != 0 || stderr != "" {
		t.Errorf("with the token: exit %d\n%s%s", code, stdout, stderr)
	}

	// One that the log does not know is an error that names the place it came from.
	wrong := w.Path("wrong.token")
	w.Write(t, "wrong.token", printed[1]+"x\n")
	next("two")
	if _, stderr, code := submit("--token-file", wrong); code != 2 || !strings.Contains(stderr, "401") || !strings.Contains(stderr, "the token from "+wrong+" was sent") {
		t.Errorf("with a wrong token: exit %d\n%s", code, stderr)
	}
	// From stdin and from the environment.
	stdin := runtest.Command(t, "publisher", "submit", "--policy", w.Path("policy"), "--log", w.Log.URL, "--token-file", "-", dir)
	stdin.Stdin = strings.NewReader(printed[1] + "\n")
	if r, err := process.Run(stdin); err != nil || r.Code != 0 {
		t.Errorf("token from stdin: %+v, %v", r, err)
	}
	next("three")
	writeAll(t, v, dir)
	for _, token := range []string{"\ufeff" + printed[1], printed[1] + "x", printed[1]} {
		env := runtest.Command(t, "publisher", "submit", "--policy", w.Path("policy"), "--log", w.Log.URL, dir)
		env.Env = append(os.Environ(), "TUFLOG_TOKEN="+token)
		if r, err := process.Run(env); err != nil || (r.Code == 0) != (token == printed[1]) || r.Code != 0 && !strings.Contains(r.Stderr, "TUFLOG_TOKEN") {
			t.Errorf("token %q in the environment: %+v, %v", token, r, err)
		}
	}

	// In a file it is sent from then on. Registering is when it is made: a second
	// repository may have the same.
	for range 2 {
		if v, err = testvendor.New(time.Now().Add(24 * time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			next(string(rune('a' + i)))
			stdout, stderr, code := submit(append(registration, "--token-out", vendor)...)
			if code != 0 || strings.Contains(stderr, vendor) != (i == 0) {
				t.Errorf("submission %d with --token-out: exit %d\n%s%s", i, code, stdout, stderr)
			}
		}
		if info, err := os.Stat(vendor); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the token's file: %v, %v", info, err)
		}
	}
	token, err := os.ReadFile(vendor)
	if err != nil || !api.CheckToken(strings.TrimSpace(string(token))) || strings.Contains(string(token), printed[1]) {
		t.Errorf("the token %q, %v", token, err)
	}
}

// Who waits for long is told what the log says, whatever it is.
func TestSlowProofs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stderr strings.Builder
		status, body, asked := 503, `{"status":503,"code":"unavailable","detail":"w1 \u001b does not cosign"}`, 0
		client := &api.Client{Base: "http://log.example", HTTP: &http.Client{Transport: transport(func(r *http.Request) (*http.Response, error) {
			asked++
			resp := &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {api.TypeProblem}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}
			return resp, nil
		})}}
		o, err := newOwner(client, "", "", &stderr)
		if err != nil {
			t.Fatal(err)
		}
		wait := func(d time.Duration) string {
			stderr.Reset()
			stop := o.watch(t.Context())
			time.Sleep(d)
			synctest.Wait()
			stop()
			return stderr.String()
		}
		if said := wait(longWait - time.Second); said != "" || asked != 0 {
			t.Errorf("soon: %q", said)
		}
		const want = "waiting; the log says: \"w1 \\x1b does not cosign\"\n"
		if said := wait(longWait + time.Second); said != want {
			t.Errorf("after a while: %q", said)
		}
		if why := o.why(); why != `the log says: "w1 \x1b does not cosign"` {
			t.Errorf("in the end: %q", why)
		}
		if said := wait(longWait + time.Second); said != "" {
			t.Errorf("the same again: %q", said)
		}
		status, body = 200, "ready\n"
		if said := wait(longWait + time.Second); !strings.Contains(said, "says that it can publish") {
			t.Errorf("a log that is ready: %q", said)
		}
		status, body = 404, "<html>"
		if said := wait(longWait + time.Second); !strings.Contains(said, "does not give the reason") {
			t.Errorf("no log: %q", said)
		}
	})
}

// transport answers requests without a network.
type transport func(*http.Request) (*http.Response, error)

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
