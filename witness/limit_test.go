package witness

import (
	"fmt"
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	r := Rate{PerSecond: 2, Burst: 3}
	at := time.Unix(1000, 0)
	var b bucket
	for i := range 3 {
		if wait := b.take(r, at); wait != 0 {
			t.Fatalf("request %d of a burst waits %v", i, wait)
		}
	}
	for range 2 { // asking costs nothing
		if wait := b.take(r, at); wait != 500*time.Millisecond {
			t.Fatalf("after the burst, wait is %v", wait)
		}
	}
	if wait := b.take(r, at.Add(499*time.Millisecond)); wait <= 0 || wait > 2*time.Millisecond {
		t.Fatalf("a moment before, wait is %v", wait)
	}
	if wait := b.take(r, at.Add(501*time.Millisecond)); wait != 0 {
		t.Fatalf("then, wait is %v", wait)
	}
	// A clock that was set back does not lock anybody out for longer.
	if wait := b.take(r, at.Add(-time.Hour)); wait > time.Second {
		t.Fatalf("with the clock set back, wait is %v", wait)
	}
	if wait := b.take(r, at.Add(time.Hour)); wait != 0 {
		t.Fatalf("an hour later, wait is %v", wait)
	}
	for range 1000 {
		if wait := b.take(Rate{}, at); wait != 0 {
			t.Fatalf("without a limit, wait is %v", wait)
		}
	}
}

func TestBucketsAreBounded(t *testing.T) {
	at := time.Unix(1000, 0)
	b := newBuckets[int](Rate{PerSecond: 1, Burst: 1}, 100)
	for i := range 10_000 {
		if wait := b.take(i, at); wait != 0 {
			t.Fatalf("key %d waits %v", i, wait)
		}
		if len(b.all) > 100 {
			t.Fatalf("%d buckets", len(b.all))
		}
	}
	// Buckets that are full again are the ones to be forgotten.
	b = newBuckets[int](Rate{PerSecond: 1, Burst: 1}, 10)
	for i := range 9 {
		b.take(i, at)
	}
	later := at.Add(10 * time.Second)
	b.take(100, later)
	for i := range 9 {
		b.take(200+i, later)
	}
	if b.take(100, later) == 0 {
		t.Error("the bucket that was in use was forgotten")
	}
}

func TestLimitsOf(t *testing.T) {
	l := Limits{PerOrigin: Rate{PerSecond: 10, Burst: 100}}
	for _, tt := range []struct {
		perDay int64
		repeat bool
		want   Rate
	}{
		{0, false, l.PerOrigin},
		{86400, false, Rate{1, 600}},
		{86400, true, l.PerOrigin},
		{24, false, Rate{24. / 86400, 16}},
		{86400 * 1000, false, l.PerOrigin},
	} {
		if got := l.of(Log{PerDay: tt.perDay}, tt.repeat); got != tt.want {
			t.Errorf("%d a day: %+v, want %+v", tt.perDay, got, tt.want)
		}
	}
	if got := (Limits{}).of(Log{PerDay: 86400}, false); got != (Rate{1, 600}) {
		t.Errorf("without a limit of our own: %+v", got)
	}
}

func TestAddressKey(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1234":                  "192.0.2.7",
		"192.0.2.7":                       "192.0.2.7",
		"[::ffff:192.0.2.7]:1234":         "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:1234":     "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::%eth0]:1234": "2001:db8:1:2::/64",
		"2001:db8:1:2::9":                 "2001:db8:1:2::/64",
		"":                                "unknown",
		"@":                               "unknown",
	} {
		if got := addressKey(remote); got != want {
			t.Errorf("%q counts as %q, want %q", remote, got, want)
		}
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
