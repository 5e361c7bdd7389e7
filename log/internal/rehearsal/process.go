package rehearsal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTime = 30 * time.Second // until a server says where it listens
	stopTime  = 20 * time.Second // from SIGTERM to SIGKILL
	Patience  = 30 * time.Second // for what should take a moment
)

// Process is a server that was started and said where it listens.
type Process struct {
	URL  string // where it listens
	Cmd  *exec.Cmd
	Said *tail
	Done chan struct{} // closed when it has ended
}

// ended is the error for a server that ended instead of listening.
type ended struct {
	code int
	Said string
}

func (e *ended) Error() string { return fmt.Sprintf("exit %d: %s", e.code, e.Said) }

// tail keeps the end of what a process prints.
type tail struct {
	mu    sync.Mutex
	lines []string
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lines = append(t.lines, line); len(t.lines) > 40 {
		t.lines = t.lines[len(t.lines)-20:]
	}
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}

// Start starts a server and waits until it says where it listens. One that ends
// before is an error of which IsEnded holds.
func Start(ctx context.Context, bin, name string, args ...string) (*Process, error) {
	return StartHearing(ctx, func(string) {}, bin, name, args...)
}

// StartHearing is start with a listener for every line that the server prints.
func StartHearing(ctx context.Context, heard func(line string), bin, name string, args ...string) (*Process, error) {
	p := &Process{Cmd: exec.Command(filepath.Join(bin, name), args...), Said: &tail{}, Done: make(chan struct{})}
	p.Cmd.SysProcAttr = ChildAttr()
	pipe, err := p.Cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.Cmd.Start(); err != nil {
		return nil, err
	}
	urls := make(chan string, 1)
	go func() {
		defer close(p.Done)
		lines := bufio.NewReader(pipe)
		for {
			line, err := lines.ReadString('\n')
			if line = strings.TrimSpace(line); line != "" {
				p.Said.add(line)
				heard(line)
			}
			if _, url, ok := strings.Cut(line, "listening on "); ok {
				select {
				case urls <- strings.Trim(url, `"`):
				default:
				}
			}
			if err != nil {
				break
			}
		}
		// How it ended is in ProcessState.
		_ = p.Cmd.Wait()
	}()
	select {
	case p.URL = <-urls:
		return p, nil
	case <-p.Done:
		return nil, &ended{p.Cmd.ProcessState.ExitCode(), p.Said.String()}
	case <-time.After(startTime):
		err = fmt.Errorf("%s says nothing for %v: %s", name, startTime, p.Said)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.Kill()
	return nil, err
}

// Alive reports whether the process has not ended.
func (p *Process) Alive() bool {
	select {
	case <-p.Done:
		return false
	default:
		return true
	}
}

// Kill ends the process with SIGKILL, also one that is stopped.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // fails only when it has ended
	<-p.Done
}

// Stop ends the process with SIGTERM and returns its exit code.
func (p *Process) Stop() int {
	_ = p.Cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.Done:
	case <-time.After(stopTime):
		p.Kill()
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.Cmd.Process.Signal(s) }

// Run runs a program to its end and returns what it printed on stdout.
func Run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// Eventually polls until what is true.
func Eventually(ctx context.Context, what string, limit time.Duration, is func() bool) error {
	deadline := time.Now().Add(limit)
	for !is() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", limit, what)
		}
		Pause(ctx, 2*time.Millisecond)
	}
	return nil
}

// Pause sleeps, unless the context ends.
func Pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// IsEnded reports whether a server ended instead of listening.
func IsEnded(err error) bool {
	var e *ended
	return errors.As(err, &e)
}

// Build builds some of tuflog's programs into a folder.
func Build(ctx context.Context, bin string, programs ...string) error {
	args := []string{"build", "-o", bin + string(filepath.Separator)}
	for _, name := range programs {
		args = append(args, "github.com/tuflog/tuflog/cmd/"+name)
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("run it inside a clone of tuflog: go build: %w\n%s", err, out)
	}
	return nil
}
