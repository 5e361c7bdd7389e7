package tesseralog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/log/tesseralog"
)

func open(t *testing.T, dir string) (log.Storage, error) {
	t.Helper()
	dir = filepath.Join(dir, "log")
	if _, err := os.Stat(dir); err != nil {
		if err := tesseralog.Create(t.Context(), dir); err != nil {
			return nil, err
		}
	}
	l, err := tesseralog.Open(t.Context(), tesseralog.Config{Dir: dir, MaxBatch: 64, CheckpointInterval: 100 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	return l, nil
}

func TestStorage(t *testing.T) { storagetest.Test(t, open) }

func TestCreateRefusesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := tesseralog.Create(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Fatalf("Create over a file: %v", err)
	}
	if _, err := tesseralog.Open(t.Context(), tesseralog.Config{Dir: filepath.Join(dir, "none")}); err == nil {
		t.Fatal("opened a log that is not there")
	}
}

func TestOpenRefusesALostState(t *testing.T) {
	dir := t.TempDir()
	s, err := open(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(t.Context(), [][]byte{[]byte("one")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "log", ".state")); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, dir); err == nil || !strings.Contains(err.Error(), "is lost") {
		t.Fatalf("opened a log without its state: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "log", ".state")); err == nil {
		t.Fatal("made a new state")
	}
}

// A batch that a crash cut short leaves files behind which a later tree of the
// same size must not be read from.
func TestRemainsOfACrashAreNotRead(t *testing.T) {
	dir := t.TempDir()
	s, err := open(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, name := range []string{"tile/entries/000.p/2", "tile/0/000.p/2"} {
		path := filepath.Join(dir, "log", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("remains"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Append(t.Context(), [][]byte{[]byte("a"), []byte("b"), []byte("c")}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Integrated(t.Context()); err != nil {
		t.Fatal(err)
	}
	bundle, err := s.ReadEntries(t.Context(), 0, 2)
	if err != nil || len(bundle) != 6 {
		t.Fatalf("ReadEntries(0, 2) = %q, %v", bundle, err)
	}
	if _, err := s.ReadTile(t.Context(), 0, 0, 2); err != nil {
		t.Fatal(err)
	}
}
