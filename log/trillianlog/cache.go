package trillianlog

import (
	"slices"
	"sync"

	"github.com/tuflog/tuflog/proofs"
)

// cacheBytes is how much of what was written last is kept in memory.
const cacheBytes = 64 << 20

// cache keeps the tiles that were written last, as they are now. The zero value
// is empty.
type cache struct {
	mu    sync.RWMutex
	tiles map[place]cached
	order []put // by age; those that were replaced since are skipped
	count int64 // of puts
	bytes int
}

type place struct {
	level int
	index int64
}

type cached struct {
	data []byte
	n    int64 // the put that it came by
}

type put struct {
	at place
	n  int64
}

func (c *cache) put(tiles tileSet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tiles == nil {
		c.tiles = map[place]cached{}
	}
	for id, data := range tiles {
		c.count++
		at := place{id.Level, id.Index}
		c.bytes += len(data) - len(c.tiles[at].data)
		c.tiles[at] = cached{data, c.count}
		c.order = append(c.order, put{at, c.count})
	}
	for c.bytes > cacheBytes {
		oldest := c.order[0]
		c.order = c.order[1:]
		if now := c.tiles[oldest.at]; now.n == oldest.n {
			c.bytes -= len(now.data)
			delete(c.tiles, oldest.at)
		}
	}
	// Tiles that are not full are replaced again and again.
	if len(c.order) > 2*len(c.tiles)+64 {
		c.order = slices.DeleteFunc(c.order, func(p put) bool { return c.tiles[p.at].n != p.n })
	}
}

func (c *cache) get(id proofs.TileID) ([]byte, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, ok := c.tiles[place{id.Level, id.Index}]
	return found.data, ok
}

func (c *cache) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tiles, c.order, c.bytes = nil, nil, 0
}
