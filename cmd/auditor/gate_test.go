package main

import (
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
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
