package admit_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/admit"
)

// together checks which leaves of a role's version meet one place.
func (w *world) together(ctx context.Context, role string, version int64, want ...int64) []admit.Record {
	w.t.Helper()
	records, err := w.repo.Together(ctx, role, version)
	if err != nil {
		w.t.Fatal(err)
	}
	var got []int64
	for _, rec := range records {
		got = append(got, rec.Index)
	}
	if !slices.Equal(got, want) {
		w.t.Errorf("%s %d: leaves %v meet one place, want %v", role, version, got, want)
	}
	return records
}

// What stands together changes with the keys, and is asked place by place: payloads
// that stand at two places do not meet.
func TestTogether(t *testing.T) {
	w := newWorld(t, topLevel{"r1", "t1", "s1", "x1"})
	one := w.released("targets", w.targets("t1", 1, "one"))
	w.together(t.Context(), "targets", 1)
	w.together(t.Context(), "root", 1)
	w.together(t.Context(), "nobody", 1)
	w.rotate(2, topLevel{"r1", "t2", "s1", "x1"})
	two := w.released("targets", w.targets("t2", 1, "two"))
	w.together(t.Context(), "targets", 1) // the first does not stand
	w.rotate(3, topLevel{"r1", "t1 t2", "s1", "x1"})
	w.together(t.Context(), "targets", 1, one, two)
	w.rotate(4, topLevel{"r1", "t1", "s1", "x1"})
	w.together(t.Context(), "targets", 1)

	// A delegated role: two delegators, who share no key.
	w.released("targets", w.targets("t1", 2, "x", delegation{name: "a", who: "a1"}, delegation{name: "b", who: "q1"}))
	w.released("a", w.targets("a1", 1, "", delegation{name: "d", who: "d1"}))
	w.released("b", w.targets("q1", 1, "", delegation{name: "d", who: "d2"}))
	first := w.released("d", w.targets("d1", 1, "first"))
	second := w.released("d", w.targets("d2", 1, "second"))
	w.together(t.Context(), "d", 1)
	// One of them takes the other's key as well.
	w.released("b", w.targets("q1", 2, "", delegation{name: "d", who: "d1 d2"}))
	w.together(t.Context(), "d", 1, first, second)
	delegated, err := w.repo.Delegated(t.Context(), func(role string) bool { return role != "a" })
	if err != nil || fmt.Sprint(delegated) != "[b d]" {
		t.Errorf("delegated to: %v, %v", delegated, err)
	}
}

// Of one payload the release that is bound is named, and the place that takes the most
// bound payloads; what is not bound may be another role's.
func TestTogetherUnbound(t *testing.T) {
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "", delegation{name: "a", who: "k"}, delegation{name: "b", who: "k"}))
	ofA, ofB := w.targets("k", 1, "a"), w.targets("k", 1, "b")
	taken := w.mustRelease("b", ofA, w.besidePlain("b", ofA))
	own := w.mustRelease("b", ofB, w.besidePlain("b", ofB))
	for _, rec := range w.together(t.Context(), "b", 1, taken, own) {
		if role, err := w.repo.MayBe(t.Context(), rec); role != "a" || err != nil {
			t.Errorf("leaf %d may be %q's, %v", rec.Index, role, err)
		}
	}
	bound := w.released("b", ofB)
	records := w.together(t.Context(), "b", 1, taken, bound)
	if role, err := w.repo.MayBe(t.Context(), records[1]); role != "" || err != nil {
		t.Errorf("what is bound may be %q's, %v", role, err)
	}
	if _, err := w.repo.MayBe(t.Context(), admit.Record{Index: 99}); err == nil {
		t.Error("a leaf of nobody may be a role's")
	}
}
