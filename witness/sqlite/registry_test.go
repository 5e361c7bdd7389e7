package sqlite_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

func TestRemoveAndRestore(t *testing.T) {
	s := create(t, t.TempDir())
	g := newGrower(t, s, "log.example")
	g.mustGrow()
	kept := *g.last
	if err := s.RemoveLog(t.Context(), "log.example"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Log(t.Context(), g.id); !errors.Is(err, witness.ErrUnknownLog) {
		t.Fatalf("a removed log: %v", err)
	}
	if err := g.grow(); !errors.Is(err, witness.ErrUnknownLog) {
		t.Fatalf("update of a removed log: %v", err)
	}
	for what, err := range map[string]error{
		"remove again": s.RemoveLog(t.Context(), "log.example"),
		"key":          s.AddKey(t.Context(), "", witnesstest.NewSigner(t, "log.example", proofs.Ed25519).Key()),
		"URL":          s.SetURL(t.Context(), "log.example", "https://log.example"),
		"remove none":  s.RemoveLog(t.Context(), "other.example"),
	} {
		if !errors.Is(err, witness.ErrUnknownLog) {
			t.Errorf("%s: %v", what, err)
		}
	}
	// It goes on from where it was, by another key, too.
	second := witnesstest.NewSigner(t, "log.example", proofs.Ed25519).Key()
	if err := s.AddLog(t.Context(), witness.NewLog{Key: second, URL: "https://log.example"}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Log(t.Context(), g.id)
	if err != nil || got.Latest == nil || got.Latest.Tree != kept || !reflect.DeepEqual(got.Keys, []proofs.Key{second}) || got.URL != "https://log.example" {
		t.Fatalf("restored log is %+v, %v", got, err)
	}
}

// TestOtherProcess changes the state from a second store, as "witness log" does.
func TestOtherProcess(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	g := newGrower(t, s, "log.example")
	g.mustGrow()
	other := open(t, dir)
	// Updates see it at once.
	if err := other.RemoveLog(t.Context(), "log.example"); err != nil {
		t.Fatal(err)
	}
	old := *g.last
	if err := g.grow(); !errors.Is(err, witness.ErrUnknownLog) {
		t.Fatalf("update of a log that another process removed: %v", err)
	}
	if err := other.AddLog(t.Context(), witness.NewLog{Key: g.log.Key()}); err != nil {
		t.Fatal(err)
	}
	g.last = &old
	eventually(t, func() error { return g.grow() })
	// Readers see it soon.
	if err := other.Latch(t.Context(), g.id, witness.Latch{Why: "a test"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if l, err := s.Log(t.Context(), g.id); err != nil || !l.Latched {
			return fmt.Errorf("log is %+v, %v", l, err)
		}
		return nil
	})
	if err := g.grow(); !errors.Is(err, witness.ErrLatched) {
		t.Fatalf("update of a log that another process latched: %v", err)
	}
}

// eventually waits for f to succeed.
func eventually(t *testing.T, f func() error) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestImport(t *testing.T) {
	s := create(t, t.TempDir())
	key := func(name string) proofs.Key { return witnesstest.NewSigner(t, name, proofs.Ed25519).Key() }
	mine, removed := key("mine.example"), key("removed.example")
	for _, k := range []proofs.Key{mine, removed} {
		if err := s.AddLog(t.Context(), witness.NewLog{Key: k}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.RemoveLog(t.Context(), "removed.example"); err != nil {
		t.Fatal(err)
	}
	list := []witness.NewLog{
		{Key: key("new.example"), PerDay: 24},
		{Key: key("sum.example"), Origin: "another origin"},
		{Key: mine, PerDay: 7},
		{Key: key("mine.example")},
		{Key: removed},
		{Key: key("bad.example"), Origin: "two\nlines"},
	}
	check := func(source string, logs []witness.NewLog, added, known int, refused ...string) {
		t.Helper()
		r, err := s.Import(t.Context(), source, logs)
		var got []string
		for _, x := range r.Refused {
			got = append(got, x.Log+": "+x.Why)
		}
		if err != nil || r.Added != added || r.Known != known || len(got) != len(refused) {
			t.Fatalf("report %+v, %v; want %d added, %d known, refused %q", r, err, added, known, refused)
		}
		for i := range got {
			if !strings.Contains(got[i], refused[i]) {
				t.Errorf("refused %q, want %q", got[i], refused[i])
			}
		}
	}
	taken := "mine.example: the name is taken by another key, added by the operator"
	check("list A", list, 2, 1, taken, "removed.example: it was removed by the operator", "two\nlines")
	list[0].PerDay = 48
	check("list A", list[:4], 0, 3, taken)
	list[0].PerDay = 96
	check("list B", list[:1], 0, 1) // another list's word does not count
	check("list B", []witness.NewLog{{Key: key("new.example")}}, 0, 0, "new.example: the name is taken by another key, added by list A")
	logs, err := s.Logs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range logs {
		got = append(got, fmt.Sprintf("%s from %q, %d a day, removed %v", l.Origin, l.Source, l.PerDay, l.Removed))
	}
	want := []string{
		`another origin from "list A", 0 a day, removed false`,
		`mine.example from "", 0 a day, removed false`,
		`new.example from "list A", 48 a day, removed false`,
		`removed.example from "", 0 a day, removed true`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("logs are %q, want %q", got, want)
	}
}

// TestLongOrigin: a cosignature of type ML-DSA-44 has room for 255 bytes.
func TestLongOrigin(t *testing.T) {
	dir := t.TempDir()
	if err := sqlite.Create(dir, witnesstest.NewSigner(t, "w.example", proofs.CosignatureV1).Key(), witnesstest.NewSigner(t, "w.example", proofs.MLDSA44).Key()); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	for n, want := range map[int]bool{255: true, 256: false} {
		k := witnesstest.NewSigner(t, strings.Repeat("x", n), proofs.Ed25519).Key()
		if err := s.AddLog(t.Context(), witness.NewLog{Key: k}); (err == nil) != want {
			t.Errorf("an origin of %d bytes: %v", n, err)
		}
	}
}

func TestSuspects(t *testing.T) {
	s := create(t, t.TempDir())
	g := newGrower(t, s, "log.example")
	keep := func(size int64, failed bool, seen int64) {
		t.Helper()
		tree := proofs.Tree{N: size, Hash: proofs.LeafHash(fmt.Appendf(nil, "%d", size))}
		if err := s.Keep(t.Context(), g.id, witness.Suspect{Tree: tree, Note: []byte("note"), Why: "why", Failed: failed, Seen: seen}); err != nil {
			t.Fatal(err)
		}
	}
	due := func(now int64) []witness.KeptSuspect {
		t.Helper()
		got, err := s.Due(t.Context(), now, 1000, 1000)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	keep(1, false, 10)
	keep(1, false, 11)
	if got := due(10); len(got) != 1 || got[0].Tree.N != 1 || got[0].Failed || got[0].Seen != 10 || got[0].ID != g.id || string(got[0].Note) != "note" {
		t.Fatalf("due are %+v", got)
	}
	if err := s.Judge(t.Context(), g.id, due(10)[0].Tree, witness.Undecided, 100); err != nil {
		t.Fatal(err)
	}
	if got := due(99); len(got) != 0 {
		t.Fatalf("due are %+v", got)
	}
	if got := due(100); len(got) != 1 || got[0].Tries != 1 {
		t.Fatalf("due are %+v", got)
	}
	keep(1, true, 12) // now its proof failed: worth another look
	if got := due(12); len(got) != 1 || !got[0].Failed {
		t.Fatalf("due are %+v", got)
	}
	// Of each log the first comes before the second of any, and no log has more than its part.
	other := newGrower(t, s, "other.example")
	for i := range int64(5) {
		tree := proofs.Tree{N: 500 + i, Hash: proofs.LeafHash(nil)}
		if err := s.Keep(t.Context(), other.id, witness.Suspect{Tree: tree, Note: []byte("note"), Failed: true, Seen: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		perLog, limit int
		want          string
	}{{3, 100, "500 1 501 502"}, {3, 3, "500 1 501"}, {1, 100, "500 1"}, {100, 100, "500 1 501 502 503 504"}} {
		got, err := s.Due(t.Context(), 12, tt.perLog, tt.limit)
		var sizes []string
		for _, k := range got {
			sizes = append(sizes, fmt.Sprint(k.Tree.N))
		}
		slices.Sort(sizes[:min(2, len(sizes))]) // the first ones
		if err != nil || strings.Join(sizes, " ") != strings.Replace(tt.want, "500 1", "1 500", 1) {
			t.Errorf("at most %d of a log and %d in all: sizes %v, %v", tt.perLog, tt.limit, sizes, err)
		}
	}
	for _, k := range due(12) {
		if k.ID == other.id {
			if err := s.Judge(t.Context(), k.ID, k.Tree, witness.Consistent, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Judge(t.Context(), g.id, due(12)[0].Tree, witness.Consistent, 0); err != nil {
		t.Fatal(err)
	}
	if got := due(1000); len(got) != 0 {
		t.Fatalf("due are %+v", got)
	}
	// There is a bound, for either kind alone, and judged and old ones go first.
	for i := range int64(100) {
		keep(1000+i, false, 1000+i)
	}
	keep(2, true, 1)
	all, err := s.Suspects(t.Context())
	if err != nil || len(all) != 32+2+5 {
		t.Fatalf("%d suspects, %v", len(all), err)
	}
	for i := range int64(100) {
		keep(2000+i, true, 2000+i)
	}
	if all, err = s.Suspects(t.Context()); err != nil || len(all) != 64+5 {
		t.Fatalf("%d suspects, %v", len(all), err)
	}
	for _, k := range all {
		if k.ID == g.id && (k.Verdict != witness.Undecided || k.Tree.N < 1068) {
			t.Errorf("kept %+v", k)
		}
	}
}

func TestClosed(t *testing.T) {
	dir := t.TempDir()
	if err := sqlite.Create(dir, witnesstest.NewSigner(t, "w.example", proofs.CosignatureV1).Key()); err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	g := newGrower(t, s, "log.example")
	g.mustGrow()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := g.grow(); err == nil {
		t.Error("a closed store was updated")
	}
	if err := s.RemoveLog(t.Context(), "log.example"); err == nil {
		t.Error("a closed store was changed")
	}
}
