//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
)

// A person who runs an updater as root, once, does not keep the device's own user from
// the lock.
func TestLockIsTheDirectoryOwners(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("nobody but root makes files in others' names")
	}
	s := newSite(t)
	d := s.newDevice()
	const user = 12345
	lock := d.metadata() + "/updater.lock"
	s.must(errors.Join(os.Chown(d.metadata(), user, user), os.Remove(lock)))
	for perm, want := range map[os.FileMode]os.FileMode{0o755: 0o600, 0o775: 0o660} {
		s.must(os.Chmod(d.metadata(), perm))
		d.refresh().want(0)
		info, err := os.Stat(lock)
		s.must(err)
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != user || owner.Gid != user || info.Mode().Perm() != want {
			t.Errorf("in a directory of mode %v the lock is of %d:%d, mode %v, want %v", perm, owner.Uid, owner.Gid, info.Mode().Perm(), want)
		}
	}
}

// To a user who may not read it a device is not damaged: setting it up anew would be wrong.
func TestStateThatMayNotBeRead(t *testing.T) {
	if testing.Short() || os.Geteuid() != 0 {
		t.Skip("runs the program as another user a dozen times")
	}
	s := newSite(t)
	d := s.newDevice()
	const user = 12345
	program, err := os.ReadFile(filepath.Join(runtest.Programs(t, "updater"), "updater"))
	s.must(err)
	open, err := os.MkdirTemp("/tmp", "updater")
	s.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(open) })
	path, root := filepath.Join(open, "updater"), filepath.Join(open, "root.json")
	s.must(errors.Join(os.Chmod(open, 0o755), os.WriteFile(path, program, 0o755), os.WriteFile(root, s.get("/metadata/1.root.json"), 0o644)))
	policy, err := os.ReadFile(s.log.policy)
	s.must(err)
	s.must(os.WriteFile(filepath.Join(open, "policy.txt"), policy, 0o644))
	dir := filepath.Join(open, "device")
	s.must(os.CopyFS(dir, os.DirFS(d.metadata())))
	for _, private := range []string{dir, filepath.Join(dir, "updater.state")} {
		s.must(errors.Join(os.Chmod(dir, 0o755), os.Chmod(filepath.Join(dir, "updater.state.copy"), 0o600), os.Chmod(private, 0o700)))
		for _, args := range [][]string{
			{"status"}, {"pending"}, {"approve", strings.Repeat("0", 32)}, {"init", root}, {"verify", "--policy", filepath.Join(open, "policy.txt"), dir},
			{"refresh", "--policy", filepath.Join(open, "policy.txt"), "--metadata-url", s.url + "/metadata"},
		} {
			cmd := exec.Command(path, append(args, "--metadata-dir", dir)...)
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
			out, err := cmd.CombinedOutput()
			text := string(out)
			if err == nil || strings.Contains(text, "damaged") || strings.Contains(text, "another directory") || !strings.Contains(text, "user 12345") || !strings.Contains(text, "permission denied") {
				t.Errorf("%s, private %s: %v: %s", args[0], private, err, text)
			}
		}
	}
}
