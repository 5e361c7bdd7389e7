package proofs

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"testing"
)

// elsewhere is a private key that another program has, which may spoil what it
// signs.
type elsewhere struct {
	crypto.Signer
	spoil func(sig []byte) ([]byte, error)
}

func (e elsewhere) Sign(r io.Reader, msg []byte, opts crypto.SignerOpts) ([]byte, error) {
	sig, err := e.Signer.Sign(r, msg, opts)
	if err != nil {
		return nil, err
	}
	return e.spoil(sig)
}

func TestSignerElsewhere(t *testing.T) {
	const text = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
	honest := func(sig []byte) ([]byte, error) { return sig, nil }
	errAgent := errors.New("the agent is gone")
	for _, alg := range []Algorithm{Ed25519, ECDSA, CosignatureV1, MLDSA44} {
		own := newSigner(t, "a.example", alg)
		s, err := NewSigner("a.example", alg, elsewhere{own.private, honest})
		if err != nil {
			t.Fatal(err)
		}
		if s.Key() != own.Key() || s.String() != own.Key().String() || s.PrivateKey() != "" {
			t.Errorf("%v: key %v, private %q", alg, s.Key(), s.PrivateKey())
		}
		sig, err := s.Sign(text, 7)
		if err != nil || sig.Name != "a.example" || sig.KeyID != own.Key().ID() {
			t.Errorf("%v: signature %v, %v", alg, sig, err)
		}
		if unix, err := own.Key().Verify(text, sig.Sig); err != nil || unix != 7 && alg.ForWitnesses() {
			t.Errorf("%v: time %d, %v", alg, unix, err)
		}
		for _, l := range []struct {
			spoil func([]byte) ([]byte, error)
			want  error
		}{
			{func(sig []byte) ([]byte, error) { sig[len(sig)-1] ^= 1; return sig, nil }, ErrBadSignature},
			{func(sig []byte) ([]byte, error) { return append(sig, 0), nil }, ErrBadSignature},
			{func([]byte) ([]byte, error) { return nil, nil }, ErrBadSignature},
			{func([]byte) ([]byte, error) { return nil, errAgent }, errAgent},
		} {
			s, err := NewSigner("a.example", alg, elsewhere{own.private, l.spoil})
			if err != nil {
				t.Fatal(err)
			}
			if sig, err := s.Sign(text, 7); !errors.Is(err, l.want) || sig.Sig != nil {
				t.Errorf("%v: signature %v, %v; want %v", alg, sig, err, l.want)
			}
		}
		for _, other := range []Algorithm{Ed25519, ECDSA, CosignatureV1, MLDSA44, 5} {
			alike := alg == other || alg == Ed25519 && other == CosignatureV1 || alg == CosignatureV1 && other == Ed25519
			if _, err := NewSigner("a.example", other, own.private); (err == nil) != alike {
				t.Errorf("%v as %v: %v", alg, other, err)
			}
		}
		_, err = NewSigner("a example", alg, own.private)
		wantError(t, err, "contains ' '")
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewSigner("a.example", ECDSA, p384)
	wantError(t, err, "is not one of type ECDSA")
}

func TestNewKey(t *testing.T) {
	for _, alg := range []Algorithm{Ed25519, ECDSA, CosignatureV1, MLDSA44} {
		want := newSigner(t, "a.example", alg).Key()
		if got, err := NewKey("a.example", alg, want.PublicKey()); got != want || err != nil {
			t.Errorf("%v: %v, %v; want %v", alg, got, err, want)
		}
		_, err := NewKey("", alg, want.PublicKey())
		wantError(t, err, "empty key name")
		if got, err := NewKey("a.example", alg, want.PublicKey()[1:]); got != (Key{}) || err == nil {
			t.Errorf("%v: a byte short: %v, %v", alg, got, err)
		}
	}
	_, err := NewKey("a.example", 5, make([]byte, 32))
	wantError(t, err, "unsupported key type")
}
