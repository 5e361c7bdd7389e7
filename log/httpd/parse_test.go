package httpd

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
	"github.com/tuflog/tuflog/log/intake"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/tuf"
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
		if slices.ContainsFunc(files, func(u intake.Uploaded) bool { return len(u.Name) > maxFileName }) {
			t.Fatal("a long name")
		}
		for _, u := range files {
			if u.Name == "" || strings.ContainsAny(u.Name, "/\\\x00") || names[u.Name] || len(u.Data) > tuf.MaxFileSize {
				t.Fatalf("file %q of %d bytes", u.Name, len(u.Data))
			}
			names[u.Name] = true
			total += len(u.Data)
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
		if got := PreferredWait(http.Header{"Prefer": {header}}); got != want {
			t.Errorf("Prefer: %s: %v, want %v", header, got, want)
		}
	}
}

// A large submission that is not decided keeps only other large ones waiting, and
// none of the holders of tokens. The memory of its files, when they are read, counts.
func TestLargeSubmissionsAreReadAlone(t *testing.T) {
	const room = 1 << 30
	from := quotas(quota.Config{}, quota.Limits{Memory: quota.Pool{Capacity: room, Share: room}}, "")
	s := New(nil, Config{}, from)
	free := func(n int64) bool {
		ok := from.Memory.Take(quota.Source{}, n)
		if ok {
			from.Memory.GiveBack(quota.Source{}, n)
		}
		return ok
	}
	if err := s.large.Enter(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	text := fmt.Appendf(nil, `{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z","x":"%s","targets":{}}}`,
		bytes.Repeat([]byte("x"), quota.LargeSubmission))
	small, large := []intake.Uploaded{{Name: "a.json", Data: make([]byte, quota.LargeSubmission-1)}}, []intake.Uploaded{{Name: "a.json", Data: nil}, {Name: "targets.json", Data: text}}
	parse := func(ctx context.Context, from quota.Source, uploads []intake.Uploaded) (*held, *problem) {
		h := &held{s: s, from: from}
		_, p := s.parse(ctx, h, uploads)
		if p != nil {
			h.release()
		}
		return h, p
	}
	h, p := parse(t.Context(), quota.Source{Key: "a"}, small)
	if p != nil {
		t.Fatalf("a small one: %v", p.Detail)
	}
	h.release()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, p := parse(ctx, quota.Source{Key: "a"}, large); p == nil || p.Status != http.StatusServiceUnavailable {
		t.Errorf("a second large one is read at the same time")
	}
	holders, p := parse(t.Context(), quota.Source{Key: "token", Holder: true}, large)
	if p != nil {
		t.Fatalf("of one who has a token: %v", p.Detail)
	}
	if free(room-2*quota.LargeSubmission) || !free(room-3*quota.LargeSubmission) {
		t.Error("what was read does not count")
	}
	holders.release()
	s.large.Leave()
	if h, p = parse(t.Context(), quota.Source{Key: "a"}, large); p != nil {
		t.Fatalf("a large one after the other: %v", p.Detail)
	}
	h.release()
	if s.large.Busy() || s.largeOfHolders.Busy() || !free(room) {
		t.Error("something is not given back")
	}

	// Where there is not enough room for them, others go on.
	if !from.Memory.Take(quota.Source{}, room-quota.LargeSubmission) {
		t.Fatal("no room")
	}
	if _, p := parse(t.Context(), quota.Source{Key: "a"}, large); p == nil || p.Status != http.StatusServiceUnavailable || s.large.Busy() {
		t.Errorf("got %v", p)
	}
}
