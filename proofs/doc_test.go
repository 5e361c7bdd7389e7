package proofs

import (
	"errors"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

// docExamples returns the examples of the package comment by the first word
// of their heading.
func docExamples(t *testing.T) map[string][]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	examples := make(map[string][]string)
	heading := ""
	for _, block := range new(comment.Parser).Parse(f.Doc.Text()).Content {
		switch b := block.(type) {
		case *comment.Heading:
			heading, _, _ = strings.Cut(string(b.Text[0].(comment.Plain)), " ")
		case *comment.Code:
			examples[heading] = append(examples[heading], b.Text)
		}
	}
	return examples
}

func only(t *testing.T, examples []string) string {
	t.Helper()
	if len(examples) != 1 {
		t.Fatalf("%d examples, want 1", len(examples))
	}
	return examples[0]
}

// What the package comment shows is real.
func TestDocExamples(t *testing.T) {
	ex := docExamples(t)
	signed := only(t, ex["Signed"])
	vkey, rest, _ := strings.Cut(only(t, ex["Keys"]), "\n")
	key, err := ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(rest, privatePrefix+key.Name()+"+"+key.hexID()) {
		t.Errorf("private key %q", rest)
	}
	c, note, err := OpenCheckpoint([]byte(signed), key)
	if err != nil {
		t.Fatal(err)
	}
	if want := refTree([]Hash{LeafHash([]byte("first")), LeafHash([]byte("second"))}); c.Tree != want {
		t.Errorf("tree %v, want %v", c.Tree, want)
	}

	policy := mustPolicy(t, only(t, ex["Policies"]))
	cosigned := signed + only(t, ex["Cosignatures"])
	sc, err := policy.OpenCheckpoint([]byte(cosigned))
	var quorumErr *QuorumError
	if !errors.As(err, &quorumErr) || len(sc.Cosignatures) != 1 || sc.Cosignatures[0].Time != 1679315147 {
		t.Errorf("cosignature: %v, %v", sc, err)
	}

	proof, err := ParseProof([]byte(only(t, ex["Proofs"])))
	if err != nil {
		t.Fatal(err)
	}
	if string(proof.Checkpoint) != string(note.Marshal()) {
		t.Errorf("the proof has another checkpoint")
	}
	if _, err := proof.Verify(policy, []byte("second")); !errors.As(err, &quorumErr) {
		t.Errorf("proof: %v", err)
	}

	for path := range strings.Lines(only(t, ex["Tiles"])) {
		if _, err := ParseTilePath(strings.TrimSpace(path)); err != nil {
			t.Error(err)
		}
	}

	var edge Edge
	if err := edge.UnmarshalText([]byte(only(t, ex["Edges"]))); err != nil {
		t.Fatal(err)
	}
	want := refTree([]Hash{LeafHash([]byte("first")), LeafHash([]byte("second")), LeafHash([]byte("third"))})
	if edge.Tree() != want {
		t.Errorf("edge leads to %v, want %v", edge.Tree(), want)
	}
}
