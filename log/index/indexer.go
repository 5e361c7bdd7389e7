package index

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
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

const (
	maxHints = 131072 // target files remembered for leaves not listed yet

	// lag is how long the state may stay behind while no request waits for it:
	// one large transaction costs much less than many small ones, whose cost
	// would delay submissions.
	lag = 500 * time.Millisecond
)

// Indexer applies logged entries to the derived state, asynchronously. It takes them
// from the entries and the blobs, never from a caller's memory alone. It adds target
// files apart from the leaves, and later, so that a look-up of a leaf does not wait
// for a release of thousands of files.
type Indexer struct {
	storage log.Storage
	blobs   admit.Blobs
	state   log.StateWriter
	logger  *slog.Logger

	*Level             // its mu guards these as well:
	target proofs.Tree // where the state should get to
	hints  map[tuf.Digest][]log.Target
	hinted int // targets in hints
}

// Open returns an Indexer for a state that belongs to a log whose storage
// holds the given tree.
func Open(ctx context.Context, storage log.Storage, blobs admit.Blobs, state log.StateWriter, tree proofs.Tree, logger *slog.Logger) (*Indexer, error) {
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

func newIndexer(storage log.Storage, blobs admit.Blobs, state log.StateWriter, logger *slog.Logger, edge *proofs.Edge, listed int64) *Indexer {
	return &Indexer{
		storage: storage,
		blobs:   blobs,
		state:   state,
		logger:  logger,
		Level:   newLevel(edge, listed),
		target:  edge.Tree(),
		hints:   map[tuf.Digest][]log.Target{},
	}
}

// CatchUp applies and lists entries until the state has at least those of the given
// tree. progress, which may be nil, is called with the number of entries that were
// applied since the last call.
func (x *Indexer) CatchUp(ctx context.Context, tree proofs.Tree, progress func(n int)) error {
	x.Grow(tree)
	if err := x.list(ctx); err != nil {
		return err
	}
	for x.Applied() < tree.N {
		if err := x.advance(ctx, everyLeaf, progress); err != nil {
			return err
		}
	}
	return nil
}

// CatchUpLeaves applies entries until the state has at least those of the given
// tree. Their target files are left to Run.
func (x *Indexer) CatchUpLeaves(ctx context.Context, tree proofs.Tree) error {
	x.Grow(tree)
	for x.Applied() < tree.N {
		if err := x.advance(ctx, 0, nil); err != nil {
			return err
		}
	}
	return nil
}

// advance applies the entries up to the target, and lists those with an index below
// list. If one cannot be applied, those before it are.
func (x *Indexer) advance(ctx context.Context, list int64, progress func(n int)) error {
	x.mu.Lock()
	edge, target := x.edge.Clone(), x.target
	x.mu.Unlock()
	fill := Filler{State: x.state, Edge: edge, List: list, applied: func(edge *proofs.Edge, leaves []log.StateLeaf) {
		x.move(edge, leaves, list)
		if progress != nil {
			progress(len(leaves))
		}
	}}
	need := x.need
	if list == 0 {
		need = func(*Scanned) {}
	}
	s := Scan{Storage: x.storage, Blobs: x.blobs, from: edge.Tree().N, Size: target.N, Need: need}
	err := s.Run(ctx, func(b *Bundle) error {
		if b.Err != nil {
			return b.Err
		}
		for i := range b.Entries {
			e := &b.Entries[i]
			s.Complete(ctx, e)
			leaf, err := x.leaf(e)
			if err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
			if err := fill.Add(ctx, leaf, e.Hash); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return errors.Join(err, fill.End(ctx))
	}
	if err != nil {
		return cmp.Or(err, fill.Wait())
	}
	if tree := edge.Tree(); tree != target {
		err := fmt.Errorf("the entries lead to root %v at size %d, the log has %v: the storage is damaged, logserver fsck says where", tree.Hash, tree.N, target.Hash)
		return errors.Join(err, fill.Wait())
	}
	return fill.End(ctx)
}

// move notes that the state has more leaves, and has listed those before one.
func (x *Indexer) move(edge *proofs.Edge, leaves []log.StateLeaf, list int64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range leaves {
		size := int64(0)
		if log.Lists(l.Leaf.Role) {
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
	var leaves []log.StateLeaf
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
	s := Scan{Storage: x.storage, Blobs: x.blobs, from: from, Size: to, Need: x.need}
	err := s.Run(ctx, func(b *Bundle) error {
		if b.Err != nil {
			return b.Err
		}
		for i := range b.Entries {
			e := &b.Entries[i]
			s.Complete(ctx, e)
			leaf, err := x.leaf(e)
			if err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
			leaves = append(leaves, leaf)
			targets += len(leaf.Targets)
			if log.Lists(leaf.Leaf.Role) {
				bytes += leaf.Leaf.Size
			}
			if len(leaves) < maxIndexLeaves && targets < log.MaxListRows && bytes < maxIndexBytes {
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
func (x *Indexer) need(e *Scanned) {
	if !log.Lists(e.Leaf.Role) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	targets, hinted := x.hints[e.Leaf.Metadata]
	e.File = Named{Need: TargetList, Got: hinted, Targets: targets}
}

// leaf returns what the state keeps of an entry.
func (x *Indexer) leaf(e *Scanned) (log.StateLeaf, error) {
	if errors.Is(e.File.Err, fs.ErrNotExist) {
		// An operator may have to withhold a file. Then its target files cannot
		// be looked up, and everything else goes on.
		x.logger.Warn("a leaf's metadata is not there and is not indexed", "index", e.Index, "sha256", e.Leaf.Metadata)
		e.File.Err = nil
	}
	return log.StateLeaf{Record: e.Record, Targets: e.File.Targets, End: e.End}, cmp.Or(e.Bad, e.File.Err, e.File.Invalid)
}

// Hint saves the indexer from parsing a file that has just been judged. Losing
// a hint only costs time.
func (x *Indexer) Hint(m *tuf.Metadata) {
	targets := log.TargetsOf(m)
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

// Grow sets a new target, if tree is larger than the present one.
func (x *Indexer) Grow(tree proofs.Tree) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if tree.N > x.target.N {
		x.target = tree
		x.tell()
	}
}

// Run keeps the state at the target until the context ends. Trouble with the
// state stops searching, not the log.
func (x *Indexer) Run(ctx context.Context) {
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

// rereadApplied reads the number of leaves in the state again: an attempt whose
// answer was lost may have added some.
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

// loop calls work whenever the state is behind, until the context ends. behind is
// called with mu held. After a failed attempt it first reads again what that
// attempt has changed.
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
// full or a request waits. It reports whether the context is still alive.
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
