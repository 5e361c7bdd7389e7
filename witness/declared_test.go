package witness

import (
	"testing"
	"time"

	"github.com/tuflog/tuflog/internal/rates"
	"github.com/tuflog/tuflog/witness/budget"
)

// A log that keeps to the rate that a list says of it, as witness/budget does, is never
// answered 429 by this witness, although it sends as much as it may.
func TestDeclaredRateIsNotRefused(t *testing.T) {
	for _, perDay := range []int64{1, 2, 24, 100, 144, 864, 2304, 8640, 86400} {
		log := Log{PerDay: perDay}
		var bucket rates.Bucket
		b := budget.New(budget.Rate{PerDay: perDay}, nil)
		now := time.Unix(1_700_000_000, 0)
		sent, end := 0, now.Add(3*24*time.Hour)
		for quiet := now; now.Before(end) && sent < 20_000; {
			if b.Take(t.Context(), "w", budget.Growth, now) != nil {
				now = now.Add(max(b.Wait("w", budget.Growth, now), time.Millisecond))
				continue
			}
			if wait := bucket.Take(DefaultLimits.of(log, false), now); wait > 0 {
				t.Fatalf("%d a day: request %d at %v is refused for %v", perDay, sent, now, wait)
			}
			if sent++; sent%1000 == 0 && now.Sub(quiet) > time.Hour {
				now = now.Add(12 * time.Hour) // a burst follows
				quiet = now
			}
		}
		if sent < 2 {
			t.Errorf("%d a day: %d requests", perDay, sent)
		}
	}
}
