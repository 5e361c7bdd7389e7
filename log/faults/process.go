package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
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
	patience  = 30 * time.Second // for what should take a moment
)

// process is a server that was started and said where it listens.
type process struct {
	url  string
	cmd  *exec.Cmd
	said *tail
	done chan struct{} // closed when it has ended
}

// ended is the error for a server that ended instead of listening.
type ended struct {
	code int
	said string
}

func (e *ended) Error() string { return fmt.Sprintf("exit %d: %s", e.code, e.said) }

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

// start starts a server and waits until it says where it listens. One that ends
// before is an *ended.
func start(ctx context.Context, bin, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(filepath.Join(bin, name), args...), said: &tail{}, done: make(chan struct{})}
	p.cmd.SysProcAttr = childAttr()
	pipe, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	urls := make(chan string, 1)
	go func() {
		defer close(p.done)
		lines := bufio.NewReader(pipe)
		for {
			line, err := lines.ReadString('\n')
			if line = strings.TrimSpace(line); line != "" {
				p.said.add(line)
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
		_ = p.cmd.Wait()
	}()
	select {
	case p.url = <-urls:
		return p, nil
	case <-p.done:
		return nil, &ended{p.cmd.ProcessState.ExitCode(), p.said.String()}
	case <-time.After(startTime):
		err = fmt.Errorf("%s says nothing for %v: %s", name, startTime, p.said)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.kill()
	return nil, err
}

// alive reports whether the process has not ended.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// kill ends the process with SIGKILL, also one that is stopped.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it has ended
	<-p.done
}

// stop ends the process with SIGTERM and returns its exit code.
func (p *process) stop() int {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(stopTime):
		p.kill()
	}
	return p.cmd.ProcessState.ExitCode()
}

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// run runs a program to its end and returns what it printed on stdout.
func run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(name), strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// eventually polls until what is true.
func eventually(ctx context.Context, what string, limit time.Duration, is func() bool) error {
	deadline := time.Now().Add(limit)
	for !is() {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", limit, what)
		}
		pause(ctx, 2*time.Millisecond)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// copyTree makes to a copy of from, in place of what was there.
func copyTree(ctx context.Context, from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	_, err := run(ctx, "cp", "-a", from, to)
	return err
}

func isEnded(err error) bool {
	var e *ended
	return errors.As(err, &e)
}
