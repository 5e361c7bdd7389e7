package main

import (
	"os"
	"runtime/debug"
)

const (
	// memoryLimit is where the garbage collector begins to work harder. What a
	// log needs under load stays well below.
	memoryLimit = 100 << 20 // bytes
	// heapGrowth is by how much the heap may grow between two collections, in
	// percent, as long as it is below the limit.
	heapGrowth = 200
)

// limitMemory sets both, unless the environment sets others.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
}
