package main

import (
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/internal/sshagent"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// openSigner opens the log's key: in its file, or where an agent is named, there.
func openSigner(at place, agent string) (log.Signer, error) {
	if agent == "" {
		signer, err := signerFromEnv(at)
		if signer == nil && err == nil {
			signer, err = readSigner(at.key())
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no log's key in %s: %w; logserver init makes a log, --ssh-agent or %s says where else its key is", at.dir, err, keyVariable)
		}
		if err != nil {
			return nil, err // a nil *proofs.Signer is not a nil log.Signer
		}
		return signer, nil
	}
	text, err := os.ReadFile(at.vkey())
	if err != nil {
		return nil, err
	}
	key, err := proofs.ParseKey(strings.TrimSuffix(string(text), "\n"))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", at.vkey(), err)
	}
	if err := forLogs(key); err != nil {
		return nil, fmt.Errorf("%s: %w", at.vkey(), err)
	}
	held, err := inAgent(agent).Key(key.PublicKey())
	if err != nil {
		return nil, err
	}
	if err := held.Ping(); err != nil {
		return nil, err
	}
	signer, err := proofs.NewSigner(key.Name(), proofs.Ed25519, held)
	if err != nil {
		return nil, err
	}
	return &agentSigner{signer, held}, nil
}

// agentSigner signs with a key that an ssh-agent holds.
type agentSigner struct {
	*proofs.Signer
	held *sshagent.Key
}

// tried is a text that an agent is asked to sign to see whether it does. It is always the same, and
// no text of which a signature by the log's key could mean anything: a note, a checkpoint
// and JSON are UTF-8, which has no byte 0xff, and what SSH has signed begins otherwise.
const tried = "\xfftuflog: can the ssh-agent sign?\x00"

// try says why the agent does not sign now.
func (s *agentSigner) try() error {
	sig, err := s.held.Sign(nil, []byte(tried), crypto.Hash(0))
	if err == nil && !ed25519.Verify(s.held.Public().(ed25519.PublicKey), []byte(tried), sig) {
		err = fmt.Errorf("the ssh-agent gave a signature that is not one of the key %s", s.held.Fingerprint)
	}
	return err
}

// inAgent is the ssh-agent at a socket. Its key may be on a token that wants to be
// touched.
func inAgent(socket string) sshagent.Agent {
	return sshagent.Agent{Socket: socket, Timeout: 10 * time.Second}
}

// Environment variables with the log's private key and with the registration token,
// which come before their files.
const (
	keyVariable   = "TUFLOG_LOG_KEY"
	tokenVariable = "TUFLOG_REGISTRATION_TOKEN"
)

// signerFromEnv returns the log's key that the environment has, or nil.
func signerFromEnv(at place) (*proofs.Signer, error) {
	skey, ok, err := keyfile.FromEnv(keyVariable)
	if !ok || err != nil {
		return nil, err
	}
	signer, err := parseSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("the key in %s: %w", keyVariable, err)
	}
	keys, err := readKeys(at)
	if err != nil {
		return nil, err
	}
	if signer.Key() != keys[0] {
		return nil, fmt.Errorf("the key in %s is that of %v, the log in %s has %v", keyVariable, signer.Key(), at.dir, keys[0])
	}
	return signer, nil
}

func parseSigner(skey string) (*proofs.Signer, error) {
	signer, err := proofs.ParseSigner(skey)
	if err != nil {
		return nil, err
	}
	return signer, forLogs(signer.Key())
}

func readSigner(path string) (*proofs.Signer, error) {
	skey, err := keyfile.Read(path)
	if err != nil {
		return nil, err
	}
	signer, err := parseSigner(skey)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return signer, nil
}

func forLogs(key proofs.Key) error {
	if alg := key.Algorithm(); alg != proofs.Ed25519 {
		return fmt.Errorf("the key is of type %v, a log needs %v", alg, proofs.Ed25519)
	}
	return nil
}
