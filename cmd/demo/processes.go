package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/bench/process"
)

// runTimeout is how long one command may run; a large import takes a while.
const runTimeout = 30 * time.Minute

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
	return p.runIn(ctx, "", name, args...)
}

// runIn is run in a folder; empty: where the demo runs.
func (p *programs) runIn(ctx context.Context, dir, name string, args ...string) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, runTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.path(name), args...)
	cmd.WaitDelay, cmd.Dir = time.Second, dir
	r, err := process.Run(cmd)
	o := outcome{command: shell(append([]string{name}, args...)), code: r.Code, stdout: r.Stdout, stderr: r.Stderr}
	if dir != "" {
		o.command = shell([]string{"cd", dir}) + " && " + o.command
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
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
	label   string // what the transcript and its log file call it
	url     string // where it listens
	process *process.Process
}

// start starts a server and waits until it says where it listens.
func (p *programs) start(ctx context.Context, label, name string, args ...string) (*service, error) {
	s := &service{label: label}
	file, err := os.OpenFile(filepath.Join(p.logs, label+".log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(p.path(name), args...)
	cmd.Stdout = file
	s.process, err = process.Start(ctx, cmd, func(line string) {
		// A log file on a full disk must not stop the server's output.
		_, _ = fmt.Fprintln(file, line)
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", shell(append([]string{name}, args...)), err), file.Close())
	}
	go func() {
		<-s.process.Done
		_ = file.Close() // as when it is full
	}()
	s.url = s.process.URL
	p.mu.Lock()
	defer p.mu.Unlock()
	p.services = append(p.services, s)
	return s, nil
}

// address is the host and port of a service, to start it again at the same place.
func (s *service) address() string { return strings.TrimPrefix(s.url, "http://") }

// kill ends a service as a power cut would.
func (s *service) kill() { s.process.Kill() }

// killForGood kills a service that nobody is to miss.
func (p *programs) killForGood(s *service) {
	p.mu.Lock()
	p.services = slices.DeleteFunc(p.services, func(other *service) bool { return other == s })
	p.mu.Unlock()
	s.kill()
}

// stop asks a service to end, and kills it when it takes too long.
func (s *service) stop() { s.process.Stop() }

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
		if !s.process.Alive() {
			return fmt.Errorf("%s has ended (%v): %s", s.label, s.process.Cmd.ProcessState, s.process.Said)
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
			<-s.process.Done
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
