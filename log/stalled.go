package log

import "time"

// Stalled returns for how long what the log is to publish has come no further: entries
// that are not published while no larger tree is either, or files that were judged and
// cannot be appended. It is 0 where nothing waits. What waits to be judged does not
// count: it may be anybody's.
func (l *Log) Stalled() time.Duration {
	return max(l.publisher.behindFor(), l.intake.appendingFor())
}

func (p *Publisher) behindFor() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.behind.IsZero() {
		return 0
	}
	return time.Since(p.behind)
}

// noteBehind keeps since when entries have waited to be published, where size was
// published before. It must be called with mu held.
func (p *Publisher) noteBehind(size int64) {
	switch {
	case p.tree.N <= p.published.Tree.N:
		p.behind = time.Time{}
	case p.behind.IsZero() || p.published.Tree.N > size:
		p.behind = time.Now()
	}
}

func (in *intake) appendingFor() time.Duration {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.appending.IsZero() {
		return 0
	}
	return time.Since(in.appending)
}

// noteAppending keeps since when there is something to append.
func (in *intake) noteAppending(is bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.appending = (time.Time{}); is {
		in.appending = time.Now()
	}
}
