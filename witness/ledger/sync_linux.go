package ledger

import (
	"os"
	"syscall"
)

// datasync syncs the content. The file's size did not change, so nothing else
// is needed to read it back, and this is half the work.
func datasync(f *os.File) error {
	for {
		err := syscall.Fdatasync(int(f.Fd()))
		if err != syscall.EINTR {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}
