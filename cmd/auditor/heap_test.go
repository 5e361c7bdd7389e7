package main

import "testing"

// A small heap grows to the goal at once, though not without limit, and a large one by half.
func TestHeapGrowth(t *testing.T) {
	for live, want := range map[uint64]int{0: 800, 1 << 20: 800, 44 << 20: 300, 88 << 20: 100, 120 << 20: 50, heapGoal: 50, 1 << 32: 50} {
		if got := growth(live); got != want {
			t.Errorf("%d MiB in use grow by %d %%, want %d", live>>20, got, want)
		}
	}
}
