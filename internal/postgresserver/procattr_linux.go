package postgresserver

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// attr runs a program as the runner. A server is told to shut down at once when
// the thread that started it dies, which in a Go program means the process. The
// kernel forgets that wish when credentials change, but Go changes them first.
func (r *runner) attr(server bool) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: server}
	if r.uid != 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(r.uid), Gid: uint32(r.gid)}
	}
	if server {
		attr.Pdeathsig = syscall.SIGQUIT // PostgreSQL's immediate shutdown
	}
	return attr
}

// killAll kills a server with all of its processes. Each of them leads a session
// of its own, so that no signal to a process group reaches them; the server is
// stopped first, so that it starts no further ones.
func killAll(p *os.Process) {
	_ = p.Signal(syscall.SIGSTOP) // fails only when it has ended
	// Without the list they notice themselves that the server is gone.
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.Pid, p.Pid))
	for _, field := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(field); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	_ = p.Kill()
}
