package proofs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The parsers accept only what the printers print, and what they accept the
// laxer parsers of x/mod read the same way.

func FuzzParseNote(f *testing.F) {
	w := newWorld(f)
	f.Add(w.checkpoint(f, EmptyTree))
	f.Add([]byte("a\n\n\n— a AAAAAQI=\n— a AAAAAQI=\n"))
	f.Add([]byte("a\n\n— a AAAAAQJ=\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseNote(b)
		if err != nil {
			return
		}
		if !bytes.Equal(n.Marshal(), b) {
			t.Errorf("%q printed as %q", b, n.Marshal())
		}
		if len(n.Signatures) > 100 {
			return // x/mod's limit
		}
		var unverified *note.UnverifiedNoteError
		if _, err := note.Open(b, note.VerifierList()); !errors.As(err, &unverified) || unverified.Note.Text != n.Text {
			t.Errorf("x/mod does not read %q: %v", b, err)
		}
	})
}

func FuzzParseSignatures(f *testing.F) {
	f.Add([]byte("— a AAAAAQI=\n— a AAAAAQI=\n"))
	f.Add([]byte("— a AAAAAQ==\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sigs, err := ParseSignatures(b)
		if err != nil {
			return
		}
		var s strings.Builder
		for _, sig := range sigs {
			s.WriteString(sig.String())
		}
		if s.String() != string(b) {
			t.Errorf("%q printed as %q", b, s.String())
		}
	})
}

func FuzzParseKey(f *testing.F) {
	f.Add("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
	for _, alg := range algorithms {
		f.Add(newSigner(f, "w", alg).Key().String())
	}
	f.Add(newSigner(f, "w", CosignatureV1).PrivateKey())
	f.Fuzz(func(t *testing.T, s string) {
		k, err := ParseKey(s)
		if err != nil {
			return
		}
		if k.String() != s {
			t.Errorf("%q printed as %q", s, k)
		}
		if _, err := k.Verify(checkpointText, make([]byte, 72)); err == nil {
			t.Errorf("%q verifies zeros", s)
		}
		if k.Algorithm() != Ed25519 {
			return
		}
		if v, err := note.NewVerifier(s); err != nil || v.Name() != k.Name() || v.KeyHash() != k.ID() {
			t.Errorf("x/mod does not read %q: %v", s, err)
		}
	})
}

func FuzzParseSigner(f *testing.F) {
	for _, alg := range algorithms {
		f.Add(newSigner(f, "w", alg).PrivateKey())
	}
	f.Add("PRIVATE+KEY+w+00000000+AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, s string) {
		signer, err := ParseSigner(s)
		if err != nil {
			return
		}
		if signer.PrivateKey() != s {
			t.Errorf("%q printed as %q", s, signer.PrivateKey())
		}
		sig, err := signer.Sign(checkpointText, 7)
		if err != nil {
			t.Fatal(err)
		}
		k, err := ParseKey(signer.Key().String())
		if err != nil || k != signer.Key() {
			t.Fatalf("key %v: %v", signer, err)
		}
		if _, err := k.Verify(checkpointText, sig.Sig); err != nil {
			t.Error(err)
		}
	})
}

// A signature verifies over the text that was signed and no other, as far as
// the type of the key covers it.
func FuzzKeyVerify(f *testing.F) {
	signers := make(map[Algorithm]*Signer)
	genuine := make(map[Algorithm][]byte)
	for _, alg := range algorithms {
		s := newSigner(f, "example.com/log", alg)
		signers[alg], genuine[alg] = s, sign(f, s, checkpointText, testTime).Sig
		f.Add(byte(alg), checkpointText, genuine[alg])
		f.Add(byte(alg), checkpointText+"extension\n", genuine[alg])
	}
	f.Fuzz(func(t *testing.T, alg byte, text string, sig []byte) {
		s, ok := signers[Algorithm(alg)]
		if !ok {
			return
		}
		unix, err := s.Key().Verify(text, sig)
		if err != nil {
			if !errors.Is(err, ErrBadSignature) {
				t.Error(err)
			}
			return
		}
		same := text == checkpointText || Algorithm(alg) == MLDSA44 && strings.HasPrefix(text, checkpointText)
		if !same || unix != 0 && unix != testTime {
			t.Errorf("%q at %d verifies with %x", text, unix, sig)
		}
	})
}

// Nothing passes for a checkpoint of the world but what it signed.
func FuzzOpenCheckpoint(f *testing.F) {
	w := newWorld(f)
	tree := refTree(testLeaves(3))
	genuine := w.checkpoint(f, tree)
	f.Add(genuine)
	f.Add(bytes.ToUpper(genuine))
	f.Add(signNote(f, Checkpoint{Origin: "example.com/log", Tree: tree, Extensions: []string{"x"}}.String(), w.witnesses...))
	f.Fuzz(func(t *testing.T, b []byte) {
		sc, err := w.policy.OpenCheckpoint(b)
		if err != nil {
			return
		}
		if sc.Tree != tree || len(sc.Extensions) > 0 || len(sc.Cosignatures) != 3 {
			t.Errorf("%q opens as %+v", b, sc)
		}
	})
}

func FuzzParseCheckpoint(f *testing.F) {
	f.Add("example.com/log\n20852163\n" + someRoot + "\n")
	f.Add("a\n0\n" + emptyRoot + "\nextension\n")
	f.Add("a\n01\r\n" + emptyRoot + "\n\n")
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := ParseCheckpoint(s); err == nil && c.String() != s {
			t.Errorf("%q printed as %q", s, c)
		}
	})
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte(newWorld(f).policyText))
	f.Add([]byte("quorum none\n"))
	f.Add(fmt.Appendf(nil, "log %v x\nlog %v\nwitness w %v\nquorum w\n", newSigner(f, "l", ECDSA), newSigner(f, "l", MLDSA44), newSigner(f, "w", MLDSA44)))
	f.Add([]byte(policyText(f, "witness a W1\nwitness b W2\n# c\n\ngroup g 1 a b\ngroup h all g\nquorum h\n")))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if err != nil {
			return
		}
		if err := p.Satisfied(func(string) bool { return true }); err != nil {
			t.Errorf("all witnesses are not enough: %v", err)
		}
		if again, err := ParsePolicy(p.Marshal()); err != nil || !bytes.Equal(again.Marshal(), p.Marshal()) {
			t.Errorf("printed %q: %v", p.Marshal(), err)
		}
		if err := p.Satisfied(func(string) bool { return false }); (err == nil) != (p.quorum.kind == quorumNone) {
			t.Errorf("no witnesses: %v", err)
		}
	})
}

func FuzzParseProof(f *testing.F) {
	w := newWorld(f)
	leaves := testLeaves(3)
	p := Proof{Index: 1, Hashes: refPath(1, leaves), Checkpoint: w.checkpoint(f, refTree(leaves))}
	f.Add(p.Marshal())
	p.Extra = []byte("extra")
	f.Add(p.Marshal())
	p.Checkpoint = signNote(f, checkpointText, newSigner(f, "l", ECDSA), newSigner(f, "w", MLDSA44))
	f.Add(p.Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseProof(b)
		if err != nil {
			return
		}
		if !bytes.Equal(p.Marshal(), b) {
			t.Errorf("%q printed as %q", b, p.Marshal())
		}
		if sc, err := p.Verify(w.policy, testEntry(1)); err == nil && sc.Tree != refTree(leaves) {
			t.Errorf("%q verifies", b)
		}
	})
}

func FuzzParseTilePath(f *testing.F) {
	f.Add("tile/0/x001/x234/067.p/255")
	f.Add("tile/entries/000")
	f.Add("tile/7/000.p/127")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseTilePath(s)
		if err != nil {
			return
		}
		if id.Path() != s {
			t.Errorf("%q printed as %q", s, id.Path())
		}
		x := "tile/8/" + strings.TrimPrefix(s, "tile/")
		if id.Level < 0 {
			x = strings.Replace(x, "entries", "data", 1)
		}
		if tile, err := tlog.ParseTilePath(x); err != nil || tile != (tlog.Tile{H: 8, L: id.Level, N: id.Index, W: id.Width}) {
			t.Errorf("x/mod reads %q as %v, %v", x, tile, err)
		}
	})
}

func FuzzParseEntries(f *testing.F) {
	f.Add([]byte("\x00\x02ab\x00\x00\x00\x01c"))
	f.Add([]byte("\x00\x02a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := ParseEntries(b)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			if again, err = AppendEntry(again, e); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again, b) {
			t.Errorf("%q printed as %q", b, again)
		}
	})
}

func FuzzEdge(f *testing.F) {
	var e Edge
	for i := range 6 {
		text, err := e.MarshalText()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		if err := e.Append(LeafHash(testEntry(i))); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Edge
		if err := e.UnmarshalText(b); err != nil {
			return
		}
		if text, err := e.MarshalText(); err != nil || !bytes.Equal(text, b) {
			t.Errorf("%q printed as %q, %v", b, text, err)
		}
		n := e.Tree().N
		if err := e.Append(Hash{}); err == nil && e.Tree().N != n+1 {
			t.Errorf("%q grew by %d", b, e.Tree().N-n)
		}
	})
}
