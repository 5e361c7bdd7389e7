package agentkey_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/internal/agentkey"
)

// serve has an agent listen on a socket.
func serve(t *testing.T, keyring agent.Agent) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "agent")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				// It ends with the connection.
				_ = agent.ServeAgent(keyring, c)
			}()
		}
	}()
	return socket
}

func add(t *testing.T, keyring agent.Agent) ed25519.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := keyring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
		t.Fatal(err)
	}
	return public
}

func TestSign(t *testing.T) {
	keyring := agent.NewKeyring()
	add(t, keyring)
	public := add(t, keyring)
	socket := serve(t, keyring)
	byKey, err := agentkey.Open(socket, public)
	if err != nil {
		t.Fatal(err)
	}
	sshKey, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	byFingerprint, err := agentkey.Find(socket, ssh.FingerprintSHA256(sshKey))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*agentkey.Key{byKey, byFingerprint} {
		sig, err := k.Sign([]byte("a message"))
		if err != nil || !k.Public().Equal(public) || !ed25519.Verify(public, []byte("a message"), sig) {
			t.Errorf("signature %x, %v", sig, err)
		}
	}
	if err := keyring.RemoveAll(); err != nil {
		t.Fatal(err)
	}
	if sig, err := byKey.Sign([]byte("a message")); err == nil || sig != nil {
		t.Errorf("a key that was taken out of the agent signs: %x", sig)
	}
}

func TestNoKey(t *testing.T) {
	keyring := agent.NewKeyring()
	add(t, keyring)
	socket := serve(t, keyring)
	if _, err := agentkey.Open(socket, make([]byte, 32)); err == nil || !strings.Contains(err.Error(), "does not hold") {
		t.Errorf("another key: %v", err)
	}
	if _, err := agentkey.Find(socket, "SHA256:none"); err == nil || !strings.Contains(err.Error(), "SHA256:none") {
		t.Errorf("another fingerprint: %v", err)
	}
	if _, err := agentkey.Open(filepath.Join(t.TempDir(), "none"), make([]byte, 32)); err == nil {
		t.Error("no agent")
	}
}
