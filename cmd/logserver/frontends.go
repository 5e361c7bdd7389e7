package main

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
	"github.com/tuflog/tuflog/log/metrics"
	"github.com/tuflog/tuflog/log/postgres"
)

// others is what this front end has heard of the others that may lead. It goes by its own
// clock: a row lives while it changes.
type others struct {
	self  string
	times yieldTimes

	mu    sync.Mutex
	heard map[string]lastHeard
}

type lastHeard struct {
	postgres.FrontEnd
	since time.Time // when it was seen first as it is
	lives bool      // it has changed since it was seen first of all
}

// take takes over what was read, and returns the rows of those that are gone.
func (o *others) take(rows []postgres.FrontEnd, now time.Time) (gone []postgres.FrontEnd) {
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
func (o *others) alive(now time.Time) []postgres.FrontEnd {
	o.mu.Lock()
	defer o.mu.Unlock()
	var list []postgres.FrontEnd
	for _, h := range o.heard {
		if h.lives && now.Sub(h.since) <= o.times.fresh {
			list = append(list, h.FrontEnd)
		}
	}
	slices.SortFunc(list, func(a, b postgres.FrontEnd) int { return strings.Compare(a.URL+a.ID, b.URL+b.ID) })
	return list
}

// ableOf returns those that could lead.
func ableOf(all []postgres.FrontEnd) []postgres.FrontEnd {
	return slices.DeleteFunc(slices.Clone(all), func(f postgres.FrontEnd) bool { return !f.Able })
}

// reached is whether the front end that leads was reached at its URL.
type reached struct {
	epoch int64
	err   error
}

// beats has this front end say how it is, again and again until ctx ends, and then no
// more.
func (c *node) beats(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	reach := &check{calm: time.Second, ask: func(ctx context.Context) error {
		epoch, err := c.forward.Reach(ctx)
		c.reached.Store(&reached{epoch, err})
		return nil
	}}
	b := beating{c: c, own: postgres.FrontEnd{ID: c.id, URL: fetch.Redacted(c.url), Version: build.Read().String()}}
	for ctx.Err() == nil {
		if !c.leads() {
			reach.start(ctx, &asking, false)
			for _, k := range c.checks.all() {
				k.start(ctx, &asking, c.inDoubt())
			}
		}
		b.once(ctx)
		wait.For(ctx, c.times.beat)
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := c.db.Forget(ending, b.own); err != nil {
		c.logger.Debug("the other front ends see by themselves that this one is gone", "err", err)
	}
}

// beating is what a front end has last said of itself, and told its operator.
type beating struct {
	c       *node
	own     postgres.FrontEnd
	failing bool
	hinders bool
}

// once writes how this front end is, and reads how the others are.
func (b *beating) once(ctx context.Context) {
	c := b.c
	now := time.Now()
	why := c.hindrance(now)
	b.own.Able, b.own.Why = why == nil, ""
	if why != nil {
		b.own.Why = why.Error()
	}
	b.own.Leader, b.own.Unreached = 0, ""
	if r := c.reached.Load(); r != nil && !c.leads() {
		if b.own.Leader = r.epoch; r.err != nil && r.epoch != 0 {
			b.own.Unreached = r.err.Error()
		}
	}
	b.explain(why)

	telling, cancel := context.WithTimeout(ctx, c.times.fresh)
	defer cancel()
	rows, err := c.db.Tell(telling, b.own)
	if failing := err != nil; failing != b.failing && ctx.Err() == nil {
		if b.failing = failing; failing {
			c.logger.Warn("the other front ends do not know how this one is", "err", err)
		}
	}
	if err != nil {
		return
	}
	for _, f := range rows {
		if f.ID == c.id {
			b.own.Writes = f.Writes
		}
	}
	for _, f := range c.others.take(rows, time.Now()) {
		if err := c.db.Forget(telling, f); err != nil {
			return // the next time
		}
		c.logger.Info("a front end is gone", "url", f.URL, "id", f.ID)
	}
	c.twins()
}

// explain tells the operator when a front end becomes able to lead, or unable.
func (b *beating) explain(why error) {
	if errors.Is(why, errNotAsked) || b.c.stopped.Load() != nil || b.c.ending.Load() || b.c.leads() { // of that there is a line
		return
	}
	switch hinders := why != nil; {
	case hinders && !b.hinders:
		b.c.logger.Warn("this front end cannot lead the log", "err", why)
	case !hinders && b.hinders:
		b.c.logger.Info("this front end can lead the log again")
	}
	b.hinders = why != nil
}

// twins tells the operator when another front end says that it is reached at this one's
// URL.
func (c *node) twins() {
	alive := c.others.alive(time.Now())
	i := slices.IndexFunc(alive, func(f postgres.FrontEnd) bool { return sameURL(f.URL, c.url) })
	if was := c.twin.Swap(i >= 0); i >= 0 && !was {
		c.logger.Warn("another front end is said to be reached at the URL of this one: give each its own --url", "url", alive[i].URL, "id", alive[i].ID)
	}
}

// frontEnd is what metrics tell of this front end and the others.
func (c *node) frontEnd() metrics.FrontEnd {
	others := c.others.alive(time.Now())
	m := metrics.FrontEnd{Able: c.hindrance(time.Now()) == nil, Others: len(others), OthersAble: len(ableOf(others)), SameURL: c.twin.Load()}
	if l := c.seen.Load(); l != nil {
		m.Epoch = l.Epoch
	}
	return m
}

// leads reports whether this front end writes the log.
func (c *node) leads() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.leading != nil
}

// inDoubt reports whether this front end may soon have to lead.
func (c *node) inDoubt() bool {
	r := c.reached.Load()
	if r == nil || r.err != nil {
		return true
	}
	leader := c.seen.Load()
	for _, f := range c.others.alive(time.Now()) {
		if leader != nil && f.ID == leader.ID {
			return !f.Able
		}
	}
	return true
}
