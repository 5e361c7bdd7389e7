package postgresserver

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
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

// killAll kills a server with all of its processes, and waits for the end of all
// but the server itself: the next server on the directory refuses to start while one
// of them has the shared memory, and one that writes to a disk dies only when that is
// done. Each leads a session of its own, so that no signal to a process group reaches
// them; the server is stopped first, so that it starts no further ones.
func killAll(server *os.Process) error {
	deadline := time.Now().Add(stopTime)
	_ = server.Signal(syscall.SIGSTOP) // fails only when it has ended
	for runs(server.Pid) && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	// Without the list they notice themselves that the server is gone.
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", server.Pid, server.Pid))
	var dying []unix.PollFd
	for field := range strings.FieldsSeq(string(children)) {
		pid, err := strconv.Atoi(field)
		if err != nil {
			continue
		}
		// A descriptor tells of the end, whoever's child it is by then.
		if fd, err := unix.PidfdOpen(pid, 0); err == nil {
			defer unix.Close(fd)
			dying = append(dying, unix.PollFd{Fd: int32(fd), Events: unix.POLLIN})
		}
		_ = syscall.Kill(pid, syscall.SIGKILL) // fails only when it has ended
	}
	_ = server.Kill()
	for _, fd := range dying {
		for {
			n, err := unix.Poll([]unix.PollFd{fd}, int(max(0, time.Until(deadline).Milliseconds())))
			if n > 0 {
				break
			}
			if err == nil {
				return fmt.Errorf("processes of PostgreSQL live %v after they were killed", stopTime)
			}
			if !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("wait for processes of PostgreSQL: %w", err)
			}
		}
	}
	return nil
}

// runs reports whether a process is there that SIGSTOP has not stopped yet.
func runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	// The state follows the name, which stands in brackets and may hold any.
	after := string(stat[bytes.LastIndexByte(stat, ')')+1:])
	state, _, _ := strings.Cut(strings.TrimSpace(after), " ")
	return !strings.Contains("TtZX", state)
}
