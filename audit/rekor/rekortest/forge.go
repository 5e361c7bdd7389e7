package rekortest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

// Forge makes a signature under a public key, without its private key, of a digest that nobody
// chose: with R = aG + bQ, r is R's x coordinate, s = r/b and the digest is r*a/b.
func Forge(t testing.TB, key proofs.Key) (digest [32]byte, sig []byte) {
	t.Helper()
	parsed, err := x509.ParsePKIXPublicKey(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	public := parsed.(*ecdsa.PublicKey)
	c := elliptic.P256()
	n := c.Params().N
	a, err := rand.Int(rand.Reader, n)
	if err != nil {
		t.Fatal(err)
	}
	b, err := rand.Int(rand.Reader, n)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 crypto/ecdsa has no arithmetic on points, and this needs some
	ax, ay := c.ScalarBaseMult(a.Bytes())
	//lint:ignore SA1019 as above
	bx, by := c.ScalarMult(public.X, public.Y, b.Bytes())
	//lint:ignore SA1019 as above
	x, _ := c.Add(ax, ay, bx, by)
	r := new(big.Int).Mod(x, n)
	s := new(big.Int).Mul(r, new(big.Int).ModInverse(b, n))
	s.Mod(s, n)
	e := new(big.Int).Mul(a, s)
	e.Mod(e, n).FillBytes(digest[:])
	if sig, err = asn1.Marshal(struct{ R, S *big.Int }{r, s}); err != nil {
		t.Fatal(err)
	}
	return digest, sig
}

// Negate turns a signature (r, s) under a key of P-256 into (r, -s), which verifies as well.
func Negate(t testing.TB, sig []byte) []byte {
	t.Helper()
	var parsed struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(sig, &parsed); err != nil {
		t.Fatal(err)
	}
	parsed.S.Sub(elliptic.P256().Params().N, parsed.S)
	other, err := asn1.Marshal(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return other
}
