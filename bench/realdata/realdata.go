// Package realdata finds the real TUF histories and Pigweed's bundles for tests: below the
// folder that TUFLOG_DATA names. A test that asks for them is skipped where it names none.
package realdata

import (
	"archive/tar"
	"compress/gzip"
	"encoding/csv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// File is one metadata file of the real histories.
type File struct {
	Name string // path below tuf_histories; for packed ones archive.tar.gz!name
	Data []byte
}

// Histories returns the folder of the histories, or skips the test.
func Histories(t testing.TB) string {
	t.Helper()
	return folder(t, "tuf_histories", "the real TUF histories")
}

// Bundles returns the folder of the bundles that Pigweed's own tools have made, or skips
// the test.
func Bundles(t testing.TB) string {
	t.Helper()
	return folder(t, "pw_bundles", "Pigweed's bundles")
}

func folder(t testing.TB, name, what string) string {
	t.Helper()
	dir := os.Getenv("TUFLOG_DATA")
	if dir == "" {
		t.Skipf("TUFLOG_DATA does not name the directory with %s", what)
	}
	return filepath.Join(dir, name)
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

// Commit is what one commit of a history published.
type Commit struct {
	Time  time.Time
	Files []Published
}

// Published is a metadata file that a commit published.
type Published struct {
	Role    string
	Version int64 // as index.csv says
	Name    string
	Data    []byte
}

// Commits returns the commits of a history with an index.csv, in their order.
func Commits(t testing.TB, history string) []Commit {
	t.Helper()
	f, err := os.Open(filepath.Join(Histories(t), history, "index.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	content := map[string][]byte{}
	for _, file := range Files(t, history) {
		name := strings.TrimPrefix(file.Name, history+"/")
		if _, packed, ok := strings.Cut(name, "!"); ok {
			name = packed
		}
		content[name] = file.Data
	}
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	var commits []Commit
	last := ""
	for _, row := range rows[1:] {
		at := func(name string) string { return row[column[name]] }
		if commit := at("commit"); commit != last {
			when, err := time.Parse(time.RFC3339, at("date"))
			if err != nil {
				t.Fatal(err)
			}
			commits, last = append(commits, Commit{Time: when}), commit
		}
		data, ok := content[at("file")]
		if !ok {
			t.Fatalf("%s: index.csv names %s, which is not there", history, at("file"))
		}
		version, err := strconv.ParseInt(at("version"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		c := &commits[len(commits)-1]
		c.Files = append(c.Files, Published{at("role"), version, at("file"), data})
	}
	return commits
}
