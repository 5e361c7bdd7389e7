package budget

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"
)

// Store keeps the states of witnesses over restarts, and for all processes that write
// one log. It is safe for concurrent use.
type Store interface {
	// Update replaces what is kept of a witness with what change makes of it, and
	// returns when that is durable; nobody else changes it meanwhile. Old is nil
	// where nothing is kept. If change returns an error Update returns it, and
	// nothing is changed.
	Update(ctx context.Context, witness string, change func(old []byte) ([]byte, error)) error
}

// Budget counts the requests to witnesses and keeps them within a rate. It is safe for
// concurrent use.
type Budget struct {
	rate  Rate
	store Store

	mu    sync.Mutex
	known map[string]State // as they were last seen here
}

// New returns a budget whose states are in a store; nil: in memory alone.
func New(rate Rate, store Store) *Budget {
	return &Budget{rate: rate, store: store, known: map[string]State{}}
}

// Rate is what was declared.
func (b *Budget) Rate() Rate { return b.rate }

// PacedError means that a request is not sent now, so as not to exceed what was
// declared.
type PacedError struct {
	// Wait is how long until it may be sent.
	Wait time.Duration
	Rate Rate
}

func (e *PacedError) Error() string {
	if e.Wait >= never {
		return fmt.Sprintf("it is not asked again: %v were declared to it", e.Rate)
	}
	return fmt.Sprintf("it is not asked for another %v: %v were declared to it", e.Wait.Round(time.Second), e.Rate)
}

// Take counts a request to a witness that is sent next. If it may not be sent the error
// is a *PacedError, or says what the store could not do; then nothing is counted.
func (b *Budget) Take(ctx context.Context, witness string, k Kind, now time.Time) error {
	if b.store == nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		s, ok := b.known[witness]
		if !ok {
			s = begin(b.rate, now)
		}
		if err := b.spend(&s, k, now); err != nil {
			return err
		}
		b.known[witness] = s
		return nil
	}
	var s State
	err := b.store.Update(ctx, witness, func(old []byte) ([]byte, error) {
		s = parse(old, b.rate, now)
		if err := b.spend(&s, k, now); err != nil {
			b.keep(witness, s)
			return nil, err
		}
		return json.Marshal(s)
	})
	if err == nil {
		b.keep(witness, s)
	}
	return err
}

// spend takes from a state, or says how long that has to wait.
func (b *Budget) spend(s *State, k Kind, now time.Time) error {
	if wait := s.Wait(b.rate, k, now); wait > 0 {
		return &PacedError{Wait: wait, Rate: b.rate}
	}
	s.take(b.rate, k, now)
	return nil
}

func (b *Budget) keep(witness string, s State) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known[witness] = s
}

// parse reads a state. What cannot be read may have used all but what is always left.
func parse(kept []byte, r Rate, now time.Time) State {
	if kept == nil {
		return begin(r, now)
	}
	var s State
	if err := json.Unmarshal(kept, &s); err != nil || !s.sound() {
		return State{Full: now.Add(time.Duration(r.Burst()-1) * r.Every())}
	}
	return s
}

// sound reports whether a state can be one that a Budget has made.
func (s *State) sound() bool {
	for _, n := range s.Used {
		if n < 0 || n > MaxPerDay {
			return false
		}
	}
	return len(s.Used) <= maxSlots && plausible(s.Full) && plausible(s.Last) && plausible(s.Refreshed)
}

// plausible reports whether a time can be printed again, and times be subtracted.
func plausible(t time.Time) bool { return t.IsZero() || t.Year() > 1970 && t.Year() < 2200 }

// maxSlots is more than a day has.
const maxSlots = 200

// Look reads what is kept of a witness, which another process may have changed.
func (b *Budget) Look(ctx context.Context, witness string, now time.Time) error {
	if b.store == nil {
		return nil
	}
	var s State
	err := b.store.Update(ctx, witness, func(old []byte) ([]byte, error) {
		s = parse(old, b.rate, now)
		return old, errLooked
	})
	if err == errLooked { //nolint:errorlint // ours, as Update returns it
		b.keep(witness, s)
		return nil
	}
	return err
}

// errLooked keeps a store from writing.
var errLooked = fmt.Errorf("nothing changes")

// Wait is how long it takes until a request may be sent to a witness, as far as this
// process knows; 0: it may be sent now.
func (b *Budget) Wait(witness string, k Kind, now time.Time) time.Duration {
	s, ok := b.of(witness)
	if !ok {
		return 0
	}
	return s.Wait(b.rate, k, now)
}

// In24h is how many requests were sent to a witness in the last 24 hours, to ten
// minutes, as far as this process knows.
func (b *Budget) In24h(witness string, now time.Time) int64 {
	s, _ := b.of(witness)
	return s.In24h(now)
}

func (b *Budget) of(witness string) (State, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.known[witness]
	return s, ok
}
