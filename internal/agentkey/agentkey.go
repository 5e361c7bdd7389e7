// Package agentkey signs with an Ed25519 key that an ssh-agent holds, so that a
// program need not have the key itself: the agent may keep it in memory only, or
// on a token.
//
// The signature is the plain one of RFC 8032 over the message, without the
// framing of SSH: it is what a program with the key would have made.
package agentkey

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// timeout bounds one conversation with an agent. A token may want to be touched.
const timeout = 10 * time.Second

// Key is an Ed25519 key in an agent. It holds no connection: an agent that was
// started again is found again. It is safe for concurrent use.
type Key struct {
	socket string
	public ed25519.PublicKey
}

// Open returns the key with this public key (32 bytes) in the agent that listens
// on the Unix socket.
func Open(socket string, public []byte) (*Key, error) {
	keys, err := list(socket)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if bytes.Equal(k.public, public) {
			return &Key{socket, k.public}, nil
		}
	}
	return nil, fmt.Errorf("the ssh-agent at %s does not hold the Ed25519 key %x; add it with ssh-add", socket, public)
}

// Find returns the key with a fingerprint as ssh-add -l prints it
// ("SHA256:…").
func Find(socket, fingerprint string) (*Key, error) {
	keys, err := list(socket)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.fingerprint == fingerprint {
			return &Key{socket, k.public}, nil
		}
	}
	return nil, fmt.Errorf("the ssh-agent at %s holds no Ed25519 key with the fingerprint %q; ssh-add -l lists what it holds", socket, fingerprint)
}

// Public returns the public key.
func (k *Key) Public() ed25519.PublicKey { return bytes.Clone(k.public) }

// Sign returns the signature (64 bytes) of a message.
func (k *Key) Sign(message []byte) (sig []byte, err error) {
	public, err := ssh.NewPublicKey(k.public)
	if err != nil {
		return nil, fmt.Errorf("ssh-agent: %w", err)
	}
	err = talk(k.socket, func(a agent.Agent) error {
		s, err := a.Sign(public, message)
		if err != nil {
			return err
		}
		if s.Format != ssh.KeyAlgoED25519 || !ed25519.Verify(k.public, message, s.Blob) {
			return errors.New("its signature is not that of the key")
		}
		sig = s.Blob
		return nil
	})
	return sig, err
}

// held is a key that an agent lists.
type held struct {
	public      ed25519.PublicKey
	fingerprint string
}

// list returns the agent's Ed25519 keys.
func list(socket string) (keys []held, err error) {
	err = talk(socket, func(a agent.Agent) error {
		all, err := a.List()
		if err != nil {
			return err
		}
		for _, k := range all {
			public, err := ssh.ParsePublicKey(k.Marshal())
			if err != nil {
				continue // a kind of key that is of no use here
			}
			if c, ok := public.(ssh.CryptoPublicKey); ok {
				if p, ok := c.CryptoPublicKey().(ed25519.PublicKey); ok && public.Type() == ssh.KeyAlgoED25519 {
					keys = append(keys, held{p, ssh.FingerprintSHA256(public)})
				}
			}
		}
		return nil
	})
	return keys, err
}

func talk(socket string, do func(agent.Agent) error) error {
	conn, err := net.DialTimeout("unix", socket, timeout)
	if err != nil {
		return fmt.Errorf("ssh-agent: %w", err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return fmt.Errorf("ssh-agent: %w", err)
	}
	if err := do(agent.NewClient(conn)); err != nil {
		return fmt.Errorf("ssh-agent at %s: %w", socket, err)
	}
	return nil
}
