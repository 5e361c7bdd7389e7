package proofs

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

func TestParseNote(t *testing.T) {
	const sig = "— example.com/a AAAAAQI=\n" // id 1, one byte of signature
	for name, tt := range map[string]struct{ in, text string }{
		"plain":                  {"hello\n\n" + sig, "hello\n"},
		"empty lines in text":    {"a\n\nb\n\n\n" + sig, "a\n\nb\n\n"},
		"text of one empty line": {"\n\n" + sig, "\n"},
		"text with signatures":   {"a\n\n" + sig + "\n" + sig, "a\n\n" + sig},
		"two signatures":         {"a\n\n" + sig + "— b AAAAAQI=\n", "a\n"},
		"repeated line":          {"a\n\n" + sig + sig, "a\n"},
		"name beyond ASCII":      {"a\n\n— exämple☃ AAAAAQI=\n", "a\n"},
		"DEL is no control here": {"a\x7f\n\n" + sig, "a\x7f\n"},
		"most signatures":        {"a\n\n" + strings.Repeat(sig, MaxSignatures), "a\n"},
		"largest":                {strings.Repeat("x", MaxNoteSize-2-len(sig)) + "\n\n" + sig, strings.Repeat("x", MaxNoteSize-2-len(sig)) + "\n"},
		"signature of 5 kB":      {"a\n\n— a " + base64.StdEncoding.EncodeToString(make([]byte, 5000)) + "\n", "a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			n, err := ParseNote([]byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			if n.Text != tt.text {
				t.Errorf("text %q, want %q", n.Text, tt.text)
			}
			if got := string(n.Marshal()); got != tt.in {
				t.Errorf("printed %q, want %q", got, tt.in)
			}
		})
	}
}

func TestParseNoteKeepsOrder(t *testing.T) {
	n, err := ParseNote([]byte("t\n\n— b AAAAAQI=\n— a AAAAAgM=\n— b AAAAAQI=\n"))
	if err != nil {
		t.Fatal(err)
	}
	b := Signature{"b", 1, []byte{2}}
	if want := []Signature{b, {"a", 2, []byte{3}}, b}; !reflect.DeepEqual(n.Signatures, want) {
		t.Errorf("got %v, want %v", n.Signatures, want)
	}
}

func TestParseNoteRefuses(t *testing.T) {
	const sig = "— example.com/a AAAAAQI=\n"
	for name, tt := range map[string]struct{ in, err string }{
		"nothing":                 {"", "no empty line"},
		"no signatures":           {"hello\n\n", "no signatures"},
		"no text":                 {"\n" + sig, "no empty line"},
		"signatures only":         {sig, "no empty line"},
		"text not ended":          {"hello\n" + sig, "no empty line"},
		"last line not ended":     {"a\n\n" + strings.TrimSuffix(sig, "\n"), "does not end in a newline"},
		"empty line after":        {"a\n\n" + sig + "\n", "no signatures"},
		"empty line between":      {"a\n\n" + sig + "\nx" + sig, "em dash"},
		"CRLF":                    {"a\r\n\r\n" + sig, "control character 0x0d"},
		"CR in base64":            {"a\n\n— a AAAA\rAQI=\n", "control character 0x0d"},
		"tab":                     {"a\tb\n\n" + sig, "control character 0x09"},
		"NUL":                     {"a\x00\n\n" + sig, "control character 0x00"},
		"not UTF-8":               {"a\xff\n\n" + sig, "UTF-8"},
		"surrogate":               {"a\xed\xa0\x80\n\n" + sig, "UTF-8"},
		"hyphen":                  {"a\n\n- a AAAAAQI=\n", "em dash"},
		"no space after the dash": {"a\n\n—a AAAAAQI=\n", "em dash"},
		"two spaces":              {"a\n\n—  a AAAAAQI=\n", "empty key name"},
		"two spaces later":        {"a\n\n— a  AAAAAQI=\n", "base64"},
		"trailing space":          {"a\n\n— a AAAAAQI= \n", "base64"},
		"no signature":            {"a\n\n— a\n", "no signature after"},
		"empty signature":         {"a\n\n— a \n", "too few"},
		"key id alone":            {"a\n\n— a AAAAAQ==\n", "too few"},
		"plus in name":            {"a\n\n— a+b AAAAAQI=\n", "contains '+'"},
		"space in name":           {"a\n\n— a\u00a0b AAAAAQI=\n", "contains"},
		"next line in name":       {"a\n\n— a\u0085b AAAAAQI=\n", "contains"},
		"base64 with stray bits":  {"a\n\n— a AAAAAQJ=\n", "base64"},
		"base64 not padded":       {"a\n\n— a AAAAAQI\n", "base64"},
		"base64 of URLs":          {"a\n\n— a AAAAA_I=\n", "base64"},
		"one signature too many":  {"a\n\n" + strings.Repeat(sig, MaxSignatures+1), "129 signatures"},
		"one byte too many":       {strings.Repeat("x", MaxNoteSize-1-len(sig)) + "\n\n" + sig, "more than"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseNote([]byte(tt.in))
			wantError(t, err, tt.err)
		})
	}
}

func TestParseSignatures(t *testing.T) {
	good := "— a AAAAAQI=\n— b AAAAAgM=\n"
	sigs, err := ParseSignatures([]byte(good))
	if err != nil || len(sigs) != 2 || sigs[0].String()+sigs[1].String() != good {
		t.Errorf("got %v, %v", sigs, err)
	}
	for in, sub := range map[string]string{
		"":                                      "no signatures",
		"\n":                                    "em dash",
		good + "\n":                             "em dash",
		good[:len(good)-1]:                      "does not end in a newline",
		"text\n\n" + good:                       "em dash",
		"— a AAAAAQI=\r\n":                      "control character",
		"— a AAAAAQI=\xff\n":                    "UTF-8",
		strings.Repeat(good, MaxSignatures/2+1): "130 signatures",
		strings.Repeat(" ", MaxNoteSize+1):      "more than",
	} {
		_, err := ParseSignatures([]byte(in))
		wantError(t, err, sub)
	}
}

func TestVerifiedBy(t *testing.T) {
	const text = "example.com/log\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
	log := newSigner(t, "example.com/log", Ed25519)
	wit := newSigner(t, "w.example", CosignatureV1)
	other := newSigner(t, "other.example", Ed25519)
	spoil := func(s Signature) Signature {
		s.Sig = bytes.Clone(s.Sig)
		s.Sig[len(s.Sig)-1] ^= 1
		return s
	}
	ls, ws := sign(t, log, text, 0), sign(t, wit, text, 7)
	for name, tt := range map[string]struct {
		sigs []Signature
		key  Key
		want []int64
		err  error
	}{
		"log":                       {[]Signature{ls, ws}, log.Key(), []int64{0}, nil},
		"witness":                   {[]Signature{ls, ws}, wit.Key(), []int64{7}, nil},
		"witness twice":             {[]Signature{ws, sign(t, wit, text, 3)}, wit.Key(), []int64{7, 3}, nil},
		"same line twice":           {[]Signature{ws, ws}, wit.Key(), []int64{7, 7}, nil},
		"no such":                   {[]Signature{ls, ws}, other.Key(), nil, ErrNoSignature},
		"zero key":                  {[]Signature{ls, ws}, Key{}, nil, ErrNoSignature},
		"zero key, zero signature":  {[]Signature{{Sig: ls.Sig}}, Key{}, nil, ErrBadSignature},
		"bad":                       {[]Signature{spoil(ls)}, log.Key(), nil, ErrBadSignature},
		"bad one after a good one":  {[]Signature{ls, spoil(ls)}, log.Key(), nil, ErrBadSignature},
		"bad one before a good one": {[]Signature{spoil(ws), ws}, wit.Key(), nil, ErrBadSignature},
		"bad one of another":        {[]Signature{spoil(ws), ls}, log.Key(), []int64{0}, nil},
		"same name, other id":       {[]Signature{{ls.Name, ls.KeyID + 1, ls.Sig}}, log.Key(), nil, ErrNoSignature},
		"same id, other name":       {[]Signature{{"x", ls.KeyID, ls.Sig}}, log.Key(), nil, ErrNoSignature},
		"too short":                 {[]Signature{{ls.Name, ls.KeyID, ls.Sig[:63]}}, log.Key(), nil, ErrBadSignature},
		"too long":                  {[]Signature{{ls.Name, ls.KeyID, append(ls.Sig[:64:64], 0)}}, log.Key(), nil, ErrBadSignature},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Note{text, tt.sigs}.VerifiedBy(tt.key)
			if !errors.Is(err, tt.err) || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, %v, want %v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// A note in the documentation of x/mod, and a real head of sum.golang.org.
func TestForeignNotes(t *testing.T) {
	for name, tt := range map[string]struct{ vkey, note string }{
		"x/mod": {
			"PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
			"If you think cryptography is the answer to your problem,\n" +
				"then you don't know what your problem is.\n\n" +
				"— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n",
		},
		"sum.golang.org": {
			"sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8",
			"go.sum database tree\n31700353\nqINS1GRFhWHwdkUeqLEoP4yEMkTBBzxBkGwGQlVlVcs=\n\n" +
				"— sum.golang.org Az3grnmrIUEDFqHzAElIQCPNoRFRAAdFo47fooyWKMHb89k11GJh5zHIfNCOBmwn/C3YI8oW9/C8DJ87F61QqspBYwM=\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			k, err := ParseKey(tt.vkey)
			if err != nil {
				t.Fatal(err)
			}
			n, err := ParseNote([]byte(tt.note))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := n.VerifiedBy(k); err != nil {
				t.Error(err)
			}
		})
	}
}

// What we sign, x/mod opens, and the other way round.
func TestNotesAgainstXMod(t *testing.T) {
	for i := range 20 {
		text := strings.Repeat(fmt.Sprintf("line %d\n\n", i), i+1)
		s := newSigner(t, fmt.Sprintf("example.com/%d", i), Ed25519)
		v, err := note.NewVerifier(s.Key().String())
		if err != nil {
			t.Fatal(err)
		}
		xs, err := note.NewSigner(s.PrivateKey())
		if err != nil {
			t.Fatal(err)
		}
		ours := signNote(t, text, s)
		theirs, err := note.Sign(&note.Note{Text: text}, xs)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours, theirs) {
			t.Errorf("we print %q, x/mod %q", ours, theirs)
		}
		if n, err := note.Open(ours, note.VerifierList(v)); err != nil || n.Text != text {
			t.Errorf("x/mod: %v", err)
		}
	}
}

// Anybody can repeat a signature that is public: it is checked once.
func TestRepeatedSignatures(t *testing.T) {
	for _, alg := range []Algorithm{Ed25519, CosignatureV1, MLDSA44} {
		s := newSigner(t, "example.com/log", alg)
		text := Checkpoint{Origin: "example.com/log", Tree: EmptyTree}.String()
		n := Note{Text: text}
		for i := range MaxSignatures {
			n.Signatures = append(n.Signatures, sign(t, s, text, int64(1+i%2)))
		}
		if alg == MLDSA44 { // which never signs twice alike
			for i := range n.Signatures {
				n.Signatures[i] = n.Signatures[i%2]
			}
		}
		distinct := 2
		if alg == Ed25519 {
			distinct = 1 // it signs no times
		}
		signed := &signedText{text: text}
		times, err := n.appendTimes(nil, signed, s.Key())
		if err != nil || len(times) != MaxSignatures || signed.checked != distinct {
			t.Errorf("%v: %d times, %d signatures checked, want %d; %v", alg, len(times), signed.checked, distinct, err)
		}
		bad := n.Signatures[0]
		bad.Sig = bytes.Clone(bad.Sig)
		bad.Sig[len(bad.Sig)-1] ^= 1
		n.Signatures = append(n.Signatures[:MaxSignatures-1], bad)
		if _, err := n.VerifiedBy(s.Key()); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%v: a false one behind them: %v", alg, err)
		}
	}
}
