package maintain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Check checks everything that an opened log stores: with Fsck its entries, tiles and files,
// against what the log knows of itself, and then its derived state. Nothing is changed.
type Check struct {
	Log Log
	// Keys are the log's public keys, its own first.
	Keys []proofs.Key
	// Judge asks for every leaf to be judged again: see Fsck.
	Judge bool
	Watch Watch
}

// Report is what Check found.
type Report struct {
	Size     int64 // entries
	Files    int64
	Problems []string // in plain words; none: all is well
	// Grew reports whether the log grew meanwhile, so that its derived state was not
	// compared.
	Grew bool
}

// Run returns what it found. The error is that the log could not be checked, or not to the
// end.
func (c *Check) Run(ctx context.Context) (report Report, err error) {
	trees, derived, err := c.known(ctx, &report)
	if err != nil {
		return report, err
	}
	blobs, err := c.Log.Blobs()
	if err != nil {
		return report, err
	}
	storage, stored, err := c.Log.Storage(ctx)
	if errors.Is(err, log.ErrLocked) || errors.Is(err, log.ErrUnavailable) || errors.Is(err, fs.ErrNotExist) {
		return report, err
	}
	var anew *Scratch
	if err != nil {
		report.Problems = append(report.Problems, fmt.Sprintf("the storage: %v", err))
	} else {
		report.Size = stored.N
		check := Fsck{Storage: storage, Stored: stored, Blobs: blobs, Trees: trees, Judge: c.Judge}
		// A state to compare with, made from a log that is known to be damaged,
		// would say nothing.
		if len(report.Problems) == 0 {
			if anew, err = c.Log.Scratch(ctx); err != nil {
				return report, err
			}
			defer func() { err = errors.Join(err, anew.Drop(context.WithoutCancel(ctx))) }()
			check.Anew, check.AnewSize, check.AnewListed = anew, derived.N, derived.Listed
		}
		add, done := c.Watch.Begin("fsck", report.Size*check.Passes())
		check.Progress = add
		found, err := check.Run(ctx)
		done()
		report.Problems, report.Files = append(report.Problems, found...), check.Files
		if err != nil {
			return report, err
		}
	}
	found, err := c.Log.Beneath(ctx, report.Size, c.Watch)
	report.Problems = append(report.Problems, found...)
	if err != nil || len(report.Problems) > 0 {
		return report, err
	}
	err = c.compareState(ctx, anew, derived, &report)
	return report, err
}

// known reads what the log says of itself beside its entries: first what must not be larger
// than what is read after it, for others may write the log.
func (c *Check) known(ctx context.Context, report *Report) (trees map[string]proofs.Tree, derived Position, err error) {
	trees = map[string]proofs.Tree{}
	for _, known := range []struct {
		by   string
		tree func() (proofs.Tree, error)
	}{
		{"the derived state", func() (_ proofs.Tree, err error) {
			derived, err = position(ctx, c.Log)
			return derived.Tree, err
		}},
		{"the published checkpoint", func() (proofs.Tree, error) {
			signed, err := c.Log.Published(ctx)
			if err != nil || signed == nil {
				return proofs.EmptyTree, err
			}
			cp, _, err := proofs.OpenCheckpoint(signed, c.Keys...)
			return cp.Tree, err
		}},
		{"the ledger", func() (proofs.Tree, error) {
			rec, err := c.Log.Ledger(ctx)
			if err != nil {
				return proofs.Tree{}, err
			}
			return rec.Edge.Tree(), nil
		}},
	} {
		tree, err := known.tree()
		switch {
		case errors.Is(err, log.ErrUnavailable):
			return nil, derived, err
		case err != nil:
			report.Problems = append(report.Problems, fmt.Sprintf("%s: %v", known.by, err))
		default:
			trees[known.by] = tree
		}
	}
	return trees, derived, nil
}

// compareState compares the derived state with one that was made anew, as far as it went.
// One that is written meanwhile cannot be compared.
func (c *Check) compareState(ctx context.Context, anew *Scratch, at Position, report *Report) error {
	add, done := c.Watch.Begin("derived state", 1)
	add(0)
	found, err := anew.Differences(ctx)
	add(1)
	done()
	if err != nil {
		return err
	}
	now, err := position(ctx, c.Log)
	if err == nil && now != at {
		report.Grew = true
		return nil
	}
	report.Problems = append(report.Problems, found...)
	return err
}
