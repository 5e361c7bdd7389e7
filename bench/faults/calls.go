package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// noStrace says why system calls cannot be made to fail here, or nothing.
var noStrace = sync.OnceValue(func() string {
	if _, err := exec.LookPath("strace"); err != nil {
		return "there is no strace"
	}
	out, err := exec.Command("strace", "-f", "--seccomp-bpf", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:when=1", "true").CombinedOutput()
	if err != nil {
		return "strace does not work: " + strings.TrimSpace(string(out))
	}
	return ""
})

// writing are the system calls by which a log changes files: those of Go's os
// package and those of SQLite. write is not among them: the Go runtime wakes
// itself with it and ends the process when that fails; disks that are full stand
// for it.
var writing = []string{"fsync", "fdatasync", "pwrite64", "renameat", "renameat2", "openat", "ftruncate", "linkat", "mkdirat"}

// failingCalls has the Nth call of each thread fail while one release is on its
// way into the log, and then lets the log work again. It has to go on without a
// restart; if it stops, that it is started again has to be enough.
func failingCalls(ctx context.Context, h *harness) ([]rehearsal.Row, error) {
	const name = "failing system calls during an append (strace)"
	if why := noStrace(); why != "" {
		return []rehearsal.Row{{Fault: name, Skipped: why}}, nil
	}
	w, l, err := h.newLoaded(ctx, "calls", 1, 1, place{}, 1)
	if err != nil {
		return nil, err
	}
	defer w.close()
	var rows []rehearsal.Row
	for _, errno := range []string{"EIO", "ENOSPC"} {
		for _, call := range writing {
			r := rehearsal.NewRow(fmt.Sprintf("%s from `%s` during an append", errno, call))
			for when := 1; when <= h.calls+1 && r.Held == nil; when++ {
				spec := strconv.Itoa(when)
				if when > h.calls {
					spec = "1+" // every one
				}
				r.Held = w.failCall(ctx, l, call, errno, spec, &r)
			}
			if r.Injected > 0 || r.Held != nil {
				rows = append(rows, r)
			}
			if r.Held != nil && !w.log.Alive() {
				return rows, nil
			}
		}
	}
	return append(rows, w.checkAll(ctx, "all failing calls")...), nil
}

// failCall makes a call fail while the load goes on for a few releases' time.
func (w *world) failCall(ctx context.Context, l *load, call, errno, when string, r *rehearsal.Row) error {
	if err := l.progress(ctx, 1); err != nil {
		return err
	}
	s, err := w.strace(ctx, call, errno, when)
	if err != nil {
		return err
	}
	// Until the release that the fault met is through, or has had its chance.
	want := w.rec.Count() + 2
	_ = process.Eventually(ctx, "", injectTime, func() bool { return w.rec.Count() >= want || !w.log.Alive() })
	n, err := s.detach()
	if err != nil {
		return err
	}
	r.Injected += n
	what := fmt.Sprintf("%s from call %s of %s", errno, when, call)
	want = w.rec.Count() + 2
	_ = process.Eventually(ctx, "", process.Patience, func() bool { return w.rec.Count() >= want || !w.log.Alive() })
	if !w.log.Alive() {
		r.Outcomes["ended, and went on after a start"]++
		w.h.Say("%s: it ended with: %s", what, w.panicked())
		if err := w.startLog(ctx); err != nil {
			return fmt.Errorf("%s: the log does not start again: %w", what, err)
		}
	} else if n > 0 {
		defer func() {
			if r.Held == nil {
				r.Outcomes["went on by itself"]++
			}
		}()
	}
	if err := l.progress(ctx, 2); err != nil {
		if w.rec.Err() != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		w.killLog()
		if again := w.startLog(ctx); again != nil {
			return fmt.Errorf("%s: %w; and it does not start again: %w", what, err, again)
		}
		return fmt.Errorf("%s: it takes a restart: %w", what, err)
	}
	return nil
}

// panicked is what the log said first of its end.
func (w *world) panicked() string {
	said := w.lastWords()
	if i := strings.Index(said, "panic: "); i >= 0 {
		said = said[i:]
	}
	line, _, _ := strings.Cut(said, "\n")
	return line
}

const injectTime = 500 * 1e6 // nanoseconds

// injection is what strace injects.
type injection struct {
	call  string // a system call
	fault string // "error=EIO", "signal=SIGKILL"
	when  string // at which call of a thread: "3", "1+"
}

// args are the arguments that have strace inject it.
func (i injection) args() []string {
	return []string{"-e", "trace=" + i.call, "-e", fmt.Sprintf("inject=%s:%s:when=%s", i.call, i.fault, i.when)}
}

// strace is a running strace.
type strace struct {
	cmd      *exec.Cmd
	injected atomic.Int64
	done     chan struct{}
}

// strace attaches to the log.
func (w *world) strace(ctx context.Context, call, errno, when string) (*strace, error) {
	s := &strace{done: make(chan struct{})}
	s.cmd = exec.Command("strace", append([]string{"-f", "-p", strconv.Itoa(w.log.Cmd.Process.Pid)}, injection{call, "error=" + errno, when}.args()...)...)
	s.cmd.SysProcAttr = process.ChildAttr()
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	attached := make(chan struct{})
	go func() {
		defer close(s.done)
		lines := bufio.NewScanner(pipe)
		for lines.Scan() {
			if strings.Contains(lines.Text(), " attached") && attached != nil {
				close(attached)
				attached = nil
			}
			if strings.Contains(lines.Text(), "(INJECTED)") {
				s.injected.Add(1)
			}
		}
		_ = s.cmd.Wait() // ends as it is told
	}()
	wait := attached
	select {
	case <-wait:
		return s, nil
	case <-s.done:
		return nil, errors.New("strace does not attach")
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// detach lets the log go and returns how many calls have failed.
func (s *strace) detach() (int, error) {
	// It may have ended, with the log that it was attached to.
	if err := s.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return 0, err
	}
	<-s.done
	return int(s.injected.Load()), nil
}
