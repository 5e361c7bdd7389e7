package main

import (
	"os"
	"runtime/debug"
)

const (
	// memoryLimit is where the garbage collector begins to work harder. A log in
	// a directory stays well below it under load.
	memoryLimit = 100 << 20 // bytes
	// sharedMemoryLimit is the same for a front end, which has more in memory
	// that one machine finds in its files.
	sharedMemoryLimit = 200 << 20
	// heapGrowth is by how much the heap may grow between two collections, in
	// percent, as long as it is below the limit.
	heapGrowth = 200
)

// limitMemory sets both, unless the environment sets others.
func limitMemory(limit int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
}

// memory returns the limit for a command.
func (s *shared) memory() int64 {
	if s.on() {
		return sharedMemoryLimit
	}
	return memoryLimit
}
