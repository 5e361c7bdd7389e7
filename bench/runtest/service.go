package runtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
)

// Service is a program that serves beside a test, until it is ended or the test is
// over.
type Service struct {
	Name string   // the program
	Args []string // without --listen
	URL  string   // where it listens; started again it does so at the same place

	process *process.Process // nil while it does not run
	known   bool             // to the test's cleanup

	mu   sync.Mutex
	said strings.Builder
}

// Serve starts a service.
func Serve(t testing.TB, name string, args ...string) *Service {
	t.Helper()
	s := &Service{Name: name, Args: args}
	s.Start(t)
	return s
}

// Start starts the service, for the first time or again, and waits until it
// listens.
func (s *Service) Start(t testing.TB) {
	t.Helper()
	addr := "127.0.0.1:0"
	if s.URL != "" {
		addr = strings.TrimPrefix(s.URL, "http://")
	}
	s.cleanUp(t)
	p, err := process.Start(t.Context(), s.command(t, "--listen", addr), s.hear)
	if err != nil {
		t.Fatalf("%s %s: %v", s.Name, strings.Join(s.Args, " "), err)
	}
	s.process, s.URL = p, p.URL
}

// command is not the test's: it runs until it is ended, in the order in which the
// test cleans up.
func (s *Service) command(t testing.TB, more ...string) *exec.Cmd {
	t.Helper()
	args := append(s.Args[:len(s.Args):len(s.Args)], more...)
	return exec.Command(filepath.Join(Programs(t, s.Name), s.Name), args...)
}

// cleanUp has the service end with the test, and a test that failed tell what it
// said last.
func (s *Service) cleanUp(t testing.TB) {
	if s.known {
		return
	}
	s.known = true
	t.Cleanup(func() {
		s.End(t, os.Kill)
		if t.Failed() {
			lines := strings.SplitAfter(s.Said(), "\n")
			t.Logf("%s %s said last:\n%s", s.Name, strings.Join(s.Args, " "), strings.Join(lines[max(0, len(lines)-40):], ""))
		}
	})
}

func (s *Service) hear(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said.WriteString(line + "\n")
}

// Said is all that it has printed on stderr, in all its lives.
func (s *Service) Said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// Running reports whether it was started and not ended.
func (s *Service) Running() bool { return s.process != nil }

// Signal sends a signal to a service that is running.
func (s *Service) Signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := s.process.Signal(sig); err != nil {
		t.Fatal(err)
	}
}

// End ends the service with a signal and returns its exit code. One that does not
// run is fine.
func (s *Service) End(t testing.TB, sig os.Signal) int {
	t.Helper()
	p := s.process
	if p == nil {
		return 0
	}
	s.process = nil
	_ = p.Cmd.Process.Signal(sig) // fails only when it has ended
	select {
	case <-p.Done:
	case <-time.After(process.Patience):
		p.Kill()
		t.Errorf("%s ignores %v", s.Name, sig)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Stop ends the service as an operator does, which has to go well.
func (s *Service) Stop(t testing.TB) {
	t.Helper()
	if code := s.End(t, syscall.SIGTERM); code != 0 {
		t.Fatalf("%s after SIGTERM: exit %d\n%s", s.Name, code, s.Said())
	}
}

// KillAt runs the program to its end, and kills it when it has said a line. It is
// false if the program had ended by then.
func (s *Service) KillAt(t testing.TB, line string) bool {
	t.Helper()
	cmd := s.command(t)
	p, err := process.Launch(cmd, func(said string) {
		s.hear(said)
		if said == line {
			_ = cmd.Process.Kill() // it may have ended
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	<-p.Done
	return cmd.ProcessState.ExitCode() == -1
}
