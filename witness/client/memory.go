package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"
)

// saveEvery is how often, at most, the sizes are written while they change.
const saveEvery = 10 * time.Second

// memory is the file in which a Gatherer remembers how far each witness is. It
// saves one request per witness after a restart and decides nothing: a witness
// that is elsewhere says so. So it need not be durable.
type memory struct {
	mu    sync.Mutex
	path  string // empty: there is none
	saved time.Time
}

// Remember has the Gatherer keep in a file how far each witness is, and reads
// what an earlier one has left there. Call it before the first call of Gather. A
// file that cannot be read is an error, and is written anew all the same.
func (g *Gatherer) Remember(path string) error {
	g.memory.mu.Lock()
	defer g.memory.mu.Unlock()
	g.memory.path = path
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sizes of witnesses: %w", err)
	}
	sizes := map[string]int64{} // by verifier key
	if err := json.Unmarshal(b, &sizes); err != nil {
		return fmt.Errorf("sizes of witnesses: %s: %w", path, err)
	}
	for _, p := range g.peers {
		if size := sizes[p.client.Key.String()]; size > 0 {
			p.setSize(size)
		}
	}
	return nil
}

// save writes the sizes, if that is due. That it fails costs a request each.
func (g *Gatherer) save(now bool) {
	g.memory.mu.Lock()
	defer g.memory.mu.Unlock()
	if g.memory.path == "" || !now && time.Since(g.memory.saved) < saveEvery {
		return
	}
	g.memory.saved = time.Now()
	sizes := map[string]int64{}
	for _, p := range g.peers {
		sizes[p.client.Key.String()] = p.knownSize()
	}
	b, err := json.MarshalIndent(sizes, "", "  ")
	if err != nil {
		return
	}
	temporary := g.memory.path + ".tmp"
	if err := os.WriteFile(temporary, append(b, '\n'), 0o644); err == nil {
		_ = os.Rename(temporary, g.memory.path)
	}
}
