package room

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
)

// crowd enters a room and remembers who had to leave.
type crowd struct {
	t      *testing.T
	room   *Room
	places map[string]*Place
	left   []string
}

func newCrowd(t *testing.T, most, perSource int) *crowd {
	return &crowd{t: t, room: New(most, perSource), places: make(map[string]*Place)}
}

// enter lets "SOURCE NUMBER" in and expects that one of some others leaves for it,
// "" for nobody.
func (c *crowd) enter(name string, leaves ...string) {
	c.t.Helper()
	c.left = nil
	source, _, _ := strings.Cut(name, " ")
	p, ok := c.room.Enter(source, func() { c.left = append(c.left, name) })
	if got := strings.Join(c.left, ", "); !ok || !slices.Contains(leaves, got) {
		c.t.Fatalf("%s enters: %v, %q leaves; want %q", name, ok, got, leaves)
	}
	c.places[name] = p
}

func (c *crowd) idle(names ...string) {
	for _, n := range names {
		c.places[n].idle()
	}
}

func TestShareOfASource(t *testing.T) {
	c := newCrowd(t, 100, 3)
	c.enter("a 1", "")
	c.enter("a 2", "")
	c.enter("a 3", "")
	c.enter("a 4", "a 1") // the one that has been busy for longest
	c.idle("a 4", "a 3")
	c.enter("a 5", "a 4") // the one that has been idle for longest
	c.places["a 3"].busy()
	c.enter("a 6", "a 2")
	c.enter("b 1", "")
	c.places["a 3"].Leave()
	c.places["a 3"].Leave()
	c.enter("a 7", "")
	if all, own := c.room.Taken("a"); all != 4 || own != 3 {
		t.Errorf("%d places are taken, %d by a", all, own)
	}
}

func TestFullRoom(t *testing.T) {
	c := newCrowd(t, 6, 0)
	for i := range 5 {
		c.enter(fmt.Sprintf("a %d", i), "")
	}
	c.enter("b 1", "")
	c.enter("a 5", "a 0")       // its own: nobody has more
	c.enter("b 2", "a 1")       // the one that has the most
	c.enter("c 1", "a 2")       //
	c.idle("a 5", "b 1", "b 2") // a has 3 with a 5 idle, b 2, c 1
	c.enter("c 2", "a 5")       // an idle one of the largest that has one
	c.places["b 2"].Leave()     // a 2, b 1, c 2
	c.enter("b 3", "")          //
	c.enter("a 6", "a 3")       // its own: nobody has more
	c.idle("c 2")               // a 2, b 2 with b 1 idle, c 2 with c 2 idle
	c.places["b 1"].busy()      //
	c.enter("d 1", "c 2")       // an idle one first, though others have as many
	c.enter("d 2", "a 4", "b 3", "b 1")
}

// What cannot be given up stays.
func TestWorkIsNotGivenUp(t *testing.T) {
	r := New(3, 2)
	enter := func(source string, want bool) *Place {
		t.Helper()
		p, ok := r.Enter(source, nil)
		if ok != want {
			t.Fatalf("%s enters: %v", source, ok)
		}
		return p
	}
	a := enter("a", true)
	enter("a", true)
	enter("a", false)
	enter("b", true)
	enter("c", false)
	a.Leave()
	enter("c", true)
	if all, own := r.Taken("a"); all != 3 || own != 1 || len(r.sources) != 3 {
		t.Errorf("%d places are taken, %d by a, %d sources", all, own, len(r.sources))
	}
}

// However places are taken and left, a source that has no more than another loses
// none to it, nobody has more than his share, and nothing is left over.
func TestRandomCrowds(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		const most, share = 20, 6
		r := New(most, share)
		type guest struct {
			source string
			place  *Place
		}
		var in []*guest
		var victim *guest
		count := func(s string) (n int) {
			for _, g := range in {
				if g.source == s {
					n++
				}
			}
			return n
		}
		for range 300 {
			switch rnd.IntN(4) {
			case 0, 1:
				g := &guest{source: fmt.Sprint(rnd.IntN(8))}
				before, all := count(g.source), len(in)
				victim = nil
				p, ok := r.Enter(g.source, func() {
					i := slices.IndexFunc(in, func(o *guest) bool { return o.place.in == nil })
					victim = in[i]
				})
				if !ok {
					t.Fatal("refused although others could leave")
				}
				if victim != nil {
					if before < share && all < most {
						t.Fatalf("%s left although there was room", victim.source)
					}
					if victim.source != g.source && (count(victim.source) <= before || before >= share) {
						t.Fatalf("a source with %d places loses one to a source with %d", count(victim.source), before)
					}
					in = slices.DeleteFunc(in, func(o *guest) bool { return o == victim })
				} else if before >= share || all >= most {
					t.Fatal("nobody left although there was no room")
				}
				g.place = p
				in = append(in, g)
			case 2:
				if len(in) > 0 {
					in[rnd.IntN(len(in))].place.idle()
				}
			case 3:
				if len(in) > 0 {
					i := rnd.IntN(len(in))
					in[i].place.Leave()
					in = slices.Delete(in, i, i+1)
				}
			}
			if all, _ := r.Taken(""); all != len(in) {
				t.Fatalf("%d places are taken by %d", all, len(in))
			}
		}
		for _, g := range in {
			g.place.Leave()
		}
		if r.taken != 0 || len(r.sources) != 0 {
			t.Fatalf("%d places and %d sources are left over", r.taken, len(r.sources))
		}
	}
}

func TestConcurrentCrowd(t *testing.T) {
	r := New(10, 4)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for range 500 {
				p, ok := r.Enter(fmt.Sprint(i%5), func() {})
				if !ok {
					t.Error("refused")
					return
				}
				p.idle()
				p.busy()
				p.Leave()
			}
		})
	}
	wg.Wait()
	if r.taken != 0 || len(r.sources) != 0 {
		t.Fatalf("%d places and %d sources are left over", r.taken, len(r.sources))
	}
}

// Whose work would be lost stays, as long as nobody has much more than the newcomer.
func TestSettled(t *testing.T) {
	c := newCrowd(t, 3, 0)
	c.room = NewSettled(3, 0)
	c.enter("a 1", "")
	c.enter("b 1", "")
	c.enter("c 1", "")
	if _, ok := c.room.Enter("d", nil); ok {
		t.Error("d takes the only place of another")
	}
	c.places["b 1"].Leave()
	c.enter("a 2", "")
	c.enter("d 1", "a 1")
}
