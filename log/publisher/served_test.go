package publisher

import (
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// A checkpoint that cannot be written is kept in memory, and Trouble says so until it is
// written.
func TestServedCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	s, err := OpenServed(filepath.Join(dir, "served"), nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil || s.Trouble() != nil {
		t.Fatalf("opened: %v, %v", err, s.Trouble())
	}
	p := log.Published{Tree: proofs.Tree{N: 3}, Note: []byte("a note\n")}
	s.Keep(p)
	s.Close()
	if err := s.Trouble(); !errors.Is(err, fs.ErrNotExist) || s.Newest().Tree != p.Tree {
		t.Errorf("without its directory: %v, newest %v", err, s.Newest().Tree)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s.Close() // as a later try does
	if b, err := os.ReadFile(s.path); err != nil || string(b) != "a note\n" || s.Trouble() != nil {
		t.Errorf("with its directory: %q, %v, %v", b, err, s.Trouble())
	}
}
