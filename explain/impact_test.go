package explain_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/explain"
	"github.com/tuflog/tuflog/tuf"
)

// A release hands one file to a team, takes another away and leaves the rest: what became
// easier to replace comes first, and the files with one answer stand together.
func TestImpact(t *testing.T) {
	const file = `{"length": 1, "hashes": {"sha256": "09ae3a1c8a1ba3ab3fa4f9a0a2d4d8a0de6c5d8e8cb6a3d4f5be8b9f11a3d5c7"}}`
	before := explain.Repository{Root: exampleRoot(), Targets: parse(`"_type": "targets", "version": 1, "targets": {"a.bin": ` + file + `, "gone.txt": ` + file + `, "x.txt": ` + file + `, "y.txt": ` + file + `}`)}
	after := explain.Repository{
		Root: exampleRoot(),
		Targets: parse(`"_type": "targets", "version": 2, "targets": {"x.txt": ` + file + `, "y.txt": ` + file + `}, "delegations": {"keys": ` + keys("mallory", "trent") + `, "roles": [
			{"name": "team", "keyids": ["mallory", "trent"], "threshold": 1, "paths": ["*.bin"], "terminating": true}]}`),
		Delegated: map[string]*tuf.Metadata{"team": parse(`"_type": "targets", "version": 1, "targets": {"a.bin": ` + file + `}`)},
	}
	impact, err := explain.ImpactOf(&before, after, "")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(impact.Sentences(), "\n")
	want := `Fewer keys than before suffice to replace 1 file; nothing changes for 3 files.

a.bin:
  Any 1 of the 2 team keys with the snapshot and timestamp key online can replace a.bin; before this release it took any 3 of the 5 root keys, or any 2 of the 5 targets keys with the snapshot and timestamp key online.
      any 3 of {ann, bob, cleo, dan, eve} (root)
      any 2 of {ann, bob, cleo, dan, eve} (targets) and key online (snapshot and timestamp)
    + any 1 of {mallory, trent} (team) and key online (snapshot and timestamp)

x.txt, y.txt:
  As before, it takes 3 keys to replace any of these 2 files.
      any 3 of {ann, bob, cleo, dan, eve} (root)
      any 2 of {ann, bob, cleo, dan, eve} (targets) and key online (snapshot and timestamp)

gone.txt:
  As before, it takes 3 keys to put a file at gone.txt.
      any 3 of {ann, bob, cleo, dan, eve} (root)
      any 2 of {ann, bob, cleo, dan, eve} (targets) and key online (snapshot and timestamp)

New files:
  at paths such as new-file.bin: as for a.bin
  at paths such as new-file: as for x.txt`
	if got != want {
		t.Errorf("it says\n%s\nwant\n%s", got, want)
	}

	// The other way round it becomes harder.
	if impact, err = explain.ImpactOf(&after, before, "a.bin"); err != nil {
		t.Fatal(err)
	}
	if got := impact.Sentences()[0]; got != "It takes more keys than before to replace 1 file." {
		t.Errorf("it says %q", got)
	}
	if impact, err = explain.ImpactOf(&before, before, "*.txt"); err != nil {
		t.Fatal(err)
	}
	if got := impact.Sentences()[0]; got != "This release does not change who can replace any of the 3 files: it takes 3 keys." {
		t.Errorf("it says %q", got)
	}
	if impact, err = explain.ImpactOf(nil, after, ""); err != nil {
		t.Fatal(err)
	}
	if got := impact.Sentences(); got[0] != "It takes from 2 to 3 keys to replace one of 3 files." || !slices.Contains(got, "  It takes 2 keys to replace a.bin.") {
		t.Errorf("it says %q", got)
	}
}
