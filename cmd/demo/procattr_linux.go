package main

import "syscall"

// childAttr has a child die with the demo, even when the demo is killed, and
// keeps Ctrl-C from reaching it directly: the demo stops its children in order.
// (The signal comes when the thread that started the child ends. Go ends a thread
// only with a goroutine that is locked to it, and the demo locks none.)
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
