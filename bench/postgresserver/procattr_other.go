//go:build !linux

package postgresserver

import (
	"os"
	"syscall"
)

func (r *runner) attr(server bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: server}
	if r.uid != 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(r.uid), Gid: uint32(r.gid)}
	}
	return attr
}

// killAll kills a server; its processes notice that themselves.
func killAll(p *os.Process) error {
	_ = p.Kill() // fails only when it has ended
	return nil
}
