package publish

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// fastImport makes a git repository of a stream that git fast-import takes.
func fastImport(t testing.TB, stream string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "r")
	git(t, "", "init", "-q", "-b", "main", dir)
	git(t, stream, "-C", dir, "fast-import", "--quiet")
	return dir
}

func git(t testing.TB, stdin string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

// commit is one in the language of fast-import; lines are what it changes.
func commit(b *strings.Builder, branch, message string, when int, lines ...string) {
	fmt.Fprintf(b, "commit refs/heads/%s\ncommitter V <v@example> %d +0000\ndata %d\n%s\n%s\n", branch, 1700000000+when, len(message), message, strings.Join(lines, "\n"))
}

func put(path string, data []byte) string {
	return fmt.Sprintf("M 100644 inline %s\ndata %d\n%s", path, len(data), data)
}

// A real history, committed as its vendor did, is the same read from git.
func TestReadGitRealHistory(t *testing.T) {
	want := realHistory(t, "docker_tuf")
	var b strings.Builder
	for files := range commits(want.files) {
		var lines []string
		for _, f := range files {
			lines = append(lines, put("metadata/"+f.role+".json", f.data))
			if f.isRoot() {
				lines = append(lines, put(fmt.Sprintf("metadata/root_history/%d.root.json", f.version), f.data))
			}
		}
		lines = append(lines, put("README.md", fmt.Append(nil, files[0].commit)), put("targets/x.json", []byte("{}")))
		commit(&b, "main", "publish", files[0].commit, lines...)
	}
	dir := fastImport(t, b.String())
	got, err := ReadGit(t.Context(), dir, "HEAD", "metadata")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.files) != len(want.files) || len(got.ignored) != 0 {
		t.Fatalf("%d files, want %d; ignored %v", len(got.files), len(want.files), got.ignored)
	}
	// The files of a commit stand in git's order.
	sums := func(h *History) map[string]int {
		m := map[string]int{}
		for _, f := range h.files {
			m[fmt.Sprintf("%s %d %x", f.role, f.version, f.data)] = f.commit
		}
		return m
	}
	first := sums(got)
	for what, at := range sums(want) {
		if i, ok := first[what]; !ok || i != at {
			t.Fatalf("commit %d, want %d: %.60s", i, at, what)
		}
	}
	l := newFake(t, "snapshot", "timestamp")
	if total := mustImport(t, l.config(), got).Total(); total.Released != 16 || total.Evidence != 0 {
		t.Errorf("%+v", total)
	}
	again := mustImport(t, l.config(), want).Total()
	if again.Released != 0 || again.Logged != 16 {
		t.Errorf("the same from its index: %+v", again)
	}
}

func TestReadGit(t *testing.T) {
	targets1, targets2 := targetsFile(1, "a", "k1"), targetsFile(2, "b", "k1")
	draft := targetsFile(2, "draft", "k1")
	root1, root2 := rootFile(1, "r1", "k1", "r1"), rootFile(2, "r1", "k1", "r1")
	var b strings.Builder
	commit(&b, "main", "first", 1, put("m/root.json", root1), put("m/targets.json", targets1), put("m/snapshot.json", snapshotFile(1, "k1", map[string][]byte{"targets": targets1})),
		put("m/mirrors.json", []byte(`{"signed":{"_type":"mirrors"},"signatures":[]}`)), put("m/deep/targets.json", targets2), "M 120000 inline m/link.json\ndata 9\nroot.json", put("m/broken.txt", nil))
	// A draft on a branch, changed before it came in.
	commit(&b, "draft", "draft", 2, "from refs/heads/main", put("m/targets.json", draft))
	commit(&b, "draft", "done", 3, put("m/targets.json", targets2), put("m/snapshot.json", snapshotFile(2, "k1", map[string][]byte{"targets": targets2})))
	commit(&b, "main", "root", 4, put("m/root_history/1.root.json", root1), put("m/root_history/2.root.json", root2), put("m/root.json", root2))
	commit(&b, "main", "merge", 5, "merge refs/heads/draft", put("m/targets.json", targets2), put("m/snapshot.json", snapshotFile(2, "k1", map[string][]byte{"targets": targets2})), put("m/2.targets.json", []byte(`{"signatures":`)))
	commit(&b, "main", "away", 6, "D m/targets.json")
	dir := fastImport(t, b.String())
	h, err := ReadGit(t.Context(), dir, "main", "./m/")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range h.files {
		_, path, _ := strings.Cut(f.name, ":")
		got = append(got, fmt.Sprintf("%d %s %s %d", f.commit, path, f.role, f.version))
	}
	want := []string{"0 m/root.json root 1", "0 m/snapshot.json snapshot 1", "0 m/targets.json targets 1", "1 m/root.json root 2",
		"2 m/2.targets.json targets 2", "2 m/snapshot.json snapshot 2", "2 m/targets.json targets 2"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(h.ignored) != 1 || !strings.HasSuffix(h.ignored[0].File, ":m/mirrors.json") || h.files[0].date != "2023-11-14T22:13:21Z" {
		t.Errorf("ignored %v, first of %s", h.ignored, h.files[0].date)
	}
	for _, f := range h.files {
		if f.role == "targets" && f.meta != nil && bytes.Equal(f.data, draft) {
			t.Error("a draft that never came in was read")
		}
	}
	if r := mustImport(t, newFake(t, "snapshot").config(), h); r.Total().Released != 4 || len(r.Ignored) != 1 {
		t.Errorf("%s", outcome(r))
	}

	// The top of a repository, a bare one, and an older commit.
	bare := filepath.Join(t.TempDir(), "bare")
	git(t, "", "clone", "-q", "--bare", dir, bare)
	if h, err = ReadGit(t.Context(), bare, "main~2", "m"); err != nil || len(h.files) != 4 {
		t.Errorf("an older commit of a bare clone: %v", err)
	}
	shallow := filepath.Join(t.TempDir(), "shallow")
	git(t, "", "clone", "-q", "--depth", "1", "file://"+dir, shallow)
	for _, tt := range []struct{ name, dir, ref, path, want string }{
		{"a shallow clone", shallow, "HEAD", "m", "git fetch --unshallow"},
		{"no such ref", dir, "nonesuch", "m", `no commit "nonesuch"`},
		{"an option", dir, "--all", "m", `no commit "--all"`},
		{"no such folder", dir, "main", "nonesuch", `folder "nonesuch"`},
		{"no repository", t.TempDir(), "HEAD", "m", "not a git repository"},
		{"no folder", filepath.Join(dir, "nonesuch"), "HEAD", "m", "nonesuch"},
	} {
		if _, err := ReadGit(t.Context(), tt.dir, tt.ref, tt.path); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	top := fastImport(t, "commit refs/heads/main\ncommitter V <v@example> 1700000000 +0000\ndata 1\nx\n"+put("1.root.json", root1)+"\n")
	if h, err = ReadGit(t.Context(), top, "HEAD", "."); err != nil || len(h.files) != 1 {
		t.Errorf("the top: %v", err)
	}
	t.Setenv("PATH", t.TempDir())
	if _, err := ReadGit(t.Context(), dir, "HEAD", "m"); err == nil || !strings.Contains(err.Error(), "not installed") {
		t.Errorf("without git: %v", err)
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A file that no log would take keeps no history from being imported.
func TestReadGitHugeFile(t *testing.T) {
	root := rootFile(1, "r1", "k1", "r1")
	changes := []gitChange{{gitCommit: gitCommit{id: "c1"}, path: "m/big.json", blob: "b1"}, {commit: 1, gitCommit: gitCommit{id: "c2"}, path: "m/1.root.json", blob: "b2"}}
	const size = 1 << 30
	printed := func(rest string) *bufio.Reader {
		return bufio.NewReader(io.MultiReader(strings.NewReader(fmt.Sprintf("b1 blob %d\n", size)), io.LimitReader(zeros{}, size), strings.NewReader(rest)))
	}
	h := &History{}
	if err := h.read(printed(fmt.Sprintf("\nb2 blob %d\n%s\n", len(root), root)), changes); err != nil {
		t.Fatal(err)
	}
	if len(h.files) != 1 || h.files[0].role != "root" || len(h.ignored) != 1 || h.ignored[0].File != "c1:m/big.json" || !strings.Contains(h.ignored[0].Why, "1073741824 bytes") {
		t.Errorf("files %+v, ignored %v", h.files, h.ignored)
	}
	if err := new(History).read(printed(""), changes); err == nil {
		t.Error("a stream that was cut short is a history")
	}
}

// A repository that lacks a file names a command to fetch it with, which is not run.
func TestReadGitRunsNothing(t *testing.T) {
	var b strings.Builder
	root := rootFile(1, "r1", "k1", "r1")
	commit(&b, "main", "first", 1, put("m/1.root.json", root))
	full := fastImport(t, b.String())
	lacking, mark := filepath.Join(t.TempDir(), "lacking"), filepath.Join(t.TempDir(), "mark")
	git(t, "", "-C", full, "config", "uploadpack.allowFilter", "true")
	git(t, "", "clone", "-q", "--bare", "--filter=blob:none", "file://"+full, lacking)
	git(t, "", "-C", lacking, "config", "remote.origin.uploadpack", "touch "+mark+"; git-upload-pack")
	if _, err := ReadGit(t.Context(), lacking, "main", "m"); err == nil || !strings.Contains(err.Error(), "1.root.json") {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("what the repository's configuration names was run")
	}
}

// commits yields the files of each commit.
func commits(files []*file) iter.Seq[[]*file] {
	return func(yield func([]*file) bool) {
		for rest := files; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[n].commit == rest[0].commit {
				n++
			}
			if !yield(rest[:n:n]) {
				return
			}
			rest = rest[n:]
		}
	}
}
