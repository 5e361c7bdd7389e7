package proofs

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// An Algorithm is a signature type identifier of c2sp.org/signed-note.
type Algorithm byte

// The algorithms that this package signs with and verifies.
const (
	Ed25519       Algorithm = 0x01 // over the text of the note
	CosignatureV1 Algorithm = 0x04 // Ed25519 over a time and the text: c2sp.org/tlog-cosignature
)

// String names the algorithm, known to this package or not.
func (a Algorithm) String() string {
	switch a {
	case Ed25519:
		return "Ed25519 (0x01)"
	case 0x02:
		return "ECDSA (0x02)"
	case CosignatureV1:
		return "cosignature/v1 (0x04)"
	case 0x05:
		return "RFC 6962 tree head (0x05)"
	case 0x06:
		return "ML-DSA-44 cosignature (0x06)"
	}
	return fmt.Sprintf("0x%02x", byte(a))
}

// A scheme is what one algorithm needs. Another algorithm is another case in
// schemeOf.
type scheme struct {
	keySize  int
	seedSize int
	public   func(seed []byte) []byte
	verify   func(pub []byte, text string, sig []byte) (unix int64, ok bool)
	sign     func(seed []byte, text string, unix int64) []byte
}

func schemeOf(alg Algorithm) (scheme, error) {
	s := scheme{keySize: ed25519.PublicKeySize, seedSize: ed25519.SeedSize, public: ed25519Public}
	switch alg {
	case Ed25519:
		s.verify, s.sign = verifyEd25519, signEd25519
	case CosignatureV1:
		s.verify, s.sign = verifyCosignatureV1, signCosignatureV1
	default:
		return scheme{}, fmt.Errorf("unsupported key type %v", alg)
	}
	return s, nil
}

func ed25519Public(seed []byte) []byte {
	return ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
}

func verifyEd25519(pub []byte, text string, sig []byte) (int64, bool) {
	return 0, len(sig) == ed25519.SignatureSize && ed25519.Verify(pub, []byte(text), sig)
}

func signEd25519(seed []byte, text string, _ int64) []byte {
	return ed25519.Sign(ed25519.NewKeyFromSeed(seed), []byte(text))
}

func cosignedMessage(text string, unix int64) []byte {
	return []byte("cosignature/v1\ntime " + strconv.FormatInt(unix, 10) + "\n" + text)
}

func verifyCosignatureV1(pub []byte, text string, sig []byte) (int64, bool) {
	if len(sig) != 8+ed25519.SignatureSize {
		return 0, false
	}
	t := binary.BigEndian.Uint64(sig)
	if t > math.MaxInt64 {
		return 0, false
	}
	return int64(t), ed25519.Verify(pub, cosignedMessage(text, int64(t)), sig[8:])
}

func signCosignatureV1(seed []byte, text string, unix int64) []byte {
	sig := binary.BigEndian.AppendUint64(nil, uint64(unix))
	return append(sig, ed25519.Sign(ed25519.NewKeyFromSeed(seed), cosignedMessage(text, unix))...)
}

// A Key is a named public key. Keys are comparable; the zero Key verifies
// nothing.
type Key struct {
	name string
	id   uint32
	alg  Algorithm
	pub  string // raw, without the type byte
}

func newKey(name string, alg Algorithm, pub []byte) Key {
	h := sha256.New()
	io.WriteString(h, name+"\n")
	h.Write([]byte{byte(alg)})
	h.Write(pub)
	return Key{name: name, id: binary.BigEndian.Uint32(h.Sum(nil)), alg: alg, pub: string(pub)}
}

// ParseKey reads a verifier key: NAME+ID+BASE64, where ID is 8 lower-case hex
// digits and the base64 holds the type byte and the public key. The id must be
// the one that c2sp.org/signed-note derives from the name and the key.
func ParseKey(vkey string) (Key, error) {
	if strings.HasPrefix(vkey, privatePrefix) {
		return Key{}, errors.New("verifier key: this is a private key") // not to be quoted
	}
	name, id, alg, pub, err := splitKey(vkey)
	if err != nil {
		return Key{}, fmt.Errorf("verifier key %s: %w", quoteShort(vkey), err)
	}
	s, err := schemeOf(alg)
	if err != nil {
		return Key{}, fmt.Errorf("verifier key %s: %w", quoteShort(vkey), err)
	}
	if len(pub) != s.keySize {
		return Key{}, fmt.Errorf("verifier key %s: %d bytes of public key, want %d", quoteShort(vkey), len(pub), s.keySize)
	}
	k := newKey(name, alg, pub)
	if id != k.hexID() {
		return Key{}, fmt.Errorf("verifier key %s: id is %s, but name and key give %s", quoteShort(vkey), quoteShort(id), k.hexID())
	}
	return k, nil
}

// splitKey splits NAME+ID+BASE64 and decodes the last part. Errors do not
// quote it, since it may be a secret.
func splitKey(s string) (name, id string, alg Algorithm, raw []byte, err error) {
	name, rest, ok := strings.Cut(s, "+")
	id, encoded, ok2 := strings.Cut(rest, "+")
	if !ok || !ok2 {
		return "", "", 0, nil, errors.New("not of the form NAME+ID+BASE64")
	}
	if err := checkName(name); err != nil {
		return "", "", 0, nil, err
	}
	b, err := decodeBase64(encoded)
	if err != nil {
		return "", "", 0, nil, errors.New("key is not canonical base64")
	}
	if len(b) == 0 {
		return "", "", 0, nil, errors.New("key is empty")
	}
	return name, id, Algorithm(b[0]), b[1:], nil
}

func (k Key) hexID() string { return fmt.Sprintf("%08x", k.id) }

// Name returns the key's name; of a log's key, the log's origin.
func (k Key) Name() string { return k.name }

// ID returns the key's id, which with the name marks its signatures.
func (k Key) ID() uint32 { return k.id }

// Algorithm returns the key's type.
func (k Key) Algorithm() Algorithm { return k.alg }

// PublicKey returns the raw public key, without the type byte.
func (k Key) PublicKey() []byte { return []byte(k.pub) }

// String returns the verifier key that ParseKey reads, and "" for the zero Key.
func (k Key) String() string {
	if k == (Key{}) {
		return ""
	}
	return k.name + "+" + k.hexID() + "+" + encodeBase64(append([]byte{byte(k.alg)}, k.pub...))
}

// Verify checks sig, as in Signature.Sig, over the text of a note. It returns
// the time of a cosignature in POSIX seconds, and 0 for a key type without
// time. The error is ErrBadSignature.
//
// A cosignature at time 0 verifies, since c2sp.org/tlog-cosignature does not
// forbid it, but it says nothing about when: whoever computes with times
// leaves zeros out. A time above 2^63-1 does not verify.
func (k Key) Verify(text string, sig []byte) (unix int64, err error) {
	if s, err := schemeOf(k.alg); err == nil && len(k.pub) == s.keySize {
		if t, ok := s.verify([]byte(k.pub), text, sig); ok {
			return t, nil
		}
	}
	return 0, fmt.Errorf("key %s (id %08x): %w", quoteShort(k.name), k.id, ErrBadSignature)
}

// A Signer holds a private key. It is safe for concurrent use.
type Signer struct {
	key  Key
	seed []byte
}

// GenerateSigner makes a key of the given name and type from 32 bytes of rand;
// nil means the operating system's secure source.
func GenerateSigner(random io.Reader, name string, alg Algorithm) (*Signer, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	s, err := schemeOf(alg)
	if err != nil {
		return nil, err
	}
	if random == nil {
		random = rand.Reader
	}
	seed := make([]byte, s.seedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return nil, fmt.Errorf("generate key %s: %w", quoteShort(name), err)
	}
	return &Signer{key: newKey(name, alg, s.public(seed)), seed: seed}, nil
}

const privatePrefix = "PRIVATE+KEY+"

// ParseSigner reads the private form PRIVATE+KEY+NAME+ID+BASE64, whose base64
// holds the type byte and the seed. Its errors never quote the key.
func ParseSigner(skey string) (*Signer, error) {
	rest, ok := strings.CutPrefix(skey, privatePrefix)
	if !ok {
		return nil, errors.New("signer key: does not begin with " + privatePrefix)
	}
	name, id, alg, seed, err := splitKey(rest)
	if err != nil {
		return nil, fmt.Errorf("signer key: %w", err)
	}
	s, err := schemeOf(alg)
	if err != nil {
		return nil, fmt.Errorf("signer key %s: %w", quoteShort(name), err)
	}
	if len(seed) != s.seedSize {
		return nil, fmt.Errorf("signer key %s: %d bytes of seed, want %d", quoteShort(name), len(seed), s.seedSize)
	}
	k := newKey(name, alg, s.public(seed))
	if id != k.hexID() {
		return nil, fmt.Errorf("signer key %s: id does not fit name and key, which give %s", quoteShort(name), k.hexID())
	}
	return &Signer{key: k, seed: seed}, nil
}

// Key returns the public key.
func (s *Signer) Key() Key { return s.key }

// PrivateKey returns the private form that ParseSigner reads.
func (s *Signer) PrivateKey() string {
	return privatePrefix + s.key.name + "+" + s.key.hexID() + "+" + encodeBase64(append([]byte{byte(s.key.alg)}, s.seed...))
}

// String returns the public key, so that printing a signer by mistake shows
// nothing secret.
func (s *Signer) String() string { return s.key.String() }

// Sign signs the text of a note, which must end in a newline. A cosignature
// carries the time unix (POSIX seconds, not negative); other types ignore it.
func (s *Signer) Sign(text string, unix int64) (Signature, error) {
	if !strings.HasSuffix(text, "\n") {
		return Signature{}, errors.New("sign: text does not end in a newline")
	}
	if err := checkText(text); err != nil {
		return Signature{}, fmt.Errorf("sign: text: %w", err)
	}
	if s.key.alg == CosignatureV1 && unix < 0 {
		return Signature{}, fmt.Errorf("sign: time %d is negative", unix)
	}
	sch, err := schemeOf(s.key.alg)
	if err != nil {
		return Signature{}, fmt.Errorf("sign: %w", err)
	}
	return Signature{Name: s.key.name, KeyID: s.key.id, Sig: sch.sign(s.seed, text, unix)}, nil
}
