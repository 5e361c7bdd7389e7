package pack

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// TestFormatsPack computes the example of docs/formats.md, section Packs, again, from
// the entries and the files on that page.
func TestFormatsPack(t *testing.T) {
	page := docpage.Read(t, "formats.md")
	example := func(name string) []byte { return docpage.Example(t, page, name) }
	_, text, _ := strings.Cut(string(example("tiles")), "\ntile/entries/000.p/3 ")
	bundle, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
	if err != nil {
		t.Fatal(err)
	}
	entries, err := proofs.ParseEntries(bundle)
	if err != nil {
		t.Fatal(err)
	}
	held, names := map[tuf.Digest][]byte{}, map[tuf.Digest]string{}
	for name, file := range map[string]string{"root": "1.root.json", "targets": "1.targets.json", "snapshot": "1.snapshot.json"} {
		sum := tuf.Sum(example(name))
		held[sum], names[sum] = example(name), file
	}
	packed, absent, err := Encode(entries[:2], func(sum tuf.Digest) ([]byte, error) { return held[sum], nil })
	if err != nil || absent != 0 {
		t.Fatalf("%d absent, %v", absent, err)
	}
	files, err := Parse(packed, entries[:2])
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	for _, f := range files {
		fmt.Fprintf(&want, "    %v %08x %s\n", f.Digest, len(f.Data), names[f.Digest])
	}
	if !strings.Contains(string(page), "\n\n"+want.String()+"\n") {
		t.Errorf("the example should be\n%s", want.String())
	}
}
