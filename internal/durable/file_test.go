package durable

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestFileReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	f := NewFile(path, 0o640)
	for i, content := range []string{"one", "two, which is longer", "3", "", strings.Repeat("long ", 10000), "last"} {
		if err := f.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("write %d: read %q, %v; want %q", i, got, err, content)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
			t.Fatalf("mode %v, %v; want 0640", info.Mode(), err)
		}
	}
	if runtime.GOOS == "linux" {
		if got, err := os.ReadFile(filepath.Join(dir, ".state.spare")); err != nil || !strings.HasPrefix(string(got), "long ") {
			t.Fatalf("the spare holds %q, %v; want the content before", got, err)
		}
	}
}

// What a process that died has left as a spare, and a file that is gone or was
// put there by somebody else, do not matter.
func TestFileAfterAccidents(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	if err := os.WriteFile(filepath.Join(dir, ".state.spare"), []byte(strings.Repeat("torn", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	f := NewFile(path, 0o600)
	write := func(content string) {
		t.Helper()
		if err := f.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Fatalf("read %q, %v; want %q", got, err, content)
		}
	}
	write("a")
	write("b")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write("c")
	if err := WriteFile(path, []byte("somebody else's"), 0o600); err != nil {
		t.Fatal(err)
	}
	write("d")
	write("e")
}

// After a failure the spare may be what a power cut brings back under the file's
// name: it is not written to before the name is known to be durable.
func TestFileAfterFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "state")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	f := NewFile(path, 0o600)
	for _, content := range []string{"a", "b"} {
		if err := f.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	away := filepath.Join(dir, "away")
	if err := os.Rename(filepath.Dir(path), away); err != nil {
		t.Fatal(err)
	}
	if err := f.Write([]byte("c")); err == nil {
		t.Fatal("wrote into a directory that is gone")
	}
	if f.settled {
		t.Fatal("settled after a failure")
	}
	if got, err := os.ReadFile(filepath.Join(away, "state")); err != nil || string(got) != "b" {
		t.Fatalf("read %q, %v; want %q", got, err, "b")
	}
}
