package leader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/httpd"
	"github.com/tuflog/tuflog/log/index"
	"github.com/tuflog/tuflog/log/intake"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/registry"
	"github.com/tuflog/tuflog/proofs"
)

// Config configures a Log. The caller closes Storage, Blobs, State and the
// ledger after Run has returned.
type Config struct {
	// Config configures the HTTP server. Its Storage is that of Publisher.
	httpd.Config
	// Publisher configures signing and witnessing.
	Publisher publisher.Config
	// Batches keeps the batch that is about to be appended. Nil means that it need not be
	// kept, because only this process can append.
	Batches log.Batches
	// Hold is how long a file that would become a leaf is held, if its repository has
	// a token and its sender does not have it. Zero means that no file is held. Files
	// that Holds has already are judged when they are due, also without Hold.
	Hold time.Duration
	// AppendTimeout is the time after which an append counts as failed. Zero
	// means 30 s.
	AppendTimeout time.Duration
	// DrainTimeout limits the time that Run takes, once its context has ended,
	// to append queued submissions and to publish them. Zero means 10 s.
	DrainTimeout time.Duration
	// Right ends when this process may no longer write the log, because another
	// one does. Run then returns at once, without DrainTimeout, as it does when
	// the log halts. Nil means that no other process ever writes the log.
	Right context.Context
	// Room returns the reason why nothing more can be stored, such as a full disk, or
	// nil. While it returns a reason, submissions are refused. It is called at most
	// once a second. A nil Room means that there always is room.
	Room func() error
}

func (c *Config) setDefaults() {
	c.Config.SetDefaults()
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
	publisher *publisher.Publisher
	indexer   *index.Indexer
	registry  *registry.Registry
	intake    *intake.Intake
	server    *httpd.Server
	latencies latencies
	space     space
}

// Open opens a log: the publisher compares what it signed with what is stored,
// and the derived state is caught up. The error is a *Halt where the log must
// not go on.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	cfg.setDefaults()
	publisher, err := publisher.Open(ctx, cfg.Publisher)
	if err != nil {
		return nil, err
	}
	storage := cfg.Publisher.Storage
	stored, err := storage.Integrated(ctx)
	if err != nil {
		return nil, err
	}
	// The state may have entries that were integrated and not signed yet, but
	// needs only the signed ones: the rest is judged below, whether the state
	// has it or not.
	indexer, err := index.Open(ctx, storage, cfg.Blobs, cfg.State, stored, cfg.Logger)
	if err != nil {
		return nil, err
	}
	if err := indexer.CatchUpLeaves(ctx, publisher.Tree()); err != nil {
		return nil, err
	}
	readable := func() int64 { return max(stored.N, publisher.Tree().N) }
	from := cfg.NewSources()
	judged := new(atomic.Int64)
	judged.Store(publisher.Tree().N)
	registry := registry.New(cfg.Blobs, registry.Checked(cfg.State, judged.Load, storage, readable), func() int64 {
		return min(indexer.Applied(), judged.Load())
	}, judged)
	l := &Log{
		cfg:       cfg,
		publisher: publisher,
		indexer:   indexer,
		registry:  registry,
		intake: intake.New(intake.Config{
			Storage: storage, Blobs: cfg.Blobs, Batches: cfg.Batches, Publisher: publisher, Registry: registry, Indexer: indexer, Sources: from,
			Holds: cfg.Holds, Hold: cfg.Hold, Now: cfg.Now, Limits: cfg.Limits, Timeout: cfg.AppendTimeout, Logger: cfg.Logger,
		}),
		latencies: latencies{added: make(chan struct{}, 1)},
	}
	l.space.ask = cfg.Room
	// Entries that the last process appended and did not sign count: they may
	// have been read, and their submitters get the proof when they ask again.
	if err := l.intake.ReadBack(ctx); err != nil {
		return nil, err
	}
	l.server = httpd.New(l, cfg.Config, from)
	return l, nil
}

// Publisher returns the log's publisher.
func (l *Log) Publisher() *publisher.Publisher { return l.publisher }

// Handler serves the log's HTTP interface.
func (l *Log) Handler() http.Handler { return l.server }

// Stats returns the sizes and the state of the log.
func (l *Log) Stats(ctx context.Context) httpd.Stats {
	st := l.server.Stats(ctx)
	st.Leading = true
	st.Queued = l.intake.Queued()
	return st
}

// Board implements View.
func (l *Log) Board() *publisher.Board { return l.publisher.Board }

// Policy implements View.
func (l *Log) Policy() *proofs.Policy { return l.publisher.Policy() }

// Level implements View.
func (l *Log) Level() *index.Level { return l.indexer.Level }

// Registry implements View.
func (l *Log) Registry() *registry.Registry { return l.registry }

// Renew implements View: the writer of the log knows the newest checkpoint.
func (l *Log) Renew(context.Context) {}

// Leader implements View.
func (l *Log) Leader() (httpd.PassOn, error) { return nil, nil }

// Taking implements View.
func (l *Log) Taking(context.Context) error {
	if l.intake.IsDraining() {
		return intake.ErrDraining
	}
	if err := l.publisher.Halted(); err != nil {
		return err
	}
	if l.publisher.Ended() {
		return log.ErrEnded
	}
	if err := l.space.trouble(); err != nil {
		return fmt.Errorf("nothing can be stored: %w", err)
	}
	unpublished := l.publisher.Tree().N - l.publisher.Published().Tree.N
	if unpublished >= l.cfg.Limits.Unpublished {
		why := cmp.Or(l.publisher.Waiting(), errUncosigned)
		return fmt.Errorf("%d entries wait to be published: %w", unpublished, why)
	}
	return nil
}

// errUncosigned is why entries wait to be published while no attempt has failed yet.
var errUncosigned = errors.New("a quorum of witnesses has not cosigned them yet")

// Submit implements View. Its verdicts are observed, and its publication is timed.
func (l *Log) Submit(sub *intake.Submission) error {
	received, release := time.Now(), sub.Release
	sub.Release = func() {
		release()
		l.observe(sub, received)
	}
	err := l.intake.Submit(sub)
	if err != nil {
		sub.Release = release
	}
	return err
}

// Run brings submissions into the log and publishes them until the context
// ends. Then it refuses new submissions, brings those that are queued into the
// log and publishes them, for at most DrainTimeout. When it returns, all
// writing has ended.
func (l *Log) Run(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var halted <-chan struct{}
	if l.cfg.Right != nil {
		defer context.AfterFunc(l.cfg.Right, stop)()
		halted = l.publisher.Stopped()
	}
	var running sync.WaitGroup
	running.Go(func() { l.publisher.Run(background) })
	running.Go(func() { l.indexer.Run(background) })
	running.Go(func() { l.intake.Run(background) })
	running.Go(func() { l.watchRoom(background) })
	running.Go(func() { l.latencies.run(background, l.publisher.Board, l.cfg.Observer) })

	select {
	case <-ctx.Done():
	case <-background.Done():
	case <-halted:
	}
	l.drain(background)
	stop()
	running.Wait()
	l.server.Stop()
	l.cfg.Logger.Info("log stopped", "integrated", l.publisher.Tree().N, "published", l.publisher.Published().Tree.N)
	return l.publisher.Halted()
}

// Trouble returns the reason why the log cannot take or publish anything now,
// or nil.
func (l *Log) Trouble() error {
	if err := l.space.trouble(); err != nil {
		return err
	}
	if err := l.publisher.Trouble(); err != nil {
		return err
	}
	return l.intake.Trouble()
}

// End ends the log: it appends leaf.End, signs the tree with it, whether witnesses
// answer or not, and publishes that tree. If a witness shows a checkpoint of the log
// that the ledger does not know, the error is a *Halt and nothing is appended. If the
// log has ended already, it publishes once more, with new cosignatures. The log must
// have been opened with publisher.Config.Ending, and must not run.
func (l *Log) End(ctx context.Context) error { return l.publisher.End(ctx, l.intake.AppendEnd) }

// Stalled returns for how long publication has made no progress: entries wait and no
// larger tree is published, or judged files cannot be appended. It is 0 if nothing
// waits. Files that wait to be judged do not count, because anybody can send them.
func (l *Log) Stalled() time.Duration {
	return max(l.publisher.BehindFor(), l.intake.AppendingFor())
}
