package main

import (
	"os"
	"runtime/debug"
)

// memoryLimit is where the garbage collector begins to work harder. What a log
// needs under load stays well below; without a limit the heap may grow to twice
// that between two collections.
const memoryLimit = 120 << 20 // bytes

// limitMemory sets the limit, unless the environment sets another.
func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}
