package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/proofs"
)

// saveEvery is how often, at most, what is known of the witnesses is written while
// it changes.
const saveEvery = 2 * time.Second

// memory is the file in which a Gatherer remembers how far each witness is, and how
// it last went. It saves one request per witness after a restart, tells those who
// look from outside, and decides nothing: a witness that is elsewhere says so. So it
// need not be durable.
type memory struct {
	mu    sync.Mutex
	path  string // empty: there is none
	saved time.Time
	timer *time.Timer // runs while something waits to be saved
}

// ReadHealth reads the file that Remember keeps.
func ReadHealth(path string) ([]Health, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var all []Health
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// Remember keeps the health of each witness in a file, and reads the file of an
// earlier Gatherer. Call it before the first call of Gather. A file that cannot be
// read is an error, but is replaced all the same.
func (g *Gatherer) Remember(path string) error {
	g.memory.mu.Lock()
	defer g.memory.mu.Unlock()
	g.memory.path = path
	all, err := ReadHealth(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sizes of witnesses: %w", err)
	}
	for _, h := range all {
		for _, w := range g.witnesses {
			if h.Key == w.key.String() && h.URL == fetch.Redacted(w.peer.url) && h.Size > 0 {
				w.peer.recall(w.key, h)
			}
		}
	}
	return nil
}

// recall takes over what an earlier Gatherer knew.
func (p *peer) recall(key proofs.Key, h Health) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.size = h.Size
	p.last[key] = outcome{success: h.LastSuccess, offset: h.ClockOffset}
}

// save writes what is known of the witnesses, or sees to it that this happens soon.
// That it fails costs a request each.
func (g *Gatherer) save(now bool) {
	m := &g.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.path == "" {
		return
	}
	if now && m.timer != nil {
		m.timer.Stop()
	}
	if wait := saveEvery - time.Since(m.saved); !now && wait > 0 {
		if m.timer == nil {
			m.timer = time.AfterFunc(wait, func() {
				if g.base.Err() == nil { // Close saves
					g.save(false)
				}
			})
		}
		return
	}
	m.saved, m.timer = time.Now(), nil
	b, err := json.MarshalIndent(g.Health(), "", "  ")
	if err != nil {
		return
	}
	temporary := m.path + ".tmp"
	if err := os.WriteFile(temporary, append(b, '\n'), 0o644); err == nil {
		_ = os.Rename(temporary, m.path)
	}
}
