package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"filippo.io/mldsa"
)

// Signature types of c2sp.org/signed-note.
const (
	algEd25519     = 0x01
	algECDSA       = 0x02
	algCosignature = 0x04
	algTreeHead    = 0x05
	algMLDSA       = 0x06
)

// A key signs. Its seed follows from its name and type, so that every run
// makes the same one.
type key struct {
	name string
	alg  byte
	seed [32]byte
}

func newKey(name string, alg byte) key {
	return key{name, alg, sha256.Sum256(fmt.Appendf(nil, "test vector key %d %s", alg, name))}
}

// as returns the same key material under another name or type.
func (k key) as(name string, alg byte) key { return key{name, alg, k.seed} }

// rotated returns another key of the same name and type.
func (k key) rotated() key {
	return key{k.name, k.alg, sha256.Sum256(append([]byte("rotated"), k.seed[:]...))}
}

func (k key) ed25519() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.seed[:]) }

func (k key) ecdsa(curve elliptic.Curve) *ecdsa.PrivateKey {
	size := (curve.Params().BitSize + 7) / 8
	wide := sha512.Sum512(k.seed[:])
	scalar := append(make([]byte, size), wide[:32]...)
	private, err := ecdsa.ParseRawPrivateKey(curve, scalar[len(scalar)-size:])
	if err != nil {
		panic(err)
	}
	return private
}

func (k key) ecdsaKey() *ecdsa.PrivateKey { return k.ecdsa(elliptic.P256()) }

func (k key) mldsa() *mldsa.PrivateKey {
	private, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), k.seed[:])
	if err != nil {
		panic(err)
	}
	return private
}

// public returns the public key as a verifier key carries it.
func (k key) public() []byte {
	switch k.alg {
	case algECDSA:
		return spki(&k.ecdsaKey().PublicKey)
	case algMLDSA:
		return k.mldsa().PublicKey().Bytes()
	}
	return k.ed25519().Public().(ed25519.PublicKey)
}

func spki(public *ecdsa.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		panic(err)
	}
	return der
}

func keyID(name string, alg byte, public []byte) uint32 {
	sum := sha256.Sum256(append(append([]byte(name+"\n"), alg), public...))
	if alg == algECDSA {
		sum = sha256.Sum256(public)
	}
	return binary.BigEndian.Uint32(sum[:])
}

func (k key) id() uint32     { return keyID(k.name, k.alg, k.public()) }
func hexID(id uint32) string { return fmt.Sprintf("%08x", id) }

func (k key) vkey() string { return vkey(k.name, k.alg, k.public()) }

func vkey(name string, alg byte, public []byte) string {
	return name + "+" + hexID(keyID(name, alg, public)) + "+" + b64(append([]byte{alg}, public...))
}

func (k key) skey() string {
	return fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", k.name, k.id(), b64(append([]byte{k.alg}, k.seed[:]...)))
}

// A sigLine is one signature line of a note.
type sigLine struct {
	name string
	id   uint32
	sig  []byte
}

func (l sigLine) String() string {
	return "— " + l.name + " " + b64(append(binary.BigEndian.AppendUint32(nil, l.id), l.sig...)) + "\n"
}

// spoiled returns the line with one bit of the signature's last byte flipped.
func (l sigLine) spoiled() sigLine {
	sig := append([]byte{}, l.sig...)
	sig[len(sig)-1] ^= 1
	return sigLine{l.name, l.id, sig}
}

func (k key) line(sig []byte) sigLine { return sigLine{k.name, k.id(), sig} }

// sign signs the text of a note. Only cosignatures carry the time.
func (k key) sign(text string, unix uint64) sigLine {
	switch k.alg {
	case algECDSA:
		digest := sha256.Sum256([]byte(text))
		// Without a source of randomness, signatures are those of RFC 6979.
		sig, err := k.ecdsaKey().Sign(nil, digest[:], crypto.SHA256)
		if err != nil {
			panic(err)
		}
		return k.line(sig)
	case algCosignature:
		return k.cosign(unix, "cosignature/v1\ntime "+strconv.FormatUint(unix, 10)+"\n"+text)
	case algMLDSA:
		return k.signMLDSA(unix, cosigned(k.name, unix, text))
	}
	return k.line(ed25519.Sign(k.ed25519(), []byte(text)))
}

// cosign signs a message as it is and puts the time before the signature.
func (k key) cosign(unix uint64, message string) sigLine {
	sig := ed25519.Sign(k.ed25519(), []byte(message))
	return k.line(append(binary.BigEndian.AppendUint64(nil, unix), sig...))
}

func (k key) signMLDSA(unix uint64, m message) sigLine {
	sig, err := k.mldsa().SignDeterministic(m.bytes(), nil)
	if err != nil {
		panic(err)
	}
	return k.line(append(binary.BigEndian.AppendUint64(nil, unix), sig...))
}

// A message is the cosigned_message of c2sp.org/tlog-cosignature.
type message struct {
	label      string
	cosigner   string
	unix       uint64
	origin     string
	start, end uint64
	hash       []byte
}

// cosigned makes the message for a checkpoint, whose text must be well formed.
func cosigned(cosigner string, unix uint64, text string) message {
	lines := strings.Split(text, "\n")
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil {
		panic(err)
	}
	hash, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil {
		panic(err)
	}
	return message{"subtree/v1\n\x00", cosigner, unix, lines[0], 0, size, hash}
}

func (m message) bytes() []byte {
	b := []byte(m.label)
	b = append(b, byte(len(m.cosigner)))
	b = append(b, m.cosigner...)
	b = binary.BigEndian.AppendUint64(b, m.unix)
	b = append(b, byte(len(m.origin)))
	b = append(b, m.origin...)
	b = binary.BigEndian.AppendUint64(b, m.start)
	b = binary.BigEndian.AppendUint64(b, m.end)
	return append(b, m.hash...)
}

// note puts a text and signature lines together.
func note(text string, lines ...sigLine) string {
	var b strings.Builder
	b.WriteString(text + "\n")
	for _, l := range lines {
		b.WriteString(l.String())
	}
	return b.String()
}
