package explain

import (
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/tuf"
)

// FuzzExplain compares any two files that the strict reader takes, and asks for the radius of
// a path in them: nothing panics, all ends, and every sentence is one printable line.
func FuzzExplain(f *testing.F) {
	repo := small(f, nil)
	roles := delegating(f, delegation("r", 1, object{"paths": []string{"a?*", "*/x"}}, 1, 2), delegation("s", 2, object{"path_hash_prefixes": []string{"7", "a1"}}, 3, 4))
	f.Add(repo.Targets.File, roles.File, "a/x")
	f.Add(roles.File, repo.Targets.File, "\x1b[2J")
	f.Add(repo.Root.File, repo.Root.File, "*")
	f.Add(parse(f, "snapshot", object{"meta": object{"targets.json": object{"version": 1}}}).File, repo.Root.File, "")
	for _, pair := range realSeeds {
		if first, second, ok := pair.read(f); ok {
			f.Add(first, second, "registry.npmjs.org/keys.json")
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte, path string) { explainAll(t, repo, first, second, path) })
}

// explainAll asks for everything that can be said about two files, and checks the form of the
// answers. What is missing comes from a repository.
func explainAll(t *testing.T, repo Repository, first, second []byte, path string) {
	before, err := tuf.ParseJSON(first)
	if err != nil {
		return
	}
	var lines []string
	after, err := tuf.ParseJSON(second)
	if err == nil {
		if c, err := Diff(after.Type, before, after); err == nil {
			lines = append(lines, c.Sentences()...)
		}
	}
	for _, m := range []*tuf.Metadata{before, after} {
		with := repo
		switch {
		case m == nil:
			continue
		case m.Root != nil:
			with.Root = m
		case m.Targets != nil:
			with.Targets = m
			with.Delegated = map[string]*tuf.Metadata{"r": m}
		case m.Snapshot != nil:
			with.Snapshot = m
		}
		r, err := Radius(with, path)
		if err != nil {
			t.Fatal(err)
		}
		if (len(r.Ways) == 0) != (len(r.Sets) == 0) && !r.MoreSets || len(r.Sets) > MaxSets {
			t.Errorf("%d ways, %d sets", len(r.Ways), len(r.Sets))
		}
		lines = append(lines, r.Sentences()...)
		lines = append(lines, Compare(r, radius(t, repo, path)).Text)
		unused, _, err := Unused(with, Signed{})
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, UnusedSentences(unused)...)
		impact, err := ImpactOf(&repo, with, "")
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, impact.Sentences()...)
		for _, p := range unused {
			lines = append(lines, p.String())
		}
	}
	for _, line := range lines {
		if !utf8.ValidString(line) || strings.ContainsAny(line, "\n\x1b\x00") || len(line) > 10_000 {
			t.Errorf("not a line: %q", line)
		}
	}
}

// realSeeds are pairs of files of the real histories, where there are any.
var realSeeds = []pair{
	{"sigstore_root_signing/targets/13.targets.json", "sigstore_root_signing/targets/14.targets.json"},
	{"sigstore_root_signing/root/4.root.json", "sigstore_root_signing/root/5.root.json"},
	{"docker_tuf/targets/4.targets.json", "docker_tuf/targets/7.targets.json"},
}

type pair [2]string

func (p pair) read(f *testing.F) (first, second []byte, ok bool) {
	if os.Getenv("TUFLOG_DATA") == "" {
		return nil, nil, false
	}
	return real(f, p[0]).File, real(f, p[1]).File, true
}

// Whatever real metadata is put side by side can be explained.
func TestPairsOfRealFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("reads all histories")
	}
	files := realdata.Files(t, "")
	repo, r := small(t, nil), rand.New(rand.NewPCG(3, 14))
	for range 1000 {
		a, b := files[r.IntN(len(files))], files[r.IntN(len(files))]
		explainAll(t, repo, a.Data, b.Data, "registry.npmjs.org/keys.json")
		if t.Failed() {
			t.Fatal(a.Name, b.Name)
		}
	}
}
