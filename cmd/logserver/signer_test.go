package main

import (
	"crypto/ed25519"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/proofs"
)

// An agent is asked to sign what no signature by the log's key can mean anything on.
func TestTry(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: &private}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "agent")
	serveAgent(t, socket, keyring)
	held, err := inAgent(socket).Key(public)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := proofs.NewSigner("log.example", proofs.Ed25519, held)
	if err != nil {
		t.Fatal(err)
	}
	s := &agentSigner{signer, held}
	if err := s.try(); err != nil {
		t.Error(err)
	}
	for _, text := range []string{tried, tried + "\n"} {
		if _, err := s.Sign(text, 0); err == nil {
			t.Errorf("%q can be the text of a note", text)
		}
	}
	if err := keyring.RemoveAll(); err != nil {
		t.Fatal(err)
	}
	if err := s.try(); err == nil || !strings.Contains(err.Error(), "ssh-agent") {
		t.Errorf("without its key: %v", err)
	}
}
