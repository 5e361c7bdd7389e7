// Package lockfile keeps what several processes could read, change and write to
// one of them at a time, by the lock of a file, and names the process that has it.
package lockfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
)

// ErrHeld is wrapped by every error of a lock that another has.
var ErrHeld = errors.New("in use by another process")

// HeldError is that of a lock which another has.
type HeldError struct {
	Path string // of the lock file
	// Program is what the holder says that it does, such as "logserver serve";
	// empty if the lock file does not name a process that runs.
	Program string
	PID     int
	Host    string // of the holder; empty: this one
}

func (e *HeldError) Error() string {
	if e.Program == "" {
		return fmt.Sprintf("%s: %v", e.Path, ErrHeld)
	}
	where := ""
	if e.Host != "" {
		where = " on " + e.Host
	}
	return fmt.Sprintf("%s: in use by %s (process %d%s)", e.Path, e.Program, e.PID, where)
}

// Unwrap makes a HeldError an ErrHeld.
func (e *HeldError) Unwrap() error { return ErrHeld }

// Lock is the lock of a file.
type Lock struct{ file *os.File }

// Acquire takes the lock of the file at path, without waiting; the file is made if
// it is not there. program is what others are told while this process has the lock,
// such as "updater refresh"; if it is empty, it is what the process was started as.
// A symbolic link is refused: what it leads to would be written to, which another's
// directory could make anything of. A lock that another has, of this process or
// another, is a *HeldError. The kernel releases the lock when the process ends, however
// it ends.
func Acquire(path, program string) (*Lock, error) { return acquire(path, program, tryLock) }

// AcquireDir takes the lock of a directory that exists: of the file "lock" in it.
func AcquireDir(dir string) (*Lock, error) { return Acquire(filepath.Join(dir, "lock"), "") }

// Hold takes the lock of a file that is open, without waiting, until it is closed. Its
// content stays as it is. The error wraps ErrHeld where another has the lock.
func Hold(f *os.File) error { return tryLock(f) }

// Wait is Acquire, but waits as long as another has the lock.
func Wait(path, program string) (*Lock, error) { return acquire(path, program, waitLock) }

func acquire(path, program string, lock func(*os.File) error) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|noFollow, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := lock(f); err != nil {
		if errors.Is(err, ErrHeld) {
			err = holder(f, path)
		} else {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return nil, errors.Join(fmt.Errorf("lock: %w", err), f.Close())
	}
	if program == "" {
		program = started(os.Args)
	}
	// Who cannot write a name into the file has the lock all the same: a full disk
	// must not keep what makes room from running.
	host, _ := os.Hostname()
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d %s %s\n", os.Getpid(), host, program), 0)
	}
	return &Lock{f}, nil
}

// Release gives the lock back. The file stays: another may be about to lock it.
func (l *Lock) Release() error {
	_ = l.file.Truncate(0) // so that nobody is named who has it no more
	return l.file.Close()
}

const maxHolder = 512 // bytes that are read of a lock file

// holder says who has the lock, as far as the file tells.
func holder(f *os.File, path string) *HeldError {
	held := &HeldError{Path: path}
	b := make([]byte, maxHolder)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return held
	}
	line, _, whole := strings.Cut(string(b[:n]), "\n")
	fields := strings.SplitN(line, " ", 3)
	if !whole || len(fields) != 3 || fields[2] == "" || strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return held
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid <= 0 {
		return held
	}
	host, _ := os.Hostname()
	if fields[1] != host {
		held.Host = fields[1] // another container's, where the file is shared
	} else if !runs(pid) {
		return held // it was killed, and the holder has not written its name yet
	}
	held.PID, held.Program = pid, fields[2]
	return held
}

// started returns the program of a command line and the command that it was given,
// at most two words: what comes after may be anybody's business.
func started(args []string) string {
	if len(args) == 0 {
		return "another program"
	}
	words := []string{filepath.Base(args[0])}
	for _, w := range args[1:] {
		if len(words) == 3 || strings.Trim(w, "abcdefghijklmnopqrstuvwxyz") != "" {
			break
		}
		words = append(words, w)
	}
	return strings.Join(words, " ")
}
