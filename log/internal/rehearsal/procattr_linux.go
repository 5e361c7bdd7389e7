package rehearsal

import "syscall"

// ChildAttr has a server die with the harness, and keeps Ctrl-C from reaching it
// first.
func ChildAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
