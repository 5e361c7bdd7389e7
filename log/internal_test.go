package log

import (
	"archive/tar"
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/verify"
)

func FuzzUntar(f *testing.F) {
	for _, names := range [][]string{{}, {"1.root.json"}, {"a", "b", "ö.json"}, {"a", "a"}, {"x/y"}} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range names {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 3}); err != nil {
				f.Fatal(err)
			}
			if _, err := w.Write([]byte("abc")); err != nil {
				f.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		files, p := untar(b)
		if p != nil {
			if p.Status != 400 && p.Status != 413 {
				t.Fatalf("status %d", p.Status)
			}
			return
		}
		if len(files) == 0 || len(files) > api.MaxFiles {
			t.Fatalf("%d files", len(files))
		}
		total, names := 0, map[string]bool{}
		for _, u := range files {
			if u.name == "" || strings.ContainsAny(u.name, "/\\\x00") || names[u.name] || len(u.data) > verify.MaxFileSize {
				t.Fatalf("file %q of %d bytes", u.name, len(u.data))
			}
			names[u.name] = true
			total += len(u.data)
		}
		if total > api.MaxSubmission {
			t.Fatalf("%d bytes", total)
		}
	})
}

func TestPreferredWait(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"":                         10 * time.Second,
		"wait=0":                   0,
		"wait=3":                   3 * time.Second,
		"Wait = 3":                 3 * time.Second,
		`wait="3"`:                 3 * time.Second,
		"respond-async, wait=7":    7 * time.Second,
		"respond-async; wait=7":    7 * time.Second,
		"wait=60":                  time.Minute,
		"wait=61":                  time.Minute,
		"wait=9223372036854775807": time.Minute,
		"wait=-1":                  10 * time.Second,
		"wait=1e3":                 10 * time.Second,
		"waiting=1":                10 * time.Second,
	} {
		if got := preferredWait(http.Header{"Prefer": {header}}); got != want {
			t.Errorf("Prefer: %s: %v, want %v", header, got, want)
		}
	}
}

// The oldest submissions are forgotten, and each is remembered once.
func TestSubmissionsAreBounded(t *testing.T) {
	m := submissions{limit: 3}
	var all []*submission
	for range 5 {
		s := newSubmission(nil, nil)
		all = append(all, s)
		m.add(s)
		m.add(s)
	}
	for i, s := range all {
		if _, ok := m.get(s.id); ok != (i >= 2) {
			t.Errorf("submission %d of 5: remembered %v", i, ok)
		}
	}
}
