package leader

import (
	"context"
	"sync"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/intake"
	"github.com/tuflog/tuflog/log/publisher"
)

// observe reports the verdicts of a submission to the Observer, and starts to
// time its publication.
func (l *Log) observe(sub *intake.Submission, received time.Time) {
	o := l.cfg.Observer
	if o == nil {
		return
	}
	state := sub.State()
	size := int64(0)
	for _, f := range state.Files {
		if f.Status != api.StatusPending {
			o.Verdict(f.Status, f.Code)
		}
		size = max(size, f.Index+1)
	}
	if size > 0 && state.Err == nil {
		l.latencies.add(size, received)
	}
}

// maxTimed is the number of submissions that are timed at once.
const maxTimed = 65536

// latencies times submissions until they are published.
type latencies struct {
	mu    sync.Mutex
	list  []timed
	added chan struct{}
}

type timed struct {
	size  int64 // of the published log that has all its files
	since time.Time
}

func (l *latencies) add(size int64, since time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.list) >= maxTimed {
		return // the log does not publish; it has other ways to say so
	}
	l.list = append(l.list, timed{size, since})
	select {
	case l.added <- struct{}{}:
	default:
	}
}

// run follows the publisher until the context ends.
func (l *latencies) run(ctx context.Context, p *publisher.Board, o log.Observer) {
	if o == nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.added:
		}
		for smallest, ok := l.take(p.Published().Tree.N, o); ok; smallest, ok = l.take(p.Published().Tree.N, o) {
			if p.WaitPublished(ctx, smallest) != nil {
				return
			}
		}
	}
}

// take reports the submissions that are published, and returns the next size
// that others wait for, if any do.
func (l *latencies) take(published int64, o log.Observer) (smallest int64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	rest := l.list[:0]
	for _, t := range l.list {
		if t.size <= published {
			o.Published(now.Sub(t.since))
			continue
		}
		if !ok || t.size < smallest {
			smallest, ok = t.size, true
		}
		rest = append(rest, t)
	}
	l.list = rest
	return smallest, ok
}
