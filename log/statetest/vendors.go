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
	ctx := t.Context()
	start := time.Date(2030, 1, 1, 0, 0, 0, 123e6, time.UTC)
	room := log.HoldRoom{Files: 5, Bytes: 1000, SourceFiles: 3, SourceBytes: 400, AllFiles: 7, AllBytes: 2000}
	n := 0
	held := func(repository, source string, size int64) log.Held {
		n++
		return log.Held{
			ID: fmt.Sprintf("%032x", n), Repository: tuf.Sum([]byte(repository)), Role: "röle/\x01", Version: 7, Name: "7.röle.json", Kind: leaf.Release,
			Source: source, Size: size, Since: start, Until: start.Add(time.Duration(n) * time.Hour), Outcome: log.Outcome{Index: -1},
		}
	}
	hold := func(h log.Held, want error) {
		t.Helper()
		got, err := holds.Hold(ctx, h, []byte("file of "+h.ID), []byte("snapshot"), room)
		if !errors.Is(err, want) || err == nil && got != h {
			t.Fatalf("held %+v, %v; want %+v, %v", got, err, h, want)
		}
	}
	listed := func(s log.Holds, want ...log.Held) {
		t.Helper()
		got, err := s.ListHeld(ctx)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("held are %+v, %v; want %+v", got, err, want)
		}
	}

	first := held("r", "net 1", 100)
	hold(first, nil)
	// The same again is the same row, from any sender at any time.
	again := first
	again.Source, again.Until = "net 2", start.Add(99*time.Hour)
	if got, err := holds.Hold(ctx, again, []byte("x"), nil, room); err != nil || got != first {
		t.Fatalf("held again: %+v, %v", got, err)
	}
	file, snapshot, err := reopen().HeldFiles(ctx, first.ID)
	if err != nil || string(file) != "file of "+first.ID || string(snapshot) != "snapshot" {
		t.Fatalf("its files: %q, %q, %v", file, snapshot, err)
	}

	// The room of a source, of a repository and of all.
	hold(held("r", "net 1", 301), log.ErrHoldShare)
	second, third := held("r", "net 1", 100), held("r", "net 1", 100)
	hold(second, nil)
	hold(third, nil)
	hold(held("r", "net 1", 1), log.ErrHoldShare)
	fourth, fifth := held("r", "", 399), held("r", "net 3", 1)
	hold(fourth, nil)
	hold(held("r", "net 4", 302), log.ErrHoldFull)
	hold(fifth, nil)
	hold(held("r", "net 4", 1), log.ErrHoldFull)
	sixth, seventh := held("s", "net 1", 400), held("s", "net 2", 400)
	hold(sixth, nil)
	hold(seventh, nil)
	hold(held("q", "net 1", 1), log.ErrHoldFull)
	listed(reopen(), first, second, third, fourth, fifth, sixth, seventh)

	// Files that are due, by time or because they were released or their version was logged.
	due := func(at time.Time, want ...log.Held) {
		t.Helper()
		got, err := holds.DueHolds(ctx, at, 3)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("due at %v are %+v, %v; want %+v", at, got, err, want)
		}
	}
	due(first.Until.Add(-time.Millisecond))
	due(first.Until, first)
	due(start.Add(100*time.Hour), first, fourth, fifth) // the first of each source before others'
	due(second.Until, first, second)
	if ok, err := reopen().ReleaseHold(ctx, seventh.ID, start); err != nil || !ok {
		t.Fatalf("released: %v, %v", ok, err)
	}
	seventh.Until = start
	due(start, seventh)
	check(t, holds.EndHolds(ctx, sixth.Repository, sixth.Role, 8, start))
	check(t, holds.EndHolds(ctx, sixth.Repository, "other", 7, start))
	check(t, holds.EndHolds(ctx, sixth.Repository, sixth.Role, 7, start))
	sixth.Until = start
	due(start, sixth, seventh)

	// A hold that has ended says how, for a while.
	outcome := log.Outcome{Status: api.StatusRefused, Index: -1, Code: "threshold", Detail: "no \x00 key"}
	for _, there := range []bool{true, false} {
		if ok, err := holds.SettleHold(ctx, first.ID, outcome, start.Add(time.Minute)); err != nil || ok != there {
			t.Fatalf("settled: %v, %v; want %v", ok, err, there)
		}
	}
	if ok, err := holds.ReleaseHold(ctx, first.ID, start); err != nil || ok {
		t.Errorf("released what had ended: %v, %v", ok, err)
	}
	first.Ended, first.Outcome = start.Add(time.Minute), outcome
	if got, err := reopen().Held(ctx, first.ID); err != nil || got != first {
		t.Fatalf("ended: %+v, %v; want %+v", got, err, first)
	}
	if _, _, err := holds.HeldFiles(ctx, first.ID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its files: %v", err)
	}
	listed(holds, sixth, seventh, second, third, fourth, fifth)
	// A logged file was not dropped, even if somebody has settled it so first.
	logged := log.Outcome{Status: api.StatusReleased, Index: 17}
	for _, o := range []log.Outcome{logged, outcome} {
		if ok, err := holds.SettleHold(ctx, first.ID, o, start.Add(2*time.Minute)); err != nil || ok {
			t.Fatalf("settled again: %v, %v", ok, err)
		}
		if got, err := holds.Held(ctx, first.ID); err != nil || got.Outcome != logged {
			t.Fatalf("settled again: %+v, %v", got, err)
		}
	}
	first.Ended = start.Add(2 * time.Minute)
	check(t, holds.ForgetHolds(ctx, first.Ended))
	if _, err := holds.Held(ctx, first.ID); err != nil {
		t.Errorf("forgotten too early: %v", err)
	}
	// It can be held again, and then it has not ended.
	first.Ended, first.Outcome = time.Time{}, log.Outcome{Index: -1}
	hold(first, nil)
	check(t, holds.ForgetHolds(ctx, start.Add(1000*time.Hour)))
	listed(holds, sixth, seventh, first, second, third, fourth, fifth)
	if _, err := holds.SettleHold(ctx, second.ID, outcome, start); err != nil {
		t.Fatal(err)
	}
	check(t, holds.ForgetHolds(ctx, start.Add(time.Millisecond)))
	if _, err := holds.Held(ctx, second.ID); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not forgotten: %v", err)
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
