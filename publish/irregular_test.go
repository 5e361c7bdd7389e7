//go:build unix

package publish

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/verify"
)

// What is neither a file nor leads to one is refused, not waited for.
func TestReadsNothingThatNeverEnds(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a device": func(path string) error { return os.Symlink("/dev/zero", path) },
	} {
		dir := t.TempDir()
		put := func(file string) {
			t.Helper()
			if err := make(filepath.Join(dir, file)); err != nil {
				t.Fatal(err)
			}
		}
		put("index.csv")
		if _, err := ReadHistory(dir); err == nil {
			t.Errorf("%s is an index", name)
		}
		write(t, filepath.Join(dir, "1.root.json"), rootFile(1, "r1", "k1", "r1"))
		put("1.root.json" + verify.SidecarSuffix)
		set, err := ReadFiles([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		l := newFake(t)
		if _, err := Refresh(t.Context(), l.config(), set); !errors.Is(err, regular.ErrIrregular) {
			t.Errorf("%s as a proof: %v", name, err)
		}
		put("2.root.json")
		if _, err := ReadFiles([]string{dir}); !errors.Is(err, regular.ErrIrregular) {
			t.Errorf("%s as metadata: %v", name, err)
		}
	}
}
