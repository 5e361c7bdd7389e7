package client

import (
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/budget"
)

// MaxClockDifference is how far the time of a cosignature may be from the
// Gatherer's clock, on either side. Devices use these times and keep the largest:
// a time that is years ahead would be trusted for years.
const MaxClockDifference = 24 * time.Hour

// maxWaiting is for how many checkpoints without a quorum cosignatures are kept:
// the newest, and one that waits.
const maxWaiting = 2

// ClockError means that a cosignature is not counted because of its time.
type ClockError struct {
	// Time is the cosignature's time, Now that of the local clock.
	Time, Now time.Time
}

func (e *ClockError) Error() string {
	apart, side := e.Time.Sub(e.Now), "ahead of"
	if apart < 0 {
		apart, side = -apart, "behind"
	}
	return fmt.Sprintf("its cosignature has the time %s, which is %s %s the log's clock (%s), and is not counted; at most %v are allowed: one of the two clocks is wrong",
		e.Time.UTC().Format(time.RFC3339), days(apart), side, e.Now.UTC().Format(time.RFC3339), MaxClockDifference)
}

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Round(time.Minute).String()
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

// CheckTime is a *ClockError if a cosignature's time is too far from now.
func CheckTime(unix int64, now time.Time) error {
	// Compared as seconds: the difference of two times overflows.
	if most, at := int64(MaxClockDifference/time.Second), now.Unix(); unix > at+most || unix < at-most {
		return &ClockError{Time: time.Unix(unix, 0), Now: now}
	}
	return nil
}

// collection is what has come in for one checkpoint. The Gatherer's mutex guards
// it.
type collection struct {
	question
	text string
	got  map[proofs.Key]cosigned // verified, in time, at most one of each key
	errs map[proofs.Key]error    // why the others are missing
	// asked are the witnesses that a request was sent to.
	asked map[*peer]bool
	// refresh is set for a checkpoint that had its quorum before: new times are wanted.
	refresh bool
	// pending is how many requests of Gather have not been answered.
	pending int
	// done is set when the quorum was met. What comes then is late.
	done bool
	// over is closed when a done collection is not of the newest checkpoint any
	// more: nobody need be asked for it.
	over    chan struct{}
	isOver  bool
	changed chan struct{} // closed and replaced when anything comes in
}

// collection returns that of a checkpoint which waits for its quorum already, or
// a new one. It must be called with g.mu held.
func (g *Gatherer) collection(text string, q question) *collection {
	i := slices.IndexFunc(g.waiting, func(c *collection) bool { return c.text == text })
	var c *collection
	if i >= 0 {
		c = g.waiting[i]
		c.question = q // the log may have signed the same text anew
		g.waiting = slices.Delete(g.waiting, i, i+1)
	} else {
		c = &collection{
			question: q,
			text:     text,
			got:      map[proofs.Key]cosigned{},
			errs:     map[proofs.Key]error{},
			asked:    map[*peer]bool{},
			refresh:  g.newest != nil && g.newest.done && g.newest.text == text,
			over:     make(chan struct{}),
			changed:  make(chan struct{}),
		}
	}
	g.waiting = append([]*collection{c}, g.waiting...)
	g.waiting = g.waiting[:min(len(g.waiting), maxWaiting)]
	if g.newest != nil && g.newest != c && g.newest.done {
		g.newest.end()
	}
	g.newest = c
	return c
}

func (c *collection) end() {
	if !c.isOver {
		c.isOver = true
		close(c.over)
	}
}

// finish is called when the quorum is met.
func (g *Gatherer) finish(c *collection) {
	c.done = true
	g.waiting = slices.DeleteFunc(g.waiting, func(w *collection) bool { return w == c })
	if c != g.newest {
		c.end()
	}
}

// notify wakes those who wait for the collection.
func (c *collection) notify() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// lacks reports whether a cosignature of the peer is missing.
func (c *collection) lacks(p *peer) bool {
	return slices.ContainsFunc(p.keys, func(k proofs.Key) bool { return len(c.got[k].sigs) == 0 })
}

// has reports whether the cosignature of a key has come.
func (c *collection) has(key proofs.Key) bool { return len(c.got[key].sigs) > 0 }

// kind is why the peer is asked next.
func (c *collection) kind(p *peer) budget.Kind {
	switch {
	case c.refresh:
		return budget.Refresh
	case c.asked[p]:
		return budget.Retry
	}
	return budget.Growth
}

// take adds what a peer has answered, and returns what is new: its cosignatures
// whose time is credible, one of each key.
func (c *collection) take(p *peer, answer []cosigned, err error, now time.Time) []proofs.Signature {
	var fresh []proofs.Signature
	for i, key := range p.keys {
		why := err
		if err == nil {
			why = answer[i].err
		}
		if why == nil {
			newest := answer[i].newest()
			if why = CheckTime(newest.time, now); why == nil {
				c.got[key] = newest
				fresh = append(fresh, newest.sigs...)
			}
		}
		c.errs[key] = why
	}
	return fresh
}

// forgetOld drops cosignatures that have become too old to be counted.
func (c *collection) forgetOld(now time.Time) {
	for key, s := range c.got {
		if CheckTime(s.time, now) != nil {
			delete(c.got, key)
		}
	}
}
