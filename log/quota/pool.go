package quota

import (
	"context"
	"slices"
	"sync"
)

// Room keeps account of a Pool: how much of it each source has.
type Room struct {
	Pool

	mu      sync.Mutex
	taken   int64            // by all
	others  int64            // of it by sources without a token
	by      map[string]int64 // source; the log's own host is in none
	waiting []*waiter        // the one that came first first
	stays   []*Stay          // the one that began first first
}

// waiter waits for its turn.
type waiter struct {
	from Source
	n    int64
	turn chan struct{} // closed when it has its part
}

func NewPool(p Pool) *Room { return &Room{Pool: p, by: map[string]int64{}} }

// Take takes n for a source, if there is as much for it, ahead of all that wait.
func (p *Room) Take(from Source, n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.withinShare(from, n) || !p.withinCapacity(from, n) {
		return false
	}
	p.add(from, n)
	return true
}

// Await takes n for a source when it is its turn, or returns why the context ended.
func (p *Room) Await(ctx context.Context, from Source, n int64) error {
	w := &waiter{from, n, make(chan struct{})}
	p.mu.Lock()
	p.waiting = append(p.waiting, w)
	p.serve()
	p.mu.Unlock()
	select {
	case <-w.turn:
		return nil
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.waiting, w)
	if i < 0 {
		return nil // its turn came at the same time
	}
	p.waiting = slices.Delete(p.waiting, i, i+1)
	p.serve()
	return context.Cause(ctx)
}

// GiveBack gives back n that were taken.
func (p *Room) GiveBack(from Source, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.add(from, -n)
	p.serve()
}

// serve shares out what there is among the waiting, in their order. A source that has its
// share is passed over; nobody gets ahead of one that waits for more than is left.
// It must be called with mu held.
func (p *Room) serve() {
	for i := 0; i < len(p.waiting); {
		w := p.waiting[i]
		if !p.withinShare(w.from, w.n) {
			i++
			continue
		}
		if !p.withinCapacity(w.from, w.n) {
			return
		}
		p.add(w.from, w.n)
		p.waiting = slices.Delete(p.waiting, i, i+1)
		close(w.turn)
	}
}

func (p *Room) withinShare(from Source, n int64) bool {
	return from.Key == "" || p.by[from.Key]+n <= p.Share
}

func (p *Room) withinCapacity(from Source, n int64) bool {
	return p.taken+n <= p.Capacity && (from.Holder || p.others+n <= p.Capacity-p.Reserve)
}

func (p *Room) add(from Source, n int64) {
	p.taken += n
	if !from.Holder {
		p.others += n
	}
	if from.Key == "" {
		return
	}
	if p.by[from.Key] += n; p.by[from.Key] == 0 {
		delete(p.by, from.Key)
	}
}

// Used returns how much is taken by all.
func (p *Room) Used() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.taken
}
