package bundle

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/proofs"
)

// TestFormatsBundle computes the example of docs/formats.md, section Bundle, again, from the
// files on that page, and its limits from ours.
func TestFormatsBundle(t *testing.T) {
	page := docpage.Read(t, "formats.md")
	c := contents{}
	c.add("targets/firmware.bin", make([]byte, 11))
	for name, example := range map[string]string{"1.root.json": "root", "1.targets.json": "targets", "1.snapshot.json": "snapshot", "1.targets.json.tlog-proof": "sidecar"} {
		c.add("metadata/"+name, docpage.Example(t, page, example))
	}
	var out bytes.Buffer
	if err := write(&out, c); err != nil {
		t.Fatal(err)
	}
	index, _, _ := strings.Cut(out.String(), "\n\n")
	if want := "    " + strings.ReplaceAll(index, "\n", "\n    ") + "\n\n"; !strings.Contains(string(page), want) {
		t.Errorf("the example should be\n%s", want)
	}
	for _, limit := range []string{
		fmt.Sprintf("| index | %d MiB |", MaxIndex>>20), fmt.Sprintf("| files | %d,%03d |", MaxFiles/1000, MaxFiles%1000),
		fmt.Sprintf("| a proof | %d,%03d bytes |", proofs.MaxProofSize/1000, proofs.MaxProofSize%1000),
	} {
		if !strings.Contains(string(page), limit) {
			t.Errorf("the page does not say %s", limit)
		}
	}
}
