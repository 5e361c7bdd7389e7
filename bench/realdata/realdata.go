// Package realdata finds the real TUF histories for tests: below the folder that
// TUFLOG_DATA names. A test that asks for them is skipped where it names none.
package realdata

import (
	"archive/tar"
	"compress/gzip"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// File is one metadata file of the real histories.
type File struct {
	Name string // path below tuf_histories; for packed ones archive.tar.gz!name
	Data []byte
}

// Histories returns the folder of the histories, or skips the test.
func Histories(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("TUFLOG_DATA")
	if dir == "" {
		t.Skip("TUFLOG_DATA does not name the directory with the real TUF histories")
	}
	return filepath.Join(dir, "tuf_histories")
}

// Files returns every JSON file of the real histories below a directory.
func Files(t testing.TB, below string) []File {
	t.Helper()
	base := Histories(t)
	var files []File
	err := filepath.WalkDir(filepath.Join(base, below), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		name, err := filepath.Rel(base, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if strings.HasSuffix(name, ".tar.gz") {
			packed, err := unpack(path, name)
			files = append(files, packed...)
			return err
		}
		if !strings.HasSuffix(name, ".json") {
			return nil
		}
		data, err := os.ReadFile(path)
		files = append(files, File{name, data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func unpack(path, name string) ([]File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	var files []File
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg || !strings.HasSuffix(h.Name, ".json") {
			continue
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		files = append(files, File{name + "!" + h.Name, data})
	}
}
