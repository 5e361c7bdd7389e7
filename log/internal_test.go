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
		if slices.ContainsFunc(files, func(u uploaded) bool { return len(u.name) > maxFileName }) {
			t.Fatal("a long name")
		}
		for _, u := range files {
			if u.name == "" || strings.ContainsAny(u.name, "/\\\x00") || names[u.name] || len(u.data) > tuf.MaxFileSize {
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

// A large submission that is not decided keeps only other large ones waiting, and
// none of those who have a token. What its files take when they are read counts.
func TestLargeSubmissionsAreReadAlone(t *testing.T) {
	const room = 1 << 30
	from, _ := quotas(HTTPConfig{}, Limits{Memory: Pool{Capacity: room, Share: room}}, "")
	s := newServer(&Log{}, ServerConfig{}, from)
	free := func(n int64) bool {
		ok := from.memory.take(source{}, n)
		if ok {
			from.memory.giveBack(source{}, n)
		}
		return ok
	}
	if err := s.large.enter(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	text := fmt.Appendf(nil, `{"signatures":[],"signed":{"_type":"targets","spec_version":"1.0","version":1,"expires":"2030-01-02T03:04:05Z","x":"%s","targets":{}}}`,
		bytes.Repeat([]byte("x"), largeSubmission))
	small, large := []uploaded{{"a.json", make([]byte, largeSubmission-1)}}, []uploaded{{"a.json", nil}, {"targets.json", text}}
	parse := func(ctx context.Context, from source, uploads []uploaded) (*held, *problem) {
		h := &held{s: s, from: from}
		_, p := s.parse(ctx, h, uploads)
		if p != nil {
			h.release()
		}
		return h, p
	}
	h, p := parse(t.Context(), source{key: "a"}, small)
	if p != nil {
		t.Fatalf("a small one: %v", p.Detail)
	}
	h.release()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, p := parse(ctx, source{key: "a"}, large); p == nil || p.Status != http.StatusServiceUnavailable {
		t.Errorf("a second large one is read at the same time")
	}
	holders, p := parse(t.Context(), source{key: "token", holder: true}, large)
	if p != nil {
		t.Fatalf("of one who has a token: %v", p.Detail)
	}
	if free(room-2*largeSubmission) || !free(room-3*largeSubmission) {
		t.Error("what was read does not count")
	}
	holders.release()
	s.large.leave()
	if h, p = parse(t.Context(), source{key: "a"}, large); p != nil {
		t.Fatalf("a large one after the other: %v", p.Detail)
	}
	h.release()
	if s.large.taken || s.largeOfHolders.taken || !free(room) {
		t.Error("something is not given back")
	}

	// Where there is no room for what they take, others go on.
	if !from.memory.take(source{}, room-largeSubmission) {
		t.Fatal("no room")
	}
	if _, p := parse(t.Context(), source{key: "a"}, large); p == nil || p.Status != http.StatusServiceUnavailable || s.large.taken {
		t.Errorf("got %v", p)
	}
}

// Of the held files that wait to be judged no source has more than its share.
func TestDueFilesOfASource(t *testing.T) {
	k := &keeper{judging: map[string]string{}, again: map[string]time.Time{"a 0": {}}}
	begun := map[string]int{}
	for i := range 100 {
		for _, source := range []string{"a", "b", "c", "d", "e"} {
			if k.begin(Held{ID: fmt.Sprint(source, " ", i), Source: source}) {
				begun[source]++
			}
		}
	}
	for source, n := range map[string]int{"a": 12, "b": 13, "c": 13, "d": 13, "e": 13} {
		if begun[source] != n {
			t.Errorf("%d of %s, want %d", begun[source], source, n)
		}
	}
	clear(k.judging)
	for i := range 100 {
		if k.begin(Held{ID: fmt.Sprint("a ", 1+i), Source: "a"}) != (i < dueOfSource) {
			t.Fatalf("the %dth of a source alone", i)
		}
	}
}

// What was judged before an entry of another front end came is judged again: it may be
// the very same release, which would be in the log twice.
func TestStaleJudgementsAreNotAppended(t *testing.T) {
	in := &intake{} // no storage that it could append to
	stale := &candidate{sub: &submission{}}
	in.strangers.Add(1)
	fresh := &candidate{sub: &submission{}, seen: in.strangers.Load()}
	late := []judged{{candidate: stale}, {candidate: fresh}, {}}
	in.checkLate(t.Context(), late)
	if late[0].candidate != nil || late[1].candidate != fresh {
		t.Errorf("after an entry that was no candidate late judgements are %+v", late)
	}
	if err := in.append(t.Context(), []*candidate{stale}); err != nil || stale.done {
		t.Errorf("a stale candidate: %v, done %v", err, stale.done)
	}
}
