package trillianlog

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// BenchmarkAppend measures from Append to the tiles, with a copy in memory.
func BenchmarkAppend(b *testing.B) {
	c := need(b)
	for _, size := range []int{1, 256} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			measure(b, open(b, c.config(b)), size)
		})
	}
}

// BenchmarkAppendShared has the copy in PostgreSQL, beside Trillian's database.
func BenchmarkAppendShared(b *testing.B) {
	c := need(b)
	for _, size := range []int{1, 256} {
		b.Run(fmt.Sprint("batch=", size), func(b *testing.B) {
			cfg := c.config(b)
			l, err := lead(b, c.state(b, cfg.TreeID), cfg)
			if err != nil {
				b.Fatal(err)
			}
			measure(b, l.Log, size)
			if err := l.Close(); err != nil {
				b.Error(err)
			}
		})
	}
}

func measure(b *testing.B, l *Log, size int) {
	for i := range 20 {
		mustAppend(b, l, fmt.Sprint("warm ", i), size)
	}
	if err := need(b).trillian.Analyze(b.Context()); err != nil {
		b.Fatal(err)
	}
	var times []time.Duration
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		entries := batch(fmt.Sprint("batch ", i), size)
		for j := range entries { // as long as a release's leaf
			entries[j] = append(entries[j], make([]byte, 400)...)
		}
		if _, err := l.Append(b.Context(), entries); err != nil {
			b.Fatal(err)
		}
		times = append(times, time.Since(start))
	}
	slices.Sort(times)
	b.ReportMetric(float64(size*len(times))/b.Elapsed().Seconds(), "leaves/s")
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}
