package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 20 * time.Second // until a server says where it listens
	stopTimeout  = 5 * time.Second  // from SIGTERM to SIGKILL
	runTimeout   = 30 * time.Minute // of one command; a large import takes a while
)

// programs runs the built programs. What they print goes to files in logs, and
// every command with its exit code to logs/commands.txt.
type programs struct {
	bin  string
	logs string

	mu       sync.Mutex
	services []*service
}

// outcome is what a command that ran to its end left behind.
type outcome struct {
	command string // as one would type it
	code    int
	stdout  string
	stderr  string
}

// run runs a program to its end. A program that exits with a code other than 0
// is not an error here: the caller says which code it expects.
func (p *programs) run(ctx context.Context, name string, args ...string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path(name), args...)
	cmd.SysProcAttr = childAttr()
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	o := outcome{
		command: shell(append([]string{name}, args...)),
		code:    cmd.ProcessState.ExitCode(),
		stdout:  stdout.String(),
		stderr:  stderr.String(),
	}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return o, fmt.Errorf("%s: %w", o.command, context.Cause(ctx))
	case err != nil && !errors.As(err, &exit):
		return o, fmt.Errorf("%s: %w", o.command, err)
	}
	return o, p.record(o)
}

// must runs a program that has to succeed and returns its stdout.
func (p *programs) must(ctx context.Context, name string, args ...string) (string, error) {
	o, err := p.run(ctx, name, args...)
	if err != nil {
		return "", err
	}
	if o.code != 0 {
		return "", o.unexpected("0")
	}
	return o.stdout, nil
}

// unexpected words the error for a command that ended otherwise than announced.
func (o outcome) unexpected(want string) error {
	return fmt.Errorf("%s\nexited with %d, expected %s; it printed:\n%s%s", o.command, o.code, want, o.stdout, o.stderr)
}

func (p *programs) record(o outcome) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, err := os.OpenFile(filepath.Join(p.logs, "commands.txt"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "$ %s\n%s%s[exit %d]\n\n", o.command, o.stdout, o.stderr, o.code)
	return errors.Join(err, f.Close())
}

func (p *programs) path(name string) string { return filepath.Join(p.bin, name) }

// service is a server program that runs beside the demo.
type service struct {
	label string // what the transcript and its log file call it
	url   string // where it listens
	log   string // the file its stderr goes to
	cmd   *exec.Cmd
	done  chan struct{} // closed when the process has ended
	err   error         // how it ended; read it after done
}

const listening = "listening on "

// start starts a server and waits until it says where it listens.
func (p *programs) start(ctx context.Context, label, name string, args ...string) (*service, error) {
	s := &service{label: label, log: filepath.Join(p.logs, label+".log"), done: make(chan struct{})}
	file, err := os.OpenFile(s.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command(p.path(name), args...)
	s.cmd.SysProcAttr = childAttr()
	s.cmd.Stdout = file
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", label, err), file.Close())
	}
	p.mu.Lock()
	p.services = append(p.services, s)
	p.mu.Unlock()

	urls := make(chan string, 1)
	go func() {
		watch(pipe, file, urls)
		s.err = s.cmd.Wait()
		s.err = errors.Join(s.err, file.Close())
		close(s.done)
	}()
	select {
	case s.url = <-urls:
		return s, nil
	case <-s.done:
		return nil, fmt.Errorf("%s ended at once: %s", shell(append([]string{name}, args...)), s.lastWords())
	case <-time.After(startTimeout):
		s.kill()
		return nil, fmt.Errorf("%s did not say %q within %v: %s", label, listening, startTimeout, s.lastWords())
	case <-ctx.Done():
		s.kill()
		return nil, context.Cause(ctx)
	}
}

// watch copies what a server prints to its log file and picks out the address.
func watch(from io.Reader, to io.Writer, urls chan<- string) {
	r := bufio.NewReader(from)
	found := false
	for {
		line, err := r.ReadString('\n')
		// A log file on a full disk must not stop the server's output.
		_, _ = io.WriteString(to, line)
		if _, after, ok := strings.Cut(line, listening); ok && !found {
			if url, _, _ := strings.Cut(strings.TrimSpace(after), " "); strings.HasPrefix(url, "http") {
				found = true
				urls <- strings.Trim(url, `"`)
			}
		}
		if err != nil {
			return
		}
	}
}

// address is the host and port of a service, to start it again at the same place.
func (s *service) address() string { return strings.TrimPrefix(s.url, "http://") }

// kill ends a service as a power cut would.
func (s *service) kill() {
	_ = s.cmd.Process.Kill() // fails only when it has ended
	<-s.done
}

// killForGood kills a service that nobody is to miss.
func (p *programs) killForGood(s *service) {
	p.mu.Lock()
	p.services = slices.DeleteFunc(p.services, func(other *service) bool { return other == s })
	p.mu.Unlock()
	s.kill()
}

// stop asks a service to end, and kills it when it takes too long.
func (s *service) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(stopTimeout):
		s.kill()
	}
}

// lastWords is the end of what a service logged.
func (s *service) lastWords() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// stopAll stops every service, in the reverse order of starting.
func (p *programs) stopAll() {
	p.mu.Lock()
	services := p.services
	p.services = nil
	p.mu.Unlock()
	for i := len(services) - 1; i >= 0; i-- {
		services[i].stop()
	}
}

// died returns an error that names a service which has ended by itself.
func (p *programs) died() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.services {
		select {
		case <-s.done:
			return fmt.Errorf("%s has ended (%v): %s", s.label, s.err, s.lastWords())
		default:
		}
	}
	return nil
}

// shell prints a command as one can paste it.
func shell(args []string) string {
	quoted := make([]string, len(args))
	for i, arg := range args {
		if arg == "" || strings.ContainsAny(arg, " \t\n'\"\\$&|;<>*?()#~`[]{}!") {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		quoted[i] = arg
	}
	return strings.Join(quoted, " ")
}

// watch waits for the end of ctx, which is fine, or of a service, which is not.
func (p *programs) watch(ctx context.Context) error {
	p.mu.Lock()
	services := slices.Clone(p.services)
	p.mu.Unlock()
	ended := make(chan struct{}, len(services))
	for _, s := range services {
		go func() {
			<-s.done
			ended <- struct{}{}
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case <-ended:
		return p.died()
	}
}
