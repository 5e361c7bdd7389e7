package proofs

import (
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// A Signer signs with a private key that it holds or that is kept elsewhere. It
// is safe for concurrent use. Signing the same text and time again gives the
// same signature, with every type of key that it holds.
type Signer struct {
	key     Key
	private crypto.Signer
	seed    []byte // of private; nil if the key is elsewhere
}

// NewSigner signs with a private key that is elsewhere: in an ssh-agent, a
// token, a key management service. Its public key must be of the type alg: an
// ed25519.PublicKey, *ecdsa.PublicKey or *mldsa.PublicKey (filippo.io/mldsa).
// Each signature that private gives is verified before it is used. The Signer is
// safe for concurrent use if private is.
//
// Private is given messages (with crypto.Hash(0)), or for ECDSA their SHA-256
// (with crypto.SHA256). The key must not have another use.
func NewSigner(name string, alg Algorithm, private crypto.Signer) (*Signer, error) {
	public, err := alg.rawPublic(private.Public())
	if err != nil {
		return nil, err
	}
	key, err := NewKey(name, alg, public)
	if err != nil {
		return nil, err
	}
	return &Signer{key: key, private: private}, nil
}

func signerOf(name string, alg Algorithm, seed []byte) (*Signer, error) {
	private, err := alg.derive(seed)
	if err != nil {
		return nil, err
	}
	s, err := NewSigner(name, alg, private)
	if err != nil {
		return nil, err
	}
	s.seed = seed
	return s, nil
}

// GenerateSigner makes a key of the given name and type from 32 bytes of
// random; nil means the operating system's secure source. Not every 32 bytes
// are a scalar for ECDSA: then, once in 2^32 times, it takes 32 more.
func GenerateSigner(random io.Reader, name string, alg Algorithm) (*Signer, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if random == nil {
		random = rand.Reader
	}
	for range 8 { // random may be broken, and give the same for ever
		seed := make([]byte, seedSize)
		if _, err := io.ReadFull(random, seed); err != nil {
			return nil, fmt.Errorf("generate key %s: %w", strict.Quote(name), err)
		}
		s, err := signerOf(name, alg, seed)
		if !errors.Is(err, errScalar) {
			return s, err
		}
	}
	return nil, fmt.Errorf("generate key %s: random numbers are not random", strict.Quote(name))
}

const privatePrefix = "PRIVATE+KEY+"

// ParseSigner reads the private form PRIVATE+KEY+NAME+ID+BASE64. The base64
// holds the type byte and 32 bytes: the seed of an Ed25519 or ML-DSA-44 key, or
// the scalar of an ECDSA key (big-endian). NAME and ID are those of the
// verifier key. Errors never quote the key.
func ParseSigner(skey string) (*Signer, error) {
	rest, ok := strings.CutPrefix(skey, privatePrefix)
	if !ok {
		return nil, errors.New("signer key: does not begin with " + privatePrefix)
	}
	name, id, alg, seed, err := splitKey(rest)
	if err != nil {
		return nil, fmt.Errorf("signer key: %w", err)
	}
	if len(seed) != seedSize {
		return nil, fmt.Errorf("signer key %s: %d bytes of seed, want %d", strict.Quote(name), len(seed), seedSize)
	}
	s, err := signerOf(name, alg, seed)
	if err != nil {
		return nil, fmt.Errorf("signer key %s: %w", strict.Quote(name), err)
	}
	if id != s.key.hexID() {
		return nil, fmt.Errorf("signer key %s: id does not fit name and key, which give %s", strict.Quote(name), s.key.hexID())
	}
	return s, nil
}

// Key returns the public key.
func (s *Signer) Key() Key { return s.key }

// PrivateKey returns the private form that ParseSigner reads, and "" for a key
// that is elsewhere.
func (s *Signer) PrivateKey() string {
	if s.seed == nil {
		return ""
	}
	return privatePrefix + s.key.name + "+" + s.key.hexID() + "+" + strict.EncodeBase64(append([]byte{byte(s.key.alg)}, s.seed...))
}

// String returns the public key, so that printing a signer by mistake shows
// nothing secret.
func (s *Signer) String() string { return s.key.String() }

// Sign signs the text of a note, which must end in a newline. A cosignature
// carries the time unix (POSIX seconds, not negative); other types ignore it. A
// key of type MLDSA44 signs checkpoints only, those whose origin has at most
// MaxCosignerName bytes, and does not cover extension lines.
func (s *Signer) Sign(text string, unix int64) (Signature, error) {
	if s.private == nil {
		return Signature{}, errors.New("sign: no key")
	}
	if err := checkSignable(text); err != nil {
		return Signature{}, fmt.Errorf("sign: %w", err)
	}
	var sig []byte
	if s.key.alg.timed() {
		if unix < 0 {
			return Signature{}, fmt.Errorf("sign: time %d is negative", unix)
		}
		sig = appendUint64(sig, unix)
	}
	msg, err := (&signedText{text: text}).message(s.key.alg, s.key.name, unix)
	if err != nil {
		return Signature{}, fmt.Errorf("sign: %w", err)
	}
	bare, err := s.key.alg.sign(s.private, msg)
	if err != nil {
		return Signature{}, fmt.Errorf("sign: %w", err)
	}
	// A key elsewhere is another program's: what that gives is verified.
	if s.seed == nil && !s.key.alg.verify(s.key.pub, msg, bare) {
		return Signature{}, fmt.Errorf("sign: signature by the external key %s (id %08x): %w", strict.Quote(s.key.name), s.key.id, ErrBadSignature)
	}
	return Signature{Name: s.key.name, KeyID: s.key.id, Sig: append(sig, bare...)}, nil
}

// checkSignable says whether a note may have that text.
func checkSignable(text string) error {
	if !strings.HasSuffix(text, "\n") {
		return errors.New("text does not end in a newline")
	}
	if err := checkText(text, 1); err != nil {
		return fmt.Errorf("text: %w", err)
	}
	return nil
}
