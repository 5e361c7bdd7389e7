package proofs

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/iotest"

	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

func TestKeyRoundTrip(t *testing.T) {
	for _, alg := range algorithms {
		s := newSigner(t, "example.com/ü", alg)
		k, err := ParseKey(s.Key().String())
		if err != nil {
			t.Fatal(err)
		}
		if k != s.Key() || k.Name() != "example.com/ü" || k.Algorithm() != alg || len(k.PublicKey()) != map[Algorithm]int{Ed25519: 32, ECDSA: 91, CosignatureV1: 32, MLDSA44: 1312}[alg] {
			t.Errorf("got %+v", k)
		}
		if !strings.Contains(k.String(), fmt.Sprintf("+%08x+", k.ID())) {
			t.Errorf("id %08x not in %s", k.ID(), k)
		}
		again, err := ParseSigner(s.PrivateKey())
		if err != nil {
			t.Fatal(err)
		}
		if again.PrivateKey() != s.PrivateKey() || again.Key() != k {
			t.Errorf("signer does not survive printing")
		}
		if got := fmt.Sprint(s); got != k.String() {
			t.Errorf("printing a signer shows %q", got)
		}
	}
	if s := (Key{}).String(); s != "" {
		t.Errorf("zero key prints as %q", s)
	}
}

func TestParseKeyRefuses(t *testing.T) {
	good := newSigner(t, "example.com/log", Ed25519).Key()
	enc := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	raw := append([]byte{1}, good.PublicKey()...)
	id := fmt.Sprintf("%08x", good.ID())
	withAlg := func(alg byte, n int) string {
		k := newKey("example.com/log", Algorithm(alg), make([]byte, n))
		return k.String()
	}
	for name, tt := range map[string]struct{ in, err string }{
		"nothing":          {"", "not of the form"},
		"name alone":       {"example.com/log", "not of the form"},
		"no key":           {"example.com/log+" + id, "not of the form"},
		"empty key":        {"example.com/log+" + id + "+", "key is empty"},
		"empty name":       {"+" + id + "+" + enc(raw), "empty key name"},
		"name with space":  {"example.com/ log+" + id + "+" + enc(raw), "contains ' '"},
		"control in name":  {"example.com/\x01+" + id + "+" + enc(raw), "contains"},
		"name not UTF-8":   {"example.com/\xff+" + id + "+" + enc(raw), "UTF-8"},
		"other name":       {"example.com/gol+" + id + "+" + enc(raw), "id is"},
		"upper-case id":    {"example.com/log+" + strings.ToUpper(id) + "+" + enc(raw), "id is"},
		"short id":         {"example.com/log+" + id[1:] + "+" + enc(raw), "id is"},
		"no id":            {"example.com/log++" + enc(raw), "id is"},
		"key too short":    {withAlg(1, 31), "31 bytes of public key"},
		"key too long":     {withAlg(4, 33), "33 bytes of public key"},
		"trailing newline": {good.String() + "\n", "base64"},
		"CR within":        {good.String()[:40] + "\r" + good.String()[40:], "base64"},
		"stray characters": {good.String() + "=", "base64"},
		"tree head":        {withAlg(5, 91), "unsupported key type RFC 6962 tree head (0x05)"},
		"unknown":          {withAlg(0xff, 32), "unsupported key type 0xff"},
		"private":          {newSigner(t, "a", Ed25519).PrivateKey(), "verifier key: this is a private key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseKey(tt.in)
			wantError(t, err, tt.err)
		})
	}
	if upper := strings.ToUpper(id); upper == id {
		t.Error("the id has no letters: the test shows nothing")
	}
	// No other spelling of a key is a key, and no mistake makes another one.
	for _, key := range []Key{good, newSigner(t, "x", ECDSA).Key()} {
		mutations([]byte(key.String()), func(what string, b []byte) {
			if k, err := ParseKey(string(b)); err == nil && !(key.alg == ECDSA && k.pub == key.pub && k.name != key.name) {
				t.Errorf("%s: accepted as %v", what, k) // the id of an ECDSA key does not fix its name
			}
		})
	}
}

func TestParseSignerRefuses(t *testing.T) {
	s := newSigner(t, "example.com/log", CosignatureV1)
	secret := s.PrivateKey()[strings.LastIndex(s.PrivateKey(), "+")+1:]
	for name, in := range map[string]string{
		"nothing":   "",
		"public":    s.Key().String(),
		"no prefix": strings.TrimPrefix(s.PrivateKey(), "PRIVATE+KEY+"),
		"prefix":    "PRIVATE+KEY+",
		"type":      "PRIVATE+KEY+a+00000000+" + base64.StdEncoding.EncodeToString(make([]byte, 33)),
		"size":      "PRIVATE+KEY+a+00000000+" + base64.StdEncoding.EncodeToString(append([]byte{1}, make([]byte, 33)...)),
	} {
		if _, err := ParseSigner(in); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, alg := range algorithms {
		if s := newSigner(t, "example.com/log", alg); len(s.PrivateKey()) != len(privatePrefix)+len("example.com/log+01234567+")+44 {
			t.Errorf("private key of type %v has %d bytes", alg, len(s.PrivateKey()))
		}
	}
	mutations([]byte(s.PrivateKey()), func(what string, b []byte) {
		_, err := ParseSigner(string(b))
		if err == nil {
			t.Errorf("%s: accepted", what)
		} else if strings.Contains(err.Error(), secret[8:]) {
			t.Fatalf("%s: the error shows the key: %v", what, err)
		}
	})
}

func TestGenerateSigner(t *testing.T) {
	a, err := GenerateSigner(nil, "a", Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	b, err := GenerateSigner(nil, "a", Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if a.Key() == b.Key() {
		t.Error("two keys are the same")
	}
	_, err = GenerateSigner(iotest.ErrReader(errors.New("no entropy")), "a", Ed25519)
	wantError(t, err, "no entropy")
	_, err = GenerateSigner(strings.NewReader("short"), "a", Ed25519)
	wantError(t, err, "unexpected EOF")
	_, err = GenerateSigner(nil, "a+b", Ed25519)
	wantError(t, err, "contains '+'")
	_, err = GenerateSigner(nil, "a", 0x05)
	wantError(t, err, "unsupported key type RFC 6962")
}

func TestSignRefuses(t *testing.T) {
	s := newSigner(t, "a", CosignatureV1)
	for text, sub := range map[string]string{
		"":          "newline",
		"a":         "newline",
		"a\r\n":     "control character",
		"a\xff\n":   "UTF-8",
		"\x1b[0m\n": "control character",
	} {
		_, err := s.Sign(text, 1)
		wantError(t, err, sub)
	}
	_, err := s.Sign("a\n", -1)
	wantError(t, err, "negative")
	_, err = new(Signer).Sign("a\n", 1)
	wantError(t, err, "no key")
	if _, err := newSigner(t, "a", Ed25519).Sign("a\n", -1); err != nil {
		t.Errorf("a log's key cares about time: %v", err)
	}
}

func TestVerifyCosignature(t *testing.T) {
	s := newSigner(t, "w", CosignatureV1)
	k := s.Key()
	for _, unix := range []int64{0, 1, testTime, math.MaxInt64} {
		sig := sign(t, s, "text\n", unix)
		if got, err := k.Verify("text\n", sig.Sig); err != nil || got != unix {
			t.Errorf("time %d: got %d, %v", unix, got, err)
		}
		if _, err := k.Verify("test\n", sig.Sig); !errors.Is(err, ErrBadSignature) {
			t.Errorf("other text: %v", err)
		}
		moved := bytes.Clone(sig.Sig)
		moved[7] ^= 1
		if _, err := k.Verify("text\n", moved); !errors.Is(err, ErrBadSignature) {
			t.Errorf("other time: %v", err)
		}
	}
	// A time beyond int64, signed as any reading of it would have it.
	for _, written := range []int64{-1, math.MinInt64} {
		big := binary.BigEndian.AppendUint64(nil, uint64(written))
		for _, msg := range []string{
			fmt.Sprintf("cosignature/v1\ntime %d\ntext\n", uint64(written)),
			fmt.Sprintf("cosignature/v1\ntime %d\ntext\n", written),
		} {
			plain, err := s.key.alg.sign(s.private, []byte(msg))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Verify("text\n", append(big[:8:8], plain...)); !errors.Is(err, ErrBadSignature) {
				t.Errorf("time %d: %v", uint64(written), err)
			}
		}
	}
	// The two key types do not read each other's signatures.
	asLog := newKey("w", Ed25519, k.PublicKey())
	sig := sign(t, s, "text\n", 5)
	if _, err := asLog.Verify("text\n", sig.Sig); err == nil {
		t.Error("cosignature passes as a signature")
	}
	if _, err := asLog.Verify("text\n", sig.Sig[8:]); err == nil {
		t.Error("inner signature passes as a signature")
	}
	if _, err := (Key{}).Verify("text\n", sig.Sig); !errors.Is(err, ErrBadSignature) {
		t.Errorf("zero key: %v", err)
	}
}

// The cosignatures of transparency-dev/formats are ours.
func TestCosignatureAgainstFormats(t *testing.T) {
	const text = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
	s := newSigner(t, "w.example", CosignatureV1)
	v, err := fnote.NewVerifierForCosignatureV1(s.Key().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := note.Open(signNote(t, text, s), note.VerifierList(v))
	if err != nil {
		t.Fatal(err)
	}
	if at, err := fnote.CoSigV1Timestamp(n.Sigs[0]); err != nil || at.Unix() != testTime {
		t.Errorf("time %v, %v", at, err)
	}

	fs, err := fnote.NewSignerForCosignatureV1(newSigner(t, "w.example", Ed25519).PrivateKey())
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: text}, fs)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ParseNote(signed)
	if err != nil {
		t.Fatal(err)
	}
	k := newKey("w.example", CosignatureV1, newSigner(t, "w.example", Ed25519).Key().PublicKey())
	if times, err := ours.VerifiedBy(k); err != nil || len(times) != 1 || times[0] == 0 {
		t.Errorf("got %v, %v", times, err)
	}
}
