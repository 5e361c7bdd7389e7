package alert

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// partlyError says that of several receivers behind a destination some have not taken an event
// that others have.
type partlyError struct{ err error }

func (e *partlyError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *partlyError) Unwrap() error { return e.err }

// maxTakers bounds the events of which is remembered who has taken them.
const maxTakers = 200

// takers remembers, in this process, which receivers behind a destination have taken an event
// that others have not: they do not get it again.
type takers struct {
	mu    sync.Mutex
	of    map[string]map[string]bool // receivers by the event's id
	fails map[string]bool            // receivers that did not take the last one
}

// each gives an event to all receivers that have not taken it, those that failed last in the
// end. The error is a *partlyError if some have it.
func (t *takers) each(ctx context.Context, id string, receivers []string, do func(receiver string) error) error {
	var failed []error
	taken, refused := 0, true
	for _, r := range t.order(receivers) {
		if t.has(id, r) {
			taken++
			continue
		}
		err := context.Cause(ctx)
		if err == nil {
			err = do(r)
		}
		t.note(id, r, err == nil)
		if err == nil {
			taken++
			continue
		}
		refused = refused && errors.Is(err, errRefused)
		failed = append(failed, err)
	}
	if len(failed) == 0 {
		t.forget(id)
		return nil
	}
	err := errors.Join(failed...)
	if !refused {
		// Some may take it later.
		for i, err := range failed {
			if errors.Is(err, errRefused) {
				failed[i] = errors.New(err.Error())
			}
		}
		err = errors.Join(failed...)
	}
	if taken > 0 {
		err = &partlyError{err}
	}
	return err
}

func (t *takers) order(receivers []string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	well, ill := []string{}, []string{}
	for _, r := range receivers {
		if t.fails[r] {
			ill = append(ill, r)
		} else {
			well = append(well, r)
		}
	}
	return slices.Concat(well, ill)
}

func (t *takers) has(id, receiver string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of[id][receiver]
}

func (t *takers) note(id, receiver string, took bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of == nil {
		t.of, t.fails = map[string]map[string]bool{}, map[string]bool{}
	}
	if !took {
		t.fails[receiver] = true
		return
	}
	delete(t.fails, receiver)
	if t.of[id] == nil {
		for other := range t.of { // any
			if len(t.of) < maxTakers {
				break
			}
			delete(t.of, other)
		}
		t.of[id] = map[string]bool{}
	}
	t.of[id][receiver] = true
}

func (t *takers) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.of, id)
}
