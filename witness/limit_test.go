package witness

import (
	"fmt"
	"testing"
)

func TestLimitsOf(t *testing.T) {
	l := Limits{PerOrigin: Rate{PerSecond: 10, Burst: 100}}
	for _, tt := range []struct {
		perDay int64
		repeat bool
		want   Rate
	}{
		{0, false, l.PerOrigin},
		{86400, false, Rate{PerSecond: 1, Burst: 600}},
		{86400, true, l.PerOrigin},
		{24, false, Rate{PerSecond: 24. / 86400, Burst: 16}},
		{86400 * 1000, false, l.PerOrigin},
	} {
		if got := l.of(Log{PerDay: tt.perDay}, tt.repeat); got != tt.want {
			t.Errorf("%d a day: %+v, want %+v", tt.perDay, got, tt.want)
		}
	}
	if got := (Limits{}).of(Log{PerDay: 86400}, false); got != (Rate{PerSecond: 1, Burst: 600}) {
		t.Errorf("without a limit of our own: %+v", got)
	}
}

func TestReasonsHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for i := range outcomeCount {
		name := outcomeName(i)
		if name == "other" || seen[name] {
			t.Errorf("outcome %d is called %q", i, name)
		}
		seen[name] = true
		if _, ok := statuses[Reason(i)]; i > 0 && i < outcomeError && !ok {
			t.Errorf("%s has no status", name)
		}
	}
	if got := fmt.Sprint(Reason(-1), Reason(99)); got != "other other" {
		t.Error(got)
	}
}
