package sshagent_test

import (
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sshagent"
)

var _ witness.Signer = (*sshagent.Signer)(nil)

// testAgent is an agent that can be restarted.
type testAgent struct {
	t      *testing.T
	socket string
	ring   agent.Agent

	l     net.Listener
	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newAgent(t *testing.T) *testAgent {
	a := &testAgent{t: t, socket: filepath.Join(t.TempDir(), "agent"), ring: agent.NewKeyring()}
	a.start()
	t.Cleanup(a.stop)
	return a
}

func (a *testAgent) start() {
	a.t.Helper()
	var err error
	if a.l, err = net.Listen("unix", a.socket); err != nil {
		a.t.Fatal(err)
	}
	l := a.l
	a.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			a.mu.Lock()
			a.conns = append(a.conns, c)
			a.mu.Unlock()
			a.wg.Go(func() { _ = agent.ServeAgent(a.ring, c) }) // ends when the connection does
		}
	})
}

func (a *testAgent) stop() {
	_ = a.l.Close() // it may be closed already
	a.mu.Lock()
	for _, c := range a.conns {
		_ = c.Close() // the client may have done so
	}
	a.conns = nil
	a.mu.Unlock()
	a.wg.Wait()
}

func (a *testAgent) add(key any, comment string) {
	a.t.Helper()
	if err := a.ring.Add(agent.AddedKey{PrivateKey: key, Comment: comment}); err != nil {
		a.t.Fatal(err)
	}
}

func TestSigner(t *testing.T) {
	a := newAgent(t)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(nil, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a.add(rsaKey, "not for us")
	a.add(private, "witness key")
	listed, err := sshagent.List(a.socket)
	if err != nil || len(listed) != 1 || listed[0].Comment != "witness key" || !strings.HasPrefix(listed[0].Fingerprint, "SHA256:") {
		t.Fatalf("listed %+v, %v", listed, err)
	}
	key, err := listed[0].Key("witness.example")
	if err != nil || key.Name() != "witness.example" || key.Algorithm() != proofs.CosignatureV1 {
		t.Fatalf("key %v, %v", key, err)
	}
	s, err := sshagent.NewSigner(a.socket, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(); err != nil {
		t.Fatal(err)
	}
	const text = "log.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
	sign := func() {
		t.Helper()
		sig, err := s.Sign(text, 1_700_000_000)
		if err != nil {
			t.Fatal(err)
		}
		times, err := proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.VerifiedBy(key)
		if err != nil || len(times) != 1 || times[0] != 1_700_000_000 {
			t.Fatalf("times %v, %v", times, err)
		}
	}
	sign()
	sign()
	// The agent restarts, and the next signature finds it.
	for range 3 {
		a.stop()
		if _, err := s.Sign(text, 1); err == nil {
			t.Fatal("signed without an agent")
		}
		if err := s.Ping(); err == nil {
			t.Fatal("reached an agent that is gone")
		}
		a.start()
		sign()
	}
	a.stop()
	a.start()
	sign() // on a connection that broke unnoticed

	if err := a.ring.RemoveAll(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(); err == nil || !strings.Contains(err.Error(), "does not have the key") {
		t.Fatalf("ping without the key: %v", err)
	}
	if _, err := s.Sign(text, 1); err == nil {
		t.Fatal("signed without the key")
	}
}

func TestNewSignerRefuses(t *testing.T) {
	for _, alg := range []proofs.Algorithm{proofs.Ed25519, proofs.MLDSA44} {
		s, err := proofs.GenerateSigner(nil, "witness.example", alg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sshagent.NewSigner("socket", s.Key()); err == nil {
			t.Errorf("a key of type %v was taken", alg)
		}
	}
	if _, err := sshagent.List(filepath.Join(t.TempDir(), "none")); err == nil || errors.Is(err, net.ErrClosed) {
		t.Errorf("keys of no agent: %v", err)
	}
}
