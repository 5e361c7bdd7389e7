package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// thieves log a targets file of the next version that nobody with a key of the role
// has signed.
func (h *history) thieves(t *testing.T) int64 {
	t.Helper()
	thief := newVendor(t)
	for range h.vendor.Version(tuf.RoleTargets) {
		must(t, thief.Release(tuf.RoleTargets))
	}
	_, file := thief.File(tuf.RoleTargets)
	index := h.raw(tuf.RoleTargets, audittest.Parse(t, file).Version, file, h.file(tuf.RoleSnapshot))
	h.Publish(2)
	return index
}

// summary is a report without its evidence, which depends on the tiles that were there.
func summary(r *audit.Report) string {
	s := fmt.Sprintf("judged %d, vouches %v, suppressed %v\n", r.Judged, r.Vouches, r.Suppressed)
	for _, repo := range r.Repositories {
		s += fmt.Sprintf("%+v\n", repo)
	}
	for _, f := range r.Findings {
		s += fmt.Sprintf("%s@%d %s\n", f.Kind, f.Index, f.Sentence)
	}
	leaves, err := json.MarshalIndent(r.Leaves, "", " ")
	return fmt.Sprint(s, string(leaves), err)
}

// find returns the file of the vendor with this name.
func (h *history) find(name string) []byte {
	h.T.Helper()
	b, ok := h.vendor.Files()[name]
	if !ok {
		h.T.Fatalf("no file %s", name)
	}
	return b
}

// A file that is missing hides nothing that it cannot explain: only roots say who signs
// targets, and only what delegates says who signs delegated roles.
func TestMissingFileHidesNoForgery(t *testing.T) {
	tests := []struct {
		name    string
		missing string
		forge   func(t *testing.T, h *history) int64
		hidden  bool
	}{
		{"targets, and a forgery of targets", "2.targets.json", func(t *testing.T, h *history) int64 { return h.thieves(t) }, false},
		{"a delegated role, and a forgery of targets", "1.plugin.json", func(t *testing.T, h *history) int64 { return h.thieves(t) }, false},
		{"a snapshot, and a forgery of targets", "1.snapshot.json", func(t *testing.T, h *history) int64 { return h.thieves(t) }, false},
		{"a root, and a forgery of targets", "2.root.json", func(t *testing.T, h *history) int64 { return h.thieves(t) }, true},
		{"targets in force, and a forgery of a delegated role", "4.targets.json", func(t *testing.T, h *history) int64 {
			file := slices.Concat([]byte(`{"signatures":[],`), h.file("plugin")[strings.Index(string(h.file("plugin")), `"signed"`):])
			file = []byte(strings.Replace(string(file), `"version":1`, `"version":2`, 1))
			index := h.raw("plugin", 2, file, h.file(tuf.RoleSnapshot))
			h.Publish(2)
			return index
		}, true},
		{"targets that are in force no more, and a forgery of a delegated role", "3.targets.json", func(t *testing.T, h *history) int64 {
			file := slices.Concat([]byte(`{"signatures":[],`), h.file("plugin")[strings.Index(string(h.file("plugin")), `"signed"`):])
			file = []byte(strings.Replace(string(file), `"version":1`, `"version":2`, 1))
			index := h.raw("plugin", 2, file, h.file(tuf.RoleSnapshot))
			h.Publish(2)
			return index
		}, false},
		{"targets, and a leaf that contradicts its own file", "2.targets.json", func(t *testing.T, h *history) int64 {
			must(t, h.vendor.Release(tuf.RoleTargets))
			index := h.force(tuf.RoleTargets, func(l *leaf.Leaf) { l.Version = 50 })
			h.Publish(2)
			return index
		}, false},
		{"a root, and a root that nobody signed", "2.targets.json", func(t *testing.T, h *history) int64 {
			thief := newVendor(t)
			must(t, thief.Rotate(tuf.RoleTargets))
			must(t, thief.Rotate(tuf.RoleTargets))
			_, root := thief.File(tuf.RoleRoot)
			index := h.raw(tuf.RoleRoot, 3, root, nil)
			h.Publish(2)
			return index
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHistory(t)
			missing := audittest.BlobPath(h.find(tt.missing))
			h.Spoil(missing, audittest.Missing)
			a := newAuditor(t, h.Log)
			if got := step(t, a); !strings.Contains(kinds(got.Findings), "blob-missing@") {
				t.Fatalf("found %s", kinds(got.Findings))
			}
			index := tt.forge(t, h)
			want := fmt.Sprintf("false-admission@%d", index)
			step(t, a)
			if got := kinds(report(t, a).Findings); strings.Contains(got, want) == tt.hidden {
				t.Errorf("while the file is missing: %s", got)
			}
			// As soon as it is there nothing is hidden, and nothing is missing.
			h.Spoil(missing, nil)
			step(t, a)
			got := report(t, a)
			if kinds(got.Findings) != fmt.Sprintf("%s second-payload@%d", want, leafEvidence) || got.Vouches {
				t.Errorf("when it is there again: %s", kinds(got.Findings))
			}
			fresh := newAuditor(t, h.Log)
			step(t, fresh)
			if a, b := summary(got), summary(report(t, fresh)); a != b {
				t.Errorf("an auditor that was blind for a while says\n%s\none that was not\n%s", a, b)
			}
		})
	}
}

// Every file of an honest log is missing for a while, in turn, and the auditor vouches
// for it afterwards.
func TestMissingFileComesBack(t *testing.T) {
	h := newHistory(t)
	whole := newAuditor(t, h.Log)
	step(t, whole)
	want := summary(report(t, whole))
	for _, path := range append(h.pathsOfBlobs(t), "tile/0/000.p/9") {
		a := newAuditor(t, h.Log)
		h.Spoil(path, audittest.Missing)
		for range 2 { // it says so in every step
			result := step(t, a)
			if len(result.Findings) == 0 || result.Findings[len(result.Findings)-1].Class != audit.Outage {
				t.Errorf("%s: found %+v", path, result.Findings)
			}
		}
		if r := report(t, a); r.Vouches {
			t.Errorf("%s is missing, and the auditor vouches", path)
		}
		h.Spoil(path, nil)
		if got := kinds(step(t, a).Findings); got != "" && got != fmt.Sprintf("second-payload@%d", leafEvidence) {
			t.Errorf("%s is there again: %s", path, got)
		}
		if got := summary(report(t, a)); got != want {
			t.Errorf("%s was missing for a while:\n%s\nwant\n%s", path, got, want)
		}
	}
}

// The files come back, but reading others fails meanwhile: judging again takes up where
// it was.
func TestOutageWhileJudgedAgain(t *testing.T) {
	h := newHistory(t)
	genesis := audittest.BlobPath(h.find("1.root.json"))
	h.Spoil(genesis, audittest.Missing)
	a := newAuditor(t, h.Log)
	step(t, a)
	h.Spoil(genesis, nil)
	failed := map[string]bool{}
	for _, path := range h.pathsOfBlobs(t) {
		if path == genesis {
			continue
		}
		h.Spoil(path, func(b []byte) ([]byte, error) {
			if !failed[path] {
				failed[path] = true
				return nil, errors.New("timeout")
			}
			return b, nil
		})
	}
	for range 100 {
		if _, err := a.Step(t.Context()); err == nil {
			if r := report(t, a); !r.Vouches || r.Repositories[0].Releases != historySize-1 {
				t.Fatalf("in the end: %+v", r)
			}
			return
		}
		if report(t, a).Vouches {
			t.Fatal("vouches before all is judged again")
		}
	}
	t.Fatal("never done")
}

// The first root of a repository is in the chain of another whose root is missing.
func TestMissingRootOfAnotherChain(t *testing.T) {
	h := newHistory(t)
	root2 := h.find("2.root.json")
	missing := audittest.BlobPath(root2)
	m := audittest.Parse(t, root2)
	index := h.Append(leaf.Leaf{
		Kind: leaf.Release, Repository: m.PayloadDigest, Role: tuf.RoleRoot, Version: 2, Payload: m.PayloadDigest,
		Metadata: m.FileDigest, Size: int64(len(root2)), Encoding: tuf.JSON,
	}.Marshal())
	h.Publish(2)
	h.Spoil(audittest.BlobPath(h.find("1.root.json")), audittest.Missing)
	a := newAuditor(t, h.Log)
	step(t, a)
	if got := kinds(report(t, a).Findings); !strings.Contains(got, fmt.Sprintf("unjudged@%d", index)) {
		t.Errorf("while %s is missing: %s", missing, got)
	}
	h.Spoil(audittest.BlobPath(h.find("1.root.json")), nil)
	step(t, a)
	if got, want := kinds(report(t, a).Findings), fmt.Sprintf("duplicate@%d second-payload@%d", index, leafEvidence); got != want {
		t.Errorf("found %s, want %s", got, want)
	}
}

// One repository's findings do not take the room of another's, and nothing that anybody
// did wrong is left out.
func TestFindingsOfARepositoryAreBounded(t *testing.T) {
	h := newHistory(t)
	// A stranger's, with whom the log is in league.
	crowd := newVendor(t)
	_, root := crowd.File(tuf.RoleRoot)
	id := h.Register(root)
	const most, many = 20, 25
	for i := range many {
		h.Append(leaf.Leaf{
			Kind: leaf.Release, Repository: id, Role: tuf.RoleRoot, Version: int64(i + 2), Payload: tuf.Sum(root),
			Metadata: tuf.Sum(root), Size: int64(len(root)), Encoding: tuf.JSON,
		}.Marshal())
		h.Append(fmt.Appendf(nil, "tuflog motto v7\nnumber %d\n", i))
	}
	leaf, index := h.release(tuf.RoleTargets, "app.bin", "five")
	h.Append(leaf.Marshal()) // a duplicate of the vendor's, behind all of it
	h.Publish(2)
	a := newAuditor(t, h.Log)
	a.SetMaxPerKind(most)
	step(t, a)
	r := report(t, a)
	count := map[string]int{}
	for _, f := range r.Findings {
		count[fmt.Sprint(f.Kind, " ", f.Repository == id)]++
	}
	if count["duplicate true"] != many || count["duplicate false"] != 1 || count["second-payload false"] != 1 || count["unknown-leaf false"] != most {
		t.Errorf("found %v", count)
	}
	if len(r.Suppressed) != 1 || r.Suppressed[0] != (audit.Suppressed{Kind: audit.UnknownLeaf, Count: many - most}) {
		t.Errorf("suppressed %v", r.Suppressed)
	}
	if f := r.Findings[0]; f.Kind != audit.Duplicate || len(f.Evidence) == 0 {
		t.Errorf("the first finding is %+v", f)
	}
	if last := r.Leaves[index+1]; last.Verdict != audit.Wrong {
		t.Errorf("the last leaf is %v", last.Verdict)
	}
}

// newLongHistory is newHistory with what makes judgements depend on one another: drafts
// of roots, rotations, files signed again, roles that share keys, and a second repository
// whose first root is in the chain of the first.
func newLongHistory(t *testing.T) *history {
	h := newHistory(t)
	draft, err := h.vendor.Clone()
	must(t, err)
	must(t, h.vendor.Rotate(tuf.RoleSnapshot))
	must(t, h.vendor.DelegateShared(tuf.RoleTargets, "doi", "plugin", "doi/*", "plugin/*"))
	must(t, h.vendor.Put("doi", "doi/one", []byte("one")))
	must(t, h.vendor.Put("plugin", "plugin/two", []byte("two")))
	h.vendor.PlainSnapshots = true
	h.submit(tuf.RoleRoot)
	must(t, h.vendor.Release(tuf.RoleTargets, "plugin", "doi"))
	h.submit(tuf.RoleTargets)
	h.submit("plugin")
	h.submit("doi")
	must(t, draft.Rotate(tuf.RoleTimestamp))
	honest := h.vendor
	h.vendor = draft
	if entry, _ := h.submit(tuf.RoleRoot); entry.Kind != leaf.Evidence {
		t.Fatalf("the draft of a root is %s", entry.Kind)
	}
	h.vendor = honest
	must(t, h.vendor.Rotate(tuf.RoleTargets))
	h.Register(h.file(tuf.RoleRoot)) // a repository of its own, before it is in the chain
	h.submit(tuf.RoleRoot)
	h.release(tuf.RoleTargets, "app.bin", "after two rotations")
	h.release("doi", "doi/one", "one again")
	h.Publish(2)
	return h
}

// Whatever is missing of an honest log, nobody is accused, and nothing is missing
// afterwards.
func TestMissingFilesFrameNobody(t *testing.T) {
	h := newLongHistory(t)
	whole := newAuditor(t, h.Log)
	step(t, whole)
	if !report(t, whole).Vouches {
		t.Fatalf("the log is not in order: %s", kinds(report(t, whole).Findings))
	}
	want := summary(report(t, whole))
	paths := h.pathsOfBlobs(t)
	slices.Sort(paths)
	paths = slices.Compact(paths)
	var sets [][]string
	for i, path := range paths {
		if !testing.Short() || i%3 == 0 {
			sets = append(sets, []string{path})
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range map[bool]int{true: 10, false: 200}[testing.Short()] {
		set := []string{}
		for range 2 + random.IntN(3) {
			set = append(set, paths[random.IntN(len(paths))])
		}
		sets = append(sets, set)
	}
	for _, set := range sets {
		a := newAuditor(t, h.Log)
		for _, path := range set {
			h.Spoil(path, audittest.Missing)
		}
		step(t, a)
		r := report(t, a)
		for _, f := range r.Findings {
			if f.Class == audit.Tampering {
				t.Errorf("%v missing: %s: %s", set, f.Kind, f.Sentence)
			}
		}
		if r.Vouches {
			t.Errorf("%v missing, and the auditor vouches", set)
		}
		for i, path := range set { // they come back one after another
			h.Spoil(path, nil)
			if i%2 == 0 {
				step(t, a)
			}
		}
		step(t, a)
		if got := summary(report(t, a)); got != want {
			t.Errorf("%v were missing:\n%s\nwant\n%s", set, got, want)
		}
	}
	t.Logf("%d files, %d sets", len(paths), len(sets))
}

// Whoever serves something else each time makes no new finding each time, and does not
// fill the auditor's disk: what is small and counts, as the notes of a fork, finds room.
func TestWhatIsServedWrongAgainAndAgain(t *testing.T) {
	h := newHistory(t)
	missing, wrong := h.find("1.targets.json"), h.find("4.targets.json")
	n := 0
	h.Spoil(audittest.BlobPath(missing), audittest.Missing)
	another := func(b []byte) ([]byte, error) {
		n++
		return append(bytes.Repeat([]byte{' '}, 100_000+n), b...), nil
	}
	h.Spoil(audittest.BlobPath(wrong), another)
	dir := t.TempDir()
	withState := func(c *audit.Config) { c.StateDir = dir }
	large := func() (files int) {
		t.Helper()
		must(t, fs.WalkDir(os.DirFS(dir), "evidence", func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Name() == "served-blob" {
				files++
			}
			return err
		}))
		return files
	}
	a := newAuditor(t, h.Log, withState)
	step(t, a)
	h.Spoil(audittest.BlobPath(missing), nil)
	result := step(t, a) // all leaves of the repository are judged again
	if r := report(t, a); strings.Count(kinds(r.Findings), string(audit.BlobMismatch)) != 1 || strings.Contains(kinds(result.Findings), string(audit.BlobMismatch)) || n < 3 {
		t.Errorf("after %d answers it has found %s", n, kinds(r.Findings))
	}
	if got := large(); got != 1 {
		t.Errorf("%d files are kept", got)
	}
	must(t, a.Close())

	// What is there counts in the next run.
	must(t, os.Rename(filepath.Join(dir, "evidence"), filepath.Join(dir, "away")))
	must(t, os.Mkdir(filepath.Join(dir, "evidence"), 0o755))
	must(t, os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, "evidence", "of-before")))
	h.Spoil(audittest.BlobPath(h.find("3.targets.json")), another) // all leaves are judged again
	a = newAuditor(t, h.Log, withState)
	a.SetLargeEvidence(150_000)
	found := step(t, a)
	f := found.Findings[slices.IndexFunc(found.Findings, func(f audit.Finding) bool { return f.Kind == audit.BlobMismatch })]
	if got := large(); got != 1 || len(f.Evidence) != 2 || f.Evidence[1].Size < 100_000 {
		t.Errorf("%d files are kept, of which the finding says %+v", got, f.Evidence)
	}
	if proofs, err := fs.Glob(os.DirFS(dir), "evidence/blob-mismatch-*/*.tlog-proof"); err != nil || len(proofs) != 1 {
		t.Errorf("the small files are %v, %v", proofs, err)
	}
}
