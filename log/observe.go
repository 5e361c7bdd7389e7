package log

import (
	"context"
	"sync"
	"time"

	"github.com/tuflog/tuflog/log/api"
)

// Observer is told what the log does, for metrics. Its methods are called from
// many goroutines, are not waited for long, and get no words from outside: all
// strings are from short lists.
type Observer interface {
	// Request is called for each answered request. Pattern is one of Routes,
	// or empty for what is not there.
	Request(method, pattern string, status int, took time.Duration)
	// Verdict is called for each file when it is judged: not yet published, if
	// it is accepted. Code is empty, or says why it was refused.
	Verdict(status api.Status, code string)
	// Published is called for each submission with an accepted file when the
	// checkpoint is published under which its files can be proved.
	Published(took time.Duration)
}

// Stats is how far the log is.
type Stats struct {
	// Integrated entries have been read back from storage; Signed ones are
	// under a checkpoint in the ledger; Published ones under one that
	// witnesses have cosigned.
	Integrated, Signed, Published int64
	// Queued submissions wait to be judged.
	Queued int
	// Ready is what /readyz says; Reason why not. Halted means that a person
	// has to act, Ended that the log has its last entry.
	Ready, Halted, Ended bool
	Reason               string
	// Leading means that this process writes the log, and does not follow
	// another that does.
	Leading bool
}

// stats returns how far the log is, as far as the server sees it.
func (s *server) stats(ctx context.Context) Stats {
	board := s.view.Board()
	st := Stats{
		Integrated: board.Tree().N,
		Signed:     board.Signed(),
		Published:  board.Published().Tree.N,
		Halted:     board.Halted() != nil,
		Ended:      board.Ended(),
		Ready:      true,
	}
	if p := s.cannotTake(ctx); p != nil {
		st.Ready, st.Reason = false, p.Detail
	} else if err := s.view.Trouble(); err != nil {
		st.Ready, st.Reason = false, err.Error()
	}
	return st
}

// observe tells of a submission that has been decided, and has its publication
// timed.
func (l *Log) observe(sub *submission, received time.Time) {
	o := l.cfg.HTTP.Observer
	if o == nil {
		return
	}
	sub.mu.Lock()
	failed := sub.err != nil
	size := int64(0)
	for _, f := range sub.files {
		if f.status != api.StatusPending {
			o.Verdict(f.status, f.code)
		}
		size = max(size, f.index+1)
	}
	sub.mu.Unlock()
	if size > 0 && !failed {
		l.latencies.add(size, received)
	}
}

// noteRegistration tells the operator of a new repository.
func (s *server) noteRegistration(sub *submission) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if sub.genesis && len(sub.files) == 1 && sub.files[0].status == api.StatusReleased {
		s.logger.Info("repository registered", "repository", sub.repository, "index", sub.files[0].index)
	}
}

// maxTimed is how many submissions are timed at once.
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
func (l *latencies) run(ctx context.Context, p *Board, o Observer) {
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

// take reports those that are published, and returns the next size that some
// wait for, if any do.
func (l *latencies) take(published int64, o Observer) (smallest int64, ok bool) {
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
