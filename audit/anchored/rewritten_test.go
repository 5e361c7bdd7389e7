package anchored_test

import (
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/anchor"
)

// What once fitted is looked for again when the log shows another history, of the same size, a
// larger or a smaller one: the folder's memory excuses nothing.
func TestRewrittenHistory(t *testing.T) {
	for _, version := range []int{1, 2} {
		for _, grown := range []int{20, 50, 70} {
			w := newWorld(t, version)
			w.rekor.Time = func(int) time.Time { return time.Now() }
			w.grow(100)
			early, late := w.note(w.trees[40], time.Time{}), w.note(w.trees[60], time.Time{})
			w.submit(early)
			w.submit(late)
			after := time.Now().Add(3 * time.Hour)
			verdicts, strange, _ := w.judge(after)
			if verdicts[digest(late)].Size != 60 || len(strange) > 0 {
				t.Fatalf("size %d, %d strange", verdicts[digest(late)].Size, len(strange))
			}
			w.leaves, w.trees = w.leaves[:50], w.trees[:51]
			w.grow(grown)
			for range 2 {
				w.open()
				verdicts, strange, _ = w.judge(after)
				if v := verdicts[digest(early)]; v.Verdict != anchor.Consistent || v.Size != 40 {
					t.Errorf("v%d: %v at size %d", version, v.Verdict, v.Size)
				}
				if v := verdicts[digest(late)]; v.Verdict != anchor.Orphan || len(strange) != 1 || string(strange[0]) != string(late) {
					t.Errorf("v%d, at size %d: %v at size %d, %d strange", version, len(w.leaves), v.Verdict, v.Size, len(strange))
				}
			}
		}
	}
}

// A state that lags behind the one of the last audit sees no trees above its own.
func TestSmallerTree(t *testing.T) {
	w := newWorld(t, 1)
	w.rekor.Time = func(int) time.Time { return time.Now() }
	w.grow(100)
	note := w.note(w.trees[60], time.Time{})
	w.submit(note)
	w.judge(time.Now())
	w.leaves, w.trees = w.leaves[:50], w.trees[:51]
	w.open()
	if verdicts, strange, _ := w.judge(time.Now().Add(-time.Hour)); verdicts[digest(note)].Verdict != anchor.Open || len(strange) > 0 {
		t.Errorf("%v at size %d, %d strange", verdicts[digest(note)].Verdict, verdicts[digest(note)].Size, len(strange))
	}
}

// Neither is an entry that fitted of a later time than the next look, if the log shows another history then.
func TestFittedAhead(t *testing.T) {
	w := newWorld(t, 2)
	w.grow(100)
	note := w.note(w.trees[60], time.Time{})
	w.pin(note)
	w.ledger.Now = func() time.Time { return time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC) } // this once
	w.judge(time.Now())
	w.leaves, w.trees = w.leaves[:50], w.trees[:51]
	w.grow(70)
	w.open()
	if verdicts, _, _ := w.judge(time.Now().Add(3 * time.Hour)); verdicts[digest(note)].Verdict != anchor.Orphan {
		t.Errorf("%+v", verdicts[digest(note)])
	}
}
