package fraud

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/proofs"
)

// TestFormatsConflict computes the example of docs/formats.md, section Conflict,
// again, and checks it with the keys on that page and nothing else.
func TestFormatsConflict(t *testing.T) {
	page := docpage.Read(t, "formats.md")
	example := func(name string) []byte { return docpage.Example(t, page, name) }
	policy, err := proofs.ParsePolicy(example("policy"))
	if err != nil {
		t.Fatal(err)
	}

	// The log of the page, whose keys are made of its names, shows another
	// history: four entries of which none is one of the page's.
	seed := sha256.Sum256([]byte("docs/formats.md: log.example " + proofs.Ed25519.String()))
	log, err := proofs.GenerateSigner(bytes.NewReader(seed[:]), "log.example", proofs.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	tiles := &leafTiles{t: t, leaves: testLeaves(4)}
	newer := signNote(t, proofs.Checkpoint{Origin: "log.example", Tree: refTree(tiles.leaves)}.String(), log)
	c, err := NewConflict(t.Context(), newer, example("signed-checkpoint"), tiles)
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Conflict\n")
	var got strings.Builder
	for line := range strings.Lines(section) {
		if text, ok := strings.CutPrefix(line, "    "); ok {
			got.WriteString(text)
		} else if got.Len() > 0 && line == "\n" {
			got.WriteString(line)
		} else if got.Len() > 0 {
			break
		}
	}
	if want := string(c.Marshal()); strings.TrimRight(got.String(), "\n")+"\n" != want {
		t.Fatalf("the example is\n%s\nshould be\n%s", got.String(), want)
	}
	v, err := c.Check(policy.Logs[0].Key)
	if err != nil || fmt.Sprint(v.Older.N, v.Newer.N, v.By) != "3 4 [log.example]" {
		t.Errorf("the example proves %+v, %v", v, err)
	}
}
