package quota

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestStaysGiveWay(t *testing.T) {
	p := NewPool(Pool{Capacity: 10, Share: 6, Reserve: 2}) // 8 for those without a token
	var left string
	stays := map[string]*Stay{}
	enter := func(name string, n int64, want bool, leaves string) {
		t.Helper()
		key, _, _ := strings.Cut(name, " ")
		if stays[name] == nil {
			stays[name] = p.Stay(Source{Key: key, Holder: key == "holder"}, func() { left += name + ";" })
		}
		left = ""
		if got := stays[name].Take(n); got != want || left != leaves {
			t.Fatalf("%s takes %d: %v, and %q give way; want %v and %q", name, n, got, left, want, leaves)
		}
	}
	enter("a 1", 2, true, "")
	enter("a 2", 1, true, "")
	enter("a 3", 3, true, "")
	enter("a 4", 1, false, "") // has its share, and loses nothing to itself
	enter("b 1", 2, true, "")
	enter("b 2", 4, false, "") // would have as much as the one that has the most
	enter("b 2", 2, true, "a 1;")
	enter("a 1", 1, false, "") // has given way
	if n, ok := stays["a 1"].Keep(); n != 0 || ok {
		t.Errorf("what has given way has %d, %v", n, ok)
	}
	if n, ok := stays["b 2"].Keep(); n != 2 || !ok {
		t.Errorf("what is kept is %d, %v", n, ok)
	}
	enter("c 1", 2, true, "a 2;a 3;")
	enter("holder 1", 4, true, "")
	enter("holder 2", 1, false, "") // nobody has more
	enter("d 1", 2, false, "")      // nor more than two, but for the holder, who does not give way to it
	enter("d 1", 1, true, "b 1;")   // half of what b has is there for good
	p.GiveBack(Source{Key: "b"}, 2)
	for _, s := range stays {
		s.Leave()
	}
	if p.taken != 0 || p.others != 0 || len(p.by) != 0 || len(p.stays) != 0 {
		t.Errorf("left over: %+v", p)
	}
}

// However much is taken and given back, no more is taken than there is, and a source
// loses nothing to one that has as much.
func TestRandomStays(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		p := NewPool(Pool{Capacity: 20, Share: 12, Reserve: 4})
		var in []*Stay
		total := func(key string) (n int64) {
			for _, s := range in {
				if s.from.Key == key {
					n += s.n
				}
			}
			return n
		}
		for range 300 {
			if len(in) > 0 && rnd.IntN(3) == 0 {
				i := rnd.IntN(len(in))
				in[i].Leave()
				in = append(in[:i:i], in[i+1:]...)
				continue
			}
			key := fmt.Sprint(rnd.IntN(6))
			before := map[string]int64{}
			for i := range 6 {
				before[fmt.Sprint(i)] = total(fmt.Sprint(i))
			}
			n := 1 + rnd.Int64N(8)
			s := p.Stay(Source{Key: key, Holder: key == "0"}, func() {})
			in = append(in, s)
			ok := s.Take(n)
			for i := range 6 {
				other := fmt.Sprint(i)
				if lost := before[other] - total(other); lost > 0 && (!ok || other == key || before[other] <= before[key]+n) {
					t.Fatalf("%s has %d and loses %d to %s, who has %d and takes %d: %v", other, before[other], lost, key, before[key], n, ok)
				}
			}
			if p.taken > p.Capacity || p.others > p.Capacity-p.Reserve || p.by[key] > p.Share {
				t.Fatalf("%d are taken, %d by others, %d by %s", p.taken, p.others, p.by[key], key)
			}
		}
		for _, s := range in {
			s.Leave()
		}
		if p.taken != 0 || p.others != 0 || len(p.by) != 0 || len(p.stays) != 0 {
			t.Fatalf("left over: %+v", p)
		}
	}
}
