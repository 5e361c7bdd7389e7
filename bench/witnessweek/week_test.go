package main

import (
	"strings"
	"testing"

	"github.com/tuflog/tuflog/witness/budget"
)

// No log sends more than it has declared in any 24 hours, and neither do all together; the
// same days without a rate do.
func TestWeek(t *testing.T) {
	for name, w := range map[string]week{
		"ordinary": {logs: 20, days: 2, hungry: 5},
		"hungry":   {logs: 2, days: 3, hungry: 100},
	} {
		for _, perDay := range []int64{24, 864} {
			w.rate, w.seed = budget.Rate{PerDay: perDay}, 7
			r, err := w.play()
			if err != nil {
				t.Fatal(err)
			}
			if r.over(w.rate) {
				t.Errorf("%s, %d a day: %d of one log, %d of all", name, perDay, r.mostOfOne, r.mostInDay)
			}
			if name == "hungry" && r.mostInDay < int64(w.logs)*perDay*9/10 {
				t.Errorf("%d a day: the hungry sent %d, which is less than nine tenths", perDay, r.mostInDay)
			}
			var b strings.Builder
			if err := r.print(&b, w); err != nil || !strings.Contains(b.String(), "most of one log in any 24 hours") {
				t.Errorf("%v\n%s", err, &b)
			}
			w.rate = budget.Rate{}
			if r, err = w.play(); err != nil || !r.over(budget.Rate{PerDay: perDay}) {
				t.Errorf("%s: without a rate nothing is over %d a day: the test sees nothing, %v", name, perDay, err)
			}
		}
	}
}
