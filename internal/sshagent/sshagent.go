// Package sshagent signs with an Ed25519 key that an ssh-agent holds, so that a
// program does not need the key itself: the agent may keep it in memory only, or
// on a token.
//
// The signature is the plain one of RFC 8032 over the message, without the
// framing of SSH: a program with the key would make the same signature.
package sshagent

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Agent is an ssh-agent.
type Agent struct {
	// Socket is the path of its Unix socket.
	Socket string
	// Timeout bounds each exchange with it. A token may need to be touched.
	Timeout time.Duration
}

// Key is an Ed25519 key in an agent: a crypto.Signer. It does not keep a
// connection, so it works with an agent that was restarted. It is safe for
// concurrent use, and signs one message at a time.
type Key struct {
	// Fingerprint is as ssh-add -l prints it, "SHA256:…".
	Fingerprint string
	// Comment is the agent's comment on a key that Keys returned.
	Comment string

	agent  Agent
	public ed25519.PublicKey
	ssh    ssh.PublicKey
	mu     sync.Mutex // holds for an exchange, so that its timeout counts no waiting
}

// Keys returns the agent's Ed25519 keys.
func (a Agent) Keys() ([]*Key, error) {
	var keys []*Key
	err := a.talk(func(client agent.Agent) error {
		listed, err := client.List()
		if err != nil {
			return err
		}
		for _, l := range listed {
			public, err := ssh.ParsePublicKey(l.Blob)
			if err != nil || public.Type() != ssh.KeyAlgoED25519 {
				continue // a kind of key that is of no use here
			}
			if raw, ok := public.(ssh.CryptoPublicKey).CryptoPublicKey().(ed25519.PublicKey); ok {
				k := a.key(raw, public)
				k.Comment = l.Comment
				keys = append(keys, k)
			}
		}
		return nil
	})
	return keys, err
}

// Key returns the key with this public key (32 bytes). It does not connect: see
// Ping.
func (a Agent) Key(public []byte) (*Key, error) {
	if len(public) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%d bytes of public key, an ssh-agent signs with an Ed25519 key of %d", len(public), ed25519.PublicKeySize)
	}
	named, err := ssh.NewPublicKey(ed25519.PublicKey(public))
	if err != nil {
		return nil, err
	}
	return a.key(bytes.Clone(public), named), nil
}

func (a Agent) key(raw ed25519.PublicKey, public ssh.PublicKey) *Key {
	return &Key{Fingerprint: ssh.FingerprintSHA256(public), agent: a, public: raw, ssh: public}
}

// Public returns the ed25519.PublicKey.
func (k *Key) Public() crypto.PublicKey { return k.public }

// Ping asks the agent whether it has the key.
func (k *Key) Ping() error {
	keys, err := k.agent.Keys()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(keys, func(held *Key) bool { return held.public.Equal(k.public) }) {
		return fmt.Errorf("the ssh-agent at %s does not have the Ed25519 key %s; add it with ssh-add", k.agent.Socket, k.Fingerprint)
	}
	return nil
}

// Sign returns the signature (64 bytes) of a message, which must not be hashed
// before. It is the agent's answer and not verified here: proofs.NewSigner
// verifies it.
func (k *Key) Sign(_ io.Reader, message []byte, opts crypto.SignerOpts) (sig []byte, err error) {
	if opts.HashFunc() != 0 {
		return nil, fmt.Errorf("an ssh-agent signs messages, not hashes of %v", opts.HashFunc())
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	err = k.agent.talk(func(client agent.Agent) error {
		s, err := client.Sign(k.ssh, message)
		if err != nil {
			return err
		}
		if s.Format != ssh.KeyAlgoED25519 {
			return fmt.Errorf("it gave a signature %q, want %s", s.Format, ssh.KeyAlgoED25519)
		}
		sig = s.Blob
		return nil
	})
	return sig, err
}

// talk makes one exchange.
func (a Agent) talk(exchange func(agent.Agent) error) error {
	conn, err := net.DialTimeout("unix", a.Socket, a.Timeout)
	if err != nil {
		return fmt.Errorf("ssh-agent: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(a.Timeout)); err != nil {
		return fmt.Errorf("ssh-agent: %w", err)
	}
	if err := exchange(agent.NewClient(conn)); err != nil {
		return fmt.Errorf("ssh-agent at %s: %w", a.Socket, err)
	}
	return nil
}
