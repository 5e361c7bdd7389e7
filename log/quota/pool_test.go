package quota

import (
	"context"
	"testing"
)

// Nobody has more than his share, and the reserve is for holders of tokens.
func TestRoomForHolders(t *testing.T) {
	s, _ := quotas(Config{}, Limits{Queue: Pool{Capacity: 8, Share: 4, Reserve: 2}, Memory: Pool{Capacity: 64 << 20}}, "token")
	outsider, other, third := s.Of(request("192.0.2.1:1", "", "")), s.Of(request("198.51.100.1:1", "", "")), s.Of(request("203.0.113.1:1", "", ""))
	vendor, local := s.Of(request("192.0.2.1:1", "", "token")), s.Of(request("127.0.0.1:1", "", ""))
	for i, step := range []struct {
		from Source
		n    int64
		want bool
	}{
		{outsider, 3, true},
		{outsider, 2, false}, // its share
		{outsider, 1, true},
		{other, 3, false}, // the reserve
		{other, 2, true},
		{third, 1, false},
		{local, 1, false},
		{vendor, 3, false}, // there are two
		{vendor, 2, true},
		{vendor, 1, false},
	} {
		if got := s.Queue.Take(step.from, step.n); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
	s.Queue.GiveBack(outsider, 4)
	if !s.Queue.Take(local, 4) || s.Queue.Take(third, 1) || s.Queue.taken != 8 {
		t.Error("places are not given back, or the log's own host has a share")
	}
	s.Queue.GiveBack(local, 4)
	s.Queue.GiveBack(other, 2)
	s.Queue.GiveBack(vendor, 2)
	if s.Queue.taken != 0 || s.Queue.others != 0 || len(s.Queue.by) != 0 {
		t.Errorf("left over: %+v", s.Queue)
	}
	if m := s.Memory.Pool; m != (Pool{Capacity: 64 << 20, Share: 40 << 20, Reserve: 16 << 20}) {
		t.Errorf("the default's proportions of 64 MiB are %+v", m)
	}
	if s, _ := quotas(Config{}, Limits{}, ""); s.Queue.Reserve != 0 {
		t.Error("something is kept for holders of tokens where there are none")
	}
}

// Sources that wait have their turns in their order, one that has its share after the
// others.
func TestTurnsOfAPool(t *testing.T) {
	p := NewPool(Pool{Capacity: 8, Share: 4})
	a, b, c := Source{Key: "a"}, Source{Key: "b"}, Source{Key: "c"}
	order := make(chan string, 9)
	begin := func(name string, from Source, n int64) (end func()) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		p.mu.Lock()
		before := len(p.waiting)
		p.mu.Unlock()
		go func() {
			defer close(ended)
			if p.Await(ctx, from, n) == nil {
				order <- name
			}
		}()
		for waits := false; !waits && len(order) == 0; {
			p.mu.Lock()
			waits = len(p.waiting) > before
			p.mu.Unlock()
		}
		return func() { cancel(); <-ended }
	}
	next := func(want string) {
		t.Helper()
		if got := <-order; got != want {
			t.Fatalf("%s has its turn, want %s", got, want)
		}
	}
	none := func() {
		t.Helper()
		if len(order) > 0 {
			t.Fatalf("%s has its turn", <-order)
		}
	}
	defer begin("a1", a, 4)()
	next("a1")
	defer begin("a2", a, 2)() // has its share
	none()
	defer begin("b1", b, 2)()
	next("b1")
	end := begin("c1", c, 4) // there are two
	none()
	defer begin("b2", b, 2)() // would fit, and does not get ahead
	none()
	end() // who gives up makes room
	next("b2")
	none()
	p.GiveBack(a, 4)
	next("a2")
	p.GiveBack(a, 2)
	p.GiveBack(b, 4)
	if p.taken != 0 || len(p.by) != 0 || len(p.waiting) != 0 {
		t.Errorf("left over: %+v", p)
	}
}
