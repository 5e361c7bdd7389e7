package page

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/internal/room"
)

// sourceKey is of the address that a request came from, in its context.
type sourceKey struct{}

func withSource(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, sourceKey{}, address)
}

// sourceOf returns the address that a request came from; empty: nobody's.
func sourceOf(ctx context.Context) string {
	address, _ := ctx.Value(sourceKey{}).(string)
	return address
}

// errBusy is the error of work that has no place now: too much of it waits already.
var errBusy = errors.New("too much work waits already")

// share gives out turns for work that costs much: so many at a time, fewer for one address.
// Addresses that wait come in turn, so that one that wants much waits for itself. It is safe
// for concurrent use.
type share struct {
	most, perSource int
	waits           *room.Room // places to wait or to work, shared by all shares; nil: any number

	mu      sync.Mutex
	taken   int
	by      map[string]int             // turns that each address has
	waiting map[string][]chan struct{} // each closed when its turn has come
	next    []string                   // addresses that wait, the next first
}

func newShare(most, perSource int, waits *room.Room) *share {
	return &share{most: most, perSource: perSource, waits: waits, by: map[string]int{}, waiting: map[string][]chan struct{}{}}
}

// enter waits for a turn of the address in the context. The caller calls leave once. The error
// is errBusy if too many wait already, or the context's.
func (s *share) enter(ctx context.Context) (leave func(), err error) {
	source := sourceOf(ctx)
	var place *room.Place
	if s.waits != nil {
		var ok bool
		if place, ok = s.waits.Enter(source, nil); !ok {
			return nil, errBusy
		}
	}
	turn := make(chan struct{})
	s.mu.Lock()
	if len(s.waiting[source]) == 0 {
		s.next = append(s.next, source)
	}
	s.waiting[source] = append(s.waiting[source], turn)
	s.serve()
	s.mu.Unlock()
	leave = func() {
		s.giveBack(source)
		if place != nil {
			place.Leave()
		}
	}
	select {
	case <-turn:
		return leave, nil
	case <-ctx.Done():
	}
	if s.mu.Lock(); s.remove(source, turn) {
		s.mu.Unlock()
		if place != nil {
			place.Leave()
		}
	} else { // its turn came at the same time
		s.mu.Unlock()
		leave()
	}
	return nil, ctx.Err()
}

func (s *share) giveBack(source string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken--
	if s.by[source]--; s.by[source] == 0 {
		delete(s.by, source)
	}
	s.serve()
}

// serve gives turns to those that wait. It must be called with mu held.
func (s *share) serve() {
	for i := 0; s.taken < s.most && i < len(s.next); {
		source := s.next[i]
		if s.by[source] >= s.perSource {
			i++ // the others do not wait for it
			continue
		}
		s.taken++
		s.by[source]++
		turn := s.waiting[source][0]
		close(turn)
		s.remove(source, turn)
		if len(s.waiting[source]) > 0 { // it goes behind the others
			s.next = append(slices.Delete(s.next, i, i+1), source)
		}
	}
}

// remove takes out one that waits, and reports whether it was there. It must be called with mu
// held.
func (s *share) remove(source string, turn chan struct{}) bool {
	i := slices.Index(s.waiting[source], turn)
	if i < 0 {
		return false
	}
	if left := slices.Delete(s.waiting[source], i, i+1); len(left) > 0 {
		s.waiting[source] = left
		return true
	}
	delete(s.waiting, source)
	s.next = slices.DeleteFunc(s.next, func(other string) bool { return other == source })
	return true
}
