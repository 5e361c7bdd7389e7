package intake

import (
	"fmt"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/quota"
)

// Of the held files that wait to be judged no source has more than its share.
func TestDueFilesOfASource(t *testing.T) {
	k := &keeper{judging: map[string]string{}, again: map[string]time.Time{"a 0": {}}}
	begun := map[string]int{}
	for i := range 100 {
		for _, source := range []string{"a", "b", "c", "d", "e"} {
			if k.begin(log.Held{ID: fmt.Sprint(source, " ", i), Source: source}) {
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
		if k.begin(log.Held{ID: fmt.Sprint("a ", 1+i), Source: "a"}) != (i < quota.DueOfSource) {
			t.Fatalf("the %dth of a source alone", i)
		}
	}
}

// What was judged before an entry of another front end came is judged again: it may be
// the very same release, which would be in the log twice.
func TestStaleJudgementsAreNotAppended(t *testing.T) {
	in := &Intake{} // no storage that it could append to
	stale := &candidate{sub: &Submission{}}
	in.strangers.Add(1)
	fresh := &candidate{sub: &Submission{}, seen: in.strangers.Load()}
	late := []judged{{candidate: stale}, {candidate: fresh}, {}}
	in.checkLate(t.Context(), late)
	if late[0].candidate != nil || late[1].candidate != fresh {
		t.Errorf("after an entry that was no candidate late judgements are %+v", late)
	}
	if err := in.append(t.Context(), []*candidate{stale}); err != nil || stale.done {
		t.Errorf("a stale candidate: %v, done %v", err, stale.done)
	}
}
