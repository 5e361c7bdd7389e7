package quota

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
)

// One source's many wait for each other, and another's one comes after the first of
// them.
func TestLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Lane
		var served []string
		var all sync.WaitGroup
		if err := l.Enter(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		for _, source := range []string{"a", "a", "a", "b", "c", "b"} {
			all.Go(func() {
				if err := l.Enter(t.Context(), source); err != nil {
					t.Error(err)
				}
				served = append(served, source)
				l.Leave()
			})
			synctest.Wait()
		}
		// A source that gives up is forgotten, and the lane is not lost.
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() { gone <- l.Enter(ctx, "d") }()
		synctest.Wait()
		cancel()
		if err := <-gone; err == nil {
			t.Error("who has given up is let in")
		}
		l.Leave()
		all.Wait()
		if want := []string{"a", "b", "c", "a", "b", "a"}; !slices.Equal(served, want) {
			t.Errorf("served %v, want %v", served, want)
		}
		if l.taken || len(l.sources) > 0 || len(l.waiting) > 0 {
			t.Errorf("left behind: %+v", &l)
		}
	})
}

// Giving up at the moment of one's turn passes it on.
func TestLaneConcurrently(t *testing.T) {
	var l Lane
	var all sync.WaitGroup
	inside := 0
	for i := range 2000 {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if i%2 == 0 {
				go cancel()
			}
			if l.Enter(ctx, string(rune('a'+i%7))) != nil {
				return
			}
			if inside++; inside != 1 {
				t.Error("two are in the lane")
			}
			inside--
			l.Leave()
		})
	}
	all.Wait()
	if l.taken || len(l.sources) > 0 || len(l.waiting) > 0 {
		t.Errorf("left behind: %+v", &l)
	}
}
