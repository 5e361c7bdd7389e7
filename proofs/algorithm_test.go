package proofs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"filippo.io/mldsa"
	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

var algorithms = []Algorithm{Ed25519, ECDSA, CosignatureV1, MLDSA44}

// checkpointText is a text that every type of key can sign.
const checkpointText = "example.com/log\n7\n" + someRoot + "\n"

func TestAlgorithms(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg.String(), func(t *testing.T) {
			s := newSigner(t, "example.com/log", alg)
			sig := sign(t, s, checkpointText, testTime)
			if again := sign(t, s, checkpointText, testTime); !bytes.Equal(sig.Sig, again.Sig) {
				t.Error("signed twice, the signatures differ")
			}
			unix, err := s.Key().Verify(checkpointText, sig.Sig)
			if err != nil || (unix != 0) != alg.ForWitnesses() {
				t.Fatalf("time %d, %v", unix, err)
			}
			fails := func(what, text string, sig []byte) {
				if _, err := s.Key().Verify(text, sig); !errors.Is(err, ErrBadSignature) {
					t.Errorf("%s: %v", what, err)
				}
			}
			fails("other size", strings.Replace(checkpointText, "\n7\n", "\n8\n", 1), sig.Sig)
			fails("other origin", "x"+checkpointText, sig.Sig)
			fails("other root", strings.Replace(checkpointText, someRoot, emptyRoot, 1), sig.Sig)
			fails("no text", "", sig.Sig)
			fails("no signature", checkpointText, nil)
			fails("one byte", checkpointText, sig.Sig[:1])
			fails("cut", checkpointText, sig.Sig[:len(sig.Sig)-1])
			fails("one byte more", checkpointText, append(bytes.Clone(sig.Sig), 0))
			for i := 0; i < len(sig.Sig); i += 1 + len(sig.Sig)/100 {
				c := bytes.Clone(sig.Sig)
				c[i] ^= 0x10
				fails(fmt.Sprintf("byte %d changed", i), checkpointText, c)
			}
			for _, other := range algorithms {
				if other != alg {
					k := newKey(s.key.name, other, []byte(s.key.pub))
					if _, err := k.Verify(checkpointText, sig.Sig); !errors.Is(err, ErrBadSignature) {
						t.Errorf("verifies as %v: %v", other, err)
					}
				}
			}
			other, err := GenerateSigner(nil, "example.com/log", alg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := other.Key().Verify(checkpointText, sig.Sig); !errors.Is(err, ErrBadSignature) {
				t.Errorf("another key: %v", err)
			}
		})
	}
}

func TestAlgorithmRoles(t *testing.T) {
	for alg, want := range map[Algorithm][2]bool{
		Ed25519: {true, false}, ECDSA: {true, false}, CosignatureV1: {false, true}, MLDSA44: {true, true},
		0: {}, 3: {}, 5: {}, 0xff: {},
	} {
		if got := [2]bool{alg.ForLogs(), alg.ForWitnesses()}; got != want {
			t.Errorf("%v: for logs and witnesses %v, want %v", alg, got, want)
		}
	}
}

// Two logs of the world, whose heads others published.
func TestForeignECDSA(t *testing.T) {
	for name, tt := range map[string]struct{ vkey, note string }{
		"Rekor": {
			"rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvXwBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc=",
			"Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n\n— rekor.sigstore.dev wNI9ajBEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVClgqq20uDLet7MCoTURUCRdxwWBHHufk=\n",
		},
		"Pixel": {
			"pixel6_transparency_log+91c16e30+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABN+4x0Jk1yTwvLFI9A4NDdGZcX0aiWVdWM5XJVy0M4VWD3AvyW5Q6Hs9A0mcDkpUoYgn+KKPNzFC0H3nN3q6JQ8=",
			"DEFAULT\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n\n— pixel6_transparency_log kcFuMDBFAiEAhqMAP8P6qf6QxtUJhzMhbN+MbZ9dwfUHzGQJmffJHtoCIGD0cNe47dHWBoPwYdgBCepB06/+g5O1FmYjXl06owL4\n",
		},
	} {
		k, err := ParseKey(tt.vkey)
		if err != nil {
			t.Fatal(err)
		}
		n, err := ParseNote([]byte(tt.note))
		if err != nil {
			t.Fatal(err)
		}
		if times, err := n.VerifiedBy(k); err != nil || len(times) != 1 || times[0] != 0 {
			t.Errorf("%s: %v, %v", name, times, err)
		}
		// Their key names are not their origins, so as logs they are unknown.
		if _, _, err := OpenCheckpoint([]byte(tt.note), k); !errors.Is(err, ErrUnknownLog) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// transparency-dev/formats reads our ECDSA keys and signatures.
func TestECDSAAgainstFormats(t *testing.T) {
	s := newSigner(t, "example.com/log", ECDSA)
	v, err := fnote.NewECDSAVerifier(s.Key().String())
	if err != nil {
		t.Fatal(err)
	}
	if v.KeyHash() != s.Key().ID() {
		t.Errorf("key id %08x, they have %08x", s.Key().ID(), v.KeyHash())
	}
	if _, err := note.Open(signNote(t, checkpointText, s), note.VerifierList(v)); err != nil {
		t.Error(err)
	}
	if renamed := newKey("other", ECDSA, s.Key().PublicKey()); renamed.ID() != s.Key().ID() {
		t.Error("the id of an ECDSA key depends on its name")
	}
	// And we verify what crypto/ecdsa signs with randomness.
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&priv.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	k, err := ParseKey(newKey("x", ECDSA, spki).String())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("any text\n"))
	sig, err := ecdsa.SignASN1(rand.Reader, priv, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify("any text\n", sig); err != nil {
		t.Error(err)
	}
}

func TestECDSAKeysRefused(t *testing.T) {
	good := newSigner(t, "x", ECDSA).Key().PublicKey()
	spki := func(c elliptic.Curve) []byte {
		priv, err := ecdsa.GenerateKey(c, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		b, err := x509.MarshalPKIXPublicKey(&priv.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	change := func(i int, b byte) []byte {
		c := bytes.Clone(good)
		c[i] = b
		return c
	}
	for name, tt := range map[string]struct {
		pub []byte
		err string
	}{
		"nothing":           {nil, "not the DER form"},
		"P-384":             {spki(elliptic.P384()), "not the DER form"},
		"P-521":             {spki(elliptic.P521()), "not the DER form"},
		"bare point":        {good[len(p256Prefix):], "not the DER form"},
		"cut":               {good[:len(good)-1], "not an uncompressed point"},
		"one byte more":     {append(bytes.Clone(good), 0), "not an uncompressed point"},
		"off the curve":     {change(len(good)-1, good[len(good)-1]^1), "not an uncompressed point"},
		"compressed marker": {change(len(p256Prefix), 2), "not an uncompressed point"},
		"infinity":          {append(bytes.Clone(p256Prefix), 0), "not an uncompressed point"},
		"unused bits":       {change(len(p256Prefix)-1, 1), "not the DER form"},
		"long length":       {append([]byte{0x30, 0x81, 0x59}, good[2:]...), "not the DER form"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKey(newKey("x", ECDSA, tt.pub).String())
			wantError(t, err, tt.err)
		})
	}
}

func TestECDSAScalars(t *testing.T) {
	n := elliptic.P256().Params().N
	private := func(scalar []byte) string {
		return "PRIVATE+KEY+x+00000000+" + base64.StdEncoding.EncodeToString(append([]byte{2}, scalar...))
	}
	for _, scalar := range [][]byte{make([]byte, 32), n.Bytes(), bytes.Repeat([]byte{0xff}, 32)} {
		_, err := ParseSigner(private(scalar))
		wantError(t, err, "not the scalar")
	}
	last := n.Bytes()
	last[31]--
	_, err := ParseSigner(private(last))
	wantError(t, err, "id does not fit")

	// Numbers that are no scalar are passed over.
	seed := strings.Repeat("s", 32)
	s, err := GenerateSigner(strings.NewReader(strings.Repeat("\xff", 32)+seed), "x", ECDSA)
	if err != nil {
		t.Fatal(err)
	}
	if want, err := GenerateSigner(strings.NewReader(seed), "x", ECDSA); err != nil || s.Key() != want.Key() {
		t.Errorf("got %v, want %v, %v", s, want, err)
	}
	_, err = GenerateSigner(zeros{}, "x", ECDSA)
	wantError(t, err, "not random")
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

var _ io.Reader = zeros{}

// The message is laid out as c2sp.org/tlog-cosignature says.
func TestMLDSAMessage(t *testing.T) {
	s := newSigner(t, "w.example/1", MLDSA44)
	root, err := ParseHash(someRoot)
	if err != nil {
		t.Fatal(err)
	}
	msg := []byte("subtree/v1\n\x00" + "\x0bw.example/1" + "\x00\x00\x00\x00\x65\x53\xf1\x00" + "\x0fexample.com/log" +
		"\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x07" + string(root[:]))
	pub, err := mldsa.NewPublicKey(mldsa.MLDSA44(), s.Key().PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	sig := sign(t, s, checkpointText, 0x6553f100)
	if at := binary.BigEndian.Uint64(sig.Sig); at != 0x6553f100 {
		t.Errorf("time %#x", at)
	}
	if err := mldsa.Verify(pub, msg, sig.Sig[8:], nil); err != nil {
		t.Error(err)
	}
}

func TestMLDSALengths(t *testing.T) {
	text := func(origin string) string { return origin + "\n7\n" + someRoot + "\n" }
	longest, tooLong := strings.Repeat("n", 255), strings.Repeat("n", 256)
	s := newSigner(t, longest, MLDSA44)
	for _, origin := range []string{"o", longest, strings.Repeat("ü", 127)} {
		sig := sign(t, s, text(origin), 1)
		if _, err := s.Key().Verify(text(origin), sig.Sig); err != nil {
			t.Error(err)
		}
	}
	for _, origin := range []string{tooLong, strings.Repeat("ü", 128), strings.Repeat("o", 255+256)} {
		_, err := s.Sign(text(origin), 1)
		wantError(t, err, "signs 1 to 255")
		_, err = s.Key().Verify(text(origin), make([]byte, 2428))
		wantError(t, err, "signs 1 to 255")
		if !errors.Is(err, ErrBadSignature) {
			t.Error(err)
		}
	}
	_, err := GenerateSigner(nil, tooLong, MLDSA44)
	wantError(t, err, "name of 256 bytes")
	_, err = ParseKey(newKey(tooLong, MLDSA44, s.Key().PublicKey()).String())
	wantError(t, err, "name of 256 bytes")
	for _, n := range []int{1311, 1313, 32, 0} {
		_, err = ParseKey(newKey("x", MLDSA44, make([]byte, n)).String())
		wantError(t, err, "bytes of public key, want 1312")
	}
	// Other types have room for any name.
	if _, err := ParseKey(newSigner(t, tooLong, CosignatureV1).Key().String()); err != nil {
		t.Error(err)
	}
}

func TestMLDSATimes(t *testing.T) {
	s := newSigner(t, "w", MLDSA44)
	for _, unix := range []int64{0, 1, testTime, math.MaxInt64} {
		sig := sign(t, s, checkpointText, unix)
		if got, err := s.Key().Verify(checkpointText, sig.Sig); err != nil || got != unix {
			t.Errorf("time %d: got %d, %v", unix, got, err)
		}
	}
	_, err := s.Sign(checkpointText, -1)
	wantError(t, err, "negative")
	// 2^63, signed as it stands.
	sig := sign(t, s, checkpointText, 0)
	msg, err := (&signedText{text: checkpointText}).message(MLDSA44, "w", math.MinInt64)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := s.key.alg.sign(s.private, msg)
	if err != nil {
		t.Fatal(err)
	}
	sig.Sig = append(binary.BigEndian.AppendUint64(nil, 1<<63), bare...)
	_, err = s.Key().Verify(checkpointText, sig.Sig)
	wantError(t, err, "time 9223372036854775808 is larger than")
}

func TestMLDSASignsCheckpointsOnly(t *testing.T) {
	s := newSigner(t, "w", MLDSA44)
	for _, text := range []string{"hello\n", "a\n01\n" + someRoot + "\n", "a\n0\n" + someRoot + "\n"} {
		_, err := s.Sign(text, 1)
		wantError(t, err, "signs only checkpoints")
		_, err = s.Key().Verify(text, make([]byte, 2428))
		wantError(t, err, "signs only checkpoints")
	}
}
