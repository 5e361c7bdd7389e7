package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/log/leader"
	"github.com/tuflog/tuflog/log/publisher"
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
	c := &node{cfg: leader.Config{Publisher: publisher.Config{Signer: s}}}
	if err := c.canSign(t.Context()); err != nil {
		t.Error(err)
	}
	if err := keyring.RemoveAll(); err != nil {
		t.Fatal(err)
	}
	if err := c.canSign(t.Context()); err == nil || !strings.Contains(err.Error(), "ssh-agent") {
		t.Errorf("without its key: %v", err)
	}
}

// What a front end needs is asked for now and then, sooner when it says no or somebody may
// have to lead, and once at a time; no answer is soon taken for a no.
func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running sync.WaitGroup
		asked := 0
		var says error
		hangs := make(chan struct{})
		k := &check{who: "the witnesses", calm: 30 * time.Second}
		k.ask = func(ctx context.Context) error {
			asked++
			if errors.Is(says, errNotAsked) {
				<-hangs
			}
			return says
		}
		after := func(d time.Duration, hurry bool, times int, words string) {
			t.Helper()
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
				k.start(t.Context(), &running, hurry)
			}
			synctest.Wait()
			err := k.verdict(0)
			if asked != times || (err == nil) != (words == "") || err != nil && !strings.Contains(err.Error(), words) {
				t.Errorf("asked %d times, want %d: %v, want %q", asked, times, err, words)
			}
			asked = 0
		}
		if err := k.verdict(0); !errors.Is(err, errNotAsked) {
			t.Errorf("at first: %v", err)
		}
		after(65*time.Second, false, 3, "")
		after(30*time.Second, true, 10, "")
		says = errors.New("no route")
		after(33*time.Second, false, 1+1, "no route")
		says = errNotAsked // it hangs
		after(10*time.Second, true, 1, "no answer for")
		says = nil
		close(hangs)
		after(10*time.Second, false, 0, "")
		running.Wait()
	})
}
