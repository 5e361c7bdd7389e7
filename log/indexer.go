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

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

const (
	maxHints = 131072 // target files remembered for leaves not listed yet

	// lag is how long the state may stay behind while nobody asks it anything:
	// one large transaction costs much less than many small ones, and what it
	// costs the submissions would have to wait for.
	lag = 500 * time.Millisecond
)

// Indexer brings the derived state up to the log, behind the log's back: what
// it applies comes from the entries and the blobs, never from a caller's memory
// alone. What leaves list it adds apart, behind the leaves: whoever looks for a leaf
// does not wait for a release of thousands of files.
type Indexer struct {
	storage Storage
	blobs   admit.Blobs
	state   StateWriter
	logger  *slog.Logger

	*Level             // its mu guards these as well:
	target proofs.Tree // where the state should get to
	hints  map[tuf.Digest][]Target
	hinted int // targets in hints
}

// OpenIndexer returns an Indexer for a state that belongs to a log whose storage
// holds the given tree.
func OpenIndexer(ctx context.Context, storage Storage, blobs admit.Blobs, state StateWriter, tree proofs.Tree, logger *slog.Logger) (*Indexer, error) {
	edge, err := state.Position(ctx)
	if err != nil {
		return nil, err
	}
	listed, err := state.Listed(ctx)
	if err != nil {
		return nil, err
	}
	have := edge.Tree()
	if have.N > tree.N {
		return nil, fmt.Errorf("the derived state knows %d entries, the log has %d: run logserver reindex", have.N, tree.N)
	}
	proof, err := proofs.ConsistencyProof(ctx, have.N, tree, storage)
	if err == nil {
		err = proofs.VerifyConsistency(have, tree, proof)
	}
	if err != nil {
		return nil, fmt.Errorf("the derived state is not this log's: run logserver reindex: %w", err)
	}
	return newIndexer(storage, blobs, state, logger, edge, listed), nil
}

func newIndexer(storage Storage, blobs admit.Blobs, state StateWriter, logger *slog.Logger, edge *proofs.Edge, listed int64) *Indexer {
	return &Indexer{
		storage: storage,
		blobs:   blobs,
		state:   state,
		logger:  logger,
		Level:   newLevel(edge, listed),
		target:  edge.Tree(),
		hints:   map[tuf.Digest][]Target{},
	}
}

// CatchUp applies and lists entries until the state has at least those of the given
// tree. progress, which may be nil, is told how many have been applied since the
// last call.
func (x *Indexer) CatchUp(ctx context.Context, tree proofs.Tree, progress func(n int)) error {
	x.grow(tree)
	if err := x.list(ctx); err != nil {
		return err
	}
	for x.applied() < tree.N {
		if err := x.advance(ctx, everyLeaf, progress); err != nil {
			return err
		}
	}
	return nil
}

// catchUpLeaves applies entries until the state has at least those of the given
// tree. What they list is left to run.
func (x *Indexer) catchUpLeaves(ctx context.Context, tree proofs.Tree) error {
	x.grow(tree)
	for x.applied() < tree.N {
		if err := x.advance(ctx, 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// advance applies the entries that there are, and lists those before one. What comes
// before one that cannot be applied is applied.
func (x *Indexer) advance(ctx context.Context, list int64, progress func(n int)) error {
	x.mu.Lock()
	edge, target := x.edge.Clone(), x.target
	x.mu.Unlock()
	fill := filler{state: x.state, edge: edge, list: list, applied: func(edge *proofs.Edge, leaves []StateLeaf) {
		x.move(edge, leaves, list)
		if progress != nil {
			progress(len(leaves))
		}
	}}
	need := x.need
	if list == 0 {
		need = func(*scanned) {}
	}
	s := scan{storage: x.storage, blobs: x.blobs, from: edge.Tree().N, size: target.N, need: need}
	err := s.run(ctx, func(b *bundle) error {
		if b.err != nil {
			return b.err
		}
		for i := range b.entries {
			e := &b.entries[i]
			s.complete(ctx, e)
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

// move notes that the state has more leaves, and has listed those before one.
func (x *Indexer) move(edge *proofs.Edge, leaves []StateLeaf, list int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range leaves {
		size := int64(0)
		if Lists(l.Leaf.Role) {
			size = l.Leaf.Size
		}
		x.left = append(x.left, size)
		x.leftBytes += size
	}
	x.edge = edge
	if list == everyLeaf {
		x.moveListed(edge.Tree().N)
	}
	x.tell()
}

// list lists the leaves that the state has.
func (x *Indexer) list(ctx context.Context) error {
	x.mu.Lock()
	from, to := x.listed, x.edge.Tree().N
	x.mu.Unlock()
	if from >= to {
		return nil
	}
	var leaves []StateLeaf
	targets, bytes := 0, int64(0)
	flush := func() error {
		some := leaves
		leaves, targets, bytes = nil, 0, 0
		return x.state.List(ctx, some, func(listed int64) {
			x.mu.Lock()
			defer x.mu.Unlock()
			for len(some) > 0 && some[0].Index < listed {
				x.hinted -= len(x.hints[some[0].Leaf.Metadata])
				delete(x.hints, some[0].Leaf.Metadata)
				some = some[1:]
			}
			x.moveListed(listed)
			x.tell()
		})
	}
	s := scan{storage: x.storage, blobs: x.blobs, from: from, size: to, need: x.need}
	err := s.run(ctx, func(b *bundle) error {
		if b.err != nil {
			return b.err
		}
		for i := range b.entries {
			e := &b.entries[i]
			s.complete(ctx, e)
			leaf, err := x.leaf(e)
			if err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
			leaves = append(leaves, leaf)
			targets += len(leaf.Targets)
			if Lists(leaf.Leaf.Role) {
				bytes += leaf.Leaf.Size
			}
			if len(leaves) < maxIndexLeaves && targets < MaxListRows && bytes < maxIndexBytes {
				continue
			}
			if err := flush(); err != nil {
				return err
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return err
	}
	return errors.Join(err, flush())
}

// need asks for the metadata of a leaf where it has to be read.
func (x *Indexer) need(e *scanned) {
	if !Lists(e.Leaf.Role) {
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
func (x *Indexer) hint(m *tuf.Metadata) {
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

// run keeps the state at the target until the context ends. Trouble with the
// state stops searching, not the log.
func (x *Indexer) run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() {
		x.loop(ctx, func() bool { return x.listed < x.edge.Tree().N }, x.rereadListed, x.list)
	})
	x.loop(ctx, func() bool { return x.edge.Tree().N < x.target.N }, x.rereadApplied, func(ctx context.Context) error {
		if !x.linger(ctx) {
			return ctx.Err()
		}
		return x.advance(ctx, 0, nil)
	})
}

// rereadApplied takes over how many leaves the state has: an attempt whose answer was
// lost may have added some.
func (x *Indexer) rereadApplied(ctx context.Context) error {
	edge, err := x.state.Position(ctx)
	if err != nil {
		return err
	}
	x.mu.Lock()
	have, target := x.edge.Tree(), x.target
	x.mu.Unlock()
	tree := edge.Tree()
	if tree == have {
		return nil
	}
	if tree.N < have.N || tree.N > target.N {
		return fmt.Errorf("the derived state has %d entries, of %d to %d that it may have: somebody else has changed it", tree.N, have.N, target.N)
	}
	proof, err := proofs.ConsistencyProof(ctx, tree.N, target, x.storage)
	if err == nil {
		err = proofs.VerifyConsistency(tree, target, proof)
	}
	if err != nil {
		return fmt.Errorf("the derived state is not this log's any more: %w", err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.edge, x.left, x.leftBytes = edge, nil, 0 // how much is left to list is not known of these
	x.tell()
	return nil
}

// rereadListed does the same for the leaves whose target files it has.
func (x *Indexer) rereadListed(ctx context.Context) error {
	listed, err := x.state.Listed(ctx)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if listed > x.listed && listed <= x.edge.Tree().N {
		clear(x.hints) // some are of leaves that are listed
		x.hinted = 0
		x.moveListed(listed)
		x.tell()
	}
	return nil
}

// loop works whenever the state is behind, which is asked with mu held, until the
// context ends. After an attempt that failed it looks first what that has changed.
func (x *Indexer) loop(ctx context.Context, behind func() bool, reread, work func(context.Context) error) {
	for failed := false; ; {
		x.mu.Lock()
		is, news := behind(), x.news
		x.mu.Unlock()
		if !is {
			select {
			case <-news:
				continue
			case <-ctx.Done():
				return
			}
		}
		var err error
		if failed {
			err = reread(ctx)
			x.mu.Lock()
			is = behind()
			x.mu.Unlock()
		}
		if err == nil && is {
			err = work(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failed {
			x.logger.Warn("the derived state falls behind", "err", err)
		}
		failed = err != nil
		if failed && wait.For(ctx, time.Second) != nil {
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
