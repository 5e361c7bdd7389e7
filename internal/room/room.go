// Package room shares a bounded number of places among sources that do not know
// each other, such as the addresses that a server's connections come from, so that
// no source can keep the others out.
//
// If there is no room for one more, another place is given up: one of the newcomer's
// own source if that has its full share or more places than any other; else one of
// the source that has the most. Of a source's places the one that has been idle for
// longest goes first, then the one that has been busy for longest. So a source does
// not lose a place to one that has as many, and idle places are lost first.
package room

import (
	"container/list"
	"sync"
)

// Room is a bounded number of places. It is safe for concurrent use.
type Room struct {
	most, perSource int
	settled         bool

	mu      sync.Mutex
	taken   int
	sources map[string]*source // those that have places
}

// New returns a Room with that many places in all, and per source. 0 is any
// number.
func New(most, perSource int) *Room {
	return &Room{most: most, perSource: perSource, sources: make(map[string]*source)}
}

// NewSettled is New for places in which work gets done that would be lost: a source that has no
// more than one place above what the newcomer's has loses none to it, and who comes then has to
// come again.
func NewSettled(most, perSource int) *Room {
	r := New(most, perSource)
	r.settled = true
	return r
}

// source has a source's places, each list with the longest so first.
type source struct {
	name       string
	idle, busy list.List // of *Place
}

func (s *source) taken() int { return s.idle.Len() + s.busy.Len() }

// Place is a place that a source has taken.
type Place struct {
	room   *Room
	source *source
	giveUp func()
	in     *list.List // nil once it is given up
	at     *list.Element
}

// Enter takes a place for a source, marks it as busy, and reports whether there was
// room. GiveUp is called at most once, when the place is taken away for another
// source; it must not block, and may be called after a concurrent Leave. With a nil
// giveUp the place is kept until Leave.
func (r *Room) Enter(name string, giveUp func()) (*Place, bool) {
	r.mu.Lock()
	s := r.sources[name]
	if s == nil {
		s = &source{name: name}
	}
	var victim *Place
	if full := r.full(s); full {
		if victim = r.victim(s); victim == nil {
			r.mu.Unlock()
			return nil, false
		}
		victim.remove()
	}
	r.sources[name] = s
	p := &Place{room: r, source: s, giveUp: giveUp}
	p.put(&s.busy)
	r.taken++
	r.mu.Unlock()
	if victim != nil {
		victim.giveUp()
	}
	return p, true
}

func (r *Room) full(s *source) bool {
	return r.perSource > 0 && s.taken() >= r.perSource || r.most > 0 && r.taken >= r.most
}

// victim returns the place that is given up for one more of a source, nil if there
// is none. It looks at every source, but only where all the room is taken.
func (r *Room) victim(s *source) *Place {
	if r.perSource > 0 && s.taken() >= r.perSource {
		return s.first()
	}
	idle, largest := s, s // the largest with an idle place, and the largest of all
	for _, other := range r.sources {
		if other.taken() > largest.taken() {
			largest = other
		}
		if other.idle.Len() > 0 && other.taken() > idle.taken() {
			idle = other
		}
	}
	if r.settled && largest.taken() <= s.taken()+1 {
		return nil
	}
	if idle != s {
		if p := firstOf(&idle.idle); p != nil {
			return p
		}
	}
	return largest.first()
}

// first returns the place of a source that goes first.
func (s *source) first() *Place {
	if p := firstOf(&s.idle); p != nil {
		return p
	}
	return firstOf(&s.busy)
}

func firstOf(l *list.List) *Place {
	for e := l.Front(); e != nil; e = e.Next() {
		if p := e.Value.(*Place); p.giveUp != nil {
			return p
		}
	}
	return nil
}

// idle marks the place as not in use, until busy is called.
func (p *Place) idle() { p.move(&p.source.idle) }

// busy marks the place as in use.
func (p *Place) busy() { p.move(&p.source.busy) }

// Leave frees the place. It may be called more than once.
func (p *Place) Leave() {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	p.remove()
}

func (p *Place) move(to *list.List) {
	p.room.mu.Lock()
	defer p.room.mu.Unlock()
	if p.in != nil {
		p.in.Remove(p.at)
		p.put(to)
	}
}

func (p *Place) put(in *list.List) { p.in, p.at = in, in.PushBack(p) }

// remove takes the place out, if it is still there.
func (p *Place) remove() {
	if p.in == nil {
		return
	}
	p.in.Remove(p.at)
	p.in = nil
	p.room.taken--
	if p.source.taken() == 0 {
		delete(p.room.sources, p.source.name)
	}
}

// Taken returns how many places are taken, in all and by a source.
func (r *Room) Taken(name string) (all, own int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sources[name]; s != nil {
		own = s.taken()
	}
	return r.taken, own
}
