package evidence_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
)

// TestFormatsAccusation computes the example of docs/formats.md, section Accusation, again,
// and checks it with the key on that page and nothing else.
func TestFormatsAccusation(t *testing.T) {
	page := docpage.Read(t, "formats.md")
	seed := sha256.Sum256([]byte("docs/formats.md: log.example " + proofs.Ed25519.String()))
	log, err := proofs.GenerateSigner(bytes.NewReader(seed[:]), "log.example", proofs.Ed25519)
	must(t, err)
	entries := [][]byte{[]byte(leaf.End), []byte("hello")}
	edge := new(proofs.Edge)
	for _, e := range entries {
		must(t, edge.Append(proofs.LeafHash(e)))
	}
	text := proofs.Checkpoint{Origin: "log.example", Tree: edge.Tree()}.String()
	sig, err := log.Sign(text, 0)
	must(t, err)
	a := fraud.Accusation{
		Kind: string(evidence.BehindEnd), Subject: "0",
		Spans: []fraud.Span{{First: 0, Entries: entries[:1], Hashes: []proofs.Hash{proofs.LeafHash(entries[1])}}},
		Notes: [][]byte{proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal()},
	}
	example := docpage.Example(t, page, "accusation")
	if string(example) != string(a.Marshal()) {
		t.Fatalf("the example is\n%s\nshould be\n%s", example, a.Marshal())
	}
	first, _, _ := strings.Cut(string(docpage.Example(t, page, "vkeys")), "\n")
	key, err := proofs.ParseKey(first)
	must(t, err)
	s, err := evidence.Check(t.Context(), example, key)
	if err != nil || s.Sentence != "log log.example signed a tree of 2 entries, although the log had ended with entry 0" {
		t.Errorf("%s, %v", s.Sentence, err)
	}
}
