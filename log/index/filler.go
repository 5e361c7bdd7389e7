package index

import (
	"context"
	"math"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Approximate size of one batch for a state.
const (
	maxIndexLeaves  = 4096
	maxIndexTargets = 100000
	maxIndexBytes   = 8 << 20 // of metadata: the paths of targets keep it in memory
)

// everyLeaf as a filler's list means that the target files of all leaves are to
// be added.
const everyLeaf = math.MaxInt64

// Filler applies leaves to a state, one batch while the next is collected.
type Filler struct {
	State log.StateWriter
	Edge  *proofs.Edge // of all leaves that were added
	List  int64        // target files are added of the leaves before this one
	// applied, which may be nil, is called for every batch that was applied.
	applied func(edge *proofs.Edge, leaves []log.StateLeaf)

	leaves  []log.StateLeaf
	targets int
	bytes   int64
	pending *pending // is being applied; nil: nothing is
	failed  bool     // an error was returned
}

// pending is a batch that is being applied.
type pending struct {
	edge   *proofs.Edge
	leaves []log.StateLeaf
	result chan error
}

// Add adds a leaf with its hash. An error may be that of an earlier one.
func (f *Filler) Add(ctx context.Context, leaf log.StateLeaf, hash proofs.Hash) error {
	if err := f.Edge.Append(hash); err != nil {
		return err
	}
	f.leaves = append(f.leaves, leaf)
	f.targets += len(leaf.Targets)
	if log.Lists(leaf.Leaf.Role) {
		f.bytes += leaf.Leaf.Size
	}
	if len(f.leaves) < maxIndexLeaves && f.targets < maxIndexTargets && f.bytes < maxIndexBytes {
		return nil
	}
	return f.flush(ctx)
}

// flush applies the collected batch to the state.
func (f *Filler) flush(ctx context.Context) error {
	if err := f.Wait(); err != nil || f.failed || len(f.leaves) == 0 {
		return err
	}
	p := &pending{f.Edge.Clone(), f.leaves, make(chan error, 1)}
	go func() { p.result <- f.apply(ctx, p) }()
	f.pending, f.leaves, f.targets, f.bytes = p, make([]log.StateLeaf, 0, len(p.leaves)), 0, 0
	return nil
}

// apply applies a batch, and lists those of its leaves that are to be listed.
func (f *Filler) apply(ctx context.Context, p *pending) error {
	listed := 0
	for i, l := range p.leaves {
		if l.Index < f.List {
			listed = i + 1
		}
	}
	if err := f.State.Apply(ctx, p.edge, p.leaves); err != nil || listed == 0 {
		return err
	}
	return f.State.List(ctx, p.leaves[:listed], func(int64) {})
}

// Wait waits until no batch is being applied.
func (f *Filler) Wait() error {
	p := f.pending
	if p == nil {
		return nil
	}
	f.pending = nil
	if err := <-p.result; err != nil {
		f.failed = true
		return err
	}
	if f.applied != nil {
		f.applied(p.edge, p.leaves)
	}
	return nil
}

// End applies everything that was added, unless an earlier batch has failed.
func (f *Filler) End(ctx context.Context) error {
	if err := f.flush(ctx); err != nil {
		return err
	}
	return f.Wait()
}
