package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/proofs"
)

// verdict is what a log was found to be.
type verdict struct {
	tree   proofs.Tree
	judged int64 // by the auditor
	acked  int
	served int // checkpoints, those in sidecars too
	signed int // checkpoints shown to witnesses
}

// check holds everything that was seen against the log as it is now, and has the
// programs auditor and logserver fsck look at it. The load must have been stopped,
// both front ends be running.
func (w *world) check(ctx context.Context) (v verdict, err error) {
	if err := w.settled(ctx); err != nil {
		return v, err
	}
	w.rec.Lock()
	v.acked, v.served, v.signed = len(w.rec.Acked), len(w.rec.Published), len(w.rec.Signed)
	w.rec.Unlock()
	var errs []error
	for _, f := range w.fronts {
		whole, err := w.client().Read(ctx, f.url())
		if err == nil {
			v.tree = whole.Trees[whole.Size()]
			err = w.rec.Compare(whole)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("as %s serves it: %w", f.name, err))
		}
	}
	if len(errs) > 0 {
		return v, errors.Join(errs...)
	}
	if v.judged, err = w.audit(ctx, w.fronts[0].url(), v.tree); err != nil {
		return v, err
	}
	_, err = w.fsck(ctx)
	return v, err
}

// settled waits until everything that was signed is published, at both front ends,
// and nothing more comes.
func (w *world) settled(ctx context.Context) error {
	var last [2]proofs.Tree
	still := time.Now()
	err := process.Eventually(ctx, "what was signed is published, by both front ends", process.Patience, func() bool {
		var now [2]proofs.Tree
		for i, f := range w.fronts {
			t, err := w.client().Published(ctx, f.url())
			if err != nil || t.N < w.rec.Largest() {
				still = time.Now()
				return false
			}
			now[i] = t
		}
		if now[0] != now[1] || now != last {
			last, still = now, time.Now()
		}
		return time.Since(still) > 300*time.Millisecond
	})
	if err != nil {
		err = fmt.Errorf("%w%s", err, w.lastWords())
	}
	return err
}

// audit has the program auditor replay the log; it must come to the same tree.
func (w *world) audit(ctx context.Context, url string, tree proofs.Tree) (judged int64, err error) {
	out, err := process.Output(ctx, w.h.Program("auditor"), "replay", "--json", "--log", url, "--policy", w.policyFile())
	if err != nil {
		return 0, fmt.Errorf("%w: %.2000s", err, out)
	}
	var report struct {
		Judged     int64 `json:"judged"`
		Vouches    bool  `json:"vouches"`
		Checkpoint struct {
			Size int64  `json:"size"`
			Root string `json:"root"`
		} `json:"checkpoint"`
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		return 0, fmt.Errorf("the auditor printed no JSON: %w", err)
	}
	root := base64.StdEncoding.EncodeToString(tree.Hash[:])
	if c := report.Checkpoint; c.Size != tree.N || c.Root != root || report.Judged != tree.N || !report.Vouches {
		return 0, fmt.Errorf("the auditor judged %d entries of a log of size %d and root %s, and vouches for it: %v; the log has size %d and root %s",
			report.Judged, c.Size, c.Root, report.Vouches, tree.N, root)
	}
	return report.Judged, nil
}

// fsck runs logserver fsck, which says what it found.
func (w *world) fsck(ctx context.Context) (said string, err error) {
	return w.tool(ctx, "fsck")
}

// tool runs a command of logserver on the log.
func (w *world) tool(ctx context.Context, command string, args ...string) (said string, err error) {
	args = slices.Concat(strings.Fields(command), []string{"--dir", w.fronts[0].dir}, w.servers(w.trillian.Target(), ""), args)
	said, err = process.Output(ctx, w.h.Program("logserver"), args...)
	if err != nil {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return said, err
}
