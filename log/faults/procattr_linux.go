package main

import "syscall"

// childAttr has a server die with the harness, and keeps Ctrl-C from reaching it
// first.
func childAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
