// Package regular reads files from untrusted places: a USB stick, or a folder from a
// mirror or a vendor. A name there may be a pipe, on which a program would wait
// forever, or lead to an endless device.
package regular

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ErrIrregular is wrapped by the errors for a name that is neither a file nor a link
// to one.
var ErrIrregular = errors.New("not a regular file")

// Open opens a file for reading, without waiting.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return regularOnly(f, path)
}

// OpenIn opens a file below a folder for reading, without waiting. A path that leads out
// of the folder, by a link as well, is an error.
func OpenIn(root *os.Root, path string) (*os.File, error) {
	f, err := root.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	return regularOnly(f, path)
}

// regularOnly closes a file that is not a regular one.
func regularOnly(f *os.File, path string) (*os.File, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w (%v)", ErrIrregular, info.Mode().Type())}
	}
	if err == nil && pseudo(f) {
		err = &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("%w: the kernel makes it up", ErrIrregular)}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// pipePatience is how long is waited for a pipe that somebody writes to and nothing
// comes from: a person may be asked for a passphrase meanwhile.
const pipePatience = time.Minute

// OpenNamed opens a file that a person names for reading. It may be a pipe, such as a
// shell's <(command). A pipe without a writer is not waited for: it is empty.
func OpenNamed(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	_ = f.SetReadDeadline(time.Now().Add(pipePatience)) // a file has none
	return f, nil
}

// ReadSome returns the first bytes of a file, at most that many.
func ReadSome(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, most))
}
