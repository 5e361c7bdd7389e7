// Package sshagent cosigns with an Ed25519 key that is in an ssh-agent, so that
// the private key need not be readable by the witness. The agent signs the bytes
// of a cosignature/v1 (c2sp.org/tlog-cosignature) as they are. The key must be
// used for nothing else.
//
// The agent may be restarted: a connection that fails is made anew.
package sshagent

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/tuflog/tuflog/proofs"
)

// timeout bounds each exchange with the agent. One that asks a person before it
// signs is not for witnesses.
const timeout = 5 * time.Second

// Listed is an Ed25519 key in an agent.
type Listed struct {
	// Fingerprint is as ssh-add -l prints it, "SHA256:…".
	Fingerprint string
	Comment     string
	public      ed25519.PublicKey
}

// Key returns the verifier key of the listed key under the name of a witness.
func (l Listed) Key(name string) (proofs.Key, error) {
	raw := append([]byte{byte(proofs.CosignatureV1)}, l.public...)
	sum := sha256.Sum256(append([]byte(name+"\n"), raw...))
	return proofs.ParseKey(fmt.Sprintf("%s+%08x+%s", name, binary.BigEndian.Uint32(sum[:]), base64.StdEncoding.EncodeToString(raw)))
}

// List returns the Ed25519 keys of the agent at a socket.
func List(socket string) ([]Listed, error) {
	var found []Listed
	c := &connection{socket: socket}
	defer c.close()
	err := c.do(func(a agent.Agent) error {
		keys, err := a.List()
		if err != nil {
			return err
		}
		found = nil
		for _, k := range keys {
			pub, err := ssh.ParsePublicKey(k.Blob)
			if err != nil || pub.Type() != ssh.KeyAlgoED25519 {
				continue
			}
			if raw, ok := pub.(ssh.CryptoPublicKey).CryptoPublicKey().(ed25519.PublicKey); ok {
				found = append(found, Listed{Fingerprint: ssh.FingerprintSHA256(pub), Comment: k.Comment, public: raw})
			}
		}
		return nil
	})
	return found, err
}

// Signer cosigns with a key in an agent. It implements witness.Signer and is
// safe for concurrent use.
type Signer struct {
	key    proofs.Key
	public ssh.PublicKey
	conn   connection
}

// NewSigner returns a Signer for a key of type CosignatureV1 in the agent at a
// socket. It does not connect: see Ping.
func NewSigner(socket string, key proofs.Key) (*Signer, error) {
	if key.Algorithm() != proofs.CosignatureV1 {
		return nil, fmt.Errorf("key %s has type %v; an ssh-agent signs with %v only", key.Name(), key.Algorithm(), proofs.CosignatureV1)
	}
	public, err := ssh.NewPublicKey(ed25519.PublicKey(key.PublicKey()))
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", key.Name(), err)
	}
	return &Signer{key: key, public: public, conn: connection{socket: socket}}, nil
}

// Key returns the public key.
func (s *Signer) Key() proofs.Key { return s.key }

// Sign cosigns the text of a checkpoint at a time in POSIX seconds.
func (s *Signer) Sign(text string, unix int64) (proofs.Signature, error) {
	if unix < 0 {
		return proofs.Signature{}, fmt.Errorf("sign: time %d is negative", unix)
	}
	var signed *ssh.Signature
	err := s.conn.do(func(a agent.Agent) (err error) {
		signed, err = a.Sign(s.public, []byte("cosignature/v1\ntime "+strconv.FormatInt(unix, 10)+"\n"+text))
		return err
	})
	if err != nil {
		return proofs.Signature{}, fmt.Errorf("sign with the ssh-agent: %w", err)
	}
	sig := binary.BigEndian.AppendUint64(nil, uint64(unix))
	sig = append(sig, signed.Blob...)
	// The agent is another program: what it gives is looked at.
	if _, err := s.key.Verify(text, sig); err != nil || signed.Format != ssh.KeyAlgoED25519 {
		return proofs.Signature{}, errors.Join(errors.New("the ssh-agent gave a signature that is not one of this key"), err)
	}
	return proofs.Signature{Name: s.key.Name(), KeyID: s.key.ID(), Sig: sig}, nil
}

// Ping says whether the agent can be reached and has the key.
func (s *Signer) Ping() error {
	blob := string(s.public.Marshal())
	return s.conn.do(func(a agent.Agent) error {
		keys, err := a.List()
		if err != nil {
			return err
		}
		for _, k := range keys {
			if string(k.Blob) == blob {
				return nil
			}
		}
		return fmt.Errorf("the ssh-agent does not have the key %s", ssh.FingerprintSHA256(s.public))
	})
}

// connection to an agent, made when needed and again after a failure.
type connection struct {
	socket string

	mu    sync.Mutex
	conn  net.Conn
	agent agent.Agent // one for the connection: it reads ahead
}

// do makes one exchange. If an old connection fails, it tries a new one.
func (c *connection) do(exchange func(agent.Agent) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.conn != nil
	err := c.once(exchange)
	if err != nil && old {
		err = c.once(exchange)
	}
	return err
}

func (c *connection) once(exchange func(agent.Agent) error) (err error) {
	if c.conn == nil {
		if c.conn, err = net.DialTimeout("unix", c.socket, timeout); err != nil {
			return err
		}
		c.agent = agent.NewClient(c.conn)
	}
	if err = c.conn.SetDeadline(time.Now().Add(timeout)); err == nil {
		err = exchange(c.agent)
	}
	if err != nil {
		// An agent that refuses answers; but telling that from a connection out
		// of step is not worth it.
		err = errors.Join(err, c.conn.Close())
		c.conn = nil
	}
	return err
}

func (c *connection) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		_ = c.conn.Close() // all answers have been read
		c.conn = nil
	}
}
