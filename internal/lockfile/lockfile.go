// Package lockfile lets only one process at a time change shared data, by the lock
// of a file, and names the process that holds the lock.
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

// ErrHeld is wrapped by every error for a lock that another holder has.
var ErrHeld = errors.New("in use by another process")

// HeldError means that another holder has the lock.
type HeldError struct {
	Path string // of the lock file
	// Program is the holder's description of itself, such as "logserver serve";
	// empty if the lock file does not name a running process.
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

// Acquire takes the lock of the file at path, without waiting; the file is created if
// it does not exist. program is the name of the holder for other processes, such as
// "updater refresh"; if it is empty, the name is the command that started the process.
// A symbolic link is refused: its target would be written to, and in a directory of
// another user that could be any file. If another holder in this or another process has
// the lock, the error is a *HeldError. The kernel releases the lock when the process
// ends for any reason.
func Acquire(path, program string) (*Lock, error) { return acquire(path, program, tryLock) }

// Name is the file in a directory whose lock is the directory's.
const Name = "lock"

// AcquireDir takes the lock of an existing directory: that of the file Name in it.
func AcquireDir(dir string) (*Lock, error) { return Acquire(filepath.Join(dir, Name), "") }

// Hold takes the lock of an open file, without waiting, until the file is closed. Its
// content is not changed. The error wraps ErrHeld if another holder has the lock.
func Hold(f *os.File) error { return tryLock(f) }

// Wait is like Acquire, but waits while another holder has the lock.
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
	l := &Lock{f}
	l.Name(os.Getpid(), program)
	return l, nil
}

// Name names another process as the holder of the lock, such as a child that has inherited
// it. Who cannot write a name into the file has the lock all the same: a full disk must not
// keep what makes room from running.
func (l *Lock) Name(pid int, program string) {
	host, _ := os.Hostname()
	if err := l.file.Truncate(0); err == nil {
		_, _ = l.file.WriteAt(fmt.Appendf(nil, "%d %s %s\n", pid, host, program), 0)
	}
}

// File is the open file for a child that is to hold the lock, too: until it ends or until
// Release, whichever comes first. It is nil where a child cannot inherit a lock.
func (l *Lock) File() *os.File {
	if !inherited {
		return nil
	}
	return l.file
}

// Release releases the lock, also that of children which have inherited it. The file stays,
// because another process may be about to lock it.
func (l *Lock) Release() error {
	_ = l.file.Truncate(0) // so that nobody is named who has it no more
	return errors.Join(unlock(l.file), l.file.Close())
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
