package proofs

import (
	"bytes"
	"errors"
	"slices"
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
	f.Add(newSigner(f, "w", CosignatureV1).Key().String())
	f.Add(newSigner(f, "w", CosignatureV1).PrivateKey())
	f.Fuzz(func(t *testing.T, s string) {
		if signer, err := ParseSigner(s); err == nil && signer.PrivateKey() != s {
			t.Errorf("%q printed as %q", s, signer.PrivateKey())
		}
		k, err := ParseKey(s)
		if err != nil {
			return
		}
		if k.String() != s {
			t.Errorf("%q printed as %q", s, k)
		}
		if k.Algorithm() != Ed25519 {
			return
		}
		if v, err := note.NewVerifier(s); err != nil || v.Name() != k.Name() || v.KeyHash() != k.ID() {
			t.Errorf("x/mod does not read %q: %v", s, err)
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
	f.Add([]byte(policyText(f, "witness a W1\nwitness b W2\n# c\n\ngroup g 1 a b\ngroup h all g\nquorum h\n")))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParsePolicy(b)
		if err != nil {
			return
		}
		if err := p.Satisfied(func(string) bool { return true }); err != nil {
			t.Errorf("all witnesses are not enough: %v", err)
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

// Our verdicts on proofs are those of x/mod, which computes another way.
func FuzzVerify(f *testing.F) {
	leaves := testLeaves(9)
	flat := func(hashes []Hash) (b []byte) {
		for _, h := range hashes {
			b = append(b, h[:]...)
		}
		return b
	}
	root, part := refRoot(leaves), refRoot(leaves[:5])
	f.Add(int64(9), root[:], int64(4), leaves[4][:], flat(refPath(4, leaves)))
	f.Add(int64(9), root[:], int64(5), part[:], flat(refProof(5, leaves)))
	f.Add(int64(9), root[:], int64(9), root[:], []byte{})
	f.Fuzz(func(t *testing.T, size int64, root []byte, n int64, other, raw []byte) {
		if len(root) != 32 || len(other) != 32 || len(raw)%32 != 0 || size > 1<<62 {
			return // x/mod loops on larger sizes
		}
		var hashes []Hash
		for h := range slices.Chunk(raw, 32) {
			hashes = append(hashes, Hash(h))
		}
		tree, small := Tree{N: size, Hash: Hash(root)}, Tree{N: n, Hash: Hash(other)}
		ours := VerifyInclusion(tree, n, small.Hash, hashes)
		theirs := tlog.CheckRecord(hashes, size, tree.Hash, n, small.Hash)
		if (ours == nil) != (theirs == nil) {
			t.Errorf("inclusion: we say %v, x/mod %v", ours, theirs)
		}
		if n < 1 {
			return // x/mod has no proofs from the empty tree
		}
		ours = VerifyConsistency(small, tree, hashes)
		theirs = tlog.CheckTree(hashes, size, tree.Hash, n, small.Hash)
		if (ours == nil) != (theirs == nil) {
			t.Errorf("consistency: we say %v, x/mod %v", ours, theirs)
		}
	})
}
