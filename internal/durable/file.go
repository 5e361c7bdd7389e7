package durable

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// File is a file whose content is replaced again and again. It is replaced as by
// WriteFile, with the same promise, but after the first replacement without
// creating and removing a file each time: the content goes to a spare file beside
// it, .NAME.spare, and the two swap names. Only one goroutine at a time may use
// it, and no other process may write to its path.
type File struct {
	path string
	perm os.FileMode
	// settled means that the names are durable: what is called the spare now
	// cannot be found under path after a power cut, and may be overwritten.
	settled bool
}

// NewFile returns the file at path, which need not exist; its directory must.
func NewFile(path string, perm os.FileMode) *File { return &File{path: path, perm: perm} }

// Write replaces the content. When it returns nil the new content survives a
// power cut.
func (f *File) Write(data []byte) error {
	settled := f.settled
	f.settled = false
	if settled {
		err := f.swap(data)
		if err == nil {
			f.settled = true
			return nil
		}
		if !errors.Is(err, errNoExchange) && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
	}
	err := WriteFile(f.path, data, f.perm)
	f.settled = err == nil
	return err
}

// errNoExchange means that files cannot change names here.
var errNoExchange = errors.New("names cannot be exchanged")

func (f *File) swap(data []byte) error {
	dir, name := filepath.Split(f.path)
	spare := filepath.Join(dir, "."+name+".spare")
	file, err := os.OpenFile(spare, os.O_WRONLY|os.O_CREATE, f.perm)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(data, 0)
	if err := errors.Join(err, file.Truncate(int64(len(data))), file.Chmod(f.perm), file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := exchange(spare, f.path); err != nil {
		return err
	}
	return SyncDir(filepath.Clean(filepath.Join(dir, ".")))
}
