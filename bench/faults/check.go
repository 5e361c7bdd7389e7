package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/source"
	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/rehearsal"
)

// checkAll ends the load and checks; the row is there if something does not hold.
func (w *world) checkAll(ctx context.Context, what string) (rows []rehearsal.Row) {
	for _, l := range w.loads {
		l.stop()
	}
	if _, err := w.check(ctx); err != nil {
		rows = append(rows, rehearsal.Row{Fault: what, Held: err})
	}
	return rows
}

// check holds everything that was seen against the log as it is now, and has an
// auditor replay it. The load must have been stopped, the log be running.
func (w *world) check(ctx context.Context) (*rehearsal.History, error) {
	// Whatever was signed must get published without anybody's help, and what
	// the load has left in the queue too.
	var last int64
	still := time.Now()
	err := process.Eventually(ctx, "what was signed is published", process.Patience, func() bool {
		t, err := w.published(ctx)
		if err != nil || t.N < w.rec.Largest() || t.N != last {
			last, still = t.N, time.Now()
		}
		return time.Since(still) > 150*time.Millisecond
	})
	if err != nil {
		return nil, fmt.Errorf("%w; the log says: %s", err, w.lastWords())
	}
	h, err := w.read(ctx)
	if err != nil {
		return nil, err
	}
	if err := w.rec.Compare(h); err != nil {
		return h, err
	}
	against, err := w.audit(ctx, h.Size())
	if err == nil && len(against) > 0 {
		err = fmt.Errorf("the auditor found: %v", against)
	}
	return h, err
}

// audit replays the log from entry 0 and returns what speaks against it. The
// error means that the replay itself did not work.
func (w *world) audit(ctx context.Context, size int64) (against []string, err error) {
	src, err := source.NewHTTP(w.url(), w.http)
	if err != nil {
		return nil, err
	}
	a, err := audit.New(ctx, audit.Config{Source: src, Policy: w.policy})
	if err != nil {
		return nil, err
	}
	defer a.Close()
	if _, err := a.Step(ctx); err != nil {
		against = append(against, "outage: "+err.Error())
	}
	report, err := a.Report(ctx)
	if report == nil {
		return against, errors.Join(errors.New("no report"), err)
	}
	for _, f := range report.Findings {
		if f.Class != audit.Hygiene {
			against = append(against, fmt.Sprintf("%s: %s: %s", f.Class, f.Kind, f.Sentence))
		}
	}
	if len(against) == 0 && (!report.Vouches || report.Judged < size) {
		against = append(against, fmt.Sprintf("it judged %d of %d leaves and vouches: %v", report.Judged, size, report.Vouches))
	}
	return slices.Compact(against), nil
}
