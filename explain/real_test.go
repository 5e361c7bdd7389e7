package explain

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/tuf"
)

// real reads a file of a real history.
func real(t testing.TB, name string) *tuf.Metadata {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(realdata.Histories(t), name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := tuf.ParseJSON(b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// says fails unless each wanted line is among the sentences.
func says(t testing.TB, sentences []string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(sentences, line) {
			t.Errorf("no sentence says %q:\n%s", line, strings.Join(sentences, "\n"))
		}
	}
}

func radius(t testing.TB, repo Repository, path string) *Replace {
	t.Helper()
	r, err := Radius(repo, path)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sigstore is Sigstore's repository with its root 15 and targets 14.
func sigstore(t testing.TB) Repository {
	return Repository{
		Root:      real(t, "sigstore_root_signing/root/15.root.json"),
		Targets:   real(t, "sigstore_root_signing/targets/14.targets.json"),
		Delegated: map[string]*tuf.Metadata{"registry.npmjs.org": real(t, "sigstore_root_signing/registry.npmjs.org/8.registry.npmjs.org.json")},
	}
}

// Sigstore's root and targets share their keys, and one online key signs the rest.
func TestRadiusOfSigstore(t *testing.T) {
	repo := sigstore(t)
	says(t, radius(t, repo, "trusted_root.json").Sentences(),
		"3 keys together can replace trusted_root.json:",
		"  any 3 of {183e64f3, 22f4caec, 61643838, a687e5bf, e71a54d5} (root)",
		"  any 3 of {183e64f3, 22f4caec, 61643838, a687e5bf, e71a54d5} (targets) and key 0c87432c (snapshot and timestamp), which includes one of the above",
		"That makes 10 different sets of keys, none of which has a key to spare.",
		"Today targets lists the path.")
	npm := radius(t, repo, "registry.npmjs.org/keys.json")
	says(t, npm.Sentences(),
		"2 keys together can replace registry.npmjs.org/keys.json:",
		"  key 5e3a4021 (registry.npmjs.org) and key 0c87432c (snapshot and timestamp)",
		"Today registry.npmjs.org lists the path.")

	// Before the first targets that delegate, the same path took three.
	old := repo
	old.Targets, old.Delegated = real(t, "sigstore_root_signing/targets/3.targets.json"), nil
	if v := Compare(radius(t, old, "registry.npmjs.org/keys.json"), npm); v.Change != Easier || v.Before != 3 || v.After != 2 {
		t.Errorf("verdict %+v", v)
	}
}

func TestRadiusOfDocker(t *testing.T) {
	repo := Repository{
		Root:    real(t, "docker_tuf/root/1.root.json"),
		Targets: real(t, "docker_tuf/targets/7.targets.json"),
		Delegated: map[string]*tuf.Metadata{
			"doi":     real(t, "docker_tuf/doi/3.doi.json"),
			"rekor":   real(t, "docker_tuf/rekor/2.rekor.json"),
			"testing": real(t, "docker_tuf/testing/3.testing.json"),
		},
	}
	says(t, radius(t, repo, "doi/policy-vsa.rego").Sentences(),
		"3 keys together can replace doi/policy-vsa.rego:",
		"  any 2 of {2ff207ae, 344bbe12, 6132f1f2, 7f472065, ad252c7b, cda750ab, f2149d8b} (doi) and key aef160e0 (snapshot and timestamp)",
		"  any 2 of {2ff207ae, 6132f1f2, cda750ab, f2149d8b} (targets) and key aef160e0 (snapshot and timestamp), which includes one of the above",
		"That makes 31 different sets of keys, none of which has a key to spare.")
	says(t, radius(t, repo, "rekor/new.pem").Sentences(),
		"3 keys together can put a file at rekor/new.pem:",
		"  any 2 of {2ff207ae, 6132f1f2, cda750ab, f2149d8b} (targets or rekor) and key aef160e0 (snapshot and timestamp)")

	all, err := RadiusOf(repo, "doi/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Paths) != 2 || all.Paths[0].Path != "doi/policy-full.rego" || len(all.New) != 1 || all.New[0].Path != "doi/new-file" {
		t.Errorf("doi/* is %d paths and %d new ones", len(all.Paths), len(all.New))
	}

	// Targets 4 gave seven people power over doi. Two of them signed it.
	root := repo.Root.Root
	signed := Signed{tuf.RoleRoot: repo.Root.Signers(root.KeySet(tuf.RoleRoot)), tuf.RoleTargets: repo.Targets.Signers(root.KeySet(tuf.RoleTargets))}
	for role, m := range repo.Delegated {
		_, ks, _ := repo.Targets.Targets.Delegations.Find(role)
		signed[role] = m.Signers(ks)
	}
	unused, more, err := Unused(repo, signed)
	if err != nil || more {
		t.Fatal(err, more)
	}
	var lines []string
	for _, p := range unused {
		lines = append(lines, p.String())
	}
	says(t, lines,
		"Key cda750ab may sign targets and never has; it has signed doi.",
		"Key 7f472065 may sign doi and has never signed anything.",
		"Key aef160e0 may sign timestamp and has never signed anything.")
	if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "Key 08d6f4ca") }) {
		t.Errorf("key 08d6f4ca has signed root: %q", lines)
	}
}
