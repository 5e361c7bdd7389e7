package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// flushInput discards what was typed before now. That it cannot harms nothing but this.
func flushInput(terminal *os.File) {
	_ = unix.IoctlSetInt(int(terminal.Fd()), unix.TCFLSH, unix.TCIFLUSH)
}
