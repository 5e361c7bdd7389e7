package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/rehearsal"
)

// part is a fault from which the log recovers by itself.
type part struct {
	name   string // {pause} and {hang} stand for the settings
	inject func(ctx context.Context, w *world, l *load, r *rehearsal.Row) error
	// most is how long the log may acknowledge nothing meanwhile; 0: that is only
	// noted.
	most time.Duration
	step bool // it is done as often as a clock is set, not as often as other faults
	slow bool // it takes minutes, and is done once
}

// scenario is a log that suffers one fault after another, under load. At the end
// everything that was seen of it is held against it.
type scenario struct {
	name   string // on the command line
	world  worldConfig
	faults []part
}

var scenarios = []scenario{
	{"parts", worldConfig{linked: true}, partFaults},
	{"replica", worldConfig{linked: true, moves: true}, replicaFaults},
	{"yield", worldConfig{linked: true, apart: true}, yieldFaults},
	{"late", worldConfig{linked: true}, lateFaults},
	{"versions", worldConfig{before: true}, versionFaults},
	{"lease", worldConfig{linked: true, clock: true}, leaseFaults},
}

// suffer injects each fault of a scenario.
func (h *harness) suffer(ctx context.Context, s scenario) (rows []rehearsal.Row, err error) {
	w, err := h.newWorld(ctx, s.name, s.world)
	if errors.Is(err, errNoBefore) {
		return []rehearsal.Row{{Fault: s.name, Skipped: err.Error()}}, nil
	}
	if err != nil {
		return nil, err
	}
	defer w.close()
	l := w.load(ctx)
	defer l.stop()
	names := strings.NewReplacer("{pause}", h.pause.String(), "{hang}", h.hang.String())
	for _, p := range s.faults {
		r := rehearsal.NewRow(names.Replace(p.name))
		if !strings.Contains(r.Fault, h.only) {
			continue
		}
		began := time.Now()
		times := h.times
		switch {
		case p.step:
			times = h.steps
		case p.slow:
			times = 1
		}
		for range times {
			if r.Held = w.once(ctx, l, p, &r); r.Held != nil {
				break
			}
		}
		rows = append(rows, r)
		h.Say("%s: %v", r.Fault, time.Since(began).Round(100*time.Millisecond))
		if ctx.Err() != nil {
			return rows, context.Cause(ctx)
		}
		if r.Held != nil && !errors.Is(r.Held, errSlow) {
			return rows, nil // what comes next would be about this
		}
	}
	l.stop()
	all := rehearsal.NewRow(s.name + ": all of these, one after another")
	all.Outcomes["releases acknowledged"], all.Outcomes["submissions repeated"] = len(l.acked), l.repeated
	v, err := w.check(ctx)
	all.Held = err
	for _, r := range rows {
		all.Injected += r.Injected
	}
	all.Outcomes["entries that the auditor vouches for"] = int(v.judged)
	return append(rows, all), nil
}

// once injects a fault once and waits until both front ends acknowledge again.
func (w *world) once(ctx context.Context, l *load, p part, r *rehearsal.Row) error {
	if err := l.progress(ctx, 3, w.fronts...); err != nil {
		return fmt.Errorf("before it: %w", err)
	}
	began := time.Now()
	r.Injected++
	if err := p.inject(ctx, w, l, r); err != nil {
		return err
	}
	if err := l.progress(ctx, 5, w.fronts...); err != nil {
		return fmt.Errorf("after it: %w", err)
	}
	r.Outcomes["went on by itself"]++
	pause, _ := l.pauses(began, time.Now())
	const longest = "longest pause in ms"
	r.Outcomes[longest] = max(r.Outcomes[longest], int(pause.Milliseconds()))
	if p.most > 0 && pause >= p.most {
		return fmt.Errorf("%w: it acknowledged nothing for %v, less than %v is allowed", errSlow, round(pause), p.most)
	}
	return nil
}
