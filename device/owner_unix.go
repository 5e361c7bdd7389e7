//go:build unix

package device

import (
	"io/fs"
	"os"
	"syscall"
)

// shareLock gives a lock file to whoever owns the directory, and to its group if that
// may write there: a person who runs an updater as root, once, must not keep the
// device's own user from the lock for ever. It is nobody else's, who could have it and
// keep the device from updating. What cannot be done is left: the lock is had already.
func (s Store) shareLock(name string) {
	dir, err := os.Stat(s.Dir)
	if err != nil {
		return
	}
	path, perm := s.path(name), fs.FileMode(0o600)
	if dir.Mode()&0o020 != 0 {
		perm |= 0o060
	}
	file, err := os.Lstat(path)
	if err != nil || !file.Mode().IsRegular() {
		return
	}
	of, ok := dir.Sys().(*syscall.Stat_t)
	has, ok2 := file.Sys().(*syscall.Stat_t)
	if ok && ok2 && os.Geteuid() == 0 && (of.Uid != has.Uid || of.Gid != has.Gid) {
		_ = os.Lchown(path, int(of.Uid), int(of.Gid))
	}
	if file.Mode().Perm() != perm {
		_ = os.Chmod(path, perm)
	}
}
