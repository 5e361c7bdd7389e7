//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// On a stick that somebody hands in may be more than files.
func TestVerifyWaitsForNothing(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	for _, name := range []string{"1.root.json", "timestamp.json", "2.targets.json.tlog-proof", "2.targets.json.latest.tlog-proof"} {
		for what, make := range map[string]func(path string) error{
			"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		} {
			dir := s.dump()
			path := filepath.Join(dir, name)
			_ = os.Remove(path) // the newer proof is not there
			s.must(make(path))
			if r := runUpdater(t, "verify", "--policy", s.log.policy, dir); r.code != 2 {
				t.Errorf("%s as %s: exit %d, %s", what, name, r.code, r.stderr)
			}
		}
	}
	dir, targets := s.dump(), t.TempDir()
	s.must(syscall.Mkfifo(filepath.Join(targets, "app"), 0o600))
	runUpdater(t, "verify", "--policy", s.log.policy, "--target-name", "app", "--target-dir", targets, dir).want(2, "not a regular file")

	// A file without end is refused for its length.
	for _, name := range []string{"1.root.json", "timestamp.json"} {
		dir := s.dump()
		s.must(os.Truncate(filepath.Join(dir, name), 1<<40))
		if r := runUpdater(t, "verify", "--policy", s.log.policy, dir); r.code != 1 || !strings.Contains(r.stdout, "bad-metadata: the file cannot be read: metadata: file of 33554433 bytes") {
			t.Errorf("%s without end: exit %d, %s%s", name, r.code, r.stdout, r.stderr)
		}
	}
}

// Nor is a folder what it is called.
func TestPipesForFolders(t *testing.T) {
	s := newSite(t)
	s.release("app", "one")
	for _, name := range []string{"evidence", "metadata", "targets"} {
		d, stick := s.newDevice(), s.stick()
		_ = os.RemoveAll(filepath.Join(stick, name)) // evidence is not there
		s.must(syscall.Mkfifo(filepath.Join(stick, name), 0o600))
		r := d.run("download", "--policy", s.log.policy, "--metadata-dir", d.metadata(), "--from", stick,
			"--target-name", "app", "--target-dir", d.targets())
		if updated := name == "evidence"; (r.code == 0) != updated {
			t.Errorf("%s is a pipe: exit %d, %s", name, r.code, r.stderr)
		}
	}
}
