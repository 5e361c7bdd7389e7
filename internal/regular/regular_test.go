//go:build unix

package regular

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

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
