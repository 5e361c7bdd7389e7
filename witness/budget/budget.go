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
		s.mend(b.rate, now)
		err := b.spend(&s, k, now)
		b.known[witness] = s
		return err
	}
	return b.update(ctx, witness, now, func(s *State) error { return b.spend(s, k, now) })
}

// update has a change made to what is kept of a witness. What the change refuses is kept
// as it was, but for a state that was begun, or mended, now: it would be begun anew by
// whoever looks next, and the wait would never end.
func (b *Budget) update(ctx context.Context, witness string, now time.Time, change func(*State) error) error {
	var (
		s       State
		refused error
	)
	err := b.store.Update(ctx, witness, func(old []byte) ([]byte, error) {
		var kept bool
		s, kept = parse(old, b.rate, now)
		if s.mend(b.rate, now) {
			kept = false
		}
		if refused = change(&s); refused != nil && kept {
			return nil, refused
		}
		return json.Marshal(s)
	})
	if err == nil || refused != nil {
		b.keep(witness, s)
	}
	if err == nil {
		err = refused
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

// parse reads a state, or begins one, and reports whether it is the one that is kept. What
// cannot be read may have used all but what is always left.
func parse(old []byte, r Rate, now time.Time) (s State, kept bool) {
	if old == nil {
		return begin(r, now), false
	}
	if err := json.Unmarshal(old, &s); err != nil || !s.sound() {
		return State{Full: now.Add(time.Duration(r.Burst()-1) * r.Every())}, false
	}
	return s, true
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
	err := b.update(ctx, witness, now, func(*State) error { return errLooked })
	if err == errLooked { //nolint:errorlint // ours, as update returns it
		return nil
	}
	return err
}

// errLooked keeps a store from writing.
var errLooked = fmt.Errorf("nothing changes")

// Wait is how long it takes until a request may be sent to a witness, as far as this
// process knows; 0: it may be sent now.
func (b *Budget) Wait(witness string, k Kind, now time.Time) time.Duration {
	s, ok := b.of(witness, now)
	if !ok {
		return 0
	}
	return s.Wait(b.rate, k, now)
}

// In24h is how many requests were sent to a witness in the last 24 hours, to ten
// minutes, as far as this process knows.
func (b *Budget) In24h(witness string, now time.Time) int64 {
	s, _ := b.of(witness, now)
	return s.In24h(now)
}

func (b *Budget) of(witness string, now time.Time) (State, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.known[witness]
	if ok && s.mend(b.rate, now) {
		b.known[witness] = s
	}
	return s, ok
}
