package trillianserver

import "syscall"

// childAttr has a program die with us, and keeps Ctrl-C from reaching it first.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
