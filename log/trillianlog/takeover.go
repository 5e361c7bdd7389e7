package trillianlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

const (
	// patience is how long the signer may take. Then the caller gets an error,
	// and tries again.
	patience = 10 * time.Second
	// slowPoll is how far apart the questions become.
	slowPoll = 10 * time.Millisecond
	// stepLeaves and stepBytes bound what one transaction of the copy adds.
	stepLeaves = 8192
	stepBytes  = 32 << 20
)

// takeOver brings the copy to the tree that Trillian has, which includes
// everything that has landed, and if l.probe is set what others have left to the
// signer. progress, which may be nil, is told of each step.
func (l *Log) takeOver(ctx context.Context, progress func(n int)) error {
	pause := l.cfg.PollInterval
	deadline := time.Now().Add(patience)
	for {
		if l.front == nil {
			if err := l.read(ctx); err != nil {
				return err
			}
		}
		root, values, err := l.client.leaves(ctx, l.front.size(), maxChunk)
		if err != nil {
			return err
		}
		l.seen = time.Now()
		switch size := l.front.size(); {
		case root.N < size || root.N == size && root != l.front.tree.Tree():
			return l.contradicted(root)
		case root.N > size && root.N >= l.landed:
			if err := l.step(ctx, root, values); err != nil {
				return err
			}
			if progress != nil {
				progress(int(l.front.size() - size))
			}
			pause, deadline = l.cfg.PollInterval, time.Now().Add(patience)
			if l.front.size() < root.N {
				continue
			}
		}
		if root.N == l.front.size() && root.N >= l.landed {
			if err := l.findPending(ctx); err != nil || !l.probe && root.N >= l.landed {
				return err
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: for %v Trillian's signer has not integrated the entries from %d to %d: see whether it runs, and whether its database has been analysed", errBusy, patience, root.N, l.landed)
		}
		if wait.For(ctx, pause) != nil {
			return fmt.Errorf("the signer has not integrated the entries from %d to %d yet: %w", root.N, l.landed, context.Cause(ctx))
		}
		pause = min(pause*3/2, max(slowPoll, l.cfg.PollInterval))
	}
}

// findPending looks for leaves that other processes have appended and the
// signer has not integrated: they have landed, too. An empty tree does not show
// them.
func (l *Log) findPending(ctx context.Context) error {
	if !l.probe || l.front.size() == 0 {
		l.probe = false
		return nil
	}
	_, values, err := l.client.leaves(ctx, l.front.size()-1, maxChunk)
	if err != nil {
		return err
	}
	if len(values) <= 1 {
		l.probe = false
		return nil
	}
	// There may be more behind them: that shows when these are integrated.
	l.landed = max(l.landed, l.front.size()-1+int64(len(values)))
	return nil
}

// read reads where the copy ends, and checks it against Trillian's history.
func (l *Log) read(ctx context.Context) error {
	front, err := readFrontier(ctx, l.cfg.Tiles)
	if errors.Is(err, ErrContradiction) {
		return halt(log.HaltStorageDamaged, advice, err.Error())
	}
	if err != nil {
		return err
	}
	root, err := l.client.root(ctx)
	if err != nil {
		return err
	}
	tree := front.tree.Tree()
	if root.N < tree.N {
		return contradicted(tree, root)
	}
	err = l.client.consistent(ctx, tree, root)
	if errors.Is(err, ErrContradiction) {
		return contradicted(tree, root)
	}
	if err != nil {
		return err
	}
	l.front = front
	l.cache.clear() // of what may have been replaced
	return nil
}

const (
	advice = "Find out which of the two was restored from an old copy, belongs to another log or is damaged. If it is the copy, rebuild it from Trillian; if it is Trillian, bring back the database that holds all entries"
	// adviceBehind is where Trillian has less than the copy, or not what was signed.
	adviceBehind = "Bring back Trillian's newest database, and keep the copy until then: it may hold the only copy of signed entries"
)

func (l *Log) contradicted(root proofs.Tree) error {
	err := contradicted(l.front.tree.Tree(), root)
	l.front = nil
	return err
}

func contradicted(tree, root proofs.Tree) error {
	code, do := log.HaltStorageForked, advice
	if root.N < tree.N {
		code, do = log.HaltStorageBehind, adviceBehind
	}
	return halt(code, do, fmt.Sprintf("the copy has size %d and root %v, Trillian size %d and root %v", tree.N, tree.Hash, root.N, root.Hash))
}

// halt is a contradiction in front of which the log must stop.
func halt(code log.HaltCode, do, what string) error {
	return fmt.Errorf("%w: %w", ErrContradiction, &log.Halt{Code: code, What: what, Do: do})
}

// step takes the copy forward towards Trillian's tree. values are the leaves that
// follow on the copy, and may go beyond the tree.
func (l *Log) step(ctx context.Context, root proofs.Tree, values [][]byte) error {
	next, changed, bytes := l.front.clone(), tileSet{}, 0
	for {
		if len(values) == 0 {
			return fmt.Errorf("leaf %d is missing in Trillian's tree of size %d", next.size(), root.N)
		}
		for _, value := range values[:min(int64(len(values)), root.N-next.size())] {
			if err := next.append(value, changed); err != nil {
				return err
			}
			bytes += len(value)
		}
		if next.size() == root.N || next.size()-l.front.size() >= stepLeaves || bytes >= stepBytes {
			break
		}
		var err error
		if _, values, err = l.client.leaves(ctx, next.size(), root.N-next.size()); err != nil {
			return err
		}
	}
	tree := next.tree.Tree()
	err := l.client.consistent(ctx, tree, root)
	if errors.Is(err, ErrContradiction) {
		return halt(log.HaltStorageDamaged, advice, fmt.Sprintf("leaves of Trillian lead from the copy (size %d) to size %d and root %v, which does not belong to Trillian's tree of size %d and root %v", l.front.size(), tree.N, tree.Hash, root.N, root.Hash))
	}
	if err != nil {
		return err
	}
	next.addPartial(l.front.size(), changed)
	extendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyTime)
	defer cancel()
	if err := l.cfg.Tiles.Extend(extendCtx, l.front.size(), next.size(), changed); err != nil {
		l.front = nil // it is unknown what the copy has
		return fmt.Errorf("write the copy: %w", err)
	}
	l.cache.put(changed)
	l.front = next
	return nil
}
