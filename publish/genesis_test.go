package publish

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// A folder that has the newest root alone, as tuf-on-ci keeps it in git, opens no
// repository with it; with root_history beside it, the repository begins with root 1.
func TestSubmitStopsBeforeALaterRootBecomesTheFirst(t *testing.T) {
	root1, root2, root3 := rootFile(1, "r1", "k1", "r1"), rootFile(2, "r2", "k1", "r1", "r2"), rootFile(3, "r2", "k1", "r2")
	targets := targetsFile(1, "a", "k1")
	files := map[string][]byte{"root.json": root3, "targets.json": targets, "snapshot.json": snapshotFile(1, "k1", map[string][]byte{"targets": targets})}
	dir := release(t, files)
	e := undecided(t, newFake(t), Config{}, dir)
	if e.Genesis != 3 || e.Repositories != nil || !strings.Contains(e.Error(), "root.json is version 3") || strings.Contains(e.Error(), "older roots in") {
		t.Errorf("%+v", e)
	}
	cfg := newFake(t).config()
	cfg.Genesis = 2
	if e := undecided(t, newFake(t), cfg, dir); e.Genesis != 0 || !strings.Contains(e.Error(), "no root of version 2") {
		t.Errorf("%+v", e)
	}

	for name, data := range map[string][]byte{"1.root.json": root1, "2.root.json": root2, "3.root.json": root3} {
		write(t, filepath.Join(dir, "root_history", name), data)
	}
	// Named one by one, nothing is found by itself, but the folder is pointed at.
	if e := undecided(t, newFake(t), Config{}, filepath.Join(dir, "root.json"), filepath.Join(dir, "targets.json")); !strings.Contains(e.Error(), "there are older roots in "+filepath.Join(dir, "root_history")) {
		t.Errorf("%+v", e)
	}
	l := newFake(t, "snapshot", "timestamp")
	r := mustSubmit(t, l.config(), dir)
	genesis, err := tuf.ParseJSON(root1)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Refused()) != 0 || !slices.Equal(r.Repositories, []string{genesis.PayloadDigest.String()}) {
		t.Errorf("repositories %v, refused %+v", r.Repositories, r.Refused())
	}
	for _, name := range []string{"root.json", "targets.json", "root_history/1.root.json", "root_history/3.root.json"} {
		if _, err := os.Stat(filepath.Join(dir, name+verify.SidecarSuffix)); err != nil {
			t.Error(err)
		}
	}

	// Who means it says so, each time the same.
	l = newFake(t, "snapshot", "timestamp")
	cfg = l.config()
	cfg.Genesis = 3
	dir = release(t, files)
	expect(t, mustSubmit(t, cfg, dir), "root 3 released", "snapshot 1 refused not-logged-role", "targets 1 released")
	expect(t, mustSubmit(t, cfg, dir), "root 3 logged", "snapshot 1 refused not-logged-role", "targets 1 logged")
	if e := undecided(t, l, Config{}, dir); !slices.Equal(e.Repositories, []string{l.repos[0].ID().String()}) {
		t.Errorf("%+v", e)
	}

	// The history of a repository that was cut.
	h := readHistory(t, entry{"c1", "root", 2, root2}, entry{"c1", "targets", 1, targets})
	l = newFake(t)
	var stopped *UndecidedError
	if _, err := Import(t.Context(), l.config(), h); !errors.As(err, &stopped) || stopped.Genesis != 2 || len(l.leaves) != 0 {
		t.Errorf("import from root 2: %v, %d leaves", err, len(l.leaves))
	}
	cfg = l.config()
	cfg.Genesis = 2
	expect(t, mustImport(t, cfg, h), "root 2 released", "targets 1 refused snapshot-needed")
}

// Anybody can register a public root, or have it follow a root of his own to which he
// adds his signature: no vendor's files go to a repository that begins with what is
// not at hand, or later than the vendor's roots do.
func TestStrangersRepositoriesAreNotJoined(t *testing.T) {
	root1, root2 := rootFile(1, "r1", "k1", "r1"), rootFile(2, "r2", "k1", "r1", "r2")
	foreign := rootFile(1, "x", "x", "x")
	signedByBoth := rootFile(2, "r2", "k1", "x", "r1", "r2")
	stranger := func(t *testing.T, l *fakeLog) {
		t.Helper()
		if _, err := l.Register(t.Context(), root2); err != nil {
			t.Fatal(err)
		}
		cfg := l.config()
		cfg.Genesis = 1
		expect(t, mustSubmit(t, cfg, release(t, map[string][]byte{"1.root.json": foreign, "2.root.json": signedByBoth})), "root 1 released", "root 2 released")
	}
	targets := targetsFile(1, "a", "k1")
	files := map[string][]byte{"1.root.json": root1, "2.root.json": root2, "targets.json": targets, "snapshot.json": snapshotFile(1, "k1", map[string][]byte{"targets": targets})}
	dir := release(t, files)
	ours, err := tuf.ParseJSON(root1)
	if err != nil {
		t.Fatal(err)
	}

	// Before the vendor: he is asked, and goes on.
	l := newFake(t, "snapshot")
	stranger(t, l)
	e := undecided(t, l, Config{}, dir)
	if e.Genesis != 1 || len(e.Repositories) != 2 {
		t.Errorf("%+v", e)
	}
	cfg := l.config()
	cfg.Genesis = 1
	r := mustSubmit(t, cfg, dir)
	expect(t, r, "root 1 released", "root 2 released", "snapshot 1 refused not-logged-role", "targets 1 released")
	if !slices.Equal(r.Repositories, []string{ours.PayloadDigest.String()}) || len(r.Notes) != 2 {
		t.Errorf("repositories %v, notes %v", r.Repositories, r.Notes)
	}

	// After him nothing changes, for histories neither.
	l = newFake(t, "snapshot")
	dir = release(t, files)
	mustSubmit(t, l.config(), dir)
	stranger(t, l)
	r = mustSubmit(t, l.config(), dir)
	expect(t, r, "root 1 logged", "root 2 logged", "snapshot 1 refused not-logged-role", "targets 1 logged")
	var asked []string
	l.tars = func(repository string, _ []api.File) { asked = append(asked, repository) }
	r = mustImport(t, l.config(), readHistory(t, entry{"c1", "root", 1, root1}, entry{"c2", "root", 2, root2}, entry{"c2", "targets", 1, targets},
		entry{"c2", "snapshot", 1, files["snapshot.json"]}))
	expect(t, r, "root 1 logged", "root 2 logged", "targets 1 logged", "snapshot 1 refused not-logged-role")
	if slices.ContainsFunc(asked, func(id string) bool { return id != ours.PayloadDigest.String() }) {
		t.Errorf("files were sent to %v", asked)
	}
}

// Proofs of another log stay unless they are meant to go.
func TestSubmitKeepsProofsOfOtherLogs(t *testing.T) {
	one, two := newFake(t), newFake(t)
	dir := release(t, map[string][]byte{"1.root.json": rootFile(1, "r1", "k1", "r1"), "2.root.json": rootFile(2, "r1", "k1", "r1")})
	mustSubmit(t, one.config(), dir)
	before := proofsIn(t, dir)
	set, err := ReadFiles([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	var replaced *ReplaceError
	if _, err := Submit(t.Context(), two.config(), set); !errors.As(err, &replaced) || replaced.More != 1 || replaced.Origin != "fake.example/log" || two.requests != 0 {
		t.Errorf("another log: %v, %d requests", err, two.requests)
	}
	if !maps.EqualFunc(proofsIn(t, dir), before, bytes.Equal) {
		t.Error("proofs were overwritten")
	}
	// A policy with both logs believes what is there.
	cfg := two.config()
	if cfg.Policy, err = proofs.ParsePolicy([]byte("log " + one.signer.Key().String() + "\nlog " + two.signer.Key().String() + "\nquorum none\n")); err != nil {
		t.Fatal(err)
	}
	mustSubmit(t, cfg, dir)
	if !maps.EqualFunc(proofsIn(t, dir), before, bytes.Equal) {
		t.Error("proofs of a log that the policy has were overwritten")
	}
	cfg = two.config()
	cfg.Replace = true
	expect(t, mustSubmit(t, cfg, dir), "root 1 logged", "root 2 logged")
	for name, proof := range proofsIn(t, dir) {
		if bytes.Equal(proof, before[name]) {
			t.Errorf("%s was not replaced", name)
		}
	}
}

func proofsIn(t testing.TB, dir string) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(globEscape(dir), "*"+verify.SidecarSuffix))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for _, name := range names {
		found[filepath.Base(name)] = []byte(mustRead(t, name))
	}
	return found
}
