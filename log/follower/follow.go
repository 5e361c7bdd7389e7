package follower

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Run follows the checkpoints until the context ends.
func (f *Log) Run(ctx context.Context) error {
	defer f.server.Stop()
	var running sync.WaitGroup
	defer running.Wait()
	timer := time.NewTimer(followEvery)
	defer timer.Stop()
	hurried := false
	for {
		pause := followEvery
		applied, listed := f.level.Has()
		if hurried = hurried && min(applied, listed) < f.cut.Load(); hurried {
			pause = hurryEvery
		}
		if hurried && applied < f.cut.Load() {
			f.urge(ctx, &running)
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-f.wake:
		case <-f.level.Hurried():
			hurried = true
		}
		f.look(ctx)
	}
}

// urge asks the leader to bring the derived state up to date, which it otherwise does
// lazily, and looks again when it has.
func (f *Log) urge(ctx context.Context, running *sync.WaitGroup) {
	if !f.urging.CompareAndSwap(false, true) {
		return
	}
	running.Go(func() {
		defer f.urging.Store(false)
		f.cfg.Forward.Hurry(ctx)
		f.lookSoon()
		wait.For(ctx, hurryEvery) // one that cannot be asked says so at once
	})
}

func (f *Log) lookSoon() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Renew implements View.
func (f *Log) Renew(ctx context.Context) {
	f.mu.Lock()
	next := f.next
	f.mu.Unlock()
	f.lookSoon()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	select {
	case <-next:
	case <-ctx.Done():
	}
}

// look reads the published checkpoint, and the position of the derived state.
func (f *Log) look(ctx context.Context) {
	f.mu.Lock()
	ended := f.next
	f.next = make(chan struct{})
	f.mu.Unlock()
	defer close(ended)
	if err := f.checkpoint(ctx); ctx.Err() == nil {
		f.note(err)
	}
	f.position(ctx)
}

// note records the result of looking for a checkpoint.
func (f *Log) note(err error) {
	_, before := f.board.Failing()
	switch {
	case err == nil && before == nil:
		return
	case err == nil:
		f.cfg.Logger.Info("following again", "size", f.board.Published().Tree.N)
	case before == nil || before.Error() != err.Error():
		f.cfg.Logger.Warn("cannot follow the log", "err", err)
	}
	f.board.Fail(err)
}

// checkpoint adopts the published checkpoint if it is new.
func (f *Log) checkpoint(ctx context.Context) error {
	have := f.board.Published()
	if served := f.cfg.Served.Newest(); served.Tree.N > have.Tree.N {
		have = served // before this process was started, or while it led
	}
	note, err := f.cfg.Checkpoints.Load(ctx) // which has all of that
	switch {
	case err != nil:
		return fmt.Errorf("the published checkpoint cannot be read: %w", err)
	case bytes.Equal(note, f.board.Published().Note):
		return nil
	case note == nil:
		return fmt.Errorf("the published checkpoint is gone: %w", &contradictedError{proofs.EmptyTree, have.Tree})
	}
	cp, err := f.policy.Load().OpenCheckpoint(note)
	if err != nil {
		return fmt.Errorf("the published checkpoint is not served: %w", err)
	}
	if origin := f.keys[0].Name(); cp.Origin != origin {
		return fmt.Errorf("the published checkpoint is of log %q, not of %q", cp.Origin, origin)
	}
	if err := f.extends(ctx, have.Tree, cp.Tree); err != nil {
		return err
	}
	// If storage is damaged, it is unknown whether this is the end. The witnesses
	// cosigned the checkpoint all the same, so reads go on.
	ended, err := log.EndsIn(ctx, cp.Tree, f.cfg.Storage)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	f.adopt(ctx, log.Published{Tree: cp.Tree, Note: note}, ended)
	if err != nil {
		return fmt.Errorf("the published checkpoint of size %d: %w", cp.Tree.N, err)
	}
	return nil
}

// extends checks that a tree begins with the one that is served, and that it can
// be read.
func (f *Log) extends(ctx context.Context, have, tree proofs.Tree) error {
	if tree == have {
		return nil
	}
	contradiction := &contradictedError{tree, have}
	if tree.N <= have.N {
		return contradiction
	}
	storage := f.cfg.Storage
	stored, err := storage.Integrated(ctx)
	if err != nil {
		return fmt.Errorf("checkpoint of size %d: %w", tree.N, err)
	}
	if stored.N < tree.N {
		return fmt.Errorf("the published checkpoint has size %d, the tiles hold %d entries", tree.N, stored.N)
	}
	proof, err := proofs.ConsistencyProof(ctx, have.N, tree, storage)
	if err != nil {
		return fmt.Errorf("from size %d to the published checkpoint of size %d: %w", have.N, tree.N, err)
	}
	if err := proofs.VerifyConsistency(have, tree, proof); err != nil {
		return fmt.Errorf("%w: %w", contradiction, err)
	}
	return nil
}

// position reads the position of the derived state, unless it is known to have
// everything that is published.
func (f *Log) position(ctx context.Context) {
	if applied, listed := f.level.Has(); min(applied, listed) >= f.cut.Load() {
		return
	}
	// In this order no more is listed than there is.
	listed, err := f.state.Listed(ctx)
	var edge *proofs.Edge
	if err == nil {
		edge, err = f.state.Position(ctx)
	}
	if err == nil && edge.Tree().N > f.level.Applied() {
		f.adopting.Lock()
		f.caughtUp(edge.Tree().N)
		f.adopting.Unlock()
	}
	if before := f.level.Set(edge, listed, err); err != nil && before == nil && ctx.Err() == nil {
		f.cfg.Logger.Warn("the derived state cannot be read", "err", err)
	}
}

const (
	// followEvery is how often a follower looks for a new checkpoint without
	// being asked.
	followEvery = 75 * time.Millisecond
	// hurryEvery is how often it reads the position of the derived state while
	// a request waits for it.
	hurryEvery = 20 * time.Millisecond
	// lookTimeout is how long a request waits for the newest checkpoint before
	// it is answered from the last one.
	lookTimeout = time.Second
)
