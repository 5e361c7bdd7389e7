package rekor

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/tuflog/tuflog/proofs"
)

// logKey is a log's key, and what it is made of.
type logKey struct {
	proofs.Key
	public *ecdsa.PublicKey
	der    []byte // SubjectPublicKeyInfo
}

func newLogKey(key proofs.Key) (logKey, error) {
	if key.Algorithm() != proofs.ECDSA {
		return logKey{}, fmt.Errorf("key %.100q has type %v: only checkpoints that a log signs with %v can be anchored", key.Name(), key.Algorithm(), proofs.ECDSA)
	}
	der := key.PublicKey()
	parsed, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return logKey{}, fmt.Errorf("key %.100q: %w", key.Name(), err)
	}
	public, ok := parsed.(*ecdsa.PublicKey)
	if !ok {
		return logKey{}, fmt.Errorf("key %.100q is a %T", key.Name(), parsed)
	}
	return logKey{key, public, der}, nil
}

// signed reports whether the key signed a digest. See the package comment on what that proves.
func (k logKey) signed(digest [32]byte, signature []byte) bool {
	return ecdsa.VerifyASN1(k.public, digest[:], signature)
}

// statement is what a log says with a note.
type statement struct {
	key        logKey
	digest     [32]byte // of the note's text
	signatures [][]byte // of the key: at least one
	size       uint64   // of the log's tree
}

// readStatement reads a signed checkpoint of the log with that key, and verifies it.
func readStatement(note []byte, key proofs.Key) (*statement, error) {
	k, err := newLogKey(key)
	if err != nil {
		return nil, err
	}
	checkpoint, n, err := proofs.OpenCheckpoint(note, key)
	if err != nil {
		return nil, fmt.Errorf("note: %w", err)
	}
	if checkpoint.Tree.N == 0 {
		return nil, errors.New("note: a tree of size 0 is nothing to anchor")
	}
	st := &statement{key: k, digest: sha256.Sum256([]byte(n.Text)), size: uint64(checkpoint.Tree.N)}
	for _, s := range n.Signatures {
		if s.Name == key.Name() && s.KeyID == key.ID() {
			st.signatures = append(st.signatures, s.Sig)
		}
	}
	return st, nil
}

// check compares what an entry says with the statement.
func (st *statement) check(b *body) error {
	switch {
	case b.digest != st.digest:
		return fmt.Errorf("the entry has the digest %x, the note's text %x", b.digest, st.digest)
	case !bytes.Equal(b.der, st.key.der):
		return fmt.Errorf("the entry has another public key than the log's (%s)", st.key)
	case !slices.ContainsFunc(st.signatures, func(s []byte) bool { return bytes.Equal(s, b.signature) }):
		return errors.New("the entry has another signature than the note")
	}
	return nil
}

// body is what a hashedrekord entry holds, of either version.
type body struct {
	digest    [32]byte // SHA-256
	signature []byte
	der       []byte // of the public key
}

// pem returns the public key as Rekor v1 prints it.
func (b *body) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: b.der})
}

// errOther means that an entry is none of the kind that this package looks for: another
// type, another hash, a certificate instead of a key.
var errOther = errors.New("not a hashedrekord of a SHA-256 under a public key")

// noteKey returns a key of Rekor as it signs checkpoints of v2.
func noteKey(origin string, public crypto.PublicKey) (proofs.Key, error) {
	switch public := public.(type) {
	case ed25519.PublicKey:
		return proofs.NewKey(origin, proofs.Ed25519, public)
	case *ecdsa.PublicKey:
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			return proofs.Key{}, err
		}
		return proofs.NewKey(origin, proofs.ECDSA, der)
	}
	return proofs.Key{}, fmt.Errorf("a %T is not Ed25519 or ECDSA P-256", public)
}
