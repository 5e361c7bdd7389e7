package trillianlog

import (
	"slices"
	"sync"

	"github.com/tuflog/tuflog/proofs"
)

// How much of what was written last is kept in memory, in bytes: hashes of the
// newest 500,000 entries, which leaves are compared with whenever a repository is
// loaded, and a few thousand entries, which are read back once.
const (
	hashBytes   = 16 << 20
	bundleBytes = 4 << 20
)

// cache keeps the data that was written last. The zero value is empty.
type cache struct{ hashes, bundles newest }

func (c *cache) put(tiles tileSet) {
	for id, data := range tiles {
		kind, limit := c.of(id)
		kind.put(id, data, limit)
	}
}

func (c *cache) get(id proofs.TileID) ([]byte, bool) {
	kind, _ := c.of(id)
	return kind.get(id)
}

func (c *cache) clear() {
	c.hashes.clear()
	c.bundles.clear()
}

func (c *cache) of(id proofs.TileID) (kind *newest, limit int) {
	if id.Level < 0 {
		return &c.bundles, bundleBytes
	}
	return &c.hashes, hashBytes
}

// newest keeps the tiles that were written last, as they are now. The zero value
// is empty.
type newest struct {
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

func (c *newest) put(id proofs.TileID, data []byte, limit int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tiles == nil {
		c.tiles = map[place]cached{}
	}
	c.count++
	at := place{id.Level, id.Index}
	c.bytes += len(data) - len(c.tiles[at].data)
	c.tiles[at] = cached{data, c.count}
	c.order = append(c.order, put{at, c.count})
	for c.bytes > limit {
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

func (c *newest) get(id proofs.TileID) ([]byte, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, ok := c.tiles[place{id.Level, id.Index}]
	return found.data, ok
}

func (c *newest) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tiles, c.order, c.bytes = nil, nil, 0
}
