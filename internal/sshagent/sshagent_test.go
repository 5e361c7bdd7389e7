package sshagent_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/internal/sshagent"
	"github.com/tuflog/tuflog/proofs"
)

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
	at := sshagent.Agent{Socket: a.socket, Timeout: time.Minute}
	listed, err := at.Keys()
	if err != nil || len(listed) != 1 || listed[0].Comment != "witness key" || !strings.HasPrefix(listed[0].Fingerprint, "SHA256:") {
		t.Fatalf("listed %+v, %v", listed, err)
	}
	if !private.Public().(ed25519.PublicKey).Equal(listed[0].Public()) {
		t.Fatalf("public key %x", listed[0].Public())
	}
	held, err := at.Key(listed[0].Public().(ed25519.PublicKey))
	if err != nil || held.Fingerprint != listed[0].Fingerprint {
		t.Fatalf("key %+v, %v", held, err)
	}
	s := newSigner(t, held)
	key := s.Key()
	if key.Name() != "witness.example" || key.Algorithm() != proofs.CosignatureV1 {
		t.Fatalf("key %v", key)
	}
	if err := held.Ping(); err != nil {
		t.Fatal(err)
	}
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
		if err := held.Ping(); err == nil {
			t.Fatal("reached an agent that is gone")
		}
		a.start()
		sign()
	}
	if err := a.ring.RemoveAll(); err != nil {
		t.Fatal(err)
	}
	if err := held.Ping(); err == nil || !strings.Contains(err.Error(), "does not have the Ed25519 key") {
		t.Fatalf("ping without the key: %v", err)
	}
	if _, err := s.Sign(text, 1); err == nil {
		t.Fatal("signed without the key")
	}
}

const text = "log.example\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"

func newSigner(t *testing.T, held *sshagent.Key) *proofs.Signer {
	t.Helper()
	s, err := proofs.NewSigner("witness.example", proofs.CosignatureV1, held)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// liar is an agent that signs another message, or in another format.
type liar struct {
	agent.Agent
	format string
	suffix string
}

func (l liar) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	sig, err := l.Agent.Sign(key, append(data, l.suffix...))
	if err == nil {
		sig.Format = l.format
	}
	return sig, err
}

func TestLyingAgent(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct {
		format, suffix, want string
	}{
		{ssh.KeyAlgoED25519, "", ""},
		{ssh.KeyAlgoED25519, "x", "signature does not verify"},
		{ssh.KeyAlgoRSA, "", "signature \"ssh-rsa\""},
	} {
		a := newAgent(t)
		a.add(private, "")
		a.stop()
		a.ring = liar{a.ring, l.format, l.suffix}
		a.start()
		held, err := sshagent.Agent{Socket: a.socket, Timeout: time.Minute}.Key(private.Public().(ed25519.PublicKey))
		if err != nil {
			t.Fatal(err)
		}
		sig, err := newSigner(t, held).Sign(text, 1)
		if l.want == "" && err != nil || l.want != "" && (err == nil || !strings.Contains(err.Error(), l.want) || sig.Sig != nil) {
			t.Errorf("%+v: signature %v, error %v", l, sig, err)
		}
	}
}

// Of two keys the one that was asked for signs, and one that the agent does not have
// is found missing.
func TestTwoKeys(t *testing.T) {
	a := newAgent(t)
	at := sshagent.Agent{Socket: a.socket, Timeout: time.Minute}
	for i := range 3 {
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			a.add(private, "")
		}
		held, err := at.Key(public)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := held.Sign(nil, []byte("a message"), crypto.Hash(0))
		switch pinged := held.Ping(); {
		case i < 2 && (err != nil || pinged != nil || !ed25519.Verify(public, []byte("a message"), sig)):
			t.Errorf("key %d: signature %x, %v; ping %v", i, sig, err, pinged)
		case i == 2 && (err == nil || pinged == nil || sig != nil):
			t.Errorf("a key that is not there: signature %x, %v; ping %v", sig, err, pinged)
		}
	}
	if keys, err := at.Keys(); err != nil || len(keys) != 2 || keys[0].Fingerprint == keys[1].Fingerprint {
		t.Errorf("keys %+v, %v", keys, err)
	}
}

func TestRefused(t *testing.T) {
	none := sshagent.Agent{Socket: filepath.Join(t.TempDir(), "none"), Timeout: time.Minute}
	if _, err := none.Key(make([]byte, 31)); err == nil {
		t.Error("a key of 31 bytes was taken")
	}
	if _, err := none.Keys(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("keys of no agent: %v", err)
	}
	k, err := none.Key(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Ping(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no agent has the key: %v", err)
	}
	if _, err := k.Sign(nil, make([]byte, 32), crypto.SHA256); err == nil || !strings.Contains(err.Error(), "not hashes of SHA-256") {
		t.Errorf("a hash to sign: %v", err)
	}
	for _, alg := range []proofs.Algorithm{proofs.ECDSA, proofs.MLDSA44} {
		if _, err := proofs.NewSigner("witness.example", alg, k); err == nil {
			t.Errorf("a key of type %v was taken", alg)
		}
	}
}
