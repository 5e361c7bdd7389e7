package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"

	"github.com/tuflog/tuflog/device"
)

// placeholder is the word of --exec that is replaced by a target's file.
const placeholder = "{}"

// splitCommand splits the command of --exec into words, as a shell would as far as there is
// nothing in it that takes one: at spaces, except between quotes. What a shell would give
// another meaning is refused, because it would have none. One word, and not the first, is
// the placeholder.
func splitCommand(text string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quote := false, byte(0) // within a word, and within quotes
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == '\'':
			word.WriteByte(c)
		case c == 0 || strings.IndexByte("$`\\", c) >= 0, quote == 0 && strings.IndexByte("|&;<>()*?[~#", c) >= 0:
			return nil, fmt.Errorf("--exec: %q has a meaning for a shell, and there is none here: put it between single quotes, or name a script", c)
		case quote == 0 && (c == '\'' || c == '"'):
			in, quote = true, c
		case quote == 0 && (c == ' ' || c == '\t' || c == '\n'):
			if in {
				words = append(words, word.String())
			}
			word.Reset()
			in = false
		default:
			in = true
			word.WriteByte(c)
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("--exec: a %c is not closed", quote)
	}
	if in {
		words = append(words, word.String())
	}
	return words, checkCommand(words)
}

func checkCommand(words []string) error {
	placeholders := 0
	for _, w := range words {
		if w == placeholder {
			placeholders++
		} else if strings.Contains(w, placeholder) {
			return fmt.Errorf("--exec: {} is one argument, and has to be a word of its own: %q is none (as in sh -c 'install \"$1\"' sh {})", w)
		}
	}
	switch {
	case len(words) == 0 || words[0] == "" || words[0] == placeholder:
		return errors.New("--exec: want a command and its arguments, as in --exec 'install-firmware {}'")
	case placeholders != 1:
		return fmt.Errorf("--exec: want {} once, in the place of the target's file: it is there %d times", placeholders)
	}
	return nil
}

// exitError means that the command for a target has not succeeded.
type exitError struct {
	command string
	state   *os.ProcessState
}

func (e *exitError) Error() string {
	if code := e.state.ExitCode(); code >= 0 {
		return fmt.Sprintf("%s ended with exit code %d", e.command, code)
	}
	return fmt.Sprintf("%s was ended: %s", e.command, e.state) // by a signal
}

// commandFor returns the words of a command with a file in the place of the placeholder.
func commandFor(words []string, file string) []string {
	argv := slices.Clone(words)
	argv[slices.Index(argv, placeholder)] = file
	return argv
}

// runCommand runs a command. Its output is on stderr, and its input is empty. An interrupt is
// passed on to it, and it is waited for. It holds the lock, too: a command whose run was killed
// keeps others from beginning.
func runCommand(ctx context.Context, argv []string, lock *device.InstallLock) error {
	c := exec.CommandContext(ctx, argv[0], argv[1:]...)
	// Files, so that a process that the command leaves behind is not waited for.
	c.Stdout, c.Stderr = os.Stderr, os.Stderr
	c.Cancel = func() error { return c.Process.Signal(syscall.SIGTERM) }
	if f := lock.File(); f != nil {
		c.ExtraFiles = []*os.File{f}
	}
	if err := c.Start(); err != nil {
		return err
	}
	ended := lock.Runs(c.Process.Pid)
	err := c.Wait()
	ended()
	if c.ProcessState == nil {
		return err
	}
	if c.ProcessState.Success() {
		return nil
	}
	return &exitError{argv[0], c.ProcessState}
}
