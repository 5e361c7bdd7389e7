package tuf

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/realdata"
)

// refusedFiles lists the files that are refused and why. A name that ends in a
// slash stands for all files below.
var refusedFiles = []struct{ name, want string }{
	{"fixtures_notary/", `signed._type: "`}, // Notary's form, older than TUF 1.0: "Root" instead of "root"
	{"fixtures_python_tuf/client/map.json", "mapping: a metadata file has signatures and signed, nothing else"},
	{"fixtures_tough/duplicate-keyid/root.json", `signed.keys: name "8ec3a843a0f9328c863cac4046ab1cacbbc67888476ac7acf73d9bcd9a223ada" is repeated`},
	{"fixtures_tuf_conformance/sigstore-root-signing/targets/", "mediaType: a metadata file has signatures and signed, nothing else"},
	{"fixtures_tough/duplicate-sig-keys/root.json", `second signature under key id "8ec3a843a0f9328c863cac4046ab1cacbbc67888476ac7acf73d9bcd9a223ada"`},
	{"fixtures_tough/duplicate-sigs/root.json", `second signature under key id "8ec3a843a0f9328c863cac4046ab1cacbbc67888476ac7acf73d9bcd9a223ada"`},
	{"made_polyglot/case.json", `signed: name "Targets" differs only in case from "targets"`},
	{"made_polyglot/dup.json", `signed: name "targets" is repeated`},
	// Never signed, never published: go-tuf's ancestor wrote null for none.
	{"sigstore_root_signing_drafts/rekor/1.rekor.json", "signatures: want an array, found null"},
	{"sigstore_root_signing_drafts/rekor/3.rekor.json", "signatures: want an array, found null"},
	{"sigstore_root_signing_drafts/revocation/1.revocation.json", "signatures: want an array, found null"},
	{"sigstore_root_signing_drafts/staging/1.staging.json", "signatures: want an array, found null"},
}

// tufDiffers lists the files for which go-tuf prints another payload.
var tufDiffers = map[string]string{
	"sigstore_root_signing/revocation/1.revocation.json":             "go-tuf prints a missing length as 0",
	"sigstore_root_signing_drafts/revocation/1.revocation.alt1.json": "go-tuf prints a missing length as 0",
}

func TestRealFiles(t *testing.T) {
	files := realdata.Files(t, ".")
	if len(files) < 4000 {
		t.Errorf("%d files: the histories are not complete", len(files))
	}
	refused := map[string]int{}
	for _, f := range files {
		m, samePayload := compare(t, f.Data)
		want := "" // why it should be refused
		for _, r := range refusedFiles {
			if f.Name == r.name || strings.HasSuffix(r.name, "/") && strings.HasPrefix(f.Name, r.name) {
				want = r.want
				refused[r.name]++
			}
		}
		switch _, err := ParseJSON(f.Data); {
		case err == nil && want != "":
			t.Errorf("%s is accepted, want %s", f.Name, want)
		case err != nil && want == "":
			t.Errorf("%s: %v", f.Name, err)
		case err != nil && !strings.Contains(err.Error(), want):
			t.Errorf("%s: %v, want %s", f.Name, err, want)
		}
		if _, listed := tufDiffers[f.Name]; m != nil && samePayload == listed {
			t.Errorf("%s: go-tuf prints the same payload: %v", f.Name, samePayload)
		}
	}
	for _, r := range refusedFiles {
		if refused[r.name] == 0 {
			t.Errorf("%s is not there", r.name)
		}
	}
}

// history returns the files of a history by name, and their names in the order
// in which they were committed.
func history(t *testing.T, name string) (files map[string]*Metadata, order [][]string) {
	t.Helper()
	files = map[string]*Metadata{}
	for _, f := range realdata.Files(t, name) {
		m, err := ParseJSON(f.Data)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		short := strings.TrimPrefix(f.Name, name+"/")
		if _, packed, ok := strings.Cut(short, "!"); ok {
			short = packed
		}
		files[short] = m
	}
	index, err := os.ReadFile(filepath.Join(realdata.Histories(t), name, "index.csv"))
	if err != nil {
		t.Fatal(err)
	}
	order, err = csv.NewReader(bytes.NewReader(index)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return files, order[1:]
}

// TestHistories follows the roots of whole histories and counts the signatures
// of every top-level file under the root of its time. An exception is a file
// that does not meet that root, and why.
func TestHistories(t *testing.T) {
	for _, test := range []struct {
		name       string
		roots      int // the highest version
		exceptions map[string]string
	}{
		{"sigstore_root_signing", 15, map[string]string{
			"snapshot/132.snapshot.json": "root 9 was committed with it, and index.csv lists root 9 after it",
		}},
		{"docker_tuf", 1, nil},
		{"jku_tuf_demo", 8, map[string]string{
			"root/1.root.alt1.json": "the repository began anew, with another root",
		}},
	} {
		files, order := history(t, test.name)
		var root *Metadata
		highest := int64(0)
		for _, row := range order {
			name, role := row[0], row[1]
			m := files[name]
			var err error
			switch {
			case m == nil:
				t.Fatalf("%s: %s is in index.csv only", test.name, name)
			case m.Root != nil:
				if root != nil {
					err = m.Meets(root.Root.KeySet(RoleRoot))
				}
				if own := m.Meets(m.Root.KeySet(RoleRoot)); own != nil {
					t.Errorf("%s: %s does not meet its own threshold: %v", test.name, name, own)
				}
				root = m
				highest = max(highest, m.Version)
			case IsTopLevel(role):
				err = m.Meets(root.Root.KeySet(role))
			}
			if _, exception := test.exceptions[name]; (err != nil) != exception {
				t.Errorf("%s: %s under root %d: %v", test.name, name, root.Version, err)
			}
		}
		if highest != int64(test.roots) {
			t.Errorf("%s: root %d is the last, want %d", test.name, highest, test.roots)
		}
	}
}

// TestSigstoreChain verifies each root with the one before it. Roots 1 to 4 list
// their ECDSA keys in hex, and root 5 is signed by the keys of both.
func TestSigstoreChain(t *testing.T) {
	files, _ := history(t, "sigstore_root_signing")
	root := func(version int) *Metadata {
		m := files[fmt.Sprintf("root/%d.root.json", version)]
		if m == nil {
			t.Fatalf("root %d is not there", version)
		}
		return m
	}
	for version := 1; version <= 15; version++ {
		m := root(version)
		if err := m.Meets(m.Root.KeySet(RoleRoot)); err != nil {
			t.Errorf("root %d by its own keys: %v", version, err)
		}
		if version == 1 {
			continue
		}
		if err := m.Meets(root(version - 1).Root.KeySet(RoleRoot)); err != nil {
			t.Errorf("root %d by root %d's keys: %v", version, version-1, err)
		}
	}
	// One key under two spellings: some signers of root 5 count for both roots.
	four, five := root(4).Root.KeySet(RoleRoot), root(5).Root.KeySet(RoleRoot)
	both := 0
	for _, id := range four.Identities() {
		if slices.Contains(five.Identities(), id) {
			both++
		}
	}
	if both == 0 {
		t.Error("no public key is in roots 4 and 5")
	}
	if err := root(15).Meets(four); err == nil {
		t.Error("root 15 meets root 4")
	}
}
