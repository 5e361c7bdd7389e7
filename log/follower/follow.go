package follower

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/index"
	"github.com/tuflog/tuflog/log/intake"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/registry"
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

// Log is a log that another process writes: it shows what that one publishes, and
// passes on what is to be written.
type Log struct {
	server   *httpd.Server
	cfg      Config
	keys     []proofs.Key // of the log
	policy   atomic.Pointer[proofs.Policy]
	board    *publisher.Board
	state    log.StateWriter
	level    *index.Level
	registry *registry.Registry

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

// Config says what is followed, and how.
type Config struct {
	// ServerConfig says what is served, and to whom.
	httpd.Config
	// Policy says which witnesses make a quorum.
	Policy *proofs.Policy
	// Keys are the log's public keys, its own Ed25519 key first; none means those of
	// the policy.
	Keys []proofs.Key
	// Checkpoints has the published checkpoint.
	Checkpoints log.Checkpoints
	// Served is the newest checkpoint that this process has served. Nil means that
	// nothing is remembered.
	Served *publisher.Served
	// Forward answers what only the leader can.
	Forward httpd.PassOn
}

// Open opens a log that another process writes. It needs of cfg.Publisher the
// Policy, Storage and Checkpoints, and neither a key nor a ledger; the log's
// public keys are cfg.Keys, or those of the policy. Run follows the checkpoints,
// and everything published can be read; what is to be written, and how far
// submissions are, is passed on to cfg.Forward.
//
// Only checkpoints that satisfy the policy and extend the one before are served, and
// what cfg.Served says was served before this start. Where there is another,
// the last good one stays, /readyz says why, and nothing is passed on.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg.SetDefaults()
	keys := slices.Clone(cfg.Keys)
	if len(keys) == 0 {
		for _, l := range cfg.Policy.Logs {
			keys = append(keys, l.Key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the log's public key is not known: the policy lists no log")
	}
	policy, err := publisher.PolicyFor(cfg.Policy, keys)
	if err != nil {
		return nil, err
	}
	board, err := publisher.NewBoard(cfg.Storage, keys, new(proofs.Edge), cfg.Logger)
	if err != nil {
		return nil, err
	}
	board.Served = cfg.Served
	f := &Log{
		cfg: cfg, keys: keys, board: board, state: cfg.State, level: index.NewLevel(),
		lagging: map[tuf.Digest]int64{}, wake: make(chan struct{}, 1), next: make(chan struct{}),
	}
	f.policy.Store(policy)
	state := registry.Checked(cfg.State, f.cut.Load, cfg.Storage, f.cut.Load)
	f.registry = registry.New(cfg.Blobs, state, f.level.Applied, nil)
	f.server = httpd.New(f, cfg.Config, cfg.NewSources())
	f.look(ctx)
	f.serveOn()
	return f, nil
}

// Handler serves the log's HTTP interface.
func (f *Log) Handler() http.Handler { return f.server }

// Stats returns how far the log is.
func (f *Log) Stats(ctx context.Context) httpd.Stats { return f.server.Stats(ctx) }

// Board implements View.
func (f *Log) Board() *publisher.Board { return f.board }

// Level implements View.
func (f *Log) Level() *index.Level { return f.level }

// Registry implements View.
func (f *Log) Registry() *registry.Registry { return f.registry }

// Taking implements View: what can be passed on is taken.
func (f *Log) Taking(ctx context.Context) error {
	if err := f.board.Halted(); err != nil {
		return err
	}
	if f.board.Ended() {
		return log.ErrEnded // whoever leads
	}
	if err := f.contradicted(); err != nil {
		return err
	}
	return f.cfg.Forward.Trouble(ctx)
}

// Trouble says why what is published is not shown, or is nil.
func (f *Log) Trouble() error { return f.board.Trouble() }

// Submit implements View. Nothing is taken here: it is passed on.
func (f *Log) Submit(*intake.Submission) error {
	return errors.New("this front end does not write the log")
}

// Leader implements View. Whoever leads leads another log where what was served here is
// not in the published checkpoint.
func (f *Log) Leader() (httpd.PassOn, error) { return f.cfg.Forward, f.contradicted() }

// Reload replaces the settings.
func (f *Log) Reload(s httpd.Settings) error {
	policy, err := publisher.PolicyFor(s.Policy, f.keys)
	if err != nil {
		return err
	}
	f.server.Reload(s)
	f.policy.Store(policy)
	return nil
}

// Halt asks a log that follows to say in /readyz why this process no longer leads; nil
// takes that back. It goes on following.
func (f *Log) Halt(h *log.Halt) { f.board.Halt(h) }

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

// urge asks the leader to bring the derived state up to date, which otherwise takes its
// time, and looks again when it has.
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

// look reads the published checkpoint, and how far the derived state is.
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

// note keeps what came of looking for a checkpoint.
func (f *Log) note(err error) {
	before, _ := f.board.Failing()
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

// checkpoint takes over the published checkpoint, if it is a new one.
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
	// Where storage is damaged, nobody can say whether this is the end. The checkpoint
	// is what the witnesses cosigned all the same: reads go on.
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

// contradictedError is that of a follower which has served what is not in the published
// checkpoint: what is shared is of an older date, or was forked.
type contradictedError struct{ published, served proofs.Tree }

func (e *contradictedError) Error() string {
	return fmt.Sprintf("the published checkpoint of size %d (root %v) contradicts the one of size %d (root %v), which is served on: the databases are of an older date, or another log's",
		e.published.N, e.published.Hash, e.served.N, e.served.Hash)
}

// contradicted returns why nothing is to be passed on: the log that this front end has
// served is not the one that is published now. Nil: it is.
func (f *Log) contradicted() error {
	err, _ := f.board.Failing()
	if contradiction := (*contradictedError)(nil); errors.As(err, &contradiction) {
		return err
	}
	return nil
}

// Keyless returns why a follower has the wrong keys: none of them has signed what
// is published, so this process could not lead. Nil: that is not so, as far as is known.
func (f *Log) Keyless() error {
	if err, _ := f.board.Failing(); errors.Is(err, proofs.ErrUnknownLog) {
		return err
	}
	return nil
}

// WaitContradicted returns when a log that follows has found, after it could follow for
// a while, that what is published contradicts what was served from here: then what is
// shared is not what it was when this process began to lead. It returns nil when ctx
// ends.
func (f *Log) WaitContradicted(ctx context.Context) error {
	for followed := false; ; {
		failing, news := f.board.Failing()
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
func (f *Log) serveOn() {
	served := f.cfg.Served.Newest()
	failing, _ := f.board.Failing()
	if failing == nil || f.board.Published().Note != nil {
		return
	}
	if _, err := f.policy.Load().OpenCheckpoint(served.Note); err != nil {
		return // it is held against what is published all the same
	}
	f.raise(served, false, -1, nil)
}

// Continue asks a follower to serve what this process has published while it led, which
// may be unreadable for now: nobody is to see a front end go back because it no longer
// leads.
func (f *Log) Continue(led *publisher.Board) {
	published, ended := led.Shown()
	if published.Note != nil {
		// Reading whose the new entries are may take its time.
		f.raise(published, ended, -1, nil)
	}
}

// adopt serves a checkpoint that was read.
func (f *Log) adopt(ctx context.Context, published log.Published, ended bool) {
	from := f.cut.Load()
	f.raise(published, ended, from, f.changed(ctx, from, published.Tree.N))
}

// raise serves a checkpoint, unless a larger one is served by now. changed are the
// repositories that have leaves beyond size from; any may have if it is nil, or
// another size is served. The registry comes first: who learns of a size finds
// everything below it.
func (f *Log) raise(published log.Published, ended bool, from int64, changed []tuf.Digest) {
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
	f.caughtUp(f.level.Applied())
	f.cfg.Served.Keep(published)
	f.board.Show(published, ended)
}

// position reads how far the derived state is, unless it is known to have all
// that is published.
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

// maxChanged is how many new entries are read to learn whose they are. Of more,
// anybody's may be among them.
const maxChanged = 16 * proofs.FullWidth

// changed returns the repositories that have leaves among those from one size of
// the log to another: another process applies leaves, so what is in memory does not
// follow. Nil means any.
func (f *Log) changed(ctx context.Context, from, to int64) []tuf.Digest {
	if to-from > maxChanged {
		return nil
	}
	changed := []tuf.Digest{}
	for next := from; next < to; {
		bundle, err := log.ReadBundle(ctx, f.cfg.Storage, next/proofs.FullWidth, to)
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
func (f *Log) caughtUp(size int64) {
	if f.everything > 0 {
		f.registry.Forget(nil)
	} else {
		f.registry.Forget(f.lagging)
	}
	maps.DeleteFunc(f.lagging, func(_ tuf.Digest, needs int64) bool { return needs <= size })
	if f.everything <= size {
		f.everything = 0
	}
}
