package witness

import (
	"errors"
	"runtime"
	"sync"
	"testing"
)

// Any number of health checks at once cost one, and nobody gets the outcome of one that
// began before he asked.
func TestSharedChecks(t *testing.T) {
	var s shared
	var wg sync.WaitGroup
	checks, begun, end := 0, make(chan struct{}), make(chan error)
	ask := func(want error) {
		wg.Go(func() {
			err := s.do(func() error {
				checks++
				begun <- struct{}{}
				return <-end
			})
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
	first := errors.New("the first")
	ask(first)
	<-begun
	const others = 50
	for range others {
		ask(nil)
	}
	for s.asked.Load() < 1+others {
		runtime.Gosched() // until all have asked
	}
	end <- first
	<-begun
	end <- nil
	wg.Wait()
	if checks != 2 {
		t.Errorf("%d checks", checks)
	}
}
