package page

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/tuflog/tuflog/internal/room"
)

// Addresses that wait take turns, and none has more turns at once than its part.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShare(2, 1, room.New(8, 4))
		from := func(address string) context.Context { return withSource(t.Context(), address) }
		var order []string
		leaves := map[string]chan func(){}
		enter := func(address string) {
			leaves[address] = make(chan func(), 8)
			go func() {
				leave, err := s.enter(from(address[:1]))
				if err != nil {
					t.Errorf("%s: %v", address, err)
					return
				}
				order = append(order, address)
				leaves[address] <- leave
			}()
			synctest.Wait()
		}
		for _, address := range []string{"a1", "a2", "a3", "a4", "b1", "b2", "c1"} {
			enter(address)
		}
		if !slices.Equal(order, []string{"a1", "b1"}) {
			t.Fatalf("at first: %v", order)
		}
		if _, err := s.enter(from("a")); !errors.Is(err, errBusy) {
			t.Errorf("a fifth one of one address: %v", err)
		}
		gone, cancel := context.WithCancel(from("d"))
		cancel()
		if _, err := s.enter(gone); !errors.Is(err, context.Canceled) {
			t.Errorf("one that has gone: %v", err)
		}
		for _, address := range []string{"a1", "b1", "a2", "b2", "c1", "a3", "a4"} {
			(<-leaves[address])()
			synctest.Wait()
		}
		if !slices.Equal(order, []string{"a1", "b1", "a2", "b2", "c1", "a3", "a4"}) {
			t.Errorf("the turns: %v", order)
		}
		if s.taken != 0 || len(s.by)+len(s.waiting)+len(s.next) != 0 {
			t.Errorf("afterwards: %+v", s)
		}
		for range 4 {
			leave, err := s.enter(from("a"))
			if err != nil {
				t.Fatal(err)
			}
			leave()
		}
	})
}
