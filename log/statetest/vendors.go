package statetest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/tuf"
)

// TestTokens checks an implementation of log.Tokens that is empty. reopen returns it
// as another process opens it.
func TestTokens(t *testing.T, tokens log.Tokens, reopen func() log.Tokens) {
	ctx := t.Context()
	a, b := tuf.Sum([]byte("a")), tuf.Sum([]byte("b"))
	made := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	want := []log.Token{
		log.NewToken(a, "first", log.ByRegistration, made),
		log.NewToken(a, "second", log.ByOperator, made.Add(time.Hour)),
		log.NewToken(b, "second", log.ByOperator, made),
	}
	slices.SortStableFunc(want, func(x, y log.Token) int { return bytes.Compare(x.Repository[:], y.Repository[:]) })
	list := func(s log.Tokens) int64 {
		t.Helper()
		got, changes, err := s.Tokens(ctx)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("tokens %+v, %v; want %+v", got, err, want)
		}
		if n, err := s.TokenChanges(ctx); err != nil || n != changes {
			t.Fatalf("changes %d, %v; want %d", n, err, changes)
		}
		return changes
	}
	all := want
	want = nil
	before := list(tokens)
	for _, token := range all {
		for _, first := range []bool{true, false} {
			if added, err := tokens.AddToken(ctx, token); err != nil || added != first {
				t.Fatalf("added %v, %v; want %v", added, err, first)
			}
		}
	}
	want = all
	after := list(tokens)
	if after == before {
		t.Error("adding tokens does not show in the number of changes")
	}
	other := reopen()
	if list(other) != after {
		t.Error("another process sees another number of changes")
	}
	for _, there := range []bool{true, false} {
		if removed, err := other.RemoveToken(ctx, all[0].Repository, all[0].Hash); err != nil || removed != there {
			t.Fatalf("removed %v, %v; want %v", removed, err, there)
		}
	}
	want = all[1:]
	if list(tokens) == after {
		t.Error("removing a token does not show in the number of changes")
	}
}

// TestLostChanges tests that tokens can be read, and change, where lose has taken away the
// row that counts their changes.
func TestLostChanges(t *testing.T, tokens log.Tokens, lose func()) {
	ctx := t.Context()
	read := func() (int, int64) {
		t.Helper()
		list, changes, err := tokens.Tokens(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := tokens.TokenChanges(ctx); err != nil || n != changes {
			t.Fatalf("changes %d, %v; want %d", n, err, changes)
		}
		return len(list), changes
	}
	had, before := read()
	lose()
	if n, changes := read(); n != had || changes == before {
		t.Errorf("without the row: %d tokens, change %d; before %d, change %d", n, changes, had, before)
	}
	last := int64(0)
	for i := range 2 {
		if added, err := tokens.AddToken(ctx, log.NewToken(tuf.Digest{7}, string(rune('a'+i)), log.ByOperator, time.UnixMilli(1))); err != nil || !added {
			t.Fatalf("added: %v, %v", added, err)
		}
		n, changes := read()
		if n != had+1+i || changes <= before || changes == last {
			t.Errorf("after change %d: %d tokens, change %d; before %d, change %d", i, n, changes, had, last)
		}
		last = changes
	}
}

// TestHolds checks an implementation of log.Holds that is empty. reopen returns it as
// another process opens it.
func TestHolds(t *testing.T, holds log.Holds, reopen func() log.Holds) {
	s := &holdSuite{T: t, holds: holds, reopen: reopen, start: time.Date(2030, 1, 1, 0, 0, 0, 123e6, time.UTC)}
	s.testSame()
	s.testRoom()
	s.testDue()
	s.testSettled()
	s.testForgotten()
}

// holdSuite is a run of TestHolds.
type holdSuite struct {
	*testing.T
	holds  log.Holds
	reopen func() log.Holds
	start  time.Time
	n      int        // files made
	kept   []log.Held // in the order in which they were made
}

// holdRoom is the room that each file is held in.
var holdRoom = log.HoldRoom{Files: 5, Bytes: 1000, SourceFiles: 3, SourceBytes: 400, AllFiles: 7, AllBytes: 2000, AllSourceFiles: 4, AllSourceBytes: 690}

// file makes a file to hold, which is due an hour after the one before.
func (s *holdSuite) file(repository, source string, size int64) log.Held {
	s.n++
	return log.Held{
		ID: fmt.Sprintf("%032x", s.n), Repository: tuf.Sum([]byte(repository)), Role: "röle/\x01", Version: 7, Name: "7.röle.json", Kind: leaf.Release,
		Source: source, Size: size, Since: s.start, Until: s.start.Add(time.Duration(s.n) * time.Hour), Outcome: log.Outcome{Index: -1},
	}
}

// hold holds a file, and wants this error.
func (s *holdSuite) hold(h log.Held, want error) {
	s.Helper()
	got, err := s.holds.Hold(s.Context(), h, []byte("file of "+h.ID), []byte("snapshot"), holdRoom)
	if !errors.Is(err, want) || err == nil && got != h {
		s.Fatalf("held %+v, %v; want %+v, %v", got, err, h, want)
	}
}

// keep holds files for the following steps.
func (s *holdSuite) keep(files ...log.Held) {
	s.Helper()
	for _, h := range files {
		s.hold(h, nil)
	}
	s.kept = append(s.kept, files...)
}

// listed wants these of the kept files to be listed.
func (s *holdSuite) listed(in log.Holds, kept ...int) {
	s.Helper()
	got, err := in.ListHeld(s.Context())
	if want := s.some(kept); err != nil || !slices.Equal(got, want) {
		s.Fatalf("held are %+v, %v; want %+v", got, err, want)
	}
}

// due wants these of the kept files to be due.
func (s *holdSuite) due(at time.Time, kept ...int) {
	s.Helper()
	got, err := s.holds.DueHolds(s.Context(), at, 3)
	if want := s.some(kept); err != nil || !slices.Equal(got, want) {
		s.Fatalf("due at %v are %+v, %v; want %+v", at, got, err, want)
	}
}

func (s *holdSuite) some(kept []int) (list []log.Held) {
	for _, i := range kept {
		list = append(list, s.kept[i])
	}
	return list
}

// testSame holds the same file again: it is the same row, from any sender at any time.
func (s *holdSuite) testSame() {
	first := s.file("r", "net 1", 100)
	s.keep(first)
	again := first
	again.Source, again.Until = "net 2", s.start.Add(99*time.Hour)
	if got, err := s.holds.Hold(s.Context(), again, []byte("x"), nil, holdRoom); err != nil || got != first {
		s.Fatalf("held again: %+v, %v", got, err)
	}
	file, snapshot, err := s.reopen().HeldFiles(s.Context(), first.ID)
	if err != nil || string(file) != "file of "+first.ID || string(snapshot) != "snapshot" {
		s.Fatalf("its files: %q, %q, %v", file, snapshot, err)
	}
}

// testRoom fills the room of a source, of a repository and of all.
func (s *holdSuite) testRoom() {
	s.hold(s.file("r", "net 1", 301), log.ErrHoldShare)
	s.keep(s.file("r", "net 1", 100), s.file("r", "net 1", 100))
	s.hold(s.file("r", "net 1", 1), log.ErrHoldShare)
	s.keep(s.file("r", "", 399))
	s.hold(s.file("r", "net 4", 302), log.ErrHoldFull)
	s.keep(s.file("r", "net 3", 1))
	s.hold(s.file("r", "net 4", 1), log.ErrHoldFull)
	s.hold(s.file("s", "net 1", 391), log.ErrHoldShare) // of the bytes in all repositories
	s.keep(s.file("s", "net 1", 380))
	s.hold(s.file("q", "net 1", 1), log.ErrHoldShare) // of the files in all repositories
	s.keep(s.file("s", "net 2", 400))
	s.hold(s.file("q", "net 5", 1), log.ErrHoldFull)
	s.listed(s.reopen(), 0, 1, 2, 3, 4, 5, 6)
}

// testDue asks for files that are due, by time or because they were released or their version
// was logged.
func (s *holdSuite) testDue() {
	ctx, sixth, seventh := s.Context(), &s.kept[5], &s.kept[6]
	s.due(s.kept[0].Until.Add(-time.Millisecond))
	s.due(s.kept[0].Until, 0)
	s.due(s.start.Add(100*time.Hour), 0, 3, 4) // the first of each source before others'
	s.due(s.kept[1].Until, 0, 1)
	if ok, err := s.reopen().ReleaseHold(ctx, seventh.ID, s.start); err != nil || !ok {
		s.Fatalf("released: %v, %v", ok, err)
	}
	seventh.Until = s.start
	s.due(s.start, 6)
	check(s.T, s.holds.EndHolds(ctx, sixth.Repository, sixth.Role, 8, s.start))
	check(s.T, s.holds.EndHolds(ctx, sixth.Repository, "other", 7, s.start))
	check(s.T, s.holds.EndHolds(ctx, sixth.Repository, sixth.Role, 7, s.start))
	sixth.Until = s.start
	s.due(s.start, 5, 6)
}

// testSettled ends the hold of the first file, which then says how, for a while.
func (s *holdSuite) testSettled() {
	ctx, first := s.Context(), &s.kept[0]
	outcome := log.Outcome{Status: api.StatusRefused, Index: -1, Code: "threshold", Detail: "no \x00 key"}
	for _, there := range []bool{true, false} {
		if ok, err := s.holds.SettleHold(ctx, first.ID, outcome, s.start.Add(time.Minute)); err != nil || ok != there {
			s.Fatalf("settled: %v, %v; want %v", ok, err, there)
		}
	}
	if ok, err := s.holds.ReleaseHold(ctx, first.ID, s.start); err != nil || ok {
		s.Errorf("released what had ended: %v, %v", ok, err)
	}
	first.Ended, first.Outcome = s.start.Add(time.Minute), outcome
	if got, err := s.reopen().Held(ctx, first.ID); err != nil || got != *first {
		s.Fatalf("ended: %+v, %v; want %+v", got, err, *first)
	}
	if _, _, err := s.holds.HeldFiles(ctx, first.ID); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("its files: %v", err)
	}
	s.listed(s.holds, 5, 6, 1, 2, 3, 4)
	// A logged file was not dropped, even if somebody has settled it so first.
	first.Ended, first.Outcome = s.start.Add(2*time.Minute), log.Outcome{Status: api.StatusReleased, Index: 17}
	for _, o := range []log.Outcome{first.Outcome, outcome} {
		if ok, err := s.holds.SettleHold(ctx, first.ID, o, first.Ended); err != nil || ok {
			s.Fatalf("settled again: %v, %v", ok, err)
		}
		if got, err := s.holds.Held(ctx, first.ID); err != nil || got.Outcome != first.Outcome {
			s.Fatalf("settled again: %+v, %v", got, err)
		}
	}
}

// testForgotten forgets holds that have ended, and holds the first file again: then it has not
// ended.
func (s *holdSuite) testForgotten() {
	ctx, first, second := s.Context(), &s.kept[0], &s.kept[1]
	check(s.T, s.holds.ForgetHolds(ctx, first.Ended))
	if _, err := s.holds.Held(ctx, first.ID); err != nil {
		s.Errorf("forgotten too early: %v", err)
	}
	first.Ended, first.Outcome = time.Time{}, log.Outcome{Index: -1}
	s.hold(*first, nil)
	check(s.T, s.holds.ForgetHolds(ctx, s.start.Add(1000*time.Hour)))
	s.listed(s.holds, 5, 6, 0, 1, 2, 3, 4)
	if _, err := s.holds.SettleHold(ctx, second.ID, log.Outcome{Status: api.StatusRefused, Index: -1}, s.start); err != nil {
		s.Fatal(err)
	}
	check(s.T, s.holds.ForgetHolds(ctx, s.start.Add(time.Millisecond)))
	if _, err := s.holds.Held(ctx, second.ID); !errors.Is(err, fs.ErrNotExist) {
		s.Errorf("not forgotten: %v", err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
