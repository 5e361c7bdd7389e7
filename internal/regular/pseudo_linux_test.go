package regular

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// A link on a stick may lead to a file of the kernel's, which is called regular.
func TestPseudoFiles(t *testing.T) {
	link := filepath.Join(t.TempDir(), "timestamp.json")
	if err := os.Symlink("/proc/self/status", link); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadSome(link, 10); !errors.Is(err, ErrIrregular) {
		t.Errorf("%v", err)
	}
}
