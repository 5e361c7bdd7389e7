package rates

import (
	"testing"
	"time"
)

func TestBucket(t *testing.T) {
	r := Rate{PerSecond: 2, Burst: 3}
	at := time.Unix(1000, 0)
	var b Bucket
	for i := range 3 {
		if wait := b.Take(r, at); wait != 0 {
			t.Fatalf("request %d of a burst waits %v", i, wait)
		}
	}
	for range 2 { // asking costs nothing
		if wait := b.Take(r, at); wait != 500*time.Millisecond {
			t.Fatalf("after the burst, wait is %v", wait)
		}
	}
	if wait := b.Take(r, at.Add(499*time.Millisecond)); wait <= 0 || wait > 2*time.Millisecond {
		t.Fatalf("a moment before, wait is %v", wait)
	}
	if wait := b.Take(r, at.Add(501*time.Millisecond)); wait != 0 {
		t.Fatalf("then, wait is %v", wait)
	}
	// A clock that was set back does not lock anybody out for longer.
	if wait := b.Take(r, at.Add(-time.Hour)); wait > time.Second {
		t.Fatalf("with the clock set back, wait is %v", wait)
	}
	if wait := b.Take(r, at.Add(time.Hour)); wait != 0 {
		t.Fatalf("an hour later, wait is %v", wait)
	}
	for range 1000 {
		if wait := b.Take(Rate{}, at); wait != 0 {
			t.Fatalf("without a limit, wait is %v", wait)
		}
	}
}

func TestBucketsAreBounded(t *testing.T) {
	at := time.Unix(1000, 0)
	b := NewBuckets[int](Rate{PerSecond: 1, Burst: 1}, 100)
	for i := range 10_000 {
		if wait := b.Take(i, at); wait != 0 {
			t.Fatalf("key %d waits %v", i, wait)
		}
		if len(b.all) > 100 {
			t.Fatalf("%d buckets", len(b.all))
		}
	}
	// Buckets that are full again are the ones to be forgotten.
	b = NewBuckets[int](Rate{PerSecond: 1, Burst: 1}, 10)
	for i := range 9 {
		b.Take(i, at)
	}
	later := at.Add(10 * time.Second)
	b.Take(100, later)
	for i := range 9 {
		b.Take(200+i, later)
	}
	if b.Take(100, later) == 0 {
		t.Error("the bucket that was in use was forgotten")
	}
}

func TestAddress(t *testing.T) {
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
		if got := Address(remote); got != want {
			t.Errorf("%q counts as %q, want %q", remote, got, want)
		}
	}
}
