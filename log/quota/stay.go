package quota

import "slices"

// Stay is the part of a pool that is taken while a client sends or takes bytes, which
// lasts as long as the client likes. So it gives way: where there is
// no room for a source, the source that has the most in stays, and more than the
// newcomer would have in all, loses its oldest one. So nobody shuts others out by being
// slow, and nobody loses anything to a source that has as much.
type Stay struct {
	pool   *Room
	from   Source
	n      int64
	gone   bool   // it has given way
	giveUp func() // is called then, with the pool locked, and never after the stay has ended
}

// Stay begins a stay with nothing. Keep or leave ends it.
func (p *Room) Stay(from Source, giveUp func()) *Stay {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := &Stay{pool: p, from: from, giveUp: giveUp}
	p.stays = append(p.stays, s)
	return s
}

// Take takes n more, if there is as much for its source or as much gives way.
func (s *Stay) Take(n int64) bool {
	return s.pool.Press(s.from, n, func() bool {
		if !s.gone {
			s.n += n
		}
		return !s.gone
	})
}

// Press takes n for a source as take does, and where there is not as much the stays of
// others give way. It asks last, with mu held, whether n is wanted still.
func (p *Room) Press(from Source, n int64, wanted func() bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	var victims []*Stay
	ok := p.withinShare(from, n)
	if ok && !p.withinCapacity(from, n) {
		victims = p.giveWay(from, n)
		ok = victims != nil
	}
	if ok = ok && wanted(); ok {
		for _, v := range victims {
			p.end(v)
			p.add(v.from, -v.n)
			v.n, v.gone = 0, true
			v.giveUp()
		}
		p.add(from, n)
	}
	return ok
}

// giveWay returns the stays to be given up so that a source can have n more; nil if
// that is not to be. It must be called with mu held.
func (p *Room) giveWay(from Source, n int64) []*Stay {
	type has struct {
		stays []*Stay // the oldest first
		n     int64
	}
	sources := map[string]*has{}
	var order []*has // those of sources that began first, first
	for _, s := range p.stays {
		// A part of what holders give back is kept from sources without a token.
		if s.n == 0 || s.from.Key == from.Key || s.from.Holder && !from.Holder {
			continue
		}
		h := sources[s.from.Key]
		if h == nil {
			h = new(has)
			sources[s.from.Key], order = h, append(order, h)
		}
		h.stays, h.n = append(h.stays, s), h.n+s.n
	}
	after := Room{Pool: p.Pool, taken: p.taken, others: p.others}
	var victims []*Stay
	for !after.withinCapacity(from, n) {
		var most *has
		for _, h := range order {
			if h.n > p.by[from.Key]+n && (most == nil || h.n > most.n) {
				most = h
			}
		}
		if most == nil {
			return nil
		}
		v := most.stays[0]
		victims, most.stays, most.n = append(victims, v), most.stays[1:], most.n-v.n
		if after.taken -= v.n; !v.from.Holder {
			after.others -= v.n
		}
	}
	return victims
}

// end takes a stay out of those that can be given up. It must be called with mu held.
func (p *Room) end(s *Stay) {
	if i := slices.Index(p.stays, s); i >= 0 {
		p.stays = slices.Delete(p.stays, i, i+1)
	}
}

// Keep ends the stay and leaves the n that it has taken to the caller, to give them back
// to the pool. It is false if the stay has given way.
func (s *Stay) Keep() (n int64, ok bool) {
	s.pool.mu.Lock()
	defer s.pool.mu.Unlock()
	s.pool.end(s)
	n, s.n = s.n, 0
	return n, !s.gone
}

// Leave ends the stay and gives back all that it has.
func (s *Stay) Leave() {
	n, _ := s.Keep()
	s.pool.GiveBack(s.from, n)
}
