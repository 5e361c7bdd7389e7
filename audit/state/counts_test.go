package state_test

import (
	"errors"
	"maps"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/audit/state"
)

// How many leaves have each verdict is known without reading them, also after some were judged
// again, after a rollback, and of a state in which nobody counted.
func TestVerdicts(t *testing.T) {
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "state")
	db := open(t, dir)
	is := func(when string, right, wrong, notJudged int64) {
		t.Helper()
		want := map[state.Verdict]int64{state.Right: right, state.Wrong: wrong, state.NotJudged: notJudged}
		maps.DeleteFunc(want, func(_ state.Verdict, n int64) bool { return n == 0 })
		got, err := db.Verdicts(ctx)
		must(t, err)
		if !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	again := func() {
		t.Helper()
		must(t, db.Close())
		db = open(t, dir)
	}
	fill(t, db, 70)
	is("before a commit", 60, 10, 0)
	must(t, db.Commit(ctx))
	fill(t, db, 80)
	must(t, db.Rollback(ctx))
	is("after a rollback", 60, 10, 0)
	again()
	is("in the next process", 60, 10, 0)
	must(t, db.SetVerdict(ctx, 0, state.NotJudged, 0))
	fill(t, db, 71)
	is("judged again, before a commit", 60, 10, 1)
	must(t, db.SetVerdict(ctx, 0, state.NotJudged, 0))
	must(t, db.Commit(ctx))
	is("judged again", 60, 10, 1)
	again()
	is("judged again, in the next process", 60, 10, 1)
	must(t, db.Exec(ctx, "DELETE FROM meta WHERE name = 'verdicts'"))
	again()
	is("nobody counted", 60, 10, 1)
	must(t, db.Exec(ctx, "UPDATE leaves SET verdict = 2 WHERE leaf = 1"))
	if _, err := db.Check(ctx, nil); !errors.Is(err, state.ErrDamaged) {
		t.Errorf("with another verdict than was counted: %v", err)
	}
}
