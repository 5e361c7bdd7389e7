package log

import (
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
	maxIndexLeaves  = 4096   // leaves applied in one transaction, up to the end of a bundle
	maxIndexTargets = 100000 // the same for target files
	maxHints        = 131072 // target files remembered for leaves not applied yet

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
	for {
		n, err := x.step(ctx)
		if err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		if progress != nil {
			progress(n)
		}
	}
}

// step applies the next entries, about as many as fit one transaction.
func (x *Indexer) step(ctx context.Context) (int, error) {
	x.mu.Lock()
	edge, target := x.edge.Clone(), x.target
	x.mu.Unlock()
	var leaves []StateLeaf
	targets := 0
	for next := edge.Tree().N; next < target.N && len(leaves) < maxIndexLeaves && targets < maxIndexTargets; {
		bundle, err := readBundle(x.storage, next/entriesPerBundle, target.N)
		if err != nil {
			return 0, err
		}
		for _, entry := range bundle[next%entriesPerBundle:] {
			leaf, err := x.leaf(next, entry)
			if err != nil {
				return 0, fmt.Errorf("entry %d: %w", next, err)
			}
			if err := edge.Append(proofs.LeafHash(entry)); err != nil {
				return 0, err
			}
			leaves = append(leaves, leaf)
			next++
			if targets += len(leaf.Targets); targets >= maxIndexTargets {
				break
			}
		}
	}
	if len(leaves) == 0 {
		return 0, nil
	}
	if err := x.state.Apply(ctx, edge, leaves); err != nil {
		return 0, err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, l := range leaves {
		x.hinted -= len(x.hints[l.Leaf.Metadata])
		delete(x.hints, l.Leaf.Metadata)
	}
	x.edge = edge
	x.tell()
	return len(leaves), nil
}

// leaf reads an entry and the metadata that it names.
func (x *Indexer) leaf(index int64, entry []byte) (StateLeaf, error) {
	l, err := verify.ParseLeaf(entry)
	if err != nil {
		return StateLeaf{}, err
	}
	s := StateLeaf{Record: verify.Record{Index: index, Leaf: l}}
	if l.Role == verify.RoleRoot || l.Role == verify.RoleSnapshot || l.Role == verify.RoleTimestamp {
		return s, nil
	}
	x.mu.Lock()
	targets, ok := x.hints[l.Metadata]
	x.mu.Unlock()
	if ok {
		s.Targets = targets
		return s, nil
	}
	file, err := x.blobs.Blob(l.Metadata)
	if errors.Is(err, fs.ErrNotExist) {
		// An operator may have to withhold a file. Then nobody can look up
		// what it lists, and everything else goes on.
		x.logger.Warn("a leaf's metadata is not there and is not indexed", "index", index, "sha256", l.Metadata)
		return s, nil
	}
	if err != nil {
		return StateLeaf{}, err
	}
	m, err := verify.Parse(l.Encoding, file)
	if err != nil {
		return StateLeaf{}, err
	}
	s.Targets = targetsOf(m)
	return s, nil
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
		_, err := x.step(ctx)
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
