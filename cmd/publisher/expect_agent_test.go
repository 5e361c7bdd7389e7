package main

import (
	"crypto/ed25519"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/tuf"
)

// The key may be in an ssh-agent; which, has to be said if it has several.
func TestExpectAgent(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs the program five times")
	}
	ring := agent.NewKeyring()
	for range 2 {
		_, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	socket, note, draft := filepath.Join(dir, "agent"), filepath.Join(dir, "note"), filepath.Join(dir, "draft")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c) }()
		}
	}()
	if err := os.WriteFile(draft, []byte("repository "+tuf.Sum(nil).String()+"\nrelease targets any\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key := []string{"expect", "key", "--name", "acme.example/expect", "--ssh-agent", socket}
	_, stderr, code := runtest.Run(t, "publisher", key...)
	if code != 2 || !strings.Contains(stderr, "--ssh-key") {
		t.Fatalf("with two keys in the agent: exit %d, %s", code, stderr)
	}
	_, fingerprint, _ := strings.Cut(stderr, "SHA256:")
	fingerprint = "SHA256:" + strings.Fields(fingerprint)[0]
	vkey := strings.TrimSpace(runtest.Must(t, "publisher", append(key, "--ssh-key", fingerprint)...))
	runtest.Must(t, "publisher", "expect", "sign", "--name", "acme.example/expect", "--ssh-agent", socket, "--ssh-key", fingerprint, "--out", note, draft)
	if out := runtest.Must(t, "publisher", "expect", "check", note, "--key", vkey); !strings.Contains(out, "Expectations 1 of repository") {
		t.Errorf("%s", out)
	}
	if _, stderr, code := runtest.Run(t, "publisher", "expect", "sign", "--ssh-agent", socket, "--ssh-key", fingerprint, "--out", note, draft); code != 2 || !strings.Contains(stderr, "--ssh-agent needs --name") {
		t.Errorf("without a name: exit %d, %s", code, stderr)
	}
}
