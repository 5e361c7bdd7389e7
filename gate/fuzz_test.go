package gate

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/gate/client"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// staged returns a vendor's repository in a folder.
func staged(t testing.TB) string {
	t.Helper()
	v, err := testvendor.New(time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, file := range v.Files() {
		if err := os.WriteFile(filepath.Join(dir, name), file, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func stagedTar(t testing.TB) []byte {
	t.Helper()
	s, err := client.ReadStaged(staged(t))
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.Tar()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var fuzzLimits = tarLimits{bytes: 1 << 20, files: 64}

// sparseTar is a tar file whose second file has a hole of many bytes, and few that are sent
// (format 1.0 of GNU's sparse files in PAX).
func sparseTar(t testing.TB, hole int64) []byte {
	t.Helper()
	timestamp, err := os.ReadFile(filepath.Join(staged(t), timestampName))
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string, flag byte, content []byte) []byte {
		h := make([]byte, 512)
		copy(h, name)
		copy(h[100:], "0000644\x000000000\x000000000\x00"+fmt.Sprintf("%011o\x0000000000000\x00        %c", len(content), flag))
		copy(h[257:], "ustar\x0000")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
		return append(h, append(content, make([]byte, -len(content)&511)...)...)
	}
	record := func(key, value string) string {
		text := " " + key + "=" + value + "\n"
		n := len(text) + 2
		if n > 99 {
			n++
		}
		return fmt.Sprint(n) + text
	}
	attributes := record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", "1.targets.json") + record("GNU.sparse.realsize", fmt.Sprint(hole))
	holes := append([]byte(fmt.Sprintf("1\n%d\n0\n", hole)), make([]byte, 512)...)[:512]
	return slices.Concat(file(timestampName, '0', timestamp), file("PaxHeaders/x", 'x', []byte(attributes)), file("x", '0', holes), make([]byte, 1024))
}

// A few bytes do not become megabytes of zeros.
func TestReadTarWithHoles(t *testing.T) {
	b := sparseTar(t, 512<<10)
	if h, err := tar.NewReader(bytes.NewReader(b[len(b)-1024-4*512:])).Next(); err != nil || h.Size != 512<<10 {
		t.Fatalf("the test's file is not sparse: %+v, %v", h, err)
	}
	files, err := readTar(bytes.NewReader(b), fuzzLimits, func([]byte) error { return nil })
	if !refusedAs(err, client.CodeMalformed) || !strings.Contains(err.Error(), "sparse") {
		t.Errorf("%d bytes are read as %d files, %v", len(b), len(files), err)
	}
}

// Whatever comes: what is read is within the limits and no more than what was sent, the timestamp is looked at first, and an
// error is a refusal.
func FuzzReadTar(f *testing.F) {
	whole := stagedTar(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{0}, 1024))
	f.Add(sparseTar(f, 512<<10))
	f.Fuzz(func(t *testing.T, b []byte) {
		var first []byte
		looked := 0
		files, err := readTar(bytes.NewReader(b), fuzzLimits, func(timestamp []byte) error { first = timestamp; looked++; return nil })
		if err != nil {
			if !errors.As(err, new(*verify.Refusal)) {
				t.Fatalf("%v is not a refusal", err)
			}
			return
		}
		if looked != 1 || !bytes.Equal(first, files[timestampName]) || len(files) > fuzzLimits.files {
			t.Fatalf("looked %d times, %d files", looked, len(files))
		}
		all := int64(0)
		for name, file := range files {
			all += int64(len(file))
			if bytes.ContainsAny([]byte(name), "/\\") {
				t.Fatalf("a file %q", name)
			}
		}
		if all > min(fuzzLimits.bytes, int64(len(b))) {
			t.Fatalf("%d bytes", all)
		}
	})
}

func TestReadTar(t *testing.T) {
	whole := stagedTar(t)
	keep := func([]byte) error { return nil }
	files, err := readTar(bytes.NewReader(whole), fuzzLimits, keep)
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	if _, err := readTar(bytes.NewReader(whole), tarLimits{bytes: 1 << 20, files: 3}, keep); !refusedAs(err, client.CodeTooLarge) {
		t.Errorf("4 files of 3: %v", err)
	}
	if _, err := readTar(bytes.NewReader(whole), tarLimits{bytes: 1000, files: 64}, keep); !refusedAs(err, client.CodeTooLarge) {
		t.Errorf("too many bytes: %v", err)
	}
	endless := bytes.NewReader(slices.Concat(whole[:len(whole)-1024], bytes.Repeat(whole[:512], 1<<13)))
	if _, err := readTar(endless, fuzzLimits, keep); err == nil {
		t.Error("the same header for ever is read")
	}
	if _, err := readTar(bytes.NewReader(whole), fuzzLimits, func([]byte) error { return errSigned }); !errors.Is(err, errSigned) {
		t.Errorf("the first look: %v", err)
	}
	if _, err := readTar(iotest.TimeoutReader(iotest.OneByteReader(bytes.NewReader(whole))), fuzzLimits, keep); !errors.Is(err, iotest.ErrTimeout) {
		t.Errorf("a connection that fails: %v", err)
	}
}

func refusedAs(err error, code verify.Code) bool {
	var r *verify.Refusal
	return errors.As(err, &r) && r.Code == code
}

// Whatever is in the file: what is read is a timestamp, and printed it is the same file.
func FuzzRecord(f *testing.F) {
	timestamp, err := os.ReadFile(filepath.Join(staged(f), timestampName))
	if err != nil {
		f.Fatal(err)
	}
	id := tuf.Sum([]byte("a repository"))
	f.Add(marshalRecord(id, timestamp))
	f.Add(marshalRecord(tuf.Digest{}, timestamp))
	f.Add([]byte(recordHead))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseRecord(id, b)
		if err != nil {
			return
		}
		if m.Timestamp == nil || !bytes.Equal(marshalRecord(id, m.File), b) {
			t.Fatalf("version %d, read from another file", m.Version)
		}
	})
}

func FuzzParseURLRequest(f *testing.F) {
	f.Add([]byte(`{"url": "https://staging.example/metadata/"}`))
	f.Add([]byte(`{"url": "https://staging.example/metadata/../x"}{}`))
	list := []string{"https://staging.example/metadata/"}
	f.Fuzz(func(t *testing.T, b []byte) {
		url, err := parseURLRequest(b)
		if err == nil && allowed(list, url) && (len(url) < len(list[0]) || url[:len(list[0])] != list[0]) {
			t.Fatalf("%q is allowed", url)
		}
	})
}
