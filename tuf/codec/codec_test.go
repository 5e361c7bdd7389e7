package codec_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/bench/testpigweed"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/codec"
)

const jsonTargets = `{"signatures":[],"signed":{"_type":"targets","expires":"2030-01-01T00:00:00Z","spec_version":"1.0","targets":{},"version":3}}`

func pigweedTargets(t testing.TB) []byte {
	t.Helper()
	key, err := testpigweed.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	file, err := testpigweed.Targets(3, map[string][]byte{"app": []byte("content")}, key)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestParse(t *testing.T) {
	pigweed := pigweedTargets(t)
	for _, tt := range []struct {
		encoding tuf.Encoding
		file     []byte
		ok       bool
	}{
		{tuf.JSON, []byte(jsonTargets), true}, {tuf.Pigweed, pigweed, true},
		{tuf.JSON, pigweed, false}, {tuf.Pigweed, []byte(jsonTargets), false}, {"xml", pigweed, false}, {"", []byte(jsonTargets), false},
	} {
		m, err := codec.Parse(tt.encoding, tt.file)
		known, knownErr := codec.ParseKnown(tt.encoding, tt.file, tuf.Sum(tt.file))
		if (err == nil) != tt.ok || (knownErr == nil) != tt.ok {
			t.Errorf("%s: %.20q: %v, %v", tt.encoding, tt.file, err, knownErr)
			continue
		}
		if !tt.ok {
			continue
		}
		if m.Encoding != tt.encoding || m.Version != 3 || known.FileDigest != m.FileDigest || known.PayloadDigest != m.PayloadDigest || m.FileDigest != tuf.Sum(tt.file) {
			t.Errorf("%s: read as %s %d, %v and %v", tt.encoding, m.Encoding, m.Version, m.FileDigest, known.FileDigest)
		}
		if any, err := codec.ParseAny(tt.file); err != nil || any.Encoding != tt.encoding {
			t.Errorf("%s is read as any: %v", tt.encoding, err)
		}
	}
	if _, err := codec.ParseAny([]byte("neither")); err == nil {
		t.Error("what is neither is read")
	}
}

// FuzzParseAny: no file is in two encodings, and which it is in does not depend on how it is
// asked for.
func FuzzParseAny(f *testing.F) {
	f.Add([]byte(jsonTargets))
	f.Add(pigweedTargets(f))
	f.Add([]byte("\n{\"signatures\":[]}"))
	if dir := os.Getenv("TUFLOG_DATA"); dir != "" {
		roots, err := filepath.Glob(filepath.Join(realdata.Bundles(f), "root_*.pb"))
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range roots {
			root, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(root)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		before := bytes.Clone(file)
		m, err := codec.ParseAny(file)
		read := 0
		for _, encoding := range []tuf.Encoding{tuf.JSON, tuf.Pigweed} {
			as, asErr := codec.Parse(encoding, file)
			if asErr != nil {
				continue
			}
			read++
			if err != nil || m.Encoding != encoding || m.PayloadDigest != as.PayloadDigest || m.Type != as.Type || m.Version != as.Version {
				t.Fatalf("as %s it is %s %d, as any %v", encoding, as.Type, as.Version, fmt.Sprint(m, err))
			}
		}
		if read > 1 || read == 0 && err == nil {
			t.Fatalf("it is in %d encodings, %v", read, err)
		}
		if !bytes.Equal(file, before) {
			t.Fatal("reading changed the file")
		}
	})
}
