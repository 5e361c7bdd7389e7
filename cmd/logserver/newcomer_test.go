package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/api"
)

// Newcomers' mistakes are named so that they can put them right.
func TestNewcomersMistakes(t *testing.T) {
	dir := t.TempDir()
	l := filepath.Join(dir, "l")
	refuses := func(want string, args ...string) {
		t.Helper()
		stdout, stderr, code := runtest.Run(t, "logserver", args...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: exit %d, %s%s; want exit 2 and %q", args, code, stdout, stderr, want)
		}
	}
	refuses("leave out the scheme: log.example", "init", "--dir", l, "--origin", "https://log.example")
	refuses("see logserver init --help", "init", "--dir", l)
	for _, command := range []string{"status", "fsck"} {
		refuses("no log in "+l, command, "--dir", l)
	}
	refuses("no log in "+l, "key", "list", "--dir", l)
	vkey := runtest.Must(t, "logserver", "init", "--dir", l, "--origin", "log.example", "--only", "ed25519")
	file := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	policy := file("policy", "log "+vkey+"\nquorum none\n")
	refuses("there is a ledger at "+l+".ledger/ledger: move it away", "resume", "--dir", l, "--i-know", "ledger-lost")
	serve := func(policy string) []string {
		return []string{"serve", "--dir", l, "--policy", policy, "--listen", "127.0.0.1:0"}
	}
	refuses("policy.json is JSON; a trust policy has lines such as", serve(file("policy.json", "{\n}\n"))...)
	refuses("--policy: open "+l+"none: no such file", serve(l+"none")...)
	refuses("--policy -: the trust policy is not read from stdin", serve("-")...)
	refuses("is a directory", serve(dir)...)
	refuses("is a directory: name the file in it", append(serve(policy), "--token-file", dir)...)
	refuses("name a file, or /dev/stdin", append(serve(policy), "--token-file", "-")...)
	refuses("token.crlf ends its line with CR LF", append(serve(policy), "--token-file", file("token.crlf", "secret\r\n"))...)
	refuses("token.bom begins with a byte order mark", append(serve(policy), "--token-file", file("token.bom", "\xef\xbb\xbfsecret\n"))...)
	if err := os.Remove(l + ".ledger/ledger"); err != nil {
		t.Fatal(err)
	}
	refuses("no checkpoint was published here", "resume", "--dir", l, "--i-know", "ledger-lost")
}

// A user who may not read the ledger does not hear that it is lost.
func TestStatusWithoutPermission(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read everything")
	}
	l := filepath.Join(t.TempDir(), "l")
	runtest.Must(t, "logserver", "init", "--dir", l, "--origin", "log.example")
	if err := os.Chmod(l+".ledger", 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(l+".ledger", 0o700) })
	stdout, stderr, code := runtest.Run(t, "logserver", "status", "--dir", l)
	if code != 2 || stdout != "" || !strings.Contains(stderr, "permission denied") {
		t.Errorf("exit %d, %s%s", code, stdout, stderr)
	}
}

// A witness's URL without its scheme is found at the start.
func TestWitnessURLWithoutScheme(t *testing.T) {
	dir := t.TempDir()
	l := filepath.Join(dir, "l")
	vkey := runtest.Must(t, "logserver", "init", "--dir", l, "--origin", "log.example", "--only", "ed25519")
	witness := runtest.Must(t, "witness", "init", "--dir", filepath.Join(dir, "w"), "--name", "w.example", "--only", "ed25519")
	policy := write(t, "policy", "log "+vkey+"\nwitness w "+witness+" 127.0.0.1:7380\nquorum w\n", 0o600)
	_, stderr, code := runtest.Run(t, "logserver", "serve", "--dir", l, "--policy", policy, "--listen", "127.0.0.1:0")
	if want := `witness w: "127.0.0.1:7380" is not an http or https URL`; code != 2 || !strings.Contains(stderr, want) {
		t.Errorf("exit %d, %s; want exit 2 and %q", code, stderr, want)
	}
}

// In a container the secrets may be in the environment.
func TestSecretsFromTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	l := filepath.Join(dir, "l")
	vkey := runtest.Must(t, "logserver", "init", "--dir", l, "--origin", "log.example", "--only", "ed25519")
	policy := write(t, "policy", "log "+vkey+"\nquorum none\n", 0o600)
	key, err := os.ReadFile(l + "/log.key")
	if err := errors.Join(err, os.Remove(l+"/log.key"), os.Remove(l+"/registration.token")); err != nil {
		t.Fatal(err)
	}
	another := filepath.Join(dir, "another")
	runtest.Must(t, "logserver", "init", "--dir", another, "--origin", "another.example")
	other, err := os.ReadFile(another + "/log.key")
	if err != nil {
		t.Fatal(err)
	}
	serve := []string{"serve", "--dir", l, "--policy", policy}
	t.Setenv("TUFLOG_REGISTRATION_TOKEN", "token-from-the-environment")
	for want, value := range map[string]string{"TUFLOG_LOG_KEY ends its line with CR LF": strings.TrimSpace(string(key)) + "\r\n", "the key in TUFLOG_LOG_KEY is that of another.example": string(other), "the key in TUFLOG_LOG_KEY: ": "none"} {
		t.Setenv("TUFLOG_LOG_KEY", value)
		if _, stderr, code := runtest.Run(t, "logserver", append(serve, "--listen", "127.0.0.1:0")...); code != 2 || !strings.Contains(stderr, want) || strings.Contains(stderr, strings.TrimSpace(value)) && value != "none" {
			t.Errorf("exit %d, %s; want %s", code, stderr, want)
		}
	}
	t.Setenv("TUFLOG_LOG_KEY", string(key))
	s := runtest.Serve(t, "logserver", serve...)
	vendor := newVendor(t)
	_, root := vendor.File("root")
	client := &api.Client{Base: s.URL, Token: "token-from-the-environment"}
	if res, err := client.Register(t.Context(), root); err != nil || !res.Done {
		t.Errorf("register: %+v, %v", res, err)
	}
	s.Stop(t)
}
