package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/gate/client"
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
