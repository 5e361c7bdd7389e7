//go:build unix

package regular

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A pipe that a person names is read, and not waited for where nobody writes to it.
func TestOpenNamed(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	read := func() string {
		t.Helper()
		f, err := OpenNamed(pipe)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := read(); got != "" {
		t.Errorf("nobody writes to it: %q", got)
	}
	keep, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0) // what is written stays in it
	if err != nil {
		t.Fatal(err)
	}
	defer keep.Close()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = w.WriteString("content"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if got := read(); got != "content" {
		t.Errorf("read %q", got)
	}
}

func TestReadSome(t *testing.T) {
	dir := t.TempDir()
	file, link, pipe, device := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe"), filepath.Join(dir, "device")
	for _, err := range []error{
		os.WriteFile(file, []byte("content"), 0o600), os.Symlink("file", link),
		syscall.Mkfifo(pipe, 0o600), os.Symlink("/dev/zero", device),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for path, most := range map[string]int64{file: 7, link: 4} {
		if b, err := ReadSome(path, most); err != nil || string(b) != "content"[:most] {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	for _, path := range []string{pipe, device, dir} {
		if b, err := ReadSome(path, 1); !errors.Is(err, ErrIrregular) || b != nil {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	if _, err := ReadSome(filepath.Join(dir, "none"), 1); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
