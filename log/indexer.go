package log

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

const (
	maxHints = 131072 // target files remembered for leaves not applied yet

	// lag is how long the state may stay behind while nobody asks it anything:
	// one large transaction costs much less than many small ones, and what it
	// costs the submissions would have to wait for.
	lag = 500 * time.Millisecond
)

// Indexer brings the derived state up to the log, behind the log's back: what
// it applies comes from the entries and the blobs, never from a caller's memory
// alone.
type Indexer struct {
	storage Storage
	blobs   verify.Blobs
	state   StateWriter
	logger  *slog.Logger

	mu      sync.Mutex
	edge    *proofs.Edge // of the state
	target  proofs.Tree  // where the state should get to
	failing error
	news    chan struct{} // closed and replaced when edge or target changes
	hurry   chan struct{} // someone waits for the state
	hints   map[verify.Digest][]Target
	hinted  int // targets in hints
}

// OpenIndexer returns an Indexer for a state that belongs to a log whose storage
// holds the given tree.
func OpenIndexer(ctx context.Context, storage Storage, blobs verify.Blobs, state StateWriter, tree proofs.Tree, logger *slog.Logger) (*Indexer, error) {
	edge, err := state.Position(ctx)
	if err != nil {
		return nil, err
	}
	have := edge.Tree()
	if have.N > tree.N {
		return nil, fmt.Errorf("the derived state knows %d entries, the log has %d: run logserver reindex", have.N, tree.N)
	}
	proof, err := proofs.ConsistencyProof(have.N, tree, storage)
	if err == nil {
		err = proofs.VerifyConsistency(have, tree, proof)
	}
	if err != nil {
		return nil, fmt.Errorf("the derived state is not this log's: run logserver reindex: %w", err)
	}
	return &Indexer{
		storage: storage,
		blobs:   blobs,
		state:   state,
		logger:  logger,
		edge:    edge,
		target:  have,
		news:    make(chan struct{}),
		hurry:   make(chan struct{}, 1),
		hints:   map[verify.Digest][]Target{},
	}, nil
}

// CatchUp applies entries until the state has at least those of the given tree.
// progress, which may be nil, is told how many have been applied since the last
// call.
func (x *Indexer) CatchUp(ctx context.Context, tree proofs.Tree, progress func(n int)) error {
	x.grow(tree)
	for x.applied() < tree.N {
		if err := x.advance(ctx, progress); err != nil {
			return err
		}
	}
	return nil
}

// advance applies the entries that there are. What comes before one that cannot be
// applied is applied.
func (x *Indexer) advance(ctx context.Context, progress func(n int)) error {
	x.mu.Lock()
	edge, target := x.edge.Clone(), x.target
	x.mu.Unlock()
	fill := filler{state: x.state, edge: edge, applied: func(edge *proofs.Edge, leaves []StateLeaf) {
		x.move(edge, leaves)
		if progress != nil {
			progress(len(leaves))
		}
	}}
	s := scan{storage: x.storage, blobs: x.blobs, from: edge.Tree().N, size: target.N, need: x.need}
	err := s.run(ctx, func(b *bundle) error {
		if b.err != nil {
			return b.err
		}
		for i := range b.entries {
			e := &b.entries[i]
			s.complete(e)
			leaf, err := x.leaf(e)
			if err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
			if err := fill.add(ctx, leaf, e.hash); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, fill.end(ctx))
	}
	if err != nil {
		return cmp.Or(err, fill.wait())
	}
	if tree := edge.Tree(); tree != target {
		err := fmt.Errorf("the entries lead to root %v at size %d, the log has %v: the storage is damaged, logserver fsck says where", tree.Hash, tree.N, target.Hash)
		return errors.Join(err, fill.wait())
	}
	return fill.end(ctx)
}

// move notes that the state has more leaves.
func (x *Indexer) move(edge *proofs.Edge, leaves []StateLeaf) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range leaves {
		x.hinted -= len(x.hints[l.Leaf.Metadata])
		delete(x.hints, l.Leaf.Metadata)
	}
	x.edge = edge
	x.tell()
}

// need asks for the metadata of a leaf where it has to be read.
func (x *Indexer) need(e *scanned) {
	if !lists(e.Leaf.Role) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	targets, hinted := x.hints[e.Leaf.Metadata]
	e.file = named{need: targetList, got: hinted, targets: targets}
}

// leaf returns what the state keeps of an entry.
func (x *Indexer) leaf(e *scanned) (StateLeaf, error) {
	if errors.Is(e.file.err, fs.ErrNotExist) {
		// An operator may have to withhold a file. Then nobody can look up
		// what it lists, and everything else goes on.
		x.logger.Warn("a leaf's metadata is not there and is not indexed", "index", e.Index, "sha256", e.Leaf.Metadata)
		e.file.err = nil
	}
	return StateLeaf{Record: e.Record, Targets: e.file.targets, End: e.end}, cmp.Or(e.bad, e.file.err, e.file.invalid)
}

// hint saves the indexer from parsing a file that has just been judged. A hint
// that is not kept only costs time.
func (x *Indexer) hint(m *verify.Metadata) {
	targets := targetsOf(m)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.hinted+len(targets) > maxHints {
		return
	}
	if _, ok := x.hints[m.FileDigest]; !ok {
		x.hints[m.FileDigest] = targets
		x.hinted += len(targets)
	}
}

// grow sets a new target, if it is one.
func (x *Indexer) grow(tree proofs.Tree) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if tree.N > x.target.N {
		x.target = tree
		x.tell()
	}
}

// tell must be called with mu held.
func (x *Indexer) tell() {
	close(x.news)
	x.news = make(chan struct{})
}

// applied returns how many entries the state has.
func (x *Indexer) applied() int64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.edge.Tree().N
}

// run keeps the state at the target until the context ends. Trouble with the
// state stops searching, not the log.
func (x *Indexer) run(ctx context.Context) {
	for {
		x.mu.Lock()
		behind, news := x.edge.Tree().N < x.target.N, x.news
		x.mu.Unlock()
		if !behind {
			select {
			case <-news:
				continue
			case <-ctx.Done():
				return
			}
		}
		if !x.linger(ctx) {
			return
		}
		err := x.advance(ctx, nil)
		if ctx.Err() != nil {
			return
		}
		x.mu.Lock()
		if err != nil && x.failing == nil {
			x.logger.Warn("the derived state falls behind", "err", err)
		}
		x.failing = err
		x.mu.Unlock()
		if err != nil && !sleep(ctx, time.Second) {
			return
		}
	}
}

// linger waits for more leaves to apply, until lag is over, the transaction is
// full or someone asks. It is false when the context has ended.
func (x *Indexer) linger(ctx context.Context) bool {
	enough := time.NewTimer(lag)
	defer enough.Stop()
	for {
		x.mu.Lock()
		full, news := x.target.N-x.edge.Tree().N >= maxIndexLeaves, x.news
		x.mu.Unlock()
		if full {
			return true
		}
		select {
		case <-news:
		case <-x.hurry:
			return true
		case <-enough.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
}

// wait returns when the state has at least size entries, or the context ends.
func (x *Indexer) wait(ctx context.Context, size int64) error {
	for {
		x.mu.Lock()
		have, news := x.edge.Tree().N, x.news
		x.mu.Unlock()
		if have >= size {
			return nil
		}
		select {
		case x.hurry <- struct{}{}:
		default:
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("the derived state has %d of %d entries: %w", have, size, context.Cause(ctx))
		}
	}
}
