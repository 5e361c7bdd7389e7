package main

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tuflog/tuflog/bench/runtest"
)

// terminal is an updater that runs on a terminal of its own.
type terminal struct {
	t    *testing.T
	tty  *os.File // the other end of it
	out  chan string
	said string
	exit chan int
}

// onTerminal starts the updater on a terminal.
func onTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no terminals can be made here: ", err)
	}
	t.Cleanup(func() { tty.Close() })
	fd := int(tty.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	user, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer user.Close()
	cmd := runtest.Command(t, "updater", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = user, user, user
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &terminal{t: t, tty: tty, out: make(chan string), exit: make(chan int, 1)}
	go func() {
		defer close(s.out)
		for b := make([]byte, 4096); ; {
			n, err := tty.Read(b)
			if n > 0 {
				s.out <- string(b[:n])
			}
			if err != nil { // nobody has the terminal any more
				return
			}
		}
	}()
	go func() {
		_ = cmd.Wait() // its code says it
		s.exit <- cmd.ProcessState.ExitCode()
	}()
	return s
}

// asked waits for a text, and returns what was said up to it.
func (s *terminal) asked(text string) string {
	s.t.Helper()
	for !strings.Contains(s.said, text) {
		more, ok := <-s.out
		if !ok {
			s.t.Fatalf("it ended, and has not said %q:\n%s", text, s.said)
		}
		s.said += more
	}
	before, after, _ := strings.Cut(s.said, text)
	s.said = after
	return before + text
}

func (s *terminal) answer(text string) {
	s.t.Helper()
	if _, err := s.tty.WriteString(text); err != nil {
		s.t.Fatal(err)
	}
}

// ends waits for the end, and returns what was said since it was asked last.
func (s *terminal) ends(code int) string {
	s.t.Helper()
	for more := range s.out {
		s.said += more
	}
	if got := <-s.exit; got != code {
		s.t.Fatalf("exit %d, want %d:\n%s", got, code, s.said)
	}
	return s.said
}
