package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// How a log is served by many machines. One front end leads: it has a Log from
// Open, over storage and state that only it may write (Config.Right says until
// when). All others have a Log from Follow. They read what the leader has
// published, and pass on to it what only it can answer (Forwarder). Front
// switches between the two.
//
// Why a leader that is deposed acknowledges nothing that is lost: an answer says
// of a file that it is in the log only if the file's index is below
// Publisher.Published, and that is set only after Checkpoints.Store has kept the
// checkpoint. Store belongs to the right to write: once somebody else leads it
// fails, however late it arrives, and so do the append, the ledger and the
// derived state before it. Where its outcome is unknown Published stays as it
// was. So whatever is acknowledged is under a checkpoint that the next leader
// reads when it opens the log, and continues. A witness may have cosigned a tree
// that was never stored; the ledger, which the next leader reads as well, had it
// before the witness did.

const (
	// followEvery is how often a follower looks for a new checkpoint when
	// nobody asks.
	followEvery = 75 * time.Millisecond
	// hurryEvery is how often it looks how far the derived state is, while
	// somebody waits for it.
	hurryEvery = 20 * time.Millisecond
	// lookTimeout is how long a request waits to hear of the newest checkpoint
	// before it is answered from the last one.
	lookTimeout = time.Second
)

// follower is what a Log has that only follows.
type follower struct {
	publisher *Publisher // without a key: it keeps what is published
	indexer   *Indexer   // without a loop: it keeps how far the state is
	registry  *registry
	forward   PassOn

	// cut is the size of the log that the registry sees.
	cut atomic.Int64
	// adopting is held by the one who raises cut, and for what follows.
	adopting sync.Mutex
	// lagging are the repositories with leaves below cut that the state may not
	// have yet, each with the size of the log that has them; everything is that
	// size where any repository may have such leaves.
	lagging    map[tuf.Digest]int64
	everything int64

	urging atomic.Bool // the leader is being asked to hurry

	wake chan struct{} // someone waits for the next look
	mu   sync.Mutex
	next chan struct{} // closed when a look that begins from now on has ended
}

// Follow opens a log that another process writes. It needs of cfg.Publisher the
// Policy, Storage and Checkpoints, and neither a key nor a ledger; the log's
// public keys are cfg.Keys, or those of the policy. Run follows the checkpoints,
// and everything published can be read; what is to be written, and how far
// submissions are, is passed on to cfg.Forward.
//
// Only checkpoints that satisfy the policy and extend the one before are served, and
// what cfg.Publisher.Served says was served before this start. Where there is another,
// the last good one stays, /readyz says why, and nothing is passed on.
func Follow(ctx context.Context, cfg Config) (*Log, error) {
	cfg.setDefaults()
	cfg.Publisher.setDefaults()
	keys := slices.Clone(cfg.Keys)
	if len(keys) == 0 {
		for _, l := range cfg.Publisher.Policy.Logs {
			keys = append(keys, l.Key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the log's public key is not known: the policy lists no log")
	}
	policy, err := policyFor(cfg.Publisher.Policy, keys)
	if err != nil {
		return nil, err
	}
	edge := new(proofs.Edge)
	recent, err := newRecent(edge)
	if err != nil {
		return nil, err
	}
	p := &Publisher{
		cfg: cfg.Publisher, keys: keys, recent: recent,
		edge: edge, tree: proofs.EmptyTree, published: Published{Tree: proofs.EmptyTree},
		news: make(chan struct{}), stopped: make(chan struct{}), wake: make(chan struct{}, 1),
		late: late{came: make(chan struct{}, 1)},
	}
	p.policy.Store(policy)
	f := &follower{publisher: p, forward: cfg.Forward, lagging: map[tuf.Digest]int64{}, wake: make(chan struct{}, 1), next: make(chan struct{})}
	f.indexer = newIndexer(cfg.Publisher.Storage, cfg.Blobs, cfg.State, cfg.Logger, edge, 0)
	f.indexer.follows = true
	state := checkedState{cutState{cfg.State, f.cut.Load}, cfg.Publisher.Storage, f.cut.Load}
	f.registry = newRegistry(cfg.Blobs, state, f.indexer.applied)
	l := &Log{
		cfg:       cfg,
		publisher: p,
		indexer:   f.indexer,
		registry:  f.registry,
		intake:    &intake{publisher: p, empty: make(chan struct{})}, // takes nothing
		follower:  f,
	}
	l.labels.Store(&cfg.Labels)
	l.server = newServer(l, newSources(cfg.HTTP, cfg.Token, newTokenBook(cfg.Tokens, cfg.Logger), cfg.Limits))
	f.look(ctx)
	f.serveOn()
	return l, nil
}

// Halt asks a log that follows to say in /readyz why this process no longer leads; nil
// takes that back. It goes on following.
func (l *Log) Halt(h *Halt) {
	p := l.publisher
	if h == nil {
		p.update(func() { p.halted = nil })
		return
	}
	p.update(func() {
		if p.halted == nil || p.halted.Error() != h.Error() {
			p.cfg.Logger.Error("the log has stopped", "err", h)
		}
		p.halted = h // what was found before may have been put right
	})
}

// run follows the checkpoints until the context ends.
func (f *follower) run(ctx context.Context) {
	timer := time.NewTimer(followEvery)
	defer timer.Stop()
	hurried := false
	for {
		pause := followEvery
		applied, listed := f.indexer.has()
		if hurried = hurried && min(applied, listed) < f.cut.Load(); hurried {
			pause = hurryEvery
		}
		if hurried && applied < f.cut.Load() {
			f.urge(ctx)
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-f.wake:
		case <-f.indexer.hurry:
			hurried = true
		}
		f.look(ctx)
	}
}

// urge has the leader bring the derived state up to date, which it does not haste to
// do of its own accord, and looks again when it has.
func (f *follower) urge(ctx context.Context) {
	if !f.urging.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer f.urging.Store(false)
		f.forward.Hurry(ctx)
		f.lookSoon()
		sleep(ctx, hurryEvery) // one that cannot be asked says so at once
	}()
}

func (f *follower) lookSoon() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// lookAgain returns when a follower knows the checkpoint that was published when
// it was called, or a newer one: a client that was told by one front end that its
// release is in the log finds it at every other. A follower that cannot find out
// answers from what it has. It does nothing where the log leads.
func (l *Log) lookAgain(ctx context.Context) {
	f := l.follower
	if f == nil {
		return
	}
	f.mu.Lock()
	next := f.next
	f.mu.Unlock()
	f.lookSoon()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	select {
	case <-next:
	case <-ctx.Done():
	case <-l.server.running.Done():
	}
}

// look reads the published checkpoint, and how far the derived state is.
func (f *follower) look(ctx context.Context) {
	f.mu.Lock()
	ended := f.next
	f.next = make(chan struct{})
	f.mu.Unlock()
	defer close(ended)
	f.note(f.checkpoint(ctx))
	f.position(ctx)
}

// note keeps what came of looking for a checkpoint.
func (f *follower) note(err error) {
	p := f.publisher
	p.mu.Lock()
	before := p.failing
	p.mu.Unlock()
	switch {
	case err == nil && before == nil:
		return
	case err == nil:
		p.cfg.Logger.Info("following again", "size", p.Published().Tree.N)
	case before == nil || before.Error() != err.Error():
		p.cfg.Logger.Warn("cannot follow the log", "err", err)
	}
	p.update(func() { p.failing = err })
}

// checkpoint takes over the published checkpoint, if it is a new one.
func (f *follower) checkpoint(ctx context.Context) error {
	have := f.publisher.Published()
	if served := f.publisher.cfg.Served.Newest(); served.Tree.N > have.Tree.N {
		have = served // before this process was started, or while it led
	}
	note, err := f.publisher.cfg.Checkpoints.Load(ctx) // which has all of that
	switch {
	case err != nil:
		return fmt.Errorf("the published checkpoint cannot be read: %w", err)
	case bytes.Equal(note, f.publisher.Published().Note):
		return nil
	case note == nil:
		return fmt.Errorf("the published checkpoint is gone: %w", &contradictedError{proofs.EmptyTree, have.Tree})
	}
	cp, err := f.publisher.policy.Load().OpenCheckpoint(note)
	if err != nil {
		return fmt.Errorf("the published checkpoint is not served: %w", err)
	}
	if origin := f.publisher.keys[0].Name(); cp.Origin != origin {
		return fmt.Errorf("the published checkpoint is of log %q, not of %q", cp.Origin, origin)
	}
	if err := f.extends(ctx, have.Tree, cp.Tree); err != nil {
		return err
	}
	// Where storage is damaged, nobody can say whether this is the end. The checkpoint
	// is what the witnesses cosigned all the same: reads go on.
	ended, err := endsIn(ctx, cp.Tree, f.publisher.cfg.Storage)
	f.adopt(ctx, Published{cp.Tree, note}, ended)
	if err != nil {
		return fmt.Errorf("the published checkpoint of size %d: %w", cp.Tree.N, err)
	}
	return nil
}

// extends checks that a tree begins with the one that is served, and that it can
// be read.
func (f *follower) extends(ctx context.Context, have, tree proofs.Tree) error {
	if tree == have {
		return nil
	}
	contradiction := &contradictedError{tree, have}
	if tree.N <= have.N {
		return contradiction
	}
	storage := f.publisher.cfg.Storage
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

// contradictedError is that of a follower which has served what is not in the published
// checkpoint: what is shared is of an older date, or was forked.
type contradictedError struct{ published, served proofs.Tree }

func (e *contradictedError) Error() string {
	return fmt.Sprintf("the published checkpoint of size %d (root %v) contradicts the one of size %d (root %v), which is served on: the databases are of an older date, or another log's",
		e.published.N, e.published.Hash, e.served.N, e.served.Hash)
}

// contradicted returns why nothing is to be passed on: the log that this front end has
// served is not the one that is published now. Nil: it is.
func (f *follower) contradicted() error {
	f.publisher.mu.Lock()
	err := f.publisher.failing
	f.publisher.mu.Unlock()
	if contradiction := (*contradictedError)(nil); errors.As(err, &contradiction) {
		return err
	}
	return nil
}

// unfollowed returns why a log that follows does not know what is published now. Nil: it
// does, or it leads.
func (l *Log) unfollowed() error {
	if l.follower == nil {
		return nil
	}
	p := l.publisher
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failing
}

// Keyless returns why a log that follows has the wrong keys: none of them has signed what
// is published, so this process could not lead. Nil: that is not so, as far as is known.
func (l *Log) Keyless() error {
	if err := l.unfollowed(); errors.Is(err, proofs.ErrUnknownLog) {
		return err
	}
	return nil
}

// WaitContradicted returns when a log that follows has found, after it could follow for
// a while, that what is published contradicts what was served from here: then what is
// shared is not what it was when this process began to lead. It returns nil when ctx
// ends.
func (l *Log) WaitContradicted(ctx context.Context) error {
	p := l.publisher
	for followed := false; ; {
		p.mu.Lock()
		failing, news := p.failing, p.news
		p.mu.Unlock()
		contradiction := (*contradictedError)(nil)
		contradicted := errors.As(failing, &contradiction)
		if contradicted && followed {
			return failing
		}
		// One that begins to lead after a restore publishes first what was served.
		followed = followed || !contradicted
		select {
		case <-news:
		case <-ctx.Done():
			return nil
		}
	}
}

// serveOn has a follower that was just started serve what it has served before, where
// what is published contradicts it, or cannot be held against it because storage is
// damaged: reads go on.
func (f *follower) serveOn() {
	served := f.publisher.cfg.Served.Newest()
	f.publisher.mu.Lock()
	failing := f.publisher.failing
	f.publisher.mu.Unlock()
	if failing == nil || f.publisher.Published().Note != nil {
		return
	}
	if _, err := f.publisher.policy.Load().OpenCheckpoint(served.Note); err != nil {
		return // it is held against what is published all the same
	}
	f.raise(served, false, -1, nil)
}

// Continue has a log that follows serve what another Log of this process has
// published, which it may be unable to read for now: nobody is to see a front end
// go back because it no longer leads.
func (l *Log) Continue(led *Log) {
	p := led.publisher
	p.mu.Lock()
	published, ended := p.published, p.ended && p.published.Tree == p.tree
	p.mu.Unlock()
	if published.Note != nil {
		// Reading whose the new entries are may take its time.
		l.follower.raise(published, ended, -1, nil)
	}
}

// adopt serves a checkpoint that was read.
func (f *follower) adopt(ctx context.Context, published Published, ended bool) {
	from := f.cut.Load()
	f.raise(published, ended, from, f.changed(ctx, from, published.Tree.N))
}

// raise serves a checkpoint, unless a larger one is served by now. changed are the
// repositories that have leaves beyond size from; any may have if it is nil, or
// another size is served. The registry comes first: who learns of a size finds
// everything below it.
func (f *follower) raise(published Published, ended bool, from int64, changed []tuf.Digest) {
	f.adopting.Lock()
	defer f.adopting.Unlock()
	size := published.Tree.N
	before := f.cut.Load()
	if size < before {
		return
	}
	f.cut.Store(size)
	if size > before && (before != from || changed == nil) {
		f.everything = size
	}
	for _, id := range changed {
		f.lagging[id] = size
	}
	f.caughtUp(f.indexer.applied())
	p := f.publisher
	p.cfg.Served.keep(published)
	p.update(func() {
		p.tree, p.published = published.Tree, published
		p.signed, p.ended = size, ended
	})
}

// position reads how far the derived state is, unless it is known to have all
// that is published.
func (f *follower) position(ctx context.Context) {
	x := f.indexer
	if applied, listed := x.has(); min(applied, listed) >= f.cut.Load() {
		return
	}
	// In this order no more is listed than there is.
	listed, err := x.state.Listed(ctx)
	var edge *proofs.Edge
	if err == nil {
		edge, err = x.state.Position(ctx)
	}
	if err == nil && edge.Tree().N > x.applied() {
		f.adopting.Lock()
		f.caughtUp(edge.Tree().N)
		f.adopting.Unlock()
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if err != nil {
		if x.failing == nil && ctx.Err() == nil {
			x.logger.Warn("the derived state cannot be read", "err", err)
		}
		x.failing = err
		return
	}
	x.failing = nil
	if edge.Tree() != x.edge.Tree() || listed != x.listed {
		x.edge, x.listed = edge, listed
		x.tell()
	}
}

// maxChanged is how many new entries are read to learn whose they are. Of more,
// anybody's may be among them.
const maxChanged = 16 * proofs.FullWidth

// changed returns the repositories that have leaves among those from one size of
// the log to another: another process applies leaves, so what is in memory does not
// follow. Nil means any.
func (f *follower) changed(ctx context.Context, from, to int64) []tuf.Digest {
	if to-from > maxChanged {
		return nil
	}
	changed := []tuf.Digest{}
	for next := from; next < to; {
		bundle, err := readBundle(ctx, f.publisher.cfg.Storage, next/proofs.FullWidth, to)
		if err != nil {
			return nil
		}
		for _, entry := range bundle[next%proofs.FullWidth:] {
			if leaf, err := leaf.Parse(entry); err == nil {
				changed = append(changed, leaf.Repository)
			}
			next++
		}
	}
	return changed
}

// caughtUp has the registry forget what it may have loaded before the state, which
// now has size entries, had all of it. Called with adopting held.
func (f *follower) caughtUp(size int64) {
	if f.everything > 0 {
		f.registry.forget(nil)
	} else {
		f.registry.forget(f.lagging)
	}
	maps.DeleteFunc(f.lagging, func(_ tuf.Digest, needs int64) bool { return needs <= size })
	if f.everything <= size {
		f.everything = 0
	}
}

// forget drops repositories; nil means all. It is for a registry that applies
// nothing: no more is in memory of each than there was when it was loaded.
func (r *registry) forget(which map[tuf.Digest]int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dropped++ // one that is being loaded is loaded again
	if which == nil {
		clear(r.repos)
		r.recent.Init()
		r.leaves, r.cached = 0, 0
		return
	}
	for id := range which {
		if repo, ok := r.repos[id]; ok {
			r.recent.Remove(repo.used)
			delete(r.repos, id)
			r.leaves -= len(repo.judge.Records())
			r.cached -= repo.cached
		}
	}
}
