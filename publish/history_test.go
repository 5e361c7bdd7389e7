package publish

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/tuf"
)

func pack(t *testing.T, path string, files map[string]string) {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, data := range files {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	write(t, path, b.Bytes())
}

func TestReadHistory(t *testing.T) {
	dir := t.TempDir()
	pack(t, filepath.Join(dir, "bins.tar.gz"), map[string]string{"bin-0/1.bin-0.json": "zero", "./bin-1/1.bin-1.json": "one", "bin-2/unlisted.json": "two"})
	write(t, filepath.Join(dir, "a/1.a.json"), []byte("a"))
	index := "commit,sha256,version,role,file,more\n"
	for _, f := range [][3]string{{"a/1.a.json", "a", "a"}, {"bin-0/1.bin-0.json", "bin-0", "zero"}, {"bin-1/1.bin-1.json", "bin-1", "one"}} {
		index += fmt.Sprintf("c1,%v,1,%s,%s,\"x,y\"\n", tuf.Sum([]byte(f[2])), f[1], f[0])
	}
	write(t, filepath.Join(dir, "index.csv"), []byte(index))
	h, err := ReadHistory(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range h.files {
		got = append(got, fmt.Sprint(f.name, " ", f.role, " ", f.version, " ", string(f.data)))
	}
	want := "a/1.a.json a 1 a; bin-0/1.bin-0.json bin-0 1 zero; bin-1/1.bin-1.json bin-1 1 one"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got %s, want %s", s, want)
	}

	// What an index must not say.
	for name, change := range map[string]func(string) string{
		"gone":     func(s string) string { return strings.Replace(s, "bin-1/1", "bin-1/7", 1) },
		"outside":  func(s string) string { return strings.Replace(s, "a/1.a", "../1.a", 1) },
		"absolute": func(s string) string { return strings.Replace(s, "a/1.a", "/1.a", 1) },
		"other bytes": func(s string) string {
			return strings.Replace(s, tuf.Sum([]byte("a")).String(), tuf.Sum([]byte("b")).String(), 1)
		},
		"no digest":   func(s string) string { return strings.Replace(s, tuf.Sum([]byte("a")).String(), "", 1) },
		"no role":     func(s string) string { return strings.Replace(s, ",bin-0,", ",,", 1) },
		"no number":   func(s string) string { return strings.Replace(s, ",1,", ",one,", 1) },
		"no column":   func(s string) string { return strings.Replace(s, "commit", "date", 1) },
		"two columns": func(s string) string { return strings.Replace(s, "more", "role", 1) },
		"cut short":   func(s string) string { return s[:len(s)-3] },
		"torn commit": func(s string) string {
			return s + strings.Replace(strings.Split(s, "\n")[1], "c1", "c2", 1) + "\n" + strings.Split(s, "\n")[2] + "\n"
		},
		"empty": func(string) string { return "" },
		// As a spreadsheet saves it.
		"byte order mark": func(s string) string { return "\xef\xbb\xbf" + s },
		"semicolons":      func(s string) string { return strings.ReplaceAll(s, ",", ";") },
	} {
		write(t, filepath.Join(dir, "index.csv"), []byte(change(index)))
		want := ""
		if name == "byte order mark" || name == "semicolons" {
			want = name
		}
		if _, err := ReadHistory(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "index.csv")); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadHistory(dir); err == nil {
		t.Error("read a history without index")
	}
	write(t, filepath.Join(dir, "index.csv"), []byte(index))
	pack(t, filepath.Join(dir, "other.tar.gz"), map[string]string{"bin-0/1.bin-0.json": "zero"})
	if _, err := ReadHistory(dir); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("packed twice: %v", err)
	}
}

func TestStagesKeepVersionsApart(t *testing.T) {
	var entries []entry
	for i := range 200 {
		entries = append(entries, entry{fmt.Sprint("c", i), "timestamp", i/2 + 1, timestampFile(i/2+1, key(fmt.Sprint("other", i%2)))})
	}
	entries = append(entries, entry{"r", "root", 1, rootFile(1, "r1", "k1", "r1")}, entry{"r", "timestamp", 1, timestampFile(1, "other2")}, entry{"s", "snapshot", 1, snapshotFile(1, "k1", nil)})
	h := readHistory(t, entries...)
	stages := newJob(Config{}, h.files).stages(h.files)
	n := 0
	for _, stage := range stages {
		n += len(stage)
		names := map[string]bool{}
		for _, f := range stage {
			if names[f.sent()] {
				t.Errorf("two files called %s in one stage", f.sent())
			}
			names[f.sent()] = true
		}
		if len(stage) > maxBatchFiles {
			t.Errorf("a stage of %d files", len(stage))
		}
	}
	last := stages[len(stages)-2:]
	if n != h.Len() || len(last[0]) != 2 || len(last[1]) != 1 {
		t.Errorf("%d files of %d; the last stages have %d and %d", n, h.Len(), len(last[0]), len(last[1]))
	}
}

func FuzzParseIndex(f *testing.F) {
	sum := tuf.Sum(nil).String()
	f.Add([]byte("file,role,version,sha256,commit,date\na/1.json,a,1," + sum + ",c1,d\n"))
	f.Add([]byte("commit,sha256,version,role,file\nc,\"" + sum + "\",-1,\"a\"\"b\",x\n"))
	f.Add([]byte("file,role,version,sha256,commit\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		rows, err := parseIndex(b)
		if err != nil {
			return
		}
		for _, row := range rows {
			if row.role == "" || strings.HasPrefix(row.file, "/") || strings.Contains("/"+row.file+"/", "/../") {
				t.Fatalf("row %+v", row)
			}
		}
	})
}
