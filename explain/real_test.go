package explain

import (
	"fmt"
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
		"  any 3 of the 5 targets keys with the snapshot and timestamp key 0c87432c: these include one of the above",
		"Today targets lists the path.")
	npm := radius(t, repo, "registry.npmjs.org/keys.json")
	says(t, npm.Sentences(),
		"2 keys together can replace registry.npmjs.org/keys.json:",
		"  key 5e3a4021 (registry.npmjs.org) and key 0c87432c (snapshot and timestamp)",
		"Today registry.npmjs.org lists the path.")

	// Its snapshots list most roles by version alone, which is enough for a new device.
	for _, f := range realdata.Files(t, "sigstore_root_signing") {
		if strings.HasSuffix(f.Name, "/165.snapshot.json") {
			snapshot, err := tuf.ParseJSON(f.Data)
			if err != nil {
				t.Fatal(err)
			}
			repo.Snapshot = snapshot
		}
	}
	says(t, radius(t, repo, "registry.npmjs.org/keys.json").Sentences(),
		"  the registry.npmjs.org key 5e3a4021 alone, for a device that has not fetched the present version yet: the snapshot lists it without a hash")

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
		"  any 2 of the 4 targets keys with the snapshot and timestamp key aef160e0: these include one of the above")
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

	// The same for all paths, those with one answer together.
	impact, err := ImpactOf(nil, repo, "")
	if err != nil {
		t.Fatal(err)
	}
	says(t, impact.Sentences(),
		"It takes 3 keys to replace any of the 10 files.",
		"doi/policy-full.rego, doi/policy-vsa.rego:",
		"  It takes 3 keys to replace any of these 2 files.",
		"  at paths such as doi/new-file, and 3 more patterns: as for doi/policy-full.rego")
	older := repo
	older.Targets = real(t, "docker_tuf/targets/4.targets.json")
	newer := repo
	newer.Targets = real(t, "docker_tuf/targets/5.targets.json")
	if impact, err = ImpactOf(&older, newer, "doi/*"); err != nil {
		t.Fatal(err)
	}
	says(t, impact.Sentences(),
		"Other keys than before can replace 2 files.",
		"  It takes 3 keys as before to replace any of these 2 files, but not the same ones.",
		"    Keys that are listed under other ids, too: 2ff207ae as da52a1fb.",
		"    + any 2 of {2ff207ae, 344bbe12, 6132f1f2, 7f472065, ad252c7b, cda750ab, f2149d8b} (doi) and key aef160e0 (snapshot and timestamp)")

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
	says(t, UnusedSentences(unused), "targets was never signed by cda750ab, f2149d8b, which signed other roles.",
		"doi was never signed by 6132f1f2, da52a1fb, which signed other roles; nor by 7f472065, ad252c7b, which never signed anything.")
	if slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "Key 08d6f4ca") }) {
		t.Errorf("key 08d6f4ca has signed root: %q", lines)
	}
}

// diff compares two versions of a real role.
func diff(t testing.TB, folder, role string, from, to int) *Changes {
	t.Helper()
	file := func(version int) *tuf.Metadata {
		return real(t, fmt.Sprintf("%s/%s/%d.%s.json", folder, role, version, role))
	}
	c, err := Diff(role, file(from), file(to))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// exactly fails unless these are the sentences.
func exactly(t testing.TB, sentences []string, want ...string) {
	t.Helper()
	if !slices.Equal(sentences, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(sentences, "\n"), strings.Join(want, "\n"))
	}
}

func TestDiffOfSigstore(t *testing.T) {
	const folder = "sigstore_root_signing"
	exactly(t, diff(t, folder, "targets", 13, 14).Sentences(),
		"targets 14 against 13: 2 changes.",
		"  It expires at 2036-05-09T09:00:52Z, 223 days later than before (2035-09-29T08:18:33Z).",
		"  Target signing_config_rekor_v2.v0.2.json is new: 1230 bytes, sha256 0f5f3855….")
	exactly(t, diff(t, folder, "targets", 12, 13).Sentences(),
		"targets 13 against 12: 2 changes.",
		"  It expires at 2035-09-29T08:18:33Z, 86 days later than before (2035-07-05T08:05:16Z).",
		"  Target trusted_root.json has other content: 6787 bytes, sha256 6494e21e…, before 6367 bytes, sha256 6a0c056d….")
	says(t, diff(t, folder, "targets", 4, 5).Sentences(),
		"  It no longer delegates rekor.*.pub to rekor.",
		"  Target rekor.0.pub is gone (178 bytes, sha256 dce5ef71…).",
		`  The custom data of rekor.pub is {"sigstore":{"status":"Active","uri":"https://rekor.sigstore.dev","usage":"Rekor"}}, before {"sigstore":{"status":"Active","usage":"Rekor"}}.`)
	says(t, diff(t, folder, "root", 4, 5).Sentences(), // the ids changed with the spelling of the keys
		"root 5 against 4: 16 changes.",
		"  One key of targets is now listed as 2e61cd0c, before as 75e867ab.",
		"  Key e1863ba0 may now sign timestamp.",
		"  Key b6710623 may no longer sign timestamp.",
		"  The repository has consistent snapshots: true, before false.")
}

func TestDiffOfDocker(t *testing.T) {
	exactly(t, diff(t, "docker_tuf", "targets", 4, 5).Sentences(),
		"targets 5 against 4: 3 changes.",
		"  Key da52a1fb may now sign doi.",
		"  Key 81cf5a78 may no longer sign doi.",
		"  It expires at 2025-08-01T13:56:29Z, 41 hours later than before (2025-07-30T20:42:33Z).")
	exactly(t, diff(t, "docker_tuf", "targets", 6, 7).Sentences(),
		"targets 7 against 6: 2 changes.",
		"  It expires at 2025-09-20T11:13:52Z, 8 days later than before (2025-09-11T12:48:14Z).",
		"  It newly delegates rekor/*, rekor/*/*, rekor/*/*/*, rekor/*/*/*/* to rekor, which takes 2 of 4 keys, is asked after the others and ends the search for these paths.")
}

func TestPredecessorsOfSigstore(t *testing.T) {
	var p Predecessors
	var lines []string
	for version, root := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15} { // in force at targets 1, 2, …
		const folder = "sigstore_root_signing"
		r := Release{
			Metadata: real(t, fmt.Sprintf("%s/targets/%d.targets.json", folder, version+1)),
			Keys:     real(t, fmt.Sprintf("%s/root/%d.root.json", folder, root)).Root.KeySet(tuf.RoleTargets),
		}
		for _, d := range p.Next(r) {
			lines = append(lines, fmt.Sprintf("%d %s", version+1, d.Text))
		}
	}
	says(t, lines,
		"2 It delegates to rekor, to which no release before it did.",
		"3 Key bdde902f, which signed all 2 releases before, did not. It still could.",
		"4 Key 75e867ab signed, which could not sign any release before.",
		"7 It delegates to registry.npmjs.org, to which no release before it did.",
		"12 Key 183e64f3 signed, which could not sign any release before.")
	if len(lines) > 14 {
		t.Errorf("%d lines for 14 releases: %q", len(lines), lines)
	}
}
