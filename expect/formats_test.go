package expect

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/docpage"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// TestFormatsExpectations computes the example of docs/formats.md again: the vendor of that
// page expects one more file, made by a key that is made of its name.
func TestFormatsExpectations(t *testing.T) {
	page := docpage.Read(t, "formats.md")
	example := func(name string) []byte { return docpage.Example(t, page, name) }
	seed := sha256.Sum256([]byte("docs/formats.md: acme.example/expect " + proofs.Ed25519.String()))
	key, err := proofs.GenerateSigner(bytes.NewReader(seed[:]), "acme.example/expect", proofs.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	newest := map[string]*tuf.Metadata{}
	for _, role := range []string{"root", "targets"} {
		if newest[role], err = tuf.ParseJSON(example(role)); err != nil {
			t.Fatal(err)
		}
	}
	e := noted(t, "release targets 2\n"+fileLine("firmware-1.1.bin", "firmware 1.1")+"release targets any\nrelease nightly next\npaths nightly/*")
	e.Repository, e.Version, e.Bases = newest["root"].PayloadDigest, 7, BasesOf(newest)
	note, err := Sign(e, from.Unix(), key)
	if err != nil {
		t.Fatal(err)
	}
	if got := example("expectations"); !bytes.Equal(got, note) {
		t.Errorf("the example is\n%s\nshould be\n%s", got, note)
	}
	vkey := strings.TrimSpace(string(example("expectations-key")))
	if vkey != key.Key().String() {
		t.Errorf("the key is\n%s\nshould be\n%s", vkey, key.Key())
	}
	parsed, err := proofs.ParseKey(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Parse(note, parsed); err != nil || got.Text() != e.Text() {
		t.Errorf("%v, %v", got, err)
	}
}

// The draft of docs/vendors.md is one.
func TestVendorsDraft(t *testing.T) {
	e, err := ParseDraft(string(docpage.Example(t, docpage.Read(t, "vendors.md"), "draft")))
	if err != nil || len(e.Releases) != 5 {
		t.Errorf("%+v, %v", e, err)
	}
}
