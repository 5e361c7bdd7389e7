package log

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
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
		if slices.ContainsFunc(files, func(u uploaded) bool { return len(u.name) > maxFileName }) {
			t.Fatal("a long name")
		}
		for _, u := range files {
			if u.name == "" || strings.ContainsAny(u.name, "/\\\x00") || names[u.name] || len(u.data) > verify.MaxFileSize {
				t.Fatalf("file %q of %d bytes", u.name, len(u.data))
			}
			names[u.name] = true
			total += len(u.data)
		}
		if total > len(b) {
			t.Fatalf("%d bytes come out of %d", total, len(b))
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

// Large submissions take the room of several small ones.
func TestSubmissionsAreBoundedInSize(t *testing.T) {
	m := submissions{limit: 100}
	many := make([]uploaded, api.MaxFiles)
	for i := range many {
		many[i] = uploaded{fmt.Sprint(i, strings.Repeat("x", maxFileName-10)), nil}
	}
	var last *submission
	for range 5 {
		last = newSubmission(many, nil)
		m.add(last)
	}
	if _, ok := m.get(last.id); !ok || len(m.byID) != 1 || len(m.order) != 1 || m.bytes != last.size() {
		t.Errorf("%d are remembered, of %d bytes", len(m.byID), m.bytes)
	}
	// What is said about a file is short, however long its names are.
	for _, f := range last.files {
		if f.status != api.StatusRefused || len(f.detail) > maxDetail+len("…") {
			t.Fatalf("%s: %d bytes: %.100s", f.status, len(f.detail), f.detail)
		}
	}
	for range 200 {
		m.add(newSubmission(nil, nil))
	}
	if len(m.byID) != 100 || len(m.order) != 100 {
		t.Errorf("%d are remembered", len(m.byID))
	}
}

// A large submission that is being read keeps only other large ones waiting.
func TestLargeSubmissionsAreReadAlone(t *testing.T) {
	from, _ := quotas(HTTPConfig{}, Limits{}, "")
	s := newServer(&Log{}, from)
	h := &held{s: s}
	if !s.large.TryAcquire(1) {
		t.Fatal("somebody reads a large submission")
	}
	small, large := []uploaded{{"a.json", make([]byte, largeSubmission-1)}}, []uploaded{{"a.json", nil}, {"b.json", make([]byte, largeSubmission)}}
	if _, p := s.parse(t.Context(), h, small); p != nil {
		t.Errorf("a small one: %v", p.Detail)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, p := s.parse(ctx, h, large); p == nil || p.Status != http.StatusServiceUnavailable {
		t.Errorf("a second large one is read at the same time")
	}
	s.large.Release(1)
	if _, p := s.parse(t.Context(), h, large); p != nil {
		t.Errorf("a large one after the other: %v", p.Detail)
	}
}
