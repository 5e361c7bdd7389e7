//go:build unix

package main

import (
	"errors"
	"os"
	"syscall"
	"testing"
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
