package room

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDisk(t *testing.T) {
	dir := t.TempDir()
	if err := Disk(1, dir)(); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("it leaves %v, %v", entries, err)
	}
	if err := Disk(math.MaxUint64, dir)(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("more is asked for than there is: %v", err)
	}
	if err := Disk(1, dir, filepath.Join(dir, "none"))(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	// What cannot be written does not show in the free room.
	if err := os.Mkdir(filepath.Join(dir, ".room.tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Disk(1, dir)(); !errors.Is(err, unix.EISDIR) {
		t.Errorf("a file that cannot be written: %v", err)
	}
}
