package device

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/verify"
)

// Opened is a target's file while a command has it. A command opens the file by its name,
// at a time of its own choice: only a look before and one after it say what it had.
type Opened struct {
	target Target
	file   *os.File // nil: it would be in the command's way
	info   fs.FileInfo
}

// Open opens the file of a target, and checks that it is as listed. What was checked before
// may have been replaced, or written to, since.
func (t Target) Open() (*Opened, error) {
	f, err := regular.Open(t.Path)
	if err != nil {
		return nil, err
	}
	o := &Opened{target: t, file: f}
	if o.info, err = f.Stat(); err == nil {
		err = o.check()
	}
	if err == nil && runtime.GOOS == "windows" { // no command could move it
		err, o.file = f.Close(), nil
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return o, nil
}

// Unchanged returns an error unless the file is as it was opened, and its name leads to it
// or, because the command has moved or removed it, to none.
func (o *Opened) Unchanged() error {
	there, err := os.Stat(o.target.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !os.SameFile(there, o.info):
		return fmt.Errorf("%s: another file has taken its place", o.target.Path)
	case o.file == nil:
		return checkTarget(o.target.Path, o.target.Listed)
	}
	if o.file == nil {
		return nil
	}
	return o.check()
}

// check returns a refusal unless the open file is the target.
func (o *Opened) check() error {
	check, err := verify.NewTargetCheck(o.target.Listed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(check, io.NewSectionReader(o.file, 0, o.target.Listed.Length+1)); err != nil {
		return err
	}
	return check.Done()
}

// Close closes the file.
func (o *Opened) Close() error {
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}
