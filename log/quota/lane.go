package quota

import (
	"context"
	"slices"
	"sync"
)

// Lane is passed by one at a time. Sources that wait take turns, and each source's
// submissions keep their order: a source with much to send waits only for itself.
type Lane struct {
	mu      sync.Mutex
	taken   bool
	sources []string // that have a waiting submission, the next first
	waiting map[string][]chan struct{}
}

// Enter waits for the lane, which the caller must leave. The error is the context's.
func (l *Lane) Enter(ctx context.Context, source string) error {
	l.mu.Lock()
	if !l.taken {
		l.taken = true
		l.mu.Unlock()
		return nil
	}
	if l.waiting == nil {
		l.waiting = map[string][]chan struct{}{}
	}
	turn := make(chan struct{})
	if len(l.waiting[source]) == 0 {
		l.sources = append(l.sources, source)
	}
	l.waiting[source] = append(l.waiting[source], turn)
	l.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	i := slices.Index(l.waiting[source], turn)
	if i >= 0 {
		l.remove(source, i)
	}
	l.mu.Unlock()
	if i < 0 { // its turn came at the same time
		l.Leave()
	}
	return ctx.Err()
}

// remove takes out the waiting one of a source at i. It must be called with mu held.
func (l *Lane) remove(source string, i int) {
	left := slices.Delete(l.waiting[source], i, i+1)
	l.waiting[source] = left
	if len(left) == 0 {
		delete(l.waiting, source)
		l.sources = slices.DeleteFunc(l.sources, func(s string) bool { return s == source })
	}
}

// Leave lets the next one in.
func (l *Lane) Leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.sources) == 0 {
		l.taken = false
		return
	}
	next := l.sources[0]
	close(l.waiting[next][0])
	l.sources = append(l.sources[1:], next) // behind the others, if it has more
	l.remove(next, 0)
}

// Busy reports whether somebody is in the lane.
func (l *Lane) Busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken
}
