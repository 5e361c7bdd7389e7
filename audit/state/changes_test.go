package state_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/state"
)

// Each change of a finding is told once to those who ask from the last one on, and what is
// counted is what is there.
func TestFindingsChanged(t *testing.T) {
	ctx := t.Context()
	db := open(t, t.TempDir())
	fill(t, db, 3)
	at := func(n int64) time.Time { return time.Unix(n, 0) }
	finding := func(n int, kind string, repository int) state.Finding {
		f := state.Finding{Sum: sum(n), Kind: kind, Class: "class of " + kind, Leaf: -1, Body: []byte("{}")}
		if repository >= 0 {
			f.Repository, f.Leaf = sum(repository), int64(repository)
		}
		return f
	}
	one, two, none := finding(10, "one", 0), finding(20, "two", 1), finding(30, "one", -1)
	elsewhere := finding(40, "two", 99) // of a repository that the log does not have yet
	since := int64(0)
	for _, step := range []struct {
		name string
		do   func() error
		want string
	}{
		{"nothing", func() error { return nil }, "[]"},
		{"they come", func() error {
			for _, f := range []state.Finding{one, two, none, elsewhere} {
				must(t, db.PutFinding(ctx, f, at(10)))
			}
			return nil
		}, "[10 open 1 20 open 1 30 open 1 40 open 1]"},
		{"one is seen again", func() error { return db.PutFinding(ctx, one, at(11)) }, "[]"},
		{"one is in doubt", func() error { return db.Retract(ctx, one.Repository, "") }, "[]"},
		{"and was there all the time", func() error { return db.Back(ctx, one.Sum) }, "[]"},
		{"one is in doubt again", func() error { return db.Retract(ctx, one.Repository, "") }, "[]"},
		{"and has gone", func() error { return db.EndDoubt(ctx, at(12)) }, "[10 gone 1]"},
		{"acknowledged", func() error { _, err := db.Acknowledge(ctx, two.ID(), "why", at(13)); return err }, "[20 acked why 1]"},
		{"acknowledged for another reason", func() error { _, err := db.Acknowledge(ctx, two.ID(), "because", at(13)); return err }, "[20 acked because 1]"},
		{"one comes back, and another goes and comes back", func() error {
			must(t, db.PutFinding(ctx, one, at(14)))
			must(t, db.FindingGone(ctx, none.Sum, at(15)))
			return db.PutFinding(ctx, none, at(16))
		}, "[10 open 2 30 open 2]"},
		{"a kind goes", func() error { return db.KindGone(ctx, "two", two.Repository, 0, 100, at(17)) }, "[20 gone 1]"},
		{"it comes back: nobody knows of that", func() error { return db.PutFinding(ctx, two, at(18)) }, "[20 open 2]"},
		{"the reason of then is taken back", func() error { _, err := db.Acknowledge(ctx, two.ID(), "", at(19)); return err }, "[20 open 2]"},
		{"its repository comes into the log", func() error {
			l := someLeaf(3)
			l.Repository = sum(99)
			return db.Append(ctx, l)
		}, "[]"},
	} {
		must(t, step.do())
		must(t, db.Commit(ctx))
		var got []string
		must(t, db.FindingsChanged(ctx, since, 0, func(f state.Finding) error {
			what := "open"
			if f.Gone > 0 {
				what = "gone"
			} else if f.Acked != 0 {
				what = "acked " + f.Reason
			}
			n := slices.IndexFunc([]state.Finding{one, two, none, elsewhere}, func(g state.Finding) bool { return g.Sum == f.Sum })
			got = append(got, fmt.Sprint((n+1)*10, " ", what, " ", f.Episode))
			if f.Changed <= since {
				t.Errorf("%s: change %d after %d", step.name, f.Changed, since)
			}
			since = f.Changed
			return nil
		}))
		if fmt.Sprint(got) != step.want {
			t.Errorf("%s: %v, want %v", step.name, got, step.want)
		}
		if last, err := db.LastChange(ctx); err != nil || last != since {
			t.Errorf("%s: the last change is %d, %v, want %d", step.name, last, err, since)
		}
		must(t, db.Consistent(ctx))
	}
	var first []string
	must(t, db.FindingsChanged(ctx, 0, 2, func(f state.Finding) error {
		first = append(first, f.Kind)
		return nil
	}))
	if fmt.Sprint(first) != "[two one]" {
		t.Errorf("the first two: %v", first)
	}
}
