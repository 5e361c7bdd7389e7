package proofs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// A Key is a named public key. Keys are comparable; the zero Key verifies
// nothing.
type Key struct {
	name string
	id   uint32
	alg  Algorithm
	pub  string // without the type byte: raw, of an ECDSA key the SubjectPublicKeyInfo
}

// NewKey names a public key: the bare key, or of an ECDSA key its
// SubjectPublicKeyInfo in DER, as PublicKey returns it. The id is the one that
// c2sp.org/signed-note recommends, which for ECDSA is from the public key alone.
func NewKey(name string, alg Algorithm, pub []byte) (Key, error) {
	if err := checkName(name); err != nil {
		return Key{}, err
	}
	if err := alg.checkPublic(name, pub); err != nil {
		return Key{}, err
	}
	return newKey(name, alg, pub), nil
}

func newKey(name string, alg Algorithm, pub []byte) Key {
	hashed := pub
	if alg != ECDSA {
		var buf [128]byte // enough for Ed25519 keys
		hashed = append(append(append(buf[:0], name...), '\n', byte(alg)), pub...)
	}
	sum := sha256.Sum256(hashed)
	return Key{name: name, id: binary.BigEndian.Uint32(sum[:]), alg: alg, pub: string(pub)}
}

// ParseKey reads a verifier key: NAME+ID+BASE64, where ID is 8 lower-case hex
// digits and the base64 holds the type byte and the public key. The id must be
// the one that c2sp.org/signed-note derives from the name and the key. The name
// of an MLDSA44 key has at most MaxCosignerName bytes.
func ParseKey(vkey string) (Key, error) {
	if strings.HasPrefix(vkey, privatePrefix) {
		return Key{}, errors.New("verifier key: this is a private key") // not to be quoted
	}
	name, id, alg, pub, err := splitKey(vkey)
	if err != nil {
		return Key{}, fmt.Errorf("verifier key %s: %w", strict.Quote(vkey), err)
	}
	k, err := NewKey(name, alg, pub)
	if err != nil {
		return Key{}, fmt.Errorf("verifier key %s: %w", strict.Quote(vkey), err)
	}
	if id != k.hexID() {
		return Key{}, fmt.Errorf("verifier key %s: id is %s, but name and key give %s", strict.Quote(vkey), strict.Quote(id), k.hexID())
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
	b, err := strict.DecodeBase64(encoded)
	if err != nil {
		return "", "", 0, nil, errors.New("key is not canonical base64")
	}
	if len(b) == 0 {
		return "", "", 0, nil, errors.New("key is empty")
	}
	return name, id, Algorithm(b[0]), b[1:], nil
}

func (k Key) hexID() string {
	id := binary.BigEndian.AppendUint32(nil, k.id)
	return hex.EncodeToString(id)
}

// Name returns the key's name; of a log's key, the log's origin.
func (k Key) Name() string { return k.name }

// ID returns the key's id, which with the name marks its signatures.
func (k Key) ID() uint32 { return k.id }

// Algorithm returns the key's type.
func (k Key) Algorithm() Algorithm { return k.alg }

// PublicKey returns the public key without the type byte: the bare key, or of
// an ECDSA key its SubjectPublicKeyInfo in DER.
func (k Key) PublicKey() []byte { return []byte(k.pub) }

// String returns the verifier key that ParseKey reads, and "" for the zero Key.
func (k Key) String() string {
	if k == (Key{}) {
		return ""
	}
	return k.name + "+" + k.hexID() + "+" + strict.EncodeBase64(append([]byte{byte(k.alg)}, k.pub...))
}

// Verify checks sig, as in Signature.Sig, over the text of a note. It returns
// the time of a cosignature in POSIX seconds, and 0 for a key type without
// time. The error is ErrBadSignature.
//
// A cosignature at time 0 verifies, since c2sp.org/tlog-cosignature does not
// forbid it, but it carries no time: callers that compute with times skip
// zeros. A time above 2^63-1 does not verify.
//
// A key of type MLDSA44 verifies checkpoints only, and vouches for their first
// three lines, not for extension lines. Policy.OpenCheckpoint and
// OpenCheckpoint require another signature for those.
func (k Key) Verify(text string, sig []byte) (unix int64, err error) {
	return k.verify(&signedText{text: text}, sig)
}

func (k Key) verify(t *signedText, sig []byte) (unix int64, err error) {
	t.checked++
	unix, err = k.check(t, sig)
	if err != nil {
		return 0, fmt.Errorf("key %s (id %08x): %w", strict.Quote(k.name), k.id, err)
	}
	return unix, nil
}

func (k Key) check(t *signedText, sig []byte) (unix int64, err error) {
	size := k.alg.signatureSize()
	if k.alg.timed() {
		size += 8
	}
	if size != 0 && len(sig) != size {
		return 0, fmt.Errorf("%w: %d bytes, want %d", ErrBadSignature, len(sig), size)
	}
	if k.alg.timed() {
		if unix = int64(binary.BigEndian.Uint64(sig)); unix < 0 {
			return 0, fmt.Errorf("%w: time %d is larger than %d", ErrBadSignature, uint64(unix), int64(math.MaxInt64))
		}
		sig = sig[8:]
	}
	msg, err := t.message(k.alg, k.name, unix)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrBadSignature, err)
	}
	if !k.alg.verify(k.pub, msg, sig) {
		return 0, ErrBadSignature
	}
	return unix, nil
}
