// Package process runs programs as processes: to their end, or as servers that
// say on stderr where they listen. Tests use it through bench/runtest; the
// programs that demonstrate tuflog and rehearse its failures use it as it is.
package process

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// Patience is for what should take a moment, such as a server's start, on a machine
	// that does much else at the same time.
	Patience = 2 * time.Minute

	stopTime = 20 * time.Second // from SIGTERM to SIGKILL
)

// Process is a program that was started.
type Process struct {
	URL  string // where it listens, if it was started as a server
	Cmd  *exec.Cmd
	Said *tail
	Done chan struct{} // closed when it has ended and all it said was heard
}

// tail is the end of what a program has said.
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

// EndedError is the error for a program that ended when it should not have, or
// otherwise than it should have.
type EndedError struct {
	Code int    // its exit code
	Said string // on stderr
}

func (e *EndedError) Error() string { return fmt.Sprintf("exit %d: %s", e.Code, e.Said) }

// IsEnded reports whether a server ended instead of listening.
func IsEnded(err error) bool {
	var e *EndedError
	return errors.As(err, &e)
}

// Launch starts a program. It dies with us, and what it says on stderr goes to
// heard, line by line; heard may be nil.
func Launch(cmd *exec.Cmd, heard func(line string)) (*Process, error) {
	p := &Process{Cmd: cmd, Said: &tail{}, Done: make(chan struct{})}
	cmd.SysProcAttr = ChildAttr()
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.Done)
		for lines := bufio.NewReader(pipe); err == nil; {
			var line string
			line, err = lines.ReadString('\n')
			if line = strings.TrimSpace(line); line == "" {
				continue
			}
			p.Said.add(line)
			if heard != nil {
				heard(line)
			}
		}
		_ = cmd.Wait() // how it ended is in its ProcessState
	}()
	return p, nil
}

// Start starts a server and waits until it says where it listens. One that ends
// before is an error of which IsEnded holds.
func Start(ctx context.Context, cmd *exec.Cmd, heard func(line string)) (*Process, error) {
	urls := make(chan string, 1)
	p, err := Launch(cmd, func(line string) {
		if heard != nil {
			heard(line)
		}
		if _, said, ok := strings.Cut(line, "listening on "); ok {
			url, _, _ := strings.Cut(said, " ")
			select {
			case urls <- strings.Trim(url, `"`):
			default: // it listens at a second place
			}
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case p.URL = <-urls:
		return p, nil
	case <-p.Done:
		return nil, p.ended()
	case <-time.After(Patience):
		err = fmt.Errorf("%s does not say within %v where it listens: %s", filepath.Base(cmd.Path), Patience, p.Said)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.Kill()
	return nil, err
}

func (p *Process) ended() error { return &EndedError{p.Cmd.ProcessState.ExitCode(), p.Said.String()} }

// Answers waits until a server that does not say where it listens accepts
// connections.
func (p *Process) Answers(ctx context.Context, addr string) error {
	err := Eventually(ctx, addr+" accepts connections", Patience, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			_ = conn.Close() // only whether it is there was wanted
		}
		return err == nil || !p.Alive()
	})
	if !p.Alive() {
		return p.ended()
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, p.Said)
	}
	return nil
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

// Stop ends the process with SIGTERM and returns its exit code, -1 if it had to
// be killed.
func (p *Process) Stop() int {
	_ = p.Cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended
	select {
	case <-p.Done:
	case <-time.After(stopTime):
		p.Kill()
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.Cmd.Process.Signal(s) }

// Result is what a program that ran to its end left behind.
type Result struct {
	Code           int
	Stdout, Stderr string
}

// Run runs a program to its end; it dies with us. That it exits with a code other than 0 is not an
// error here; that a signal or the command's context ended it is code -1.
func Run(cmd *exec.Cmd) (Result, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = &stdout, &stderr, ChildAttr()
	err := cmd.Run()
	r := Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return r, err
	}
	return r, nil
}

// Output runs a program that has to succeed and returns what it printed on stdout,
// without the line's end. If its exit code is not 0 there is an EndedError, too.
func Output(ctx context.Context, name string, args ...string) (string, error) {
	r, err := Run(exec.CommandContext(ctx, name, args...))
	if err == nil && r.Code != 0 {
		err = &EndedError{r.Code, strings.TrimSpace(r.Stderr)}
	}
	if err != nil {
		err = fmt.Errorf("%s %s: %w", filepath.Base(name), strings.Join(args, " "), err)
	}
	return strings.TrimSpace(r.Stdout), err
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

// Build builds packages of programs, mostly tuflog's, into a folder: "witness" is
// cmd/witness, a name with a slash is a path below the module's root, and one that begins with
// a domain is a program of another module.
func Build(ctx context.Context, bin string, programs ...string) error {
	args := []string{"build", "-o", bin + string(filepath.Separator)}
	for _, name := range programs {
		first, _, inside := strings.Cut(name, "/")
		switch {
		case !inside:
			name = "github.com/tuflog/tuflog/cmd/" + name
		case !strings.Contains(first, "."): // as a module's has
			name = "github.com/tuflog/tuflog/" + name
		}
		args = append(args, name)
	}
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("go build (inside a clone of tuflog?): %w\n%s", err, out)
	}
	return nil
}
