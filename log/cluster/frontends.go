package cluster

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/build"
	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/internal/wait"
)

// others has the rows of the other front ends that may lead, as this one has read them. It
// goes by its own clock: a row lives while it changes.
type others struct {
	self  string
	times yieldTimes

	mu    sync.Mutex
	heard map[string]lastHeard
}

type lastHeard struct {
	FrontEnd
	since time.Time // when it was seen first as it is
	lives bool      // it has changed since it was seen first of all
}

// take takes over the rows that were read, and returns those of front ends that are gone.
func (o *others) take(rows []FrontEnd, now time.Time) (gone []FrontEnd) {
	o.mu.Lock()
	defer o.mu.Unlock()
	next := make(map[string]lastHeard, len(rows))
	for _, f := range rows {
		h, known := o.heard[f.ID]
		switch {
		case f.ID == o.self:
			continue
		case !known:
			h = lastHeard{f, now, false}
		case f.Writes != h.Writes:
			h = lastHeard{f, now, true}
		case now.Sub(h.since) >= o.times.gone:
			gone = append(gone, f)
		}
		next[f.ID] = h
	}
	o.heard = next
	return gone
}

// alive returns those that have just said how they are, ordered by their URL.
func (o *others) alive(now time.Time) []FrontEnd {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []FrontEnd
	for _, h := range o.heard {
		if h.lives && now.Sub(h.since) <= o.times.fresh {
			list = append(list, h.FrontEnd)
		}
	}
	slices.SortFunc(list, func(a, b FrontEnd) int { return strings.Compare(a.URL+a.ID, b.URL+b.ID) })
	return list
}

// ableOf returns the front ends that could lead.
func ableOf(all []FrontEnd) []FrontEnd {
	return slices.DeleteFunc(slices.Clone(all), func(f FrontEnd) bool { return !f.Able })
}

// reached is whether the front end that leads was reached at its URL.
type reached struct {
	epoch int64
	err   error
}

// beats says how this front end is, again and again until ctx ends, and then no more.
func (n *Node) beats(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	reach := &check{calm: time.Second, ask: func(ctx context.Context) error {
		epoch, err := n.forward.Reach(ctx)
		n.reached.Store(&reached{epoch, err})
		return nil
	}}
	b := beating{n: n, own: FrontEnd{ID: n.id, URL: fetch.Redacted(n.url), Version: build.Read().String()}}
	for ctx.Err() == nil {
		if !n.leads() {
			reach.start(ctx, &asking, false)
			for _, k := range n.checks.all() {
				k.start(ctx, &asking, n.inDoubt())
			}
		}
		b.once(ctx)
		wait.For(ctx, n.times.beat)
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := n.cfg.FrontEnds.Forget(ending, b.own); err != nil {
		n.logger.Debug("the other front ends see by themselves that this one is gone", "err", err)
	}
}

// beating is the state in which a front end has last described itself, and told its operator.
type beating struct {
	n       *Node
	own     FrontEnd
	failing bool
	hinders bool
}

// once writes how this front end is, and reads how the others are.
func (b *beating) once(ctx context.Context) {
	n := b.n
	now := time.Now()
	why := n.hindrance(now)
	b.own.Able, b.own.Why = why == nil, ""
	if why != nil {
		b.own.Why = why.Error()
	} else if err := n.cfg.Lead.Publisher.Served.Trouble(); err != nil {
		b.own.Why = err.Error() // it is able all the same
	}
	b.own.Leader, b.own.Unreached = 0, ""
	if r := n.reached.Load(); r != nil && !n.leads() {
		if b.own.Leader = r.epoch; r.err != nil && r.epoch != 0 {
			b.own.Unreached = r.err.Error()
		}
	}
	b.explain(why)

	telling, cancel := context.WithTimeout(ctx, n.times.fresh)
	defer cancel()
	rows, err := n.cfg.FrontEnds.Tell(telling, b.own)
	if failing := err != nil; failing != b.failing && ctx.Err() == nil {
		if b.failing = failing; failing {
			n.logger.Warn("the other front ends do not know how this one is", "err", err)
		}
	}
	if err != nil {
		return
	}
	for _, f := range rows {
		if f.ID == n.id {
			b.own.Writes = f.Writes
		}
	}
	for _, f := range n.others.take(rows, time.Now()) {
		if err := n.cfg.FrontEnds.Forget(telling, f); err != nil {
			return // the next time
		}
		n.logger.Info("a front end is gone", "url", f.URL, "id", f.ID)
	}
	n.twins()
}

// explain tells the operator when a front end becomes able to lead, or unable.
func (b *beating) explain(why error) {
	if errors.Is(why, errNotAsked) || b.n.stopped.Load() != nil || b.n.ending.Load() || b.n.leads() { // of that there is a line
		return
	}
	switch hinders := why != nil; {
	case hinders && !b.hinders:
		b.n.logger.Warn("this front end cannot lead the log", "err", why)
	case !hinders && b.hinders:
		b.n.logger.Info("this front end can lead the log again")
	}
	b.hinders = why != nil
}

// twins tells the operator when another front end says that it is reached at this one's
// URL.
func (n *Node) twins() {
	alive := n.others.alive(time.Now())
	i := slices.IndexFunc(alive, func(f FrontEnd) bool { return sameURL(f.URL, n.url) })
	if was := n.twin.Swap(i >= 0); i >= 0 && !was {
		n.logger.Warn("another front end is said to be reached at the URL of this one: give each its own --url", "url", alive[i].URL, "id", alive[i].ID)
	}
}

// inDoubt reports whether this front end may soon have to lead.
func (n *Node) inDoubt() bool {
	r := n.reached.Load()
	if r == nil || r.err != nil {
		return true
	}
	leader := n.seen.Load()
	for _, f := range n.others.alive(time.Now()) {
		if leader != nil && f.ID == leader.ID {
			return !f.Able
		}
	}
	return true
}
