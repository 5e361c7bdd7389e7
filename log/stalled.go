package log

import "time"

// Stalled returns for how long what the log is to publish has come no further: entries
// that are not published while no larger tree is either, or files that were judged and
// cannot be appended. It is 0 where nothing waits. What waits to be judged does not
// count: it may be anybody's.
func (l *Log) Stalled() time.Duration {
	return max(l.publisher.BehindFor(), l.intake.appendingFor())
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
