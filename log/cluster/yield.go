package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tuflog/tuflog/log/leader"
)

// yieldTimes are the times after which a leader that does not publish leaves the lease to
// another front end.
type yieldTimes struct {
	// beat is how often each writes its row; a front end that has written nothing new for
	// fresh does not count, and one that has not for gone is forgotten.
	beat, fresh, gone time.Duration
	// doubt is the time without anything published, although something waits, after which
	// the others find out whether they are able.
	doubt time.Duration
	// patience is how long a leader may publish nothing, although something waits, or may
	// not be reached.
	patience time.Duration
	// out is how long one that has yielded leaves the lease to others. It doubles with
	// each time, up to maxOut, until it has published something: two that are both
	// unable do not swap for ever.
	out, maxOut time.Duration
}

const (
	// Beat is how often a front end writes its row.
	Beat = 700 * time.Millisecond
	// Fresh is how long the row counts.
	Fresh = 3 * time.Second
	// Patience is how long a leader may publish nothing, although something waits, or may
	// not be reached, until it leaves the lease to a front end that is able.
	Patience = 10 * time.Second
)

var defaultTimes = yieldTimes{
	beat: Beat, fresh: Fresh, gone: time.Minute,
	doubt: 3 * time.Second, patience: Patience, out: 10 * time.Second, maxOut: 5 * time.Minute,
}

// yield is the reason why a front end gives the lease up of its own accord.
type yield struct {
	reason string // one of YieldReasons
	what   string
}

func (y *yield) Error() string { return y.what }

// Reasons to yield, as metrics name them.
const (
	yieldUnpublished = "unpublished" // what waits comes no further
	yieldUnreachable = "unreachable" // the other front ends do not reach it
	yieldTrillian    = "trillian"    // Trillian does not answer
)

// YieldReasons returns all reasons to yield.
func YieldReasons() []string { return []string{yieldUnpublished, yieldUnreachable, yieldTrillian} }

// yielding is the state of a leader, as far as it may have to yield.
type yielding struct {
	times     yieldTimes
	epoch     int64
	unreached time.Time // since when most others do not reach it; zero: they do
}

// decide returns the reason why the lease is to be left to one of those that are able, or
// nil. stalled is the time for which nothing was published although something waits, and
// trouble the cause, as far as it is known.
func (y *yielding) decide(now time.Time, stalled time.Duration, trouble error, able []FrontEnd) *yield {
	var words string
	unreached := 0
	for _, f := range able {
		if f.Leader == y.epoch && f.Unreached != "" {
			unreached++
			words = fmt.Sprintf("%s says: %s", f.URL, f.Unreached)
		}
	}
	switch {
	case 2*unreached <= len(able):
		y.unreached = time.Time{}
	case y.unreached.IsZero():
		y.unreached = now
	}
	switch {
	case len(able) == 0:
		return nil // nobody would do better
	case stalled >= y.times.patience:
		what := fmt.Sprintf("what waits was not published for %v", stalled.Round(time.Second))
		if trouble != nil {
			what += fmt.Sprintf(" (%v)", trouble)
		}
		return &yield{yieldUnpublished, what}
	case !y.unreached.IsZero() && now.Sub(y.unreached) >= y.times.patience:
		return &yield{yieldUnreachable, fmt.Sprintf("%d of %d other front ends do not reach this one; %s", unreached, len(able), words)}
	}
	return nil
}

// outside is how long a front end that has yielded leaves the lease to others.
type outside struct {
	times yieldTimes

	mu    sync.Mutex
	often int // it has yielded since it published something
	until time.Time
	why   *yield
}

// yielded begins it.
func (o *outside) yielded(now time.Time, why *yield) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	stay := o.times.out
	for range o.often {
		stay = min(2*stay, o.times.maxOut)
	}
	o.often++
	o.until, o.why = now.Add(stay), why
	return stay
}

// published forgets how often it has yielded.
func (o *outside) published() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.often = 0
}

// err says that it is outside.
func (o *outside) err(now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if left := o.until.Sub(now); left > 0 {
		return fmt.Errorf("it has given the lease up and leaves it to others for another %v: %w", left.Round(time.Second), o.why)
	}
	return nil
}

// mayYield gives the right to write up when another front end would do better, until ctx
// ends.
func (n *Node) mayYield(ctx context.Context, epoch int64, l *leader.Log, giveUp func(*yield)) {
	y := yielding{times: n.times, epoch: epoch}
	began := l.Publisher().Published().Tree.N
	ticker := time.NewTicker(n.times.beat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		able := ableOf(n.others.alive(now))
		if why := y.decide(now, l.Stalled(), l.Trouble(), able); why != nil {
			giveUp(why)
			return
		}
		if y.unreached.IsZero() && l.Publisher().Published().Tree.N > began {
			n.out.published()
		}
	}
}

// yields gives the right up, and keeps this front end out for a while.
func (n *Node) yields(why *yield, giveUp context.CancelCauseFunc) {
	stay := n.out.yielded(time.Now(), why)
	if n.cfg.Yielded != nil {
		n.cfg.Yielded(why.reason)
	}
	n.logger.Warn("giving the lease up", "why", why, "leaves it to others for", stay)
	giveUp(why)
}
