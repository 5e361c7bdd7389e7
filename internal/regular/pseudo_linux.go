package regular

import (
	"os"

	"golang.org/x/sys/unix"
)

// pseudo reports whether a file is one that the kernel makes up, below /proc or /sys: it is
// called regular, and to read it may wait for ever.
func pseudo(f *os.File) bool {
	var fs unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &fs); err != nil {
		return false
	}
	switch int64(fs.Type) {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC:
		return true
	}
	return false
}
