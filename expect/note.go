package expect

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
)

// Origin is the origin of the checkpoint that an ML-DSA-44 key signs for a note.
const Origin = "github.com/tuflog/tuflog/expect/v1"

// ErrNotSigned means that a note is signed by none of the keys.
var ErrNotSigned = errors.New("not signed by a key for these expectations")

// Parse reads a note of expectations that at least one of the keys has signed: ErrNotSigned.
// A signature by any of the keys that does not verify is proofs.ErrBadSignature, whatever the
// others say. What is in the text is read only then: errors about it are *LineError.
func Parse(note []byte, keys ...proofs.Key) (*Expectations, error) {
	n, err := proofs.ParseNote(note)
	if err != nil {
		return nil, err
	}
	signed := false
	for _, key := range keys {
		if err := checkKey(key); err != nil {
			return nil, err
		}
		for _, s := range n.Signatures {
			if s.Name != key.Name() || s.KeyID != key.ID() {
				continue
			}
			if _, err := key.Verify(signedText(n.Text, key), s.Sig); err != nil {
				return nil, fmt.Errorf("expectations: key %s: %w", key.Name(), err)
			}
			signed = true
		}
	}
	if !signed {
		return nil, ErrNotSigned
	}
	return ParseText(n.Text)
}

// Sign prints e as a note with the signatures of the keys, made at a time in POSIX seconds,
// which ML-DSA-44 signatures carry. It sorts e first, and refuses what Parse would.
func Sign(e *Expectations, unix int64, signers ...*proofs.Signer) ([]byte, error) {
	if len(signers) == 0 {
		return nil, errors.New("no key to sign with")
	}
	e.Sort()
	if err := e.Check(); err != nil {
		return nil, err
	}
	n := proofs.Note{Text: e.Text()}
	if _, err := ParseText(n.Text); err != nil {
		return nil, err
	}
	for _, signer := range signers {
		if err := checkKey(signer.Key()); err != nil {
			return nil, err
		}
		s, err := signer.Sign(signedText(n.Text, signer.Key()), unix)
		if err != nil {
			return nil, err
		}
		n.Signatures = append(n.Signatures, s)
	}
	note := n.Marshal()
	if len(note) > MaxSize {
		return nil, fmt.Errorf("the note has %d bytes, the limit is %d", len(note), MaxSize)
	}
	return note, nil
}

// checkKey refuses keys of types that are not for expectations.
func checkKey(key proofs.Key) error {
	if alg := key.Algorithm(); alg != proofs.Ed25519 && alg != proofs.MLDSA44 {
		return fmt.Errorf("key %s has type %v, want %v or %v", key.Name(), alg, proofs.Ed25519, proofs.MLDSA44)
	}
	return nil
}

// signedText returns what a key signs of a text.
func signedText(text string, key proofs.Key) string {
	if key.Algorithm() != proofs.MLDSA44 {
		return text
	}
	return proofs.Checkpoint{Origin: Origin, Tree: proofs.Tree{N: int64(len(text)), Hash: sha256.Sum256([]byte(text))}}.String()
}
