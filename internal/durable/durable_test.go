package durable

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFileReplaces(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	for _, content := range []string{"one", "two, which is longer", ""} {
		if err := WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("read %q, %v; want %q", got, err, content)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Fatalf("mode %v, %v; want 0640", info.Mode(), err)
	}
	assertOnly(t, dir, "state")
}

// Who is killed while it writes leaves a file behind, and who comes after removes it and
// nothing else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	f, err := os.CreateTemp(dir, ".state.*.tmp") // as WriteFile does
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	others := []string{"state", "state.1.tmp", ".state.tmp", ".1.tmp", "..1.tmp.x", ".state.12a.tmp", ".state..tmp"}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".dir.1.tmp"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != len(others)+1 {
		t.Errorf("there are %v, %v; want %q and the directory", entries, err, others)
	}
}

func TestWriteFileLeavesTheOldContentOnFailure(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	// A directory that is not empty cannot be replaced by a file: rename fails
	// after the temporary file was written.
	if err := os.MkdirAll(filepath.Join(path, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(path, []byte("new"), 0o600); err == nil {
		t.Fatal("replaced a directory")
	}
	assertOnly(t, dir, "state")
}

func assertOnly(t *testing.T, dir, name string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 1 || entries[0].Name() != name {
		t.Fatalf("left behind in %s: %v", dir, entries)
	}
}

// Who is told again and again of the same trouble can see that it is the same.
func TestErrorsAreTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "state")
	first, second := WriteFile(path, nil, 0o600), WriteFile(path, nil, 0o600)
	if first == nil || first.Error() != second.Error() {
		t.Errorf("%v, then %v", first, second)
	}
}
