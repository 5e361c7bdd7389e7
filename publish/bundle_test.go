package publish

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/testpigweed"
	"github.com/tuflog/tuflog/tuf/pigweed"
)

// Of two bundles that would be written to one place, the older release must not take the
// place of the newer one.
func TestTwoBundlesForOnePlace(t *testing.T) {
	key, err := testpigweed.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	bundle := func(name string, version uint32, proof string) string {
		t.Helper()
		targets, err := testpigweed.Targets(version, nil, key)
		if err != nil {
			t.Fatal(err)
		}
		file := testpigweed.Bundle(nil, targets, map[string][]byte{pigweed.Proof: []byte(proof)})
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, file, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	next := bundle("app.pb", 2, "")
	last := bundle("app.logged.pb", 1, "old")
	for _, paths := range [][]string{{next, last}, {last, next}} {
		if _, err := ReadFiles(paths); err == nil || !strings.Contains(err.Error(), "are two releases, and both would be written to "+last) {
			t.Errorf("%v: %v", paths, err)
		}
	}
	// The same release with and without its proofs, as *.pb of a folder has them.
	b, err := os.ReadFile(next)
	if err != nil {
		t.Fatal(err)
	}
	read, err := pigweed.ParseBundle(b)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = read.Embed(pigweed.Proof, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(last, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFiles([]string{last, next}); err != nil {
		t.Error(err)
	}
}
