package fraud

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// testAccusation is an accusation with everything in it.
func testAccusation(t testing.TB) Accusation {
	t.Helper()
	entries := testEntries(9)
	tiles := &leafTiles{t: t, leaves: hashesOf(entries)}
	tree := refTree(tiles.leaves)
	signer := newSigner(t, "example.com/log", proofs.Ed25519)
	note := signNote(t, proofs.Checkpoint{Origin: "example.com/log", Tree: tree}.String(), signer)
	a := Accusation{Kind: "some-kind", Subject: "role%20of.all~", Files: [][]byte{[]byte("{}"), {0, 1, 2}}, Notes: [][]byte{note, note}}
	for _, span := range [][2]int64{{0, 2}, {4, 5}} {
		s, err := NewSpan(t.Context(), tree, span[0], entries[span[0]:span[1]], tiles)
		if err != nil {
			t.Fatal(err)
		}
		a.Spans = append(a.Spans, s)
	}
	return a
}

func TestAccusation(t *testing.T) {
	a := testAccusation(t)
	text := a.Marshal()
	got, err := ParseAccusation(text)
	if err != nil || !bytes.Equal(got.Marshal(), text) {
		t.Fatalf("read %+v, %v", got, err)
	}
	if len(got.Spans) != 2 || got.Spans[1].First != 4 || len(got.Spans[0].Entries) != 2 || len(got.Files) != 2 || len(got.Notes) != 2 || got.Subject != a.Subject {
		t.Fatalf("read %+v", got)
	}
	for _, s := range []Accusation{{Kind: "x"}, {Kind: "x", Subject: "1"}, {Kind: "x", Files: a.Files}, {Kind: "x", Notes: a.Notes[:1]}, {Kind: "x", Spans: a.Spans, Notes: a.Notes[:1]}} {
		if got, err := ParseAccusation(s.Marshal()); err != nil || !bytes.Equal(got.Marshal(), s.Marshal()) {
			t.Errorf("%q: %v", s.Marshal(), err)
		}
	}
	replace := func(old, by string) string { return strings.Replace(string(text), old, by, 1) }
	for name, bad := range map[string]string{
		"empty":                 "",
		"header":                replace(" v1", " v2"),
		"no kind":               replace("kind some-kind", "about some-kind"),
		"capital in kind":       replace("kind some", "kind Some"),
		"no word":               replace("kind some-kind role%20of.all~", "kind some-kind "),
		"space in the subject":  replace("role%20", "role 20"),
		"slash in the subject":  replace("role%20", "role/20"),
		"spans out of order":    replace("from 0", "from 4"),
		"spans that touch":      replace("from 4", "from 2"),
		"sign":                  replace("from 4", "from +4"),
		"no entries":            replace("entry "+strict.EncodeBase64([]byte("entry 4"))+"\n", ""),
		"lax base64":            replace("=\n", "\n"),
		"not a hash":            replace("file ", "hash "),
		"a file before entries": replace("from 0", "file e30=\nfrom 0"),
		"an empty file":         replace("file ", "file \nfile "),
		"CRLF":                  strings.ReplaceAll(string(text), "\n", "\r\n"),
		"cut":                   string(text[:len(text)-1]),
		"longer":                string(text) + "\n",
		"three notes":           string(text) + "\n" + string(a.Notes[0]),
		"empty line":            replace("from 0", "\nfrom 0"),
		"no note":               string(Accusation{Kind: "x", Spans: a.Spans}.Marshal()),
		"half a line":           "tuflog accusation v1\nkind x",
		"too many hashes":       replace("file ", strings.Repeat(proofs.Hash{}.String()+"\n", maxSpanHashes)+"file "),
		"too many entries":      replace("entry ", strings.Repeat("entry \n", MaxAccusedEntries)+"entry "),
		"too many files":        replace("file ", strings.Repeat("file e30=\n", maxAccusedFiles)+"file "),
		"the end of all":        replace("from 4", "from 9223372036854775807"),
		"too large":             string(text) + strings.Repeat("x", MaxAccusationSize),
	} {
		if got, err := ParseAccusation([]byte(bad)); err == nil {
			t.Errorf("%s: read %.1000q", name, got.Marshal())
		}
	}
	// Every other byte is a part of it, or makes it none.
	for i := range text {
		bad := bytes.Clone(text)
		bad[i] ^= 1
		if got, err := ParseAccusation(bad); err == nil && !bytes.Equal(got.Marshal(), bad) {
			t.Fatalf("byte %d is not seen", i)
		}
	}
}

func FuzzParseAccusation(f *testing.F) {
	f.Add(testAccusation(f).Marshal())
	f.Add([]byte("tuflog accusation v1\nkind x\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := ParseAccusation(b)
		if err != nil {
			return
		}
		if !bytes.Equal(a.Marshal(), b) {
			t.Errorf("%q printed as %q", b, a.Marshal())
		}
		for _, s := range a.Spans {
			if err := s.Verify(proofs.Tree{N: s.End() + 3}); err == nil {
				t.Errorf("a span of the zero root: %+v", s)
			}
		}
	})
}
