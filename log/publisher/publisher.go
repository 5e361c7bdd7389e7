package publisher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Config configures a Publisher.
type Config struct {
	// Signer is the log's key, of type Ed25519; its name is the log's origin.
	Signer log.Signer
	// More are further keys of the log, of the same name and of any type for
	// logs. Every checkpoint carries the signatures of all keys.
	More []log.Signer
	// Policy defines the witnesses that make a quorum. A published checkpoint
	// satisfies it. It lists the log's key, or no log at all.
	Policy *proofs.Policy
	// Storage holds the entries.
	Storage log.Storage
	// Ledger remembers the last signed tree.
	Ledger log.Ledger
	// Witnesses cosigns.
	Witnesses log.Witnesses
	// Checkpoints keeps the published checkpoint.
	Checkpoints log.Checkpoints
	// Served is the newest checkpoint that this process has served. It must be a
	// prefix of the log in storage and known to the ledger. Nil means that the one
	// in Checkpoints counts.
	Served *Served
	// Ending is set while the log is being ended: its end may then be among the
	// entries in storage that were not signed.
	Ending bool
	// GatherTimeout bounds one attempt to reach the quorum. Zero means 10 s.
	GatherTimeout time.Duration
	// Backoff is the first pause after an attempt to publish, or to append, that
	// failed; it doubles up to MaxBackoff. Zero means 100 ms and 5 s.
	Backoff, MaxBackoff time.Duration
	// Refresh is how long a checkpoint stays published while the log does not
	// grow, before its cosignatures are gathered again: devices reason about
	// their times. Zero means 10 minutes, a negative value never.
	Refresh time.Duration
	// Logger reports events to the operator. Nil means slog.Default().
	Logger *slog.Logger
	// Now is the clock of signatures. Nil means time.Now.
	Now func() time.Time
}

func (c *Config) setDefaults() {
	if c.GatherTimeout == 0 {
		c.GatherTimeout = 10 * time.Second
	}
	if c.Backoff == 0 {
		c.Backoff = 100 * time.Millisecond
	}
	if c.MaxBackoff == 0 {
		c.MaxBackoff = 5 * time.Second
	}
	if c.Refresh == 0 {
		c.Refresh = 10 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// glance is the time given once to witnesses that a quorum does not need, to show their
// newest checkpoint: a log must not wait for a witness that is away.
const glance = time.Second

// Publisher turns integrated entries of a storage into published checkpoints.
// It keeps the right edge of its own tree, hashes every entry that it reads
// back onto it, and signs only roots that it computed. The order is fixed: read
// back and hashed, signed, written to the ledger, witnessed, stored as the
// published checkpoint, and only then returned by Published.
type Publisher struct {
	*Board
	cfg    Config
	policy atomic.Pointer[proofs.Policy]
	anew   atomic.Bool // the policy has changed: the checkpoint is published again

	proving    proving
	extending  sync.Mutex // one Extend at a time
	publishing sync.Mutex // one Publish at a time
	record     log.LedgerRecord
	tried      []log.LedgerRecord // that the ledger may have instead: swaps of unknown outcome
	writing    sync.Mutex         // the published checkpoint; late ones join it
	late       late
	refreshed  time.Time // when the published checkpoint was last witnessed

	// The board's mu guards these as well.
	edge      *proofs.Edge // of everything read back; replaced, never changed
	confirmed bool         // a quorum has cosigned what the ledger knows; set with publishing held, too

	wake chan struct{}
}

// Open compares the ledger with storage and with the published checkpoint. The
// error is a *Halt if they contradict each other. Entries in storage beyond the
// ledger are left for Extend.
func Open(ctx context.Context, cfg Config) (*Publisher, error) {
	cfg.setDefaults()
	p := &Publisher{cfg: cfg, wake: make(chan struct{}, 1), late: late{came: make(chan struct{}, 1)}}
	keys, err := cfg.Keys()
	if err != nil {
		return nil, err
	}
	policy, err := PolicyFor(cfg.Policy, keys)
	if err != nil {
		return nil, err
	}
	p.policy.Store(policy)
	if p.record, err = p.openLedger(ctx, keys); err != nil {
		return nil, err
	}
	// As after a restore without them, or at a front end that never had them.
	for _, other := range p.record.SignedByOthers(keys) {
		cfg.Logger.Warn("a key that signed the last checkpoint is not here, and signs no more: policies that name this key alone refuse what comes; if it was not taken away on purpose, bring back its file in keys/, and start again", "key", other)
	}
	p.edge = p.record.Edge
	if p.Board, err = NewBoard(cfg.Storage, keys, p.edge, cfg.Logger); err != nil {
		return nil, err
	}
	p.Served = cfg.Served
	if p.published, err = p.openPublished(ctx); err != nil {
		return nil, err
	}
	stored, err := p.compare(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.checkServed(ctx, stored); err != nil {
		return nil, err
	}
	if err := p.lookForEnd(ctx, stored); err != nil {
		return nil, err
	}
	if err := p.checkPublished(ctx); err != nil {
		return nil, err
	}
	p.noteBehind(p.published.Tree.N)
	cfg.Logger.Info("log opened", "origin", cfg.Signer.Key().Name(), "integrated", stored.N, "signed", p.tree.N, "published", p.published.Tree.N)
	return p, nil
}

// compare halts where storage does not begin with the tree that the ledger knows.
func (p *Publisher) compare(ctx context.Context) (stored proofs.Tree, err error) {
	stored, err = p.cfg.Storage.Integrated(ctx)
	if err != nil {
		return stored, err
	}
	if stored.N < p.tree.N {
		return stored, &log.Halt{
			Code: log.HaltStorageBehind,
			What: fmt.Sprintf("storage holds a tree of size %d (root %v), but the ledger says that size %d (root %v) was signed: storage was restored from an old copy, or has lost entries", stored.N, stored.Hash, p.tree.N, p.tree.Hash),
			Do:   "Bring back the storage that holds all signed entries; never the ledger of an older date, because then the log would sign a second history",
		}
	}
	tiles := &log.Noted{Tiles: p.cfg.Storage}
	proof, err := proofs.ConsistencyProof(ctx, p.tree.N, stored, tiles)
	if err == nil {
		err = proofs.VerifyConsistency(p.tree, stored, proof)
	}
	if err != nil && tiles.Err != nil {
		return stored, err
	}
	if err != nil {
		return stored, &log.Halt{
			Code: log.HaltStorageForked,
			What: fmt.Sprintf("storage holds a tree of size %d (root %v), which does not begin with the tree of size %d (root %v) that the ledger says was signed: storage is another log's, is damaged, or was changed (%v)", stored.N, stored.Hash, p.tree.N, p.tree.Hash, err),
			Do:   "Find out which of the two belongs to this log, and restore the other from a backup",
		}
	}
	return stored, nil
}

// Extend reads back the entries that storage has integrated since and hashes them
// onto the edge. If the root is the one of the tiles, take, which may be nil, is
// called with the entries; if it returns nil the edge moves and the publisher's
// loop is woken. Otherwise nothing changes. The log's end is passed on like any
// entry, as the last one of all. A *Halt, also one from take, stops the publisher;
// any other error may be temporary.
func (p *Publisher) Extend(ctx context.Context, take func([]log.Entry) error) error {
	p.extending.Lock()
	defer p.extending.Unlock()
	p.mu.Lock()
	edge, halted := p.edge.Clone(), p.halted
	p.mu.Unlock()
	if halted != nil {
		return halted
	}
	err := p.extend(ctx, edge, take)
	var halt *log.Halt
	if errors.As(err, &halt) {
		return p.Stop(halt)
	}
	return err
}

func (p *Publisher) extend(ctx context.Context, edge *proofs.Edge, take func([]log.Entry) error) error {
	have := edge.Tree()
	stored, err := p.cfg.Storage.Integrated(ctx)
	if err != nil {
		return err
	}
	if stored.N < have.N {
		return &log.Halt{
			Code: log.HaltStorageBehind,
			What: fmt.Sprintf("storage shrank to size %d (root %v) after size %d (root %v) was read from it", stored.N, stored.Hash, have.N, have.Hash),
			Do:   "Find out what changed the storage; the log starts again once it agrees with the ledger",
		}
	}
	entries, err := p.readBack(ctx, edge, stored.N)
	if err != nil {
		return err
	}
	if tree := edge.Tree(); tree != stored {
		return &log.Halt{
			Code: log.HaltStorageDamaged,
			What: fmt.Sprintf("at size %d the entries in storage lead from the last known tree (size %d, root %v) to root %v, but its tiles have root %v", stored.N, have.N, have.Hash, tree.Hash, stored.Hash),
			Do:   "Storage is damaged or was changed: restore it from a backup that holds all signed entries",
		}
	}
	if len(entries) == 0 {
		return nil
	}
	ends, err := p.checkEnd(entries)
	if err != nil {
		return err
	}
	if take != nil {
		if err := take(entries); err != nil {
			return err
		}
	}
	if err := p.recent.append(entries); err != nil {
		return err
	}
	p.update(func() { p.edge, p.tree, p.ended = edge, stored, ends })
	p.wakeUp()
	return nil
}

// readBack hashes the entries from the edge's size up to size onto the edge.
func (p *Publisher) readBack(ctx context.Context, edge *proofs.Edge, size int64) ([]log.Entry, error) {
	var entries []log.Entry
	for next := edge.Tree().N; next < size; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		bundle, err := log.ReadBundle(ctx, p.cfg.Storage, next/proofs.FullWidth, size)
		if err != nil {
			return nil, err
		}
		for _, data := range bundle[next%proofs.FullWidth:] {
			if err := edge.Append(proofs.LeafHash(data)); err != nil {
				return nil, err
			}
			entries = append(entries, log.Entry{Index: next, Data: data})
			next++
		}
	}
	return entries, nil
}

// Publish publishes a checkpoint of everything that was read back. Without new
// entries it does nothing, unless refresh asks for new cosignatures.
//
// A signed checkpoint that waits for its quorum comes first, however much the log
// has grown since: its cosignatures are kept, so that the witnesses need not be
// reachable at the same time.
func (p *Publisher) Publish(ctx context.Context, refresh bool) error {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	for {
		p.mu.Lock()
		edge, tree, ended, published, halted := p.edge, p.tree, p.ended, p.published, p.halted
		p.mu.Unlock()
		switch {
		case halted != nil:
			return halted
		case tree.N == 0, tree.N == published.Tree.N && !refresh && published.Note != nil && p.record.SignedBy(p.keys):
			return nil
		}
		if err := p.publish(ctx, edge, ended, published.Tree); err != nil {
			return err
		}
		refresh = false
	}
}

// Confirm returns nil once a quorum has cosigned, now, everything that was read back or,
// for an empty log, has confirmed that it does not know the log. The error is a *Halt if a
// witness shows more.
func (p *Publisher) Confirm(ctx context.Context) error {
	if p.Tree().N > 0 {
		return p.Publish(ctx, true)
	}
	p.publishing.Lock()
	defer p.publishing.Unlock()
	return p.confirmNothing(ctx)
}

// publish publishes the tree of the edge, or the last signed one if that waits. After
// a start, too, witnesses are first asked to cosign the last signed tree: nothing new
// is signed before a quorum has cosigned it. With a ledger of an older date, however
// it came back, the log would sign a second history.
func (p *Publisher) publish(ctx context.Context, edge *proofs.Edge, ended bool, published proofs.Tree) (err error) {
	signed := p.record.Edge.Tree()
	switch {
	case signed.N == 0:
		if err := p.confirmNothing(ctx); err != nil {
			return err
		}
		err = p.sign(ctx, edge, ended)
	case !p.record.SignedBy(p.keys):
		err = p.sign(ctx, p.record.Edge, p.record.Ended)
	case edge.Tree().N > signed.N && signed.N == published.N && p.confirmed:
		// Before it is signed, so that what comes meanwhile is in the same checkpoint.
		if err = p.cfg.Witnesses.Allows(false); err == nil {
			err = p.sign(ctx, edge, ended)
		}
	}
	if err != nil {
		return err
	}
	tree := p.record.Edge.Tree()
	note, err := p.ask(ctx, p.record.Note, tree)
	if err != nil {
		return fmt.Errorf("size %d is not published: %w", tree.N, err)
	}
	if !p.confirmed {
		// A quorum holds no more. Another witness may: of what was signed last, and
		// was not published, or under a policy whose quorums need not overlap.
		if err := p.lookBeyond(ctx, min(glance, p.cfg.GatherTimeout)); err != nil {
			return err
		}
	}
	p.writing.Lock()
	defer p.writing.Unlock()
	if err := p.store(ctx, note); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	p.refreshed = time.Now()
	p.cfg.Served.Keep(log.Published{Tree: tree, Note: note})
	p.update(func() { p.published, p.confirmed = log.Published{Tree: tree, Note: note}, true })
	return nil
}

// store stores a checkpoint. It is not interrupted, so that no write is under way when
// Run has returned.
func (p *Publisher) store(ctx context.Context, note []byte) error {
	ctx, cancel := log.ToTheEnd(ctx)
	defer cancel()
	return p.cfg.Checkpoints.Store(ctx, note)
}

// confirmNothing returns nil once a quorum has confirmed that it does not know this log,
// whose ledger is empty: an empty ledger under a key that has signed before would begin a
// second history. The witnesses are asked to cosign the empty tree, with which every
// history begins; one that has cosigned a larger tree reports that instead.
func (p *Publisher) confirmNothing(ctx context.Context) error {
	if p.confirmed {
		return nil
	}
	if err := p.lookBeyond(ctx, p.cfg.GatherTimeout); err != nil {
		return err
	}
	note, err := p.note(proofs.EmptyTree, p.cfg.Now().Unix())
	if err != nil {
		return err
	}
	if _, err := p.ask(ctx, note.Marshal(), proofs.EmptyTree); err != nil {
		return fmt.Errorf("nothing is signed before a quorum has said that it knows nothing of this log, as the ledger says: %w", err)
	}
	p.update(func() { p.confirmed = true })
	return nil
}

// ask gathers cosignatures, and halts if a witness shows the checkpoint because
// of which it refuses.
func (p *Publisher) ask(ctx context.Context, signed []byte, tree proofs.Tree) ([]byte, error) {
	note, err := p.gather(ctx, signed, tree)
	var other interface{ Contradicted() bool }
	if errors.As(err, &other) && other.Contradicted() {
		err = cmp.Or(p.lookBeyond(ctx, p.cfg.GatherTimeout), err)
	}
	return note, err
}

// Policy returns the policy that published checkpoints satisfy.
func (p *Publisher) Policy() *proofs.Policy { return p.policy.Load() }

// Reload replaces the policy and publishes the checkpoint again. If the policy lists
// logs but not this one, it returns an error and nothing changes.
func (p *Publisher) Reload(policy *proofs.Policy) error {
	policy, err := PolicyFor(policy, p.keys)
	if err != nil {
		return err
	}
	p.policy.Store(policy)
	p.anew.Store(true)
	p.wakeUp()
	return nil
}

// Backoff returns the first and the longest pause after a failed attempt.
func (p *Publisher) Backoff() (first, most time.Duration) { return p.cfg.Backoff, p.cfg.MaxBackoff }

// Run publishes whenever there are new entries, until the context ends. A
// failed attempt is repeated with growing pauses, so appended entries are
// published as soon as a quorum is back.
func (p *Publisher) Run(ctx context.Context) {
	p.proving.start()
	defer p.proving.stop()
	var running sync.WaitGroup
	defer running.Wait()
	late, stop := context.WithCancel(ctx)
	defer stop()
	running.Go(func() { p.runLate(late) })
	refresh := p.Published().Note != nil // its witnesses are asked once at the start
	for {
		err := p.attempt(ctx, refresh)
		for pause := p.cfg.Backoff; err != nil; pause = min(2*pause, p.cfg.MaxBackoff) {
			if wait.For(ctx, pause) != nil || p.Halted() != nil {
				return
			}
			err = p.attempt(ctx, refresh)
		}
		var idle <-chan time.Time
		if p.cfg.Refresh > 0 {
			idle = time.After(p.cfg.Refresh)
		}
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
			refresh = p.anew.Swap(false)
		case <-idle:
			p.publishing.Lock()
			refresh = time.Since(p.refreshed) >= p.cfg.Refresh && p.cfg.Witnesses.Allows(true) == nil
			p.publishing.Unlock()
		}
	}
}

// attempt publishes once and records the result.
func (p *Publisher) attempt(ctx context.Context, refresh bool) error {
	err := p.Publish(ctx, refresh)
	if ctx.Err() != nil {
		return err
	}
	p.mu.Lock()
	before, waited := p.failing, p.paced
	p.mu.Unlock()
	failing, paced := err, error(nil)
	var pace interface{ Paced() time.Duration }
	if errors.As(err, &pace) && pace.Paced() > 0 {
		failing, paced = nil, fmt.Errorf("this waits, because the log has declared to its witnesses how often it asks them: %w", err)
	}
	switch {
	case failing != nil && (before == nil || before.Error() != failing.Error()):
		p.cfg.Logger.Warn("cannot publish", "err", failing)
	case paced != nil && waited == nil:
		p.cfg.Logger.Info("waiting before the witnesses are asked again", "why", err)
	case err == nil && before != nil:
		p.cfg.Logger.Info("publishing again", "size", p.Published().Tree.N)
	}
	p.update(func() { p.failing, p.paced = failing, paced })
	return err
}
