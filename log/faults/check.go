package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/proofs"
)

// check holds everything that was seen against the log as it is now, and has an
// auditor replay it. The load must have been stopped, the log be running.
func (w *world) check(ctx context.Context) (*history, error) {
	// Whatever was signed must get published without anybody's help, and what
	// the load has left in the queue too.
	var last int64
	still := time.Now()
	err := eventually(ctx, "what was signed is published", patience, func() bool {
		t, err := w.published(ctx)
		if err != nil || t.N < w.rec.largest() || t.N != last {
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
	if err := w.rec.compare(h); err != nil {
		return h, err
	}
	against, err := w.audit(ctx, h.size())
	if err == nil && len(against) > 0 {
		err = fmt.Errorf("the auditor found: %v", against)
	}
	return h, err
}

// read reads all entries and hashes them.
func (w *world) read(ctx context.Context) (*history, error) {
	tree, err := w.published(ctx)
	if err != nil {
		return nil, err
	}
	h, edge := newHistory(), new(proofs.Edge)
	for i := int64(0); h.size() < tree.N; i++ {
		width := int(min(256, tree.N-i*256))
		b, err := w.get(ctx, "/"+proofs.EntriesPath(i, width))
		if err != nil {
			return nil, err
		}
		entries, err := proofs.ParseEntries(b)
		if err != nil {
			return nil, err
		}
		if len(entries) != width {
			return nil, fmt.Errorf("%s has %d entries", proofs.EntriesPath(i, width), len(entries))
		}
		if err := h.grow(edge, entries...); err != nil {
			return nil, err
		}
	}
	if !h.has(tree) {
		return nil, fmt.Errorf("the entries of the log lead to root %v at size %d, its checkpoint says %v", edge.Tree().Hash, tree.N, tree.Hash)
	}
	return h, nil
}

// audit replays the log from entry 0 and returns what speaks against it. The
// error means that the replay itself did not work.
func (w *world) audit(ctx context.Context, size int64) (against []string, err error) {
	source, err := audit.NewHTTPSource(w.url(), w.http)
	if err != nil {
		return nil, err
	}
	a, err := audit.New(audit.Config{Source: source, Policy: w.policy})
	if err != nil {
		return nil, err
	}
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
