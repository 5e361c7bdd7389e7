package main

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/rehearsal"
	"github.com/tuflog/tuflog/bench/runtest"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// TestFaults is the short form: every kind of fault, a few times. What cannot be
// injected on this machine is skipped, with the reason.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills many processes")
	}
	programs := runtest.Programs(t, "logserver", "witness", "publisher", "updater")
	// They mostly wait for processes, so more run at once than there are CPUs.
	results := make([]chan result, len(scenarios))
	slots := make(chan struct{}, 6)
	for i, s := range scenarios {
		results[i] = make(chan result, 1)
		go func() {
			slots <- struct{}{}
			results[i] <- short(t.Context(), s, programs)
			<-slots
		}()
	}
	for i, s := range scenarios {
		r := <-results[i]
		t.Run(s.name, func(t *testing.T) { r.show(t) })
	}
}

// result is what came of a scenario.
type result struct {
	seed uint64
	rows []rehearsal.Row
	said []string
	err  error
}

func short(ctx context.Context, s scenario, programs string) (r result) {
	r.seed = uint64(time.Now().UnixNano())
	h, err := newHarness(ctx, shortCounts, "", programs, r.seed)
	if err != nil {
		return result{err: err}
	}
	h.Say = func(format string, args ...any) { r.said = append(r.said, fmt.Sprintf(format, args...)) }
	began := time.Now()
	r.rows, err = s.run(ctx, h)
	h.Say("%v", time.Since(began).Round(time.Millisecond))
	r.err = errors.Join(err, h.Close())
	return r
}

func (r result) show(t *testing.T) {
	for _, said := range r.said {
		t.Log(said)
	}
	if r.err != nil {
		t.Fatalf("seed %d: %v", r.seed, r.err)
	}
	skipped := 0
	for _, row := range r.rows {
		t.Logf("%s: %d injected; %s", row.Fault, row.Injected, row.Saw())
		if row.Held != nil {
			t.Errorf("seed %d: %s did not hold: %v", r.seed, row.Fault, row.Held)
		}
		if row.Skipped != "" {
			skipped++
		}
	}
	if skipped == len(r.rows) {
		t.Skip(r.rows[0].Skipped)
	}
}
