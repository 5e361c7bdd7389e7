package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// A replay makes ten times as much garbage as what it keeps, and keeps more with each
// leaf. So garbage is collected when the heap has grown by half, which keeps a long replay
// within its memory, but not before it has heapGoal bytes: a small heap would be collected
// again and again for nothing.
const (
	heapGoal    = 176 << 20
	leastGrowth = 50  // percent
	mostGrowth  = 800 // percent
)

// paceCollections sets after each collection of garbage when the next one begins.
func paceCollections() {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	set := 0
	type sentinel struct{ _ [64]byte } // not so small that it shares memory
	var pace func(struct{})
	pace = func(struct{}) {
		metrics.Read(live)
		if percent := growth(live[0].Value.Uint64()); percent != set {
			set = percent
			debug.SetGCPercent(percent)
		}
		runtime.AddCleanup(&sentinel{}, pace, struct{}{})
	}
	pace(struct{}{})
}

// growth returns by how many percent a heap of which so many bytes are in use may grow.
func growth(live uint64) int {
	if live >= heapGoal {
		return leastGrowth
	}
	return int(min(max((heapGoal-live)*100/max(live, 1), leastGrowth), mostGrowth))
}
