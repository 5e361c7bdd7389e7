package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/tuflog/tuflog/witness/sqlite"
)

// What a witness needs of Go's heap, in bytes, and for each log, with room for a list
// and a page that are being read. Beyond that, garbage is collected at once instead of
// when it has doubled the heap.
const (
	heapAtLeast = 100 << 20
	heapPerLog  = 2 << 10
)

// heapEvery is how often the logs are counted.
const heapEvery = 30 * time.Second

// limitHeap keeps the heap as small as the number of logs lets it be, until ctx ends,
// unless the operator has set GOMEMLIMIT.
func limitHeap(ctx context.Context, store *sqlite.Store, logger *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	tick := time.NewTicker(heapEvery)
	defer tick.Stop()
	for {
		logs, err := store.Count(ctx)
		if err != nil && ctx.Err() == nil {
			logger.Warn("logs not counted", "error", err)
		} else if err == nil {
			debug.SetMemoryLimit(heapAtLeast + heapPerLog*logs)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
