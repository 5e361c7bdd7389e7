package alert

import (
	"sync"
	"time"
)

// stuck remembers what keeps a process from delivering that is not a receiver's doing: the
// outbox cannot be read or written, or another process delivers.
type stuck struct {
	mu  sync.Mutex
	why map[string]trouble // by destination; "": all
}

// trouble is an error that lasts.
type trouble struct {
	since time.Time
	err   error
}

// note notes whether something works, and reports whether its error is one that was not there
// before.
func (s *stuck) note(what string, err error, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	before, was := s.why[what]
	if err == nil {
		delete(s.why, what)
		return false
	}
	if s.why == nil {
		s.why = map[string]trouble{}
	}
	if !was {
		before.since = now
	}
	s.why[what] = trouble{before.since, err}
	return !was || before.err.Error() != err.Error()
}

// Undelivered returns why nothing, or nothing to some destination, can be delivered by Run, and
// since when; nil: all can, as far as it is this machine's doing. How the receivers are is in
// Status.
func (d *Desk) Undelivered() (since time.Time, err error) {
	d.stuck.mu.Lock()
	defer d.stuck.mu.Unlock()
	for _, t := range d.stuck.why {
		if err == nil || t.since.Before(since) {
			since, err = t.since, t.err
		}
	}
	return since, err
}
