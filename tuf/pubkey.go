package tuf

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"

	"filippo.io/mldsa"
)

// Sizes of RSA keys that are read, in bits.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// MaxPublicKey is how many bytes the text of a readable public key may have: an
// ML-DSA-87 key takes 3,600 as PEM. Without the limit, decoding the text of a false
// key could take many times its size.
const MaxPublicKey = 16 << 10

// message is what was signed. Large payloads have several signatures, so each
// hash is computed once.
type message struct {
	bytes []byte
	sums  [3][]byte // SHA-256, SHA-384, SHA-512
}

func (m *message) sum(h crypto.Hash) []byte {
	switch h {
	case crypto.SHA256:
		if m.sums[0] == nil {
			sum := sha256.Sum256(m.bytes)
			m.sums[0] = sum[:]
		}
		return m.sums[0]
	case crypto.SHA384:
		if m.sums[1] == nil {
			sum := sha512.Sum384(m.bytes)
			m.sums[1] = sum[:]
		}
		return m.sums[1]
	default:
		if m.sums[2] == nil {
			sum := sha512.Sum512(m.bytes)
			m.sums[2] = sum[:]
		}
		return m.sums[2]
	}
}

// parseKey reads a public key, or returns nil.
func parseKey(keytype, scheme, public string) verifier {
	if read := keyReader(keytype, scheme); read != nil && len(public) <= MaxPublicKey {
		return read(public)
	}
	return nil
}

// keyTypes are those for which keyReader has a scheme.
var keyTypes = map[string]bool{"ed25519": true, "ecdsa": true, "ecdsa-sha2-nistp256": true, "ecdsa-sha2-nistp384": true, "rsa": true, "ml-dsa": true}

// keyReader returns what reads the public keys of a kind, nil if nothing does. This
// is the list of all algorithms; another one is another case, with a verifier of
// its own.
func keyReader(keytype, scheme string) func(public string) verifier {
	ecdsa := func(curve elliptic.Curve, hash crypto.Hash) func(string) verifier {
		return func(public string) verifier { return parseECDSA(public, curve, hash) }
	}
	rsa := func(hash crypto.Hash, pss bool) func(string) verifier {
		return func(public string) verifier { return parseRSA(public, hash, pss) }
	}
	dsa := func(parameters mldsa.Parameters, oid asn1.ObjectIdentifier) func(string) verifier {
		return func(public string) verifier { return parseMLDSA(public, parameters, oid) }
	}
	switch keytype {
	case "ed25519":
		if scheme == "ed25519" {
			return parseEd25519
		}
	case "ecdsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384":
		switch scheme {
		case "ecdsa-sha2-nistp256":
			return ecdsa(elliptic.P256(), crypto.SHA256)
		case "ecdsa-sha2-nistp384":
			return ecdsa(elliptic.P384(), crypto.SHA384)
		}
	case "rsa":
		switch scheme {
		case "rsassa-pss-sha256":
			return rsa(crypto.SHA256, true)
		case "rsassa-pss-sha384":
			return rsa(crypto.SHA384, true)
		case "rsassa-pss-sha512":
			return rsa(crypto.SHA512, true)
		case "rsa-pkcs1v15-sha256":
			return rsa(crypto.SHA256, false)
		}
	case "ml-dsa":
		switch scheme {
		case "ml-dsa-44/1":
			return dsa(mldsa.MLDSA44(), oidMLDSA44)
		case "ml-dsa-65/1":
			return dsa(mldsa.MLDSA65(), oidMLDSA65)
		case "ml-dsa-87/1":
			return dsa(mldsa.MLDSA87(), oidMLDSA87)
		}
	}
	return nil
}

type ed25519Key ed25519.PublicKey

// parseEd25519 reads a point in its one encoding that RFC 8032 has, and no point of
// small order. crypto/ed25519 takes both: a y coordinate that is not reduced, which
// would give a key a second identity, and points under which anybody can sign,
// since a multiple of the key is all that the message is mixed with.
//
// A point may still have a part of small order besides; its eight variants are
// eight public keys, but each of them needs the private key. (It verifies without
// the cofactor and compares R by its bytes; S is below the order of the group. So
// nobody but the signer makes a second signature of a first one.)
func parseEd25519(public string) verifier {
	raw, err := hex.DecodeString(public)
	if err != nil || len(raw) != ed25519.PublicKeySize {
		return nil
	}
	if y := littleEndian(raw); y.Cmp(fieldPrime) >= 0 || slices.ContainsFunc(smallOrderY, func(small *big.Int) bool { return small.Cmp(y) == 0 }) {
		return nil
	}
	return ed25519Key(raw)
}

// fieldPrime is 2^255 - 19. The points of small order are (0, 1) and (0, -1), of
// order 1 and 2, (±sqrt(-1), 0), of order 4, and four of order 8, which have one y
// or its negative. No other point has one of these, so that the sign of x, the
// highest bit of an encoding, does not matter.
var (
	fieldPrime  = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	smallOrderY = func() []*big.Int {
		eighth, ok := new(big.Int).SetString("05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826", 16)
		if !ok {
			panic("the y coordinate is not hexadecimal")
		}
		minus := func(n *big.Int) *big.Int { return new(big.Int).Sub(fieldPrime, n) }
		one := big.NewInt(1)
		return []*big.Int{new(big.Int), one, minus(one), eighth, minus(eighth)}
	}()
)

// littleEndian reads the y coordinate of an encoded point.
func littleEndian(point []byte) *big.Int {
	b := slices.Clone(point)
	b[len(b)-1] &= 0x7f
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

func (k ed25519Key) raw() (string, []byte) { return "ed25519", k }

func (k ed25519Key) verify(msg *message, sig []byte) bool {
	return ed25519.Verify(ed25519.PublicKey(k), msg.bytes, sig)
}

type ecdsaKey struct {
	public *ecdsa.PublicKey
	point  []byte // uncompressed
	hash   crypto.Hash
}

// parseECDSA reads a point in hex, as python-tuf and go-tuf once wrote it, or
// SubjectPublicKeyInfo in PEM or hex.
func parseECDSA(public string, curve elliptic.Curve, hash crypto.Hash) verifier {
	point, err := hex.DecodeString(public)
	if err != nil {
		point = parsePEM(public)
	}
	if info, ok := parseSPKI(point); ok {
		var named asn1.ObjectIdentifier
		rest, err := asn1.Unmarshal(info.Algorithm.Parameters.FullBytes, &named)
		if err != nil || len(rest) > 0 || !info.Algorithm.Algorithm.Equal(oidECPublicKey) || !named.Equal(oidOf(curve)) {
			return nil
		}
		point = info.PublicKey.Bytes
	}
	key, err := ecdsa.ParseUncompressedPublicKey(curve, point)
	if err != nil {
		return nil
	}
	return ecdsaKey{public: key, point: point, hash: hash}
}

func (k ecdsaKey) raw() (string, []byte) {
	return "ecdsa " + k.public.Curve.Params().Name, k.point
}

func (k ecdsaKey) verify(msg *message, sig []byte) bool {
	return ecdsa.VerifyASN1(k.public, msg.sum(k.hash), sig)
}

type rsaKey struct {
	public *rsa.PublicKey
	hash   crypto.Hash
	pss    bool
}

func parseRSA(public string, hash crypto.Hash, pss bool) verifier {
	info, ok := parseSPKI(parsePEM(public))
	if !ok || !info.Algorithm.Algorithm.Equal(oidRSA) || !bytes.Equal(info.Algorithm.Parameters.FullBytes, asn1.NullBytes) {
		return nil
	}
	var key struct {
		N *big.Int
		E int
	}
	rest, err := asn1.Unmarshal(info.PublicKey.Bytes, &key)
	if err != nil || len(rest) > 0 || key.N.Sign() <= 0 || key.N.Bit(0) == 0 || key.E < 3 || key.E%2 == 0 || key.E > 1<<31-1 {
		return nil
	}
	if bits := key.N.BitLen(); bits < minRSABits || bits > maxRSABits {
		return nil
	}
	return rsaKey{public: &rsa.PublicKey{N: key.N, E: key.E}, hash: hash, pss: pss}
}

// raw leaves the padding out: it is the same key, whatever it signs with.
func (k rsaKey) raw() (string, []byte) {
	e := big.NewInt(int64(k.public.E)).FillBytes(make([]byte, 4))
	return "rsa", append(e, k.public.N.Bytes()...)
}

func (k rsaKey) verify(msg *message, sig []byte) bool {
	sum := msg.sum(k.hash)
	if k.pss {
		opts := &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthAuto, Hash: k.hash}
		return rsa.VerifyPSS(k.public, k.hash, sum, sig, opts) == nil
	}
	return rsa.VerifyPKCS1v15(k.public, k.hash, sum, sig) == nil
}

// mldsaKey follows TAP 21 of the TUF project: what is signed, in pure ML-DSA with
// an empty context, is "tuf", a byte for the version of the scheme and the
// SHA-512 hash of the payload.
type mldsaKey struct{ public *mldsa.PublicKey }

// parseMLDSA reads SubjectPublicKeyInfo in PEM, the only form that TAP 21 has.
func parseMLDSA(public string, parameters mldsa.Parameters, oid asn1.ObjectIdentifier) verifier {
	info, ok := parseSPKI(parsePEM(public))
	if !ok || !info.Algorithm.Algorithm.Equal(oid) || len(info.Algorithm.Parameters.FullBytes) > 0 {
		return nil
	}
	key, err := mldsa.NewPublicKey(parameters, info.PublicKey.Bytes)
	if err != nil {
		return nil
	}
	return mldsaKey{key}
}

func (k mldsaKey) raw() (string, []byte) {
	return k.public.Parameters().String(), k.public.Bytes()
}

func (k mldsaKey) verify(msg *message, sig []byte) bool {
	const version1 = "tuf\x01"
	return mldsa.Verify(k.public, append([]byte(version1), msg.sum(crypto.SHA512)...), sig, nil) == nil
}

var (
	oidMLDSA44 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 17} // RFC 9881
	oidMLDSA65 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 18}
	oidMLDSA87 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 3, 19}

	oidRSA         = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidECPublicKey = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256        = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidP384        = asn1.ObjectIdentifier{1, 3, 132, 0, 34}
)

func oidOf(curve elliptic.Curve) asn1.ObjectIdentifier {
	if curve == elliptic.P256() {
		return oidP256
	}
	return oidP384
}

// subjectPublicKeyInfo is RFC 5280's. crypto/x509 would read it too, but links
// the network.
type subjectPublicKeyInfo struct {
	Algorithm struct {
		Algorithm  asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	PublicKey asn1.BitString
}

func parseSPKI(der []byte) (info subjectPublicKeyInfo, ok bool) {
	rest, err := asn1.Unmarshal(der, &info)
	return info, err == nil && len(rest) == 0 && info.PublicKey.BitLength%8 == 0
}

// parsePEM returns what a single PEM block labelled PUBLIC KEY holds.
func parsePEM(s string) []byte {
	if !strings.HasPrefix(s, "-----BEGIN PUBLIC KEY-----") {
		return nil
	}
	block, rest := pem.Decode([]byte(s))
	if block == nil || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil
	}
	return slices.Clip(block.Bytes)
}
