package process

import "syscall"

// ChildAttr has a child die with us, even when we are killed, and keeps Ctrl-C from
// reaching it first. (The signal comes when the thread that started the child ends.
// Go ends a thread only with a goroutine that is locked to it.)
func ChildAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
