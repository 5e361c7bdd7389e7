package pigweed_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/tuflog/tuflog/tuf/pigweed"
)

// What follows writes messages field by field, so that a test can spell any of them wrong.

// msg joins fields.
func msg(fields ...[]byte) []byte { return bytes.Join(fields, nil) }

// bin is a field of bytes, a string or a message.
func bin[T string | []byte](n protowire.Number, v T) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, n, protowire.BytesType), []byte(v))
}

// num is a field with a number.
func num(n protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, n, protowire.VarintType), v)
}

// signer is a key of Pigweed's.
type signer struct {
	private *ecdsa.PrivateKey
	key     []byte // Key
	id      []byte
}

func newSigner(t testing.TB) signer {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	id := sha256.Sum256(append([]byte{3, 3}, point...))
	return signer{private, msg(num(1, 3), num(2, 3), bin(3, point)), id[:]}
}

// mapping is the KeyMapping of a signer.
func (s signer) mapping() []byte { return msg(bin(1, s.id), bin(2, s.key)) }

// sign returns a Signature.
func (s signer) sign(t testing.TB, payload []byte) []byte {
	t.Helper()
	sum := sha256.Sum256(payload)
	r, v, err := ecdsa.Sign(rand.Reader, s.private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return msg(bin(1, s.id), bin(2, append(r.FillBytes(make([]byte, 32)), v.FillBytes(make([]byte, 32))...)))
}

// signed returns a SignedRootMetadata or SignedTargetsMetadata.
func signed(t testing.TB, payload []byte, signers ...signer) []byte {
	t.Helper()
	file := bin(1, payload)
	for _, s := range signers {
		file = append(file, bin(2, s.sign(t, payload))...)
	}
	return file
}

func common(role string, version uint64) []byte {
	return bin(1, msg(bin(1, "0.0.1"), num(2, version), bin(4, role)))
}

func requirement(threshold uint64, signers ...signer) []byte {
	var b []byte
	for _, s := range signers {
		b = append(b, bin(1, s.id)...)
	}
	return append(b, num(2, threshold)...)
}

// rootOf returns a RootMetadata.
func rootOf(version, threshold uint64, root, targets []signer) []byte {
	b := common("root", version)
	for _, s := range slices.Concat(root, targets) {
		b = append(b, bin(3, s.mapping())...)
	}
	return msg(b, bin(4, requirement(threshold, root...)), bin(7, requirement(threshold, targets...)))
}

// target returns a TargetFile.
func target(name string, content []byte) []byte {
	sum := sha256.Sum256(content)
	return msg(bin(1, name), num(2, uint64(len(content))), bin(3, msg(num(1, 1), bin(2, sum[:]))))
}

// targetsOf returns a TargetsMetadata.
func targetsOf(version uint64, files ...[]byte) []byte {
	b := common("targets", version)
	for _, f := range files {
		b = append(b, bin(2, f)...)
	}
	return b
}

func entry(name string, value []byte) []byte { return msg(bin(1, name), bin(2, value)) }

func parseBundle(t testing.TB, file []byte) *pigweed.Bundle {
	t.Helper()
	b, err := pigweed.ParseBundle(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkEmbed embeds a payload that the metadata does not list, and checks that it is all
// that changes.
func checkEmbed(t *testing.T, b *pigweed.Bundle, name string, payload []byte) {
	t.Helper()
	before := b.Marshal()
	file, err := b.Embed(name, payload)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Marshal(), before) {
		t.Fatal("the bundle itself is changed")
	}
	again := parseBundle(t, file)
	if got, ok := again.Payload(name); !ok || !bytes.Equal(got, payload) {
		t.Fatalf("the payload reads %q, %v", got, ok)
	}
	if !bytes.Equal(without(t, file, name), without(t, before, name)) {
		t.Fatal("something else is changed")
	}
	if old, ok := b.Payload(name); ok {
		// Back to the old one, every byte is where it was.
		if back, err := again.Embed(name, old); err != nil || !bytes.Equal(back, before) {
			t.Fatalf("the old payload does not give the old bundle, %v", err)
		}
	} else if !bytes.HasPrefix(file, before) {
		t.Fatal("a new payload is not at the end")
	}
}

// without returns a bundle without the payload of a name, by the library's own reader of
// fields.
func without(t *testing.T, file []byte, name string) []byte {
	t.Helper()
	var rest []byte
	for len(file) > 0 {
		number, _, n := protowire.ConsumeField(file)
		if n < 0 {
			t.Fatal(protowire.ParseError(n))
		}
		head := bin(1, name)
		value, _ := protowire.ConsumeBytes(file[protowire.SizeTag(number):])
		if number != 4 || !bytes.HasPrefix(value, head) {
			rest = append(rest, file[:n]...)
		}
		file = file[n:]
	}
	return rest
}
