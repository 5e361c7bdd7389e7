package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/tuf"
)

// No flag that the configuration decides is ignored without a word.
func TestGateServeWithConfigAndFlags(t *testing.T) {
	for _, flag := range []string{"--dir=d", "--key=k", "--ssh-key=SHA256:x", "--max-lifetime=1h", "--max-jump=5", "--max-roles=7", "--without-hashes", "--repository=00", "--client-address-header=X-Forwarded-For"} {
		name, _, _ := strings.Cut(flag, "=")
		_, said, code := runtest.Run(t, "auditor", "gate", "serve", "--config", "nowhere.toml", flag)
		if code != 2 || !strings.Contains(said, name+": with --config it stands in the configuration") {
			t.Errorf("%s: exit code %d: %s", flag, code, said)
		}
	}
	if _, said, code := runtest.Run(t, "auditor", "gate", "serve", "--config", "nowhere.toml", "--listen", "127.0.0.1:0"); code != 2 || !strings.Contains(said, "nowhere.toml") {
		t.Errorf("exit code %d: %s", code, said)
	}
}

// A zero that is given is not taken for a flag that was left out.
func TestGateServeZeroFlags(t *testing.T) {
	for _, flag := range []string{"--max-lifetime=0", "--max-jump=0", "--max-roles=0", "--repository=", "--repository=" + strings.Repeat("0", 64)} {
		_, said, code := runtest.Run(t, "auditor", "gate", "serve", "--policy=p", "--dir=d", "--key=k", "--root=r", "--served=http://127.0.0.1/", flag)
		if code != 2 || !strings.Contains(said, "zero") {
			t.Errorf("%s: exit code %d: %s", flag, code, said)
		}
	}
}

// What gate key prints is what the configuration of another gate and publisher gate plan take.
func TestGateKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.key")
	line := runtest.Must(t, "auditor", "gate", "key", "--out", path)
	if again := runtest.Must(t, "auditor", "gate", "key", "--key", path); again != line {
		t.Errorf("made as %q, read as %q", line, again)
	}
	public := strings.TrimSuffix(line, "\n")
	if len(public) != 64 || strings.Trim(public, "0123456789abcdef") != "" {
		t.Fatalf("it prints %q: want 64 hex digits", line)
	}
	text := runtest.Must(t, "auditor", "gate", "key", "--key", path, "--json")
	key, err := client.ParseKey(text)
	if err != nil || key.KeyVal.Public != public || !strings.Contains(text, key.KeyID) {
		t.Errorf("%s: %v", text, err)
	}
	if b, err := os.ReadFile(path); err != nil || strings.Contains(line, string(b)) {
		t.Errorf("%v, or the private key is printed", err)
	}
}

// On SIGHUP a gate reads its configuration again. A bad one leaves the one of before in place, and
// is spoken of.
func TestGateReload(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(path(name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	runtest.Must(t, "auditor", "gate", "key", "--out", path("gate.key"))
	write("policy.txt", testlog.New(t, "log.example/a", 1, "1").PolicyText())
	section := func(name string) string {
		t.Helper()
		v, err := testvendor.New(time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		_, root := v.File(tuf.RoleRoot)
		write(name+".json", string(root))
		return fmt.Sprintf("[[repository]]\nname = %q\nroot = %q\npolicy = \"policy.txt\"\nserved = \"http://127.0.0.1:1/\"\n", name, name+".json")
	}
	head := "dir = \"state\"\nkey = \"gate.key\"\n"
	first, second := section("first"), section("second")
	write("gate.toml", head+first)
	s := runtest.Serve(t, "auditor", "gate", "serve", "--config", path("gate.toml"), "--listen", "127.0.0.1:0")
	status := func() string {
		out, _, _ := runtest.Run(t, "auditor", "gate", "status", s.URL)
		return out
	}
	if said := status(); !strings.Contains(said, "first ") || strings.Contains(said, "second ") {
		t.Fatalf("before: %s", said)
	}
	write("gate.toml", head+first+second)
	s.Signal(t, syscall.SIGHUP)
	runtest.Eventually(t, "the second repository", func() bool { return strings.Contains(status(), "second ") })
	for _, bad := range []struct{ text, says string }{
		{head + "no_such_key = 1\n" + first, "no_such_key"},
		{"dir = \"elsewhere\"\nkey = \"gate.key\"\n" + first, "takes a restart"},
		{head + first + first, "twice"},
		{head + strings.Replace(first, "policy.txt", "first.json", 1), "first.json"},
	} {
		write("gate.toml", bad.text)
		s.Signal(t, syscall.SIGHUP)
		runtest.Eventually(t, bad.says, func() bool {
			return strings.Contains(s.Said(), "not reloaded, what was read before still counts") && strings.Contains(s.Said(), bad.says)
		})
		if said := status(); !strings.Contains(said, "first ") || !strings.Contains(said, "second ") {
			t.Errorf("%s: %s", bad.says, said)
		}
	}
	write("gate.toml", head+second)
	s.Signal(t, syscall.SIGHUP)
	runtest.Eventually(t, "the first repository is gone", func() bool { return !strings.Contains(status(), "first ") })
	s.Stop(t)
}
