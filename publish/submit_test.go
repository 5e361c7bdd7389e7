package publish

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// release writes a metadata directory.
func release(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		write(t, filepath.Join(dir, name), data)
	}
	return dir
}

func mustSubmit(t testing.TB, cfg Config, paths ...string) *Report {
	t.Helper()
	set, err := ReadFiles(paths)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Submit(t.Context(), cfg, set)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sidecars returns the names of the sidecars in dir, and checks each against the
// file beside it.
func sidecars(t testing.TB, l *fakeLog, r *Report, dir string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(globEscape(dir), "*"+verify.SidecarSuffix))
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, name := range names {
		file := strings.TrimSuffix(name, verify.SidecarSuffix)
		i := slices.IndexFunc(r.Files, func(v Verdict) bool { return v.File == file })
		if i < 0 || !slices.Equal(r.Files[i].Sidecars, []string{name}) {
			t.Fatalf("%s: not in the report", name)
		}
		v := r.Files[i]
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sidecar, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := tuf.ParseJSON(data)
		if err != nil {
			t.Fatal(err)
		}
		id, err := tuf.ParseDigest(v.Repository)
		if err != nil {
			t.Fatal(err)
		}
		logged, err := verify.CheckSidecar(sidecar, verify.ClaimFor(id, v.Role, m), l.policy)
		if err != nil || logged.Index != v.Index {
			t.Errorf("%s: index %v, %v; the report says %d", name, logged, err, v.Index)
		}
		found = append(found, filepath.Base(file))
	}
	return strings.Join(found, " ")
}

func TestSubmit(t *testing.T) {
	targets, d := targetsFile(3, "a", "k1", "d"), targetsFile(1, "b", "k1")
	root2 := rootFile(2, "r1", "k1", "r1")
	snapshot := snapshotFile(3, "k1", map[string][]byte{"targets": targets, "d": d})
	dir := release(t, map[string][]byte{
		"1.root.json": rootFile(1, "r1", "k1", "r1"), "2.root.json": root2, "root.json": root2,
		"3.targets.json": targets, "d.json": d, "3.snapshot.json": snapshot, "snapshot.json": snapshot,
		"timestamp.json": timestampFile(3, "k1"), "notes.txt": []byte("not metadata"),
	})
	if err := os.Mkdir(filepath.Join(dir, "folder.json"), 0o755); err != nil {
		t.Fatal(err)
	}
	l := newFake(t, "snapshot", "timestamp")
	r := mustSubmit(t, l.config(), dir)
	want := []string{"root 1 released", "root 2 released", "root 2 released", "snapshot 3 refused not-logged-role", "snapshot 3 refused not-logged-role",
		"targets 3 released", "d 1 released", "timestamp 3 refused not-logged-role"}
	expect(t, r, want...)
	logged := "1.root.json 2.root.json 3.targets.json d.json root.json"
	if got := sidecars(t, l, r, dir); got != logged {
		t.Errorf("sidecars of %s, want %s", got, logged)
	}
	if len(r.Refused()) != 0 || l.sent["targets"] != 1 || l.requests > 4 {
		t.Errorf("refused %v; %d requests, %v sent", r.Refused(), l.requests, l.sent)
	}

	// Another log entry later, the same files: the old proofs are good and stay,
	// a broken one and a missing one are written.
	first := mustRead(t, filepath.Join(dir, "1.root.json.tlog-proof"))
	write(t, filepath.Join(dir, "d.json.tlog-proof"), []byte("broken"))
	if err := os.Remove(filepath.Join(dir, "root.json.tlog-proof")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Register(t.Context(), rootFile(1, "r5", "k5", "r5")); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		want[i] = strings.Replace(want[i], "released", "logged", 1)
	}
	r = mustSubmit(t, l.config(), dir)
	expect(t, r, want...)
	if got := sidecars(t, l, r, dir); got != logged {
		t.Errorf("sidecars of %s, want %s", got, logged)
	}
	if mustRead(t, filepath.Join(dir, "1.root.json.tlog-proof")) != first {
		t.Error("a valid proof was replaced by a newer one")
	}

	// A second payload of a logged version, and one of the wrong role.
	forged := targetsFile(3, "evil", "k1", "d")
	bad := release(t, map[string][]byte{
		"3.targets.json": forged, "4.snapshot.json": snapshotFile(4, "k1", map[string][]byte{"targets": forged}),
		"9.targets.json": forged, "e.json": d, "junk.json": []byte("{}"),
	})
	cfg := l.config()
	cfg.Repository = l.repos[0].ID()
	r = mustSubmit(t, cfg, bad)
	expect(t, r, "targets 3 evidence", "snapshot 4 refused not-logged-role", " 3 refused role-name", "e 1 refused not-delegated")
	if len(r.Ignored) != 1 || filepath.Base(r.Ignored[0].File) != "junk.json" {
		t.Errorf("ignored %+v", r.Ignored)
	}
	if got := sidecars(t, l, r, bad); got != "" {
		t.Errorf("sidecars of %s", got)
	}
}

func mustRead(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestSubmitFindsTheRepository(t *testing.T) {
	l := newFake(t)
	one := release(t, map[string][]byte{"1.root.json": rootFile(1, "r1", "k1", "r1"), "2.root.json": rootFile(2, "r2", "k1", "r1", "r2")})
	r := mustSubmit(t, l.config(), one)
	expect(t, r, "root 1 released", "root 2 released")

	// Later the directory holds no genesis any more: the repository must be named.
	later := release(t, map[string][]byte{"2.root.json": rootFile(2, "r2", "k1", "r1", "r2"), "3.root.json": rootFile(3, "r3", "k1", "r2", "r3")})
	if e := undecided(t, l, l.config(), later); !slices.Equal(e.Repositories, r.Repositories) || e.Genesis != 0 {
		t.Errorf("without the genesis: %+v", e)
	}
	cfg := l.config()
	cfg.Repository = l.repos[0].ID()
	expect(t, mustSubmit(t, cfg, later), "root 2 logged", "root 3 released")

	// No root to go by.
	targets := release(t, map[string][]byte{"targets.json": targetsFile(1, "a", "k1")})
	set, err := ReadFiles([]string{targets})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Submit(t.Context(), l.config(), set); !errors.Is(err, ErrNoRepository) {
		t.Errorf("without root: %v", err)
	}

	// A root that cannot be read: what is wrong with it is said, not only that it
	// is missing.
	for bad, want := range map[string]string{
		"\xef\xbb\xbf" + string(rootFile(1, "r1", "k1", "r1")):                                   `a byte order mark (EF BB BF) before the object`,
		strings.Replace(string(rootFile(1, "r1", "k1", "r1")), `"keys":`, `"x":null,"keys":`, 1): `signed.x: null is not allowed`,
		string(targetsFile(1, "a", "k1")):                                                        "is targets metadata",
	} {
		dir := release(t, map[string][]byte{"1.root.json": []byte(bad)})
		if set, err = ReadFiles([]string{dir}); err != nil {
			t.Fatal(err)
		}
		if _, err := Submit(t.Context(), l.config(), set); !errors.Is(err, ErrNoRepository) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "1.root.json") {
			t.Errorf("got %v, want %s", err, want)
		}
	}

	// Roots of two repositories.
	if _, err := l.Register(t.Context(), rootFile(1, "r5", "k5", "r5")); err != nil {
		t.Fatal(err)
	}
	both := release(t, map[string][]byte{"root.json": rootFile(1, "r1", "k1", "r1"), "1.root.json": rootFile(1, "r5", "k5", "r5")})
	if e := undecided(t, l, l.config(), both); len(e.Repositories) != 2 || !strings.Contains(e.Error(), "2 repositories") {
		t.Errorf("roots of two repositories: %+v", e)
	}
	if e := undecided(t, newFake(t), l.config(), both); e.Repositories != nil || !strings.Contains(e.Error(), "different roots of version 1") {
		t.Errorf("two roots of version 1: %+v", e)
	}

	// A genesis that does not meet its threshold.
	unsigned := release(t, map[string][]byte{"1.root.json": rootFile(1, "r6", "k1"), "targets.json": targetsFile(1, "a", "k1")})
	expect(t, mustSubmit(t, l.config(), unsigned), "root 1 refused threshold", "targets 1 refused unknown-repository")
}

// undecided submits what a person has to decide about, and returns the error. Nothing
// may be sent.
func undecided(t testing.TB, l *fakeLog, cfg Config, paths ...string) *UndecidedError {
	t.Helper()
	cfg.Log, cfg.Policy = l, l.policy
	set, err := ReadFiles(paths)
	if err != nil {
		t.Fatal(err)
	}
	n, sent := len(l.leaves), maps.Clone(l.sent)
	_, err = Submit(t.Context(), cfg, set)
	var e *UndecidedError
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an undecided repository", err)
	}
	if len(l.leaves) != n || !maps.Equal(l.sent, sent) {
		t.Errorf("%d new leaves, sent %v", len(l.leaves)-n, l.sent)
	}
	return e
}

func TestSubmitOlderFilesBeforeTheRotation(t *testing.T) {
	one, two := targetsFile(1, "a", "k1"), targetsFile(2, "b", "k2")
	dir := release(t, map[string][]byte{
		"1.root.json": rootFile(1, "r1", "k1", "r1"), "2.root.json": rootFile(2, "r1", "k2", "r1"),
		"1.targets.json": one, "2.targets.json": two, "bad.json": []byte("x"),
		"1.snapshot.json": snapshotFile(1, "k1", map[string][]byte{"targets": one}),
		"2.snapshot.json": snapshotFile(2, "k2", map[string][]byte{"targets": two}),
	})
	l := newFake(t)
	expect(t, mustSubmit(t, l.config(), dir), "root 1 released", "snapshot 1 released", "targets 1 released",
		"root 2 released", "snapshot 2 released", "targets 2 released", "bad 0 refused malformed")
	if l.sent["bad"] != 0 {
		t.Error("what is no metadata, and may be a secret, was sent")
	}
}

// A proof that cannot be written keeps no other from being written.
func TestSubmitWritesTheOtherProofs(t *testing.T) {
	dir := release(t, rotated())
	if err := os.Mkdir(filepath.Join(dir, "1.root.json.latest.tlog-proof"), 0o700); err != nil {
		t.Fatal(err)
	}
	l := newFake(t, "snapshot", "timestamp")
	set, err := ReadFiles([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Submit(t.Context(), l.config(), set); err == nil || !strings.Contains(err.Error(), "1.root.json.latest.tlog-proof: not a regular file") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"3.root.json", "3.targets.json", "2.deep.json"} {
		if _, err := os.Stat(filepath.Join(dir, name+".tlog-proof")); err != nil {
			t.Error(err)
		}
	}
}

func TestSubmitGivesUpInTime(t *testing.T) {
	l := newFake(t)
	cfg := l.config()
	cfg.Log, cfg.Timeout = stuck{l}, 10*time.Millisecond
	set, err := ReadFiles([]string{release(t, map[string][]byte{"1.root.json": rootFile(1, "r1", "k1", "r1")})})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Submit(t.Context(), cfg, set); !errors.Is(err, context.DeadlineExceeded) || r == nil {
		t.Errorf("got %v, %v", r, err)
	}
}

// stuck is a log that has lost its witnesses.
type stuck struct{ *fakeLog }

func (stuck) Register(ctx context.Context, _ []byte) (*api.Result, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// A role may be called like a version and another role.
func TestRolesCalledLikeVersions(t *testing.T) {
	targets := func(version int) string {
		return fmt.Sprintf(`{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0","version":%d,"expires":"2099-01-01T00:00:00Z","targets":{}}}`, version)
	}
	snapshot := func(listed string) []byte {
		return []byte(`{"signatures":[],"signed":{"_type":"snapshot","spec_version":"1.0","version":1,"expires":"2099-01-01T00:00:00Z","meta":{` + listed + `}}}`)
	}
	for _, test := range []struct {
		listed, name string
		version      int
		role         string
	}{
		{`"1.x.json":{"version":1}`, "1.x.json", 1, "1.x"},
		{`"1.x.json":{"version":2}`, "1.x.json", 2, "1.x"},
		{`"1.x.json":{"version":1}`, "1.1.x.json", 1, "1.x"},
		{`"x.json":{"version":1}`, "1.x.json", 1, "x"},
		{`"x.json":{"version":1},"1.x.json":{"version":1}`, "1.x.json", 1, "x"},
		{`"1.ö.json":{"version":1}`, "1.%C3%B6.json", 1, "1.ö"},
		{`"targets.json":{"version":1}`, "1.targets.json", 1, "targets"},
		{`"other.json":{"version":1}`, "1.x.json", 1, "x"},
	} {
		set, err := ReadFiles([]string{release(t, map[string][]byte{test.name: []byte(targets(test.version)), "1.snapshot.json": snapshot(test.listed)})})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(set.files, func(f *file) bool { return f.role == test.role && f.version == int64(test.version) }) {
			t.Errorf("%s beside %s: it is not read as %q", test.name, test.listed, test.role)
		}
	}
}

func TestReadFilesRefuses(t *testing.T) {
	empty := t.TempDir()
	for _, path := range []string{empty, filepath.Join(empty, "none.json"), ""} {
		if _, err := ReadFiles([]string{path}); err == nil {
			t.Errorf("read %q", path)
		}
	}
	odd := filepath.Join(empty, "a[b]*?")
	// What macOS and editors leave behind.
	write(t, filepath.Join(odd, "._1.root.json"), []byte("\x00\x05\x16\x07"))
	if err := os.Symlink("user@host.1234:5678", filepath.Join(odd, ".#1.root.json")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(odd, "1.root.json"), rootFile(1, "r1", "k1", "r1"))
	set, err := ReadFiles([]string{odd, filepath.Join(odd, "1.root.json")})
	if err != nil || len(set.files) != 1 || len(set.files[0].paths) != 1 || len(set.ignored) != 1 || set.ignored[0].Why != "a hidden file" {
		t.Errorf("an odd folder, named twice: %+v, %v", set, err)
	}
}

func TestSubmitRealDirectories(t *testing.T) {
	tests := []struct {
		dir              string
		files, unlogged  int // of the files, those that this log does not log
		refused, roots   int
		refusedBecauseOf string
	}{
		{"fixtures_python_tuf/repository/metadata", 7, 2, 0, 1, ""},
		{"fixtures_rust_tuf_fuchsia/fuchsia-go-tuf-5527fe/consistent-snapshot-true/5/repository", 38, 14, 0, 5, ""},
		{"fixtures_rust_tuf_fuchsia/fuchsia-go-tuf-5527fe/consistent-snapshot-false/5/repository", 9, 2, 0, 5, ""},
		{"fixtures_tuf_conformance/sigstore-root-signing/metadata", 16, 2, 0, 12, ""},
		{"fixtures_tuf_conformance/tuf-on-ci-0.11/metadata", 5, 2, 0, 1, ""},
		{"fixtures_tough/dubious-role-names/metadata", 7, 2, 0, 1, ""},
		{"made_polyglot", 3, 0, 2, 1, api.CodeMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.dir, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(realdata.Histories(t), tt.dir))); err != nil {
				t.Fatal(err)
			}
			l := newFake(t, "snapshot", "timestamp")
			checked, planned := outcome(rehearse(t, Config{}, nil, dir)), outcome(rehearse(t, l.config(), l, dir))
			r := mustSubmit(t, l.config(), dir)
			if did := outcome(r); checked != did || planned != did {
				t.Errorf("without a log\n%s\nwith one\n%s\nand what was done\n%s", checked, planned, did)
			}
			if again := outcome(rehearse(t, l.config(), l, dir)); again != strings.ReplaceAll(outcome(r), "released", "logged") {
				t.Errorf("rehearsed again:\n%s", again)
			}
			unlogged := r.with(Verdict.NotLoggedHere)
			if len(r.Files) != tt.files || len(unlogged) != tt.unlogged || len(r.Refused()) != tt.refused {
				t.Errorf("%d files, %d not logged here, refused %+v", len(r.Files), len(unlogged), r.Refused())
			}
			for _, v := range r.Refused() {
				if v.Code != tt.refusedBecauseOf {
					t.Errorf("refused: %+v", v)
				}
			}
			roots := map[int64]bool{}
			for _, v := range r.Files {
				if v.Role == tuf.RoleRoot && v.Status == api.StatusReleased {
					roots[v.Index] = true
				}
			}
			written := strings.Fields(sidecars(t, l, r, dir))
			if len(roots) != tt.roots || len(written) != tt.files-tt.unlogged-tt.refused {
				t.Errorf("%d roots, sidecars of %v", len(roots), written)
			}
		})
	}
	t.Run("messages", func(t *testing.T) {
		l := newFake(t)
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(realdata.Histories(t), "made_polyglot"))); err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := mustSubmit(t, l.config(), dir).WriteFiles(&b); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"Targets" differs only in case from "targets"`, `"targets" is repeated`} {
			if !strings.Contains(b.String(), want) {
				t.Errorf("no %q in\n%s", want, b.String())
			}
		}
	})
}

// Targets metadata does not name its own role: what docker/tuf has published as
// targets must not pass as the role doi, whatever snapshots come along. But for
// version 1: it lists nothing, as doi 1 does, keys of both roles signed both, and the
// snapshots list versions only. Nobody can tell whose they are, so that one does not
// stand in the other's way.
func TestPublicFilesAreNotAnotherRoles(t *testing.T) {
	h := realHistory(t, "docker_tuf")
	files := map[string][]byte{}
	for _, f := range h.files {
		switch f.role {
		case tuf.RoleTargets:
			files[api.FileName("doi", f.version)] = f.data
		case tuf.RoleSnapshot, tuf.RoleRoot:
			files[f.sent()] = f.data
		}
	}
	l := newFake(t, "snapshot", "timestamp")
	mustImport(t, l.config(), h)
	before := len(l.leaves)
	r := mustSubmit(t, l.config(), release(t, files))
	refused := 0
	for _, v := range r.Files {
		if v.Role == "doi" {
			want := api.StatusRefused
			if v.Version == 1 {
				want = api.StatusReleased
			} else {
				refused++
			}
			if v.Status != want {
				t.Errorf("doi %d: %s (%s), want %s", v.Version, v.Status, v.Detail, want)
			}
		}
	}
	if refused != 6 || len(l.leaves) != before+1 {
		t.Errorf("%d refused, %d new leaves", refused, len(l.leaves)-before)
	}
}
