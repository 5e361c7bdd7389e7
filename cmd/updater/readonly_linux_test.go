package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
)

// A device whose only place to write is its state directory updates, installs and decides:
// no other file is made or needed, of a home or of temporary files, and no environment.
func TestReadOnlyRoot(t *testing.T) {
	if testing.Short() {
		t.Skip("mounts file systems for each of ten runs")
	}
	for _, tool := range []string{"unshare", "mount", "chroot", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skip(err)
		}
	}
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		t.Skipf("no file systems can be mounted here: %v: %s", err, out)
	}
	s := newSite(t)
	s.release("app", "one")
	root, state := t.TempDir(), t.TempDir()
	binary, err := os.ReadFile(filepath.Join(runtest.Programs(t, "updater"), "updater"))
	s.must(err)
	policy, err := os.ReadFile(s.log.policy)
	s.must(err)
	s.must(os.WriteFile(filepath.Join(root, "updater"), binary, 0o755))
	s.must(os.WriteFile(filepath.Join(root, "policy"), policy, 0o644))
	s.must(os.WriteFile(filepath.Join(root, "install"), []byte(`{"approval":"manual"}`), 0o644))
	s.must(os.WriteFile(filepath.Join(root, "1.root.json"), s.get("/metadata/1.root.json"), 0o644))
	s.must(os.Mkdir(filepath.Join(root, "state"), 0o755))
	script := `set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -o remount,ro,bind "$1"
mount --bind "$2" "$1/state"
root=$1
shift 2
exec env -i "$(command -v chroot)" "$root" /updater "$@"`
	run := func(code int, args ...string) process.Result {
		t.Helper()
		r, err := process.Run(exec.CommandContext(t.Context(), "unshare", append([]string{"-m", "sh", "-c", script, "sh", root, state}, args...)...))
		s.must(err)
		if strings.Contains(r.Stderr, "/updater") && strings.Contains(r.Stderr, "No such file") {
			t.Skip("the program is not linked statically")
		}
		if r.Code != code {
			t.Fatalf("%q: exit %d, want %d\n%s%s", args, r.Code, code, r.Stdout, r.Stderr)
		}
		return r
	}
	run(0, "init", "--metadata-dir", "/state/metadata", "/1.root.json")
	download := []string{"download", "--policy", "/policy", "--install-policy", "/install", "--metadata-dir", "/state/metadata", "--metadata-url", s.url + "/metadata",
		"--target-base-url", s.url + "/targets", "--target-dir", "/state/targets", "--target-name", "app"}
	run(1, download...)
	id, _, _ := strings.Cut(run(0, "pending", "--metadata-dir", "/state/metadata").Stdout, " ")
	run(0, "postpone", "--metadata-dir", "/state/metadata", id)
	run(0, "approve", "--metadata-dir", "/state/metadata", id)
	run(0, download...)
	if b, err := os.ReadFile(filepath.Join(state, "targets", "app")); err != nil || string(b) != "one" {
		t.Errorf("installed %q, %v", b, err)
	}
	// A command that only reads needs no place to write at all.
	s.must(os.RemoveAll(filepath.Join(root, "state")))
	s.must(os.CopyFS(filepath.Join(root, "state"), os.DirFS(state)))
	script = strings.Replace(script, `mount --bind "$2" "$1/state"`, "", 1)
	run(0, "verify", "--policy", "/policy", "--install-policy", "/install", "--metadata-dir", "/state/metadata")
	run(0, "status", "--metadata-dir", "/state/metadata")
	run(0, download...) // there is nothing to store
	s.release("app", "two")
	if r := run(1, download...); !strings.Contains(r.Stderr, "read-only file system") {
		t.Error(r.Stderr)
	}
}
