package proofs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// Extension lines need a signature that covers them, and a log's: witnesses
// vouch for the tree alone.
func TestExtensions(t *testing.T) {
	const origin = "log.example"
	plain := origin + "\n1\n" + someRoot + "\n"
	extended := plain + "extension\n"
	ed, ec, pq := newSigner(t, origin, Ed25519), newSigner(t, origin, ECDSA), newSigner(t, origin, MLDSA44)
	otherLog := newSigner(t, "other.example", Ed25519)
	w1, w2 := newSigner(t, "w1.example", CosignatureV1), newSigner(t, "w2.example", MLDSA44)
	var b strings.Builder
	for _, s := range []*Signer{pq, ed, ec, otherLog} {
		fmt.Fprintf(&b, "log %v\n", s.Key())
	}
	fmt.Fprintf(&b, "witness w1 %v\nwitness w2 %v\ngroup both all w1 w2\nquorum both\n", w1.Key(), w2.Key())
	p := mustPolicy(t, b.String())
	for name, tt := range map[string]struct {
		text    string
		signers []*Signer
		log     *Signer
		err     error
	}{
		"plain, ML-DSA alone":                           {plain, []*Signer{pq, w1, w2}, pq, nil},
		"plain, both":                                   {plain, []*Signer{ed, pq, w1, w2}, pq, nil},
		"extended, ML-DSA alone":                        {extended, []*Signer{pq, w1, w2}, nil, ErrExtensions},
		"extended, ML-DSA twice":                        {extended, []*Signer{pq, pq, w1, w2}, nil, ErrExtensions},
		"extended, Ed25519":                             {extended, []*Signer{ed, w1, w2}, ed, nil},
		"extended, ECDSA":                               {extended, []*Signer{ec, w2, w1}, ec, nil},
		"extended, ML-DSA and Ed25519":                  {extended, []*Signer{pq, ed, w1, w2}, ed, nil},
		"extended, ML-DSA and ECDSA":                    {extended, []*Signer{ec, pq, w1, w2}, ec, nil},
		"extended, ML-DSA and another log's":            {extended, []*Signer{pq, otherLog, w1, w2}, nil, ErrExtensions},
		"extended, ML-DSA and a witness that covers it": {extended, []*Signer{pq, w1}, nil, ErrExtensions},
		"extended, no log":                              {extended, []*Signer{w1, w2}, nil, ErrUnknownLog},
	} {
		t.Run(name, func(t *testing.T) {
			signed := signNote(t, tt.text, tt.signers...)
			sc, err := p.OpenCheckpoint(signed)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			_, _, err = OpenCheckpoint(signed, pq.Key(), ed.Key(), ec.Key(), otherLog.Key())
			if !errors.Is(err, tt.err) {
				t.Errorf("with keys: error %v, want %v", err, tt.err)
			}
			if tt.err == nil && (sc.Log != tt.log.Key() || len(sc.Cosignatures) != 2) {
				t.Errorf("signed by %v, cosigned by %v", sc.Log, sc.Cosignatures)
			}
		})
	}

	// What an ML-DSA-44 signature covers.
	sig := sign(t, pq, extended, 1)
	for _, text := range []string{plain, extended, plain + "another\n"} {
		if _, err := pq.Key().Verify(text, sig.Sig); err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, s := range []*Signer{ed, ec, w1} {
		sig := sign(t, s, extended, 1)
		if _, err := s.Key().Verify(plain, sig.Sig); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%v covers no extension: %v", s.Key().Algorithm(), err)
		}
	}
}

// A false signature of a known key spoils the note, whatever the types.
func TestMixedTypesSpoil(t *testing.T) {
	const origin = "log.example"
	text := origin + "\n1\n" + someRoot + "\n"
	var b strings.Builder
	var all []*Signer
	for _, alg := range []Algorithm{Ed25519, ECDSA, MLDSA44} {
		s := newSigner(t, origin, alg)
		all = append(all, s)
		fmt.Fprintf(&b, "log %v\n", s.Key())
	}
	for _, alg := range []Algorithm{CosignatureV1, MLDSA44} {
		s := newSigner(t, "w.example", alg) // one name, two keys
		all = append(all, s)
		fmt.Fprintf(&b, "witness w%d %v\n", alg, s.Key())
	}
	b.WriteString("group g any w4 w6\nquorum g\n")
	p := mustPolicy(t, b.String())
	good, err := ParseNote(signNote(t, text, all...))
	if err != nil {
		t.Fatal(err)
	}
	sc, err := p.OpenCheckpoint(good.Marshal())
	if err != nil || len(sc.Cosignatures) != 2 || sc.Log != all[0].Key() {
		t.Fatalf("%+v, %v", sc, err)
	}
	for i, s := range good.Signatures {
		s.Sig = bytes.Clone(s.Sig)
		s.Sig[len(s.Sig)-1] ^= 1
		for at := range len(good.Signatures) + 1 {
			n := Note{Text: text}
			n.Signatures = append(n.Signatures, good.Signatures[:at]...)
			n.Signatures = append(n.Signatures, s)
			n.Signatures = append(n.Signatures, good.Signatures[at:]...)
			if sc, err := p.OpenCheckpoint(n.Marshal()); !errors.Is(err, ErrBadSignature) || sc != nil {
				t.Errorf("false signature of type %v at %d: %v", all[i].Key().Algorithm(), at, err)
			}
		}
		// Under another name it is a stranger's.
		s.Name = "stranger.example"
		n := Note{Text: text, Signatures: append([]Signature{s}, good.Signatures...)}
		if _, err := p.OpenCheckpoint(n.Marshal()); err != nil {
			t.Errorf("false signature of a stranger: %v", err)
		}
	}
}

func TestPolicyKeyTypes(t *testing.T) {
	key := func(name string, alg Algorithm) string { return newSigner(t, name, alg).Key().String() }
	again := func(name, as string, from, to Algorithm) string {
		return newKey(as, to, newSigner(t, name, from).Key().PublicKey()).String()
	}
	for name, tt := range map[string]struct{ in, err string }{
		"logs of all types":          {"log " + key("a", Ed25519) + "\nlog " + key("a", ECDSA) + "\nlog " + key("a", MLDSA44) + "\nquorum none\n", ""},
		"witnesses of both types":    {"witness a " + key("a", CosignatureV1) + "\nwitness b " + key("a", MLDSA44) + "\nquorum a\n", ""},
		"log and witness share keys": {"log " + key("a", MLDSA44) + "\nwitness a " + key("a", MLDSA44) + "\nquorum a\n", "line 2: witness \"a\" has the public key of log \"a\""},
		"witness and log share keys": {"witness a " + key("a", MLDSA44) + "\nlog " + again("a", "b", MLDSA44, MLDSA44) + "\nquorum a\n", "line 2: log \"b\" has the public key of witness \"a\""},
		"witness of type Ed25519":    {"witness a " + key("a", Ed25519) + "\nquorum a\n", "line 1: witness \"a\": key"},
		"witness of type ECDSA":      {"witness a " + key("a", ECDSA) + "\nquorum a\n", "type ECDSA (0x02), want cosignature/v1"},
		"log of type cosignature/v1": {"log " + key("a", CosignatureV1) + "\nquorum a\n", "type cosignature/v1 (0x04), want Ed25519"},
		"ML-DSA witness twice":       {"witness a " + key("a", MLDSA44) + "\nwitness b " + key("a", MLDSA44) + "\nquorum a\n", "line 2: witness \"b\" has the public key of witness \"a\""},
		"ML-DSA witness, two names":  {"witness a " + key("a", MLDSA44) + "\nwitness b " + again("a", "b", MLDSA44, MLDSA44) + "\nquorum a\n", "line 2: witness \"b\" has the public key"},
		"ECDSA log, two names":       {"log " + key("a", ECDSA) + "\nlog " + again("a", "b", ECDSA, ECDSA) + "\nquorum none\n", "line 2: log \"b\" has the public key of log \"a\""},
		"ML-DSA log, two names":      {"log " + key("a", MLDSA44) + "\nlog " + again("a", "b", MLDSA44, MLDSA44) + "\nquorum none\n", "line 2: log \"b\" has the public key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParsePolicy([]byte(tt.in))
			if tt.err != "" {
				wantError(t, err, tt.err)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	// A policy made by hand gets no further.
	p := mustPolicy(t, "quorum none\n")
	log := newSigner(t, "log.example", Ed25519)
	p.Logs = []PolicyLog{{Key: log.Key()}}
	p.Witnesses = []PolicyWitness{{Name: "w", Key: newSigner(t, "w", Ed25519).Key()}}
	_, err := p.OpenCheckpoint(signNote(t, "log.example\n1\n"+someRoot+"\n", log))
	wantError(t, err, "want cosignature/v1 (0x04) or ML-DSA-44")
}

// As many logs, witnesses and groups as c2sp.org/tlog-policy asks for, with the
// largest keys.
func TestLargePolicy(t *testing.T) {
	var b strings.Builder
	var members strings.Builder
	var all []*Signer
	for i := range 32 {
		log, w := newSigner(t, fmt.Sprintf("log%d.example", i), MLDSA44), newSigner(t, fmt.Sprintf("w%d.example", i), MLDSA44)
		all = append(all, w)
		fmt.Fprintf(&b, "log %v https://log%d.example/\nwitness w%d %v https://w%d.example/\ngroup g%d any w%d\n", log.Key(), i, i, w.Key(), i, i, i)
		fmt.Fprintf(&members, " g%d", i)
	}
	fmt.Fprintf(&b, "group all all%v\nquorum all\n", members.String())
	p := mustPolicy(t, b.String())
	text := "log7.example\n1\n" + someRoot + "\n"
	signed := signNote(t, text, append([]*Signer{newSigner(t, "log7.example", MLDSA44)}, all...)...)
	sc, err := p.OpenCheckpoint(signed)
	if err != nil || len(sc.Cosignatures) != 32 {
		t.Errorf("note of %d bytes: %v", len(signed), err)
	}
}
