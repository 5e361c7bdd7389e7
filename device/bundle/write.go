package bundle

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/tuflog/tuflog/device/bundle/index"
)

// contents are the files of a bundle that is written: each writes its bytes.
type contents map[File]func(io.Writer) error

func (c contents) add(name string, content []byte) {
	c[File{Name: name, Size: int64(len(content))}] = func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}
}

// write writes a bundle. The same files are the same bytes.
func write(w io.Writer, c contents) error {
	if len(c) > MaxFiles {
		return fmt.Errorf("a bundle has at most %d files, and this would have %d", MaxFiles, len(c))
	}
	names, sizes := make([]string, 0, len(c)), map[string]int64{}
	for f := range c {
		names, sizes[f.Name] = append(names, f.Name), f.Size
	}
	slices.Sort(names)
	files := make([]File, len(names))
	for i, name := range names {
		files[i] = File{Name: name, Size: sizes[name]}
	}
	index := []byte(index.FirstLine)
	for i, f := range files {
		if err := f.Check(); err != nil {
			return err
		}
		if i > 0 && files[i-1].Name == f.Name {
			return fmt.Errorf("%q is there twice", f.Name)
		}
		index = append(index, f.Name...)
		index = append(index, ' ')
		index = strconv.AppendInt(index, f.Size, 10)
		index = append(index, '\n')
	}
	if index = append(index, '\n'); len(index) > MaxIndex {
		return fmt.Errorf("the index of a bundle has at most %d bytes, and this would have %d", MaxIndex, len(index))
	}
	if _, err := w.Write(index); err != nil {
		return err
	}
	for _, f := range files {
		exact := &exactly{w: w, left: f.Size}
		if err := c[f](exact); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if exact.left != 0 {
			return fmt.Errorf("%s: %d bytes of %d are missing", f.Name, exact.left, f.Size)
		}
	}
	return nil
}

// exactly takes so many bytes and no more.
type exactly struct {
	w    io.Writer
	left int64
}

func (e *exactly) Write(p []byte) (int, error) {
	if int64(len(p)) > e.left {
		return 0, fmt.Errorf("it is longer than it was to be")
	}
	n, err := e.w.Write(p)
	e.left -= int64(n)
	return n, err
}
