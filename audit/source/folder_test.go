//go:build unix

package source_test

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/pack"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// A folder is read as a log is, and nothing outside of it, nothing endless and nothing
// that would have to be waited for.
func TestFolder(t *testing.T) {
	log, root := newLog(t)
	dir := t.TempDir()
	write := func(path string, data []byte) {
		t.Helper()
		name := filepath.Join(dir, path)
		must(t, os.MkdirAll(filepath.Dir(name), 0o755))
		must(t, os.WriteFile(name, data, 0o644))
	}
	serves := func(path string) []byte {
		r := httptest.NewRecorder()
		log.ServeHTTP(r, httptest.NewRequest("GET", "/"+path, nil))
		return r.Body.Bytes()
	}
	packPath := pack.Path(proofs.TileID{Level: proofs.EntriesLevel, Width: logSize})
	paths := []string{"checkpoint", proofs.TileID{Width: logSize}.Path(), proofs.EntriesPath(0, logSize), packPath, "blob/sha256/" + tuf.Sum(root).String()}
	for _, path := range paths {
		write(path, serves(path))
	}
	f, err := source.OpenFolder(dir)
	must(t, err)
	defer f.Close()
	read := map[string]func() ([]byte, error){
		paths[0]: func() ([]byte, error) { return f.Checkpoint(t.Context()) },
		paths[1]: func() ([]byte, error) { return f.Tile(t.Context(), 0, 0, logSize) },
		paths[2]: func() ([]byte, error) { return f.Entries(t.Context(), 0, logSize) },
		paths[3]: func() ([]byte, error) { return f.Pack(t.Context(), 0, logSize) },
		paths[4]: func() ([]byte, error) { return f.Blob(t.Context(), tuf.Sum(root)) },
	}
	most := map[string]int{paths[0]: proofs.MaxNoteSize, paths[1]: logSize * 32, paths[2]: audit.MaxBundle, paths[3]: pack.MaxSize, paths[4]: tuf.MaxFileSize}
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.WriteFile(outside, []byte("a secret"), 0o600))
	for path, get := range read {
		if got, err := get(); err != nil || !bytes.Equal(got, serves(path)) {
			t.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
		name := filepath.Join(dir, path)
		for what, put := range map[string]struct {
			put  func() error
			is   error // that it wraps
			says string
		}{
			"not there":            {func() error { return nil }, audit.ErrNotFound, strings.TrimSuffix(path, ".p/5")},
			"too long":             {func() error { return os.Truncate(create(t, name), int64(most[path])+1) }, audit.ErrTooLarge, path},
			"a link out of it":     {func() error { return os.Symlink(outside, name) }, nil, "escapes"},
			"a link to an endless": {func() error { return os.Symlink("/dev/zero", name) }, nil, "escapes"},
			"a pipe":               {func() error { return syscall.Mkfifo(name, 0o600) }, nil, "not a regular file"},
			"a folder":             {func() error { return os.Mkdir(name, 0o700) }, nil, "not a regular file"},
		} {
			must(t, os.RemoveAll(name))
			must(t, put.put())
			got, err := get()
			if err == nil || put.is != nil && !errors.Is(err, put.is) || put.is == nil && (errors.Is(err, audit.ErrNotFound) || errors.Is(err, audit.ErrTooLarge)) || !strings.Contains(err.Error(), put.says) {
				t.Errorf("%s is %s: %d bytes, %v", path, what, len(got), err)
			}
		}
		must(t, os.RemoveAll(name))
		write(path, serves(path))
	}

	// What is partial is cut from what is full.
	for log.Size() < 256 {
		log.Append([]byte("tuflog motto v7\n"))
	}
	want := serves(paths[2])
	must(t, os.RemoveAll(filepath.Join(dir, "tile")))
	write("tile/entries/000", serves("tile/entries/000"))
	if got, err := f.Entries(t.Context(), 0, logSize); err != nil || !bytes.Equal(got, want) {
		t.Errorf("cut: %d bytes, %v", len(got), err)
	}
	if _, err := source.OpenFolder(outside); err == nil {
		t.Error("a file is a folder")
	}
}

func create(t *testing.T, name string) string {
	t.Helper()
	must(t, os.WriteFile(name, nil, 0o644))
	return name
}
