// Package log is the log server: it admits validly signed update metadata,
// appends a leaf for each release to a Merkle log, publishes checkpoints that
// witnesses have cosigned, and serves the log over HTTP (package log/api has
// the interface).
//
// A submission goes through these stages, and each holds what the next relies
// on:
//
//   - read: strictly parsed, in the request's own goroutine (submission.go)
//   - judged: by admit.Repository against what the log already holds; every
//     repository has one file in flight at most (intake.go)
//   - stored: the files as blobs, then the leaves, one sync each per batch
//   - read back: every new entry is read from storage and hashed onto the
//     publisher's own right edge; only the root computed so is signed
//     (publisher.go)
//   - signed, and the ledger moved to the new tree (ledger.go)
//   - witnessed by a quorum, published, and only then acknowledged
//
// What follows from the log's entries and blobs, such as which release lists a
// file, is kept in a derived state that lags behind and can be made anew
// (indexer.go).
//
// The package names no database and no log implementation: see Storage, Blobs,
// State and Ledger, and the packages below this one.
package log

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// Config says what a log consists of. The caller closes Storage, Blobs, State
// and the ledger after Close.
type Config struct {
	// ServerConfig says what is served, and to whom. Its Storage is that of
	// Publisher.
	ServerConfig
	// Publisher says what signs and who witnesses.
	Publisher PublisherConfig
	// Batches keeps the batch that is about to be appended. Nil means that it need not be
	// kept, because only this process can append.
	Batches Batches
	// Hold is how long a file is held that would become a leaf, if its repository
	// has a token and its sender has not. Zero means not at all. Those that Holds has
	// are judged in their time also without Hold.
	Hold time.Duration
	// AppendTimeout is how long one append may take before it counts as
	// failed. Zero means 30 s.
	AppendTimeout time.Duration
	// DrainTimeout is how long Run takes, once its context has ended, to bring
	// what is queued into the log and to publish it. Zero means 10 s.
	DrainTimeout time.Duration
	// Right ends when this process may no longer write the log, because
	// another does: then Run returns at once, without DrainTimeout, as it does
	// when the log halts. Nil means that no other ever does.
	Right context.Context
	// Room says why nothing more can be stored, such as a full disk; nil that it can.
	// Meanwhile no submission is taken. It is asked at most once a second. A nil Room
	// means that there always is.
	Room func() error
}

func (c *Config) setDefaults() {
	c.ServerConfig.setDefaults()
	c.Storage = c.Publisher.Storage
	if c.AppendTimeout == 0 {
		c.AppendTimeout = 30 * time.Second
	}
	if c.DrainTimeout == 0 {
		c.DrainTimeout = 10 * time.Second
	}
	if c.Publisher.Logger == nil {
		c.Publisher.Logger = c.Logger
	}
}

// Log is an open log.
type Log struct {
	cfg       Config
	publisher *Publisher
	indexer   *Indexer
	registry  *registry
	intake    *intake
	server    *server
	latencies latencies
	space     space
}

// Open opens a log: the publisher compares what it signed with what is stored,
// and the derived state is caught up. The error is a *Halt where the log must
// not go on.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg.setDefaults()
	publisher, err := OpenPublisher(ctx, cfg.Publisher)
	if err != nil {
		return nil, err
	}
	storage := cfg.Publisher.Storage
	stored, err := storage.Integrated(ctx)
	if err != nil {
		return nil, err
	}
	// The state may know entries that were integrated and not signed yet, but
	// needs to know only those that were: the rest is judged below, whatever the
	// state knows.
	indexer, err := OpenIndexer(ctx, storage, cfg.Blobs, cfg.State, stored, cfg.Logger)
	if err != nil {
		return nil, err
	}
	if err := indexer.catchUpLeaves(ctx, publisher.Tree()); err != nil {
		return nil, err
	}
	readable := func() int64 { return max(stored.N, publisher.Tree().N) }
	from := cfg.sources()
	var judged atomic.Int64
	judged.Store(publisher.Tree().N)
	registry := newRegistry(cfg.Blobs, checkedState{cutState{cfg.State, judged.Load}, storage, readable}, func() int64 {
		return min(indexer.applied(), judged.Load())
	})
	registry.judged = &judged
	l := &Log{
		cfg:       cfg,
		publisher: publisher,
		indexer:   indexer,
		registry:  registry,
		intake: &intake{
			storage:   storage,
			blobs:     cfg.Blobs,
			batches:   cfg.Batches,
			publisher: publisher,
			registry:  registry,
			indexer:   indexer,
			budget:    from,
			logger:    cfg.Logger,
			maxQueued: int(cfg.Limits.Queue.Capacity),
			maxBatch:  cfg.Limits.Batch,
			timeout:   cfg.AppendTimeout,
			queues:    map[tuf.Digest]*queue{},
			wake:      make(chan struct{}, 1),
			empty:     make(chan struct{}),
		},
		latencies: latencies{added: make(chan struct{}, 1)},
	}
	l.space.ask = cfg.Room
	l.intake.keeper = newKeeper(cfg, from.tokens, l.intake.submit)
	// What the last process appended and did not sign counts: it may have been
	// read, and its submitters are told so when they ask again.
	if err := l.intake.readBack(ctx, nil); err != nil {
		return nil, err
	}
	l.server = newServer(l, cfg.ServerConfig, from)
	return l, nil
}

// Publisher returns the log's publisher.
func (l *Log) Publisher() *Publisher { return l.publisher }

// Handler serves the log's HTTP interface.
func (l *Log) Handler() http.Handler { return l.server }

// Stats returns how far the log is.
func (l *Log) Stats(ctx context.Context) Stats {
	st := l.server.stats(ctx)
	st.Leading = true
	l.intake.mu.Lock()
	st.Queued = l.intake.queued
	l.intake.mu.Unlock()
	return st
}

// Board implements View.
func (l *Log) Board() *Board { return l.publisher.Board }

// Level implements View.
func (l *Log) Level() *Level { return l.indexer.Level }

// Registry implements View.
func (l *Log) Registry() *registry { return l.registry }

// Renew implements View: whoever writes the log knows the newest checkpoint.
func (l *Log) Renew(context.Context) {}

// Leader implements View.
func (l *Log) Leader() (PassOn, error) { return nil, nil }

// Taking implements View.
func (l *Log) Taking(context.Context) error {
	if l.intake.isDraining() {
		return errDraining
	}
	if err := l.publisher.Halted(); err != nil {
		return err
	}
	if l.publisher.Ended() {
		return ErrEnded
	}
	if err := l.space.trouble(); err != nil {
		return fmt.Errorf("nothing can be stored: %w", err)
	}
	unpublished := l.publisher.Tree().N - l.publisher.Published().Tree.N
	if unpublished >= l.cfg.Limits.Unpublished {
		return fmt.Errorf("%d entries wait to be published: %w", unpublished, l.publisher.Trouble())
	}
	return nil
}

// Submit implements View. Its verdicts are observed, and its publication is timed.
func (l *Log) Submit(sub *submission) error {
	received, release := time.Now(), sub.release
	sub.release = func() {
		release()
		l.observe(sub, received)
	}
	err := l.intake.submit(sub)
	if err != nil {
		sub.release = release
	}
	return err
}

// Run brings submissions into the log and publishes them until the context
// ends. Then it refuses new submissions, brings those that are queued into the
// log and publishes them, for at most DrainTimeout. When it returns, nothing is
// being written any more.
func (l *Log) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var halted <-chan struct{}
	if l.cfg.Right != nil {
		defer context.AfterFunc(l.cfg.Right, stop)()
		halted = l.publisher.stopped
	}
	var running sync.WaitGroup
	running.Go(func() { l.publisher.Run(background) })
	running.Go(func() { l.indexer.run(background) })
	running.Go(func() { l.intake.run(background) })
	running.Go(func() { l.watchRoom(background) })
	running.Go(func() { l.intake.keeper.run(background) })
	running.Go(func() { l.latencies.run(background, l.publisher.Board, l.cfg.HTTP.Observer) })

	select {
	case <-ctx.Done():
	case <-background.Done():
	case <-halted:
	}
	drain, cancel := context.WithTimeout(background, l.cfg.DrainTimeout)
	defer cancel()
	select {
	case <-l.intake.drain():
	case <-l.publisher.stopped:
	case <-drain.Done():
	}
	err := l.publisher.WaitPublished(drain, l.publisher.Tree().N)
	if err != nil {
		l.cfg.Logger.Warn("stopping before everything is published; the rest follows after the next start", "err", err)
	}
	// What the derived state lacks costs time at the next start, nothing else. A log that
	// has halted waits for nothing: its storage may be of another date than its state, and
	// another front end waits for the lease.
	if size := l.publisher.Tree().N; l.publisher.Halted() == nil {
		if err := l.indexer.wait(drain, size); err != nil {
			l.cfg.Logger.Info("the derived state is caught up at the next start", "err", err)
		}
		l.indexer.behind(drain, size)
	}
	stop()
	running.Wait()
	l.server.stop()
	l.cfg.Logger.Info("log stopped", "integrated", l.publisher.Tree().N, "published", l.publisher.Published().Tree.N)
	return l.publisher.Halted()
}

// Trouble says why the log cannot take or publish anything now, or is nil.
func (l *Log) Trouble() error {
	if err := l.space.trouble(); err != nil {
		return err
	}
	if err := l.publisher.Trouble(); err != nil {
		return err
	}
	return l.intake.trouble()
}
