package gate

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/internal/keyfile"
	"github.com/tuflog/tuflog/internal/sshagent"
)

// Key is a gate's Ed25519 key. It must not have another use.
type Key struct {
	private crypto.Signer
	seed    []byte // nil: the key is elsewhere
	public  ed25519.PublicKey
}

// keyPrefix begins the line of a key file; 64 hex digits, the seed, follow.
const keyPrefix = "tuflog-gate-key:ed25519:"

// GenerateKey makes a key.
func GenerateKey() (*Key, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return nil, err
	}
	return keyOf(seed), nil
}

func keyOf(seed []byte) *Key {
	private := ed25519.NewKeyFromSeed(seed)
	return &Key{private: private, seed: seed, public: private.Public().(ed25519.PublicKey)}
}

// ParseKey reads the line of a key file. Errors never quote it.
func ParseKey(line string) (*Key, error) {
	digits, ok := strings.CutPrefix(line, keyPrefix)
	if !ok {
		return nil, fmt.Errorf("not the key of a gate: want %q at its beginning", keyPrefix)
	}
	seed, err := hex.DecodeString(digits)
	if err != nil || len(seed) != ed25519.SeedSize || digits != strings.ToLower(digits) {
		return nil, fmt.Errorf("not the key of a gate: want 64 lower-case hex digits after %q", keyPrefix)
	}
	return keyOf(seed), nil
}

// ReadKey reads a key file.
func ReadKey(path string) (*Key, error) {
	line, err := keyfile.Read(path)
	if err != nil {
		return nil, err
	}
	k, err := ParseKey(line)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return k, nil
}

// AgentKey returns the Ed25519 key that the ssh-agent at a socket has; of several the one
// with the fingerprint, SHA256:….
func AgentKey(socket, fingerprint string) (*Key, error) {
	held, err := sshagent.Agent{Socket: socket, Timeout: 30 * time.Second}.Keys()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, key := range held {
		if key.Fingerprint == fingerprint || fingerprint == "" && len(held) == 1 {
			return &Key{private: key, public: key.Public().(ed25519.PublicKey)}, nil
		}
		names = append(names, key.Fingerprint+" "+key.Comment)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the ssh-agent at %s has no Ed25519 key; add one with ssh-add", socket)
	}
	return nil, fmt.Errorf("the ssh-agent at %s has no Ed25519 key %q: choose one of %s", socket, fingerprint, strings.Join(names, ", "))
}

// Private returns the line of a key file; empty for a key that is elsewhere.
func (k *Key) Private() string {
	if k.seed == nil {
		return ""
	}
	return keyPrefix + hex.EncodeToString(k.seed)
}

// Public returns the public key.
func (k *Key) Public() client.Key { return client.NewKey(k.public) }

// String returns the public key, so that printing a key by mistake shows nothing secret.
func (k *Key) String() string { return k.Public().KeyVal.Public }

// sign signs the bytes that a metadata file's signatures cover.
func (k *Key) sign(payload []byte) ([]byte, error) {
	sig, err := k.private.Sign(rand.Reader, payload, crypto.Hash(0))
	if err != nil {
		return nil, err
	}
	// An agent is another program: what it gives is verified.
	if !ed25519.Verify(k.public, payload, sig) {
		return nil, errors.New("the signature is wrong")
	}
	return sig, nil
}
