package proofs

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"filippo.io/mldsa"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// An Algorithm is a signature type identifier of c2sp.org/signed-note.
type Algorithm byte

// The algorithms that this package signs with and verifies.
const (
	Ed25519       Algorithm = 0x01 // over the text of the note
	ECDSA         Algorithm = 0x02 // P-256 over the SHA-256 of the text, in ASN.1; the public key is in DER
	CosignatureV1 Algorithm = 0x04 // Ed25519 over a time and the text: c2sp.org/tlog-cosignature
	MLDSA44       Algorithm = 0x06 // ML-DSA-44 over names, time and tree, not over extension lines: the same
)

// String names the algorithm, known to this package or not.
func (a Algorithm) String() string {
	switch a {
	case Ed25519:
		return "Ed25519 (0x01)"
	case ECDSA:
		return "ECDSA (0x02)"
	case CosignatureV1:
		return "cosignature/v1 (0x04)"
	case 0x05:
		return "RFC 6962 tree head (0x05)"
	case MLDSA44:
		return "ML-DSA-44 cosignature (0x06)"
	}
	return fmt.Sprintf("0x%02x", byte(a))
}

// ForLogs reports whether logs sign their checkpoints with this type: Ed25519,
// ECDSA and MLDSA44.
func (a Algorithm) ForLogs() bool { return a == Ed25519 || a == ECDSA || a == MLDSA44 }

// ForWitnesses reports whether witnesses cosign with this type: CosignatureV1
// and MLDSA44.
func (a Algorithm) ForWitnesses() bool { return a == CosignatureV1 || a == MLDSA44 }

// timed says whether a signature begins with its time.
func (a Algorithm) timed() bool { return a.ForWitnesses() }

// coversExtensions says whether a signature vouches for the extension lines of
// a checkpoint, and not only for its first three lines.
func (a Algorithm) coversExtensions() bool { return a != MLDSA44 }

const seedSize = 32 // bytes, of the private part of every type: a seed, or the scalar of an ECDSA key

// signatureSize returns the size without the time, 0 if it varies.
func (a Algorithm) signatureSize() int {
	switch a {
	case Ed25519, CosignatureV1:
		return ed25519.SignatureSize
	case MLDSA44:
		return mldsa.MLDSA44SignatureSize
	}
	return 0
}

// checkPublic says whether a key of that name and raw public part can be used.
func (a Algorithm) checkPublic(name string, pub []byte) error {
	want := ed25519.PublicKeySize
	switch a {
	case Ed25519, CosignatureV1:
	case ECDSA:
		if _, err := parseP256(pub); err != nil {
			return fmt.Errorf("key of type %v: %w", a, err)
		}
		return nil
	case MLDSA44:
		if len(name) > MaxCosignerName {
			return fmt.Errorf("name of %d bytes, %v signs at most %d", len(name), a, MaxCosignerName)
		}
		want = mldsa.MLDSA44PublicKeySize
	default:
		return fmt.Errorf("unsupported key type %v", a)
	}
	if len(pub) != want {
		return fmt.Errorf("%d bytes of public key, want %d", len(pub), want)
	}
	return nil
}

// verify verifies the bare signature of a message, both without the time.
func (a Algorithm) verify(pub string, msg, sig []byte) bool {
	switch a {
	case Ed25519, CosignatureV1:
		return len(pub) == ed25519.PublicKeySize && ed25519.Verify([]byte(pub), msg, sig)
	case ECDSA:
		key, err := parseP256([]byte(pub))
		if err != nil {
			return false
		}
		sum := sha256.Sum256(msg)
		return ecdsa.VerifyASN1(key, sum[:], sig)
	case MLDSA44:
		key, err := mldsa.NewPublicKey(mldsa.MLDSA44(), []byte(pub))
		return err == nil && mldsa.Verify(key, msg, sig, nil) == nil
	}
	return false
}

var errScalar = errors.New("not the scalar of a P-256 key")

// derive makes the private key of a seed, which is seedSize bytes.
func (a Algorithm) derive(seed []byte) (crypto.Signer, error) {
	switch a {
	case Ed25519, CosignatureV1:
		return ed25519.NewKeyFromSeed(seed), nil
	case ECDSA:
		key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), seed)
		if err != nil {
			return nil, errScalar
		}
		return key, nil
	case MLDSA44:
		return mldsa.NewPrivateKey(mldsa.MLDSA44(), seed)
	}
	return nil, fmt.Errorf("unsupported key type %v", a)
}

// sign signs a message as verify verifies it. The keys of derive sign
// deterministically: the same message always has the same signature.
func (a Algorithm) sign(key crypto.Signer, msg []byte) ([]byte, error) {
	if a == ECDSA {
		sum := sha256.Sum256(msg)
		return key.Sign(nil, sum[:], crypto.SHA256) // nil: as in RFC 6979
	}
	if key, ok := key.(*mldsa.PrivateKey); ok {
		return key.SignDeterministic(msg, nil)
	}
	return key.Sign(rand.Reader, msg, crypto.Hash(0))
}

// rawPublic returns a public key as a Key of that type holds it.
func (a Algorithm) rawPublic(public crypto.PublicKey) ([]byte, error) {
	switch key := public.(type) {
	case ed25519.PublicKey:
		if a == Ed25519 || a == CosignatureV1 {
			return key, nil
		}
	case *ecdsa.PublicKey:
		if a == ECDSA && key.Curve == elliptic.P256() {
			point, err := key.Bytes()
			return append(bytes.Clone(p256Prefix), point...), err
		}
	case *mldsa.PublicKey:
		if a == MLDSA44 {
			return key.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("a public key %T is not one of type %v", public, a)
}

// p256Prefix is all of a P-256 key's SubjectPublicKeyInfo in DER up to the
// uncompressed point. DER has one spelling, so comparing is parsing.
var p256Prefix = []byte{
	0x30, 0x59, // SEQUENCE
	0x30, 0x13, // SEQUENCE
	0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, // OID ecPublicKey
	0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, // OID P-256
	0x03, 0x42, 0x00, // BIT STRING
}

func parseP256(spki []byte) (*ecdsa.PublicKey, error) {
	point, ok := bytes.CutPrefix(spki, p256Prefix)
	if !ok {
		return nil, errors.New("not the DER form of a P-256 public key")
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		return nil, errors.New("not an uncompressed point of P-256")
	}
	return key, nil
}

// A signedText is the text of a note on its way through several signatures.
// What they share is computed once.
type signedText struct {
	text string
	cp   *Checkpoint // the text parsed; nil if nobody did yet
	buf  []byte
	// checked is how many signatures have been, which is what a note costs.
	checked int
}

// message returns what a key of that type and name signs at a time, for types
// that have times. The next call overwrites it.
func (t *signedText) message(alg Algorithm, name string, unix int64) ([]byte, error) {
	if t.buf == nil {
		t.buf = make([]byte, 0, len(t.text)+64)
	}
	var err error
	switch t.buf = t.buf[:0]; alg {
	case CosignatureV1:
		t.buf = appendCosigned(t.buf, t.text, unix)
	case MLDSA44:
		t.buf, err = t.appendSubtree(t.buf, name, unix)
	default:
		t.buf = append(t.buf, t.text...)
	}
	return t.buf, err
}

// appendSubtree appends the cosigned_message of c2sp.org/tlog-cosignature for
// a whole tree.
func (t *signedText) appendSubtree(b []byte, name string, unix int64) ([]byte, error) {
	if t.cp == nil {
		c, err := ParseCheckpoint(t.text)
		if err != nil {
			return b, fmt.Errorf("%v signs only checkpoints: %w", MLDSA44, err)
		}
		t.cp = &c
	}
	b = append(b, "subtree/v1\n\x00"...)
	b, err := appendOpaque(b, "key name", name)
	if err != nil {
		return b, err
	}
	b = appendUint64(b, unix)
	if b, err = appendOpaque(b, "origin", t.cp.Origin); err != nil {
		return b, err
	}
	b = appendUint64(b, 0) // start
	b = appendUint64(b, t.cp.Tree.N)
	return append(b, t.cp.Tree.Hash[:]...), nil
}

// appendOpaque appends a string after its length in one byte.
func appendOpaque(b []byte, what, s string) ([]byte, error) {
	if s == "" || len(s) > MaxCosignerName {
		return b, fmt.Errorf("%s %s has %d bytes, %v signs 1 to %d", what, strict.Quote(s), len(s), MLDSA44, MaxCosignerName)
	}
	return append(append(b, byte(len(s))), s...), nil
}

// appendCosigned appends what a key of type CosignatureV1 signs.
func appendCosigned(b []byte, text string, unix int64) []byte {
	b = append(b, "cosignature/v1\ntime "...)
	b = strconv.AppendInt(b, unix, 10)
	return append(append(b, '\n'), text...)
}

func appendUint64(b []byte, n int64) []byte { return binary.BigEndian.AppendUint64(b, uint64(n)) }
