// Package floor measures an operation beside the least that it could cost: [Beside], for
// benchmarks.
package floor

import (
	"slices"
	"testing"
	"time"
)

// Beside times op, and beside it what no implementation can go without,
// floor: the bare cryptography on inputs that are laid out already. They take
// turns within one run, so that both meet the same machine. Reported are
//
//	floor-ns/op  the median time of floor
//	x-floor      the median of op's time over floor's
//
// and ns/op, B/op and allocs/op of op alone.
func Beside(b *testing.B, op, floor func()) {
	b.Helper()
	const turn = 8 // operations
	timed := func(f func(), n int) time.Duration {
		start := time.Now()
		for range n {
			f()
		}
		return time.Since(start) / time.Duration(n)
	}
	var floors, ratios []float64
	op()
	floor()
	b.ReportAllocs()
	b.ResetTimer()
	for done := 0; done < b.N; done += turn {
		n := min(turn, b.N-done)
		took := timed(op, n)
		b.StopTimer()
		least := timed(floor, n)
		floors = append(floors, float64(least))
		ratios = append(ratios, float64(took)/float64(least))
		b.StartTimer()
	}
	b.StopTimer()
	b.ReportMetric(median(floors), "floor-ns/op")
	b.ReportMetric(median(ratios), "x-floor")
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
