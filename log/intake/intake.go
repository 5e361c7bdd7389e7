package intake

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/index"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/log/registry"
	"github.com/tuflog/tuflog/tuf"
)

// ErrDraining means that the log is shutting down.
var ErrDraining = errors.New("the log is shutting down")

// Config configures an Intake.
type Config struct {
	Storage   log.Storage
	Blobs     log.Blobs
	Batches   log.Batches // nil: no other process can append
	Publisher *publisher.Publisher
	Registry  *registry.Registry
	Indexer   *index.Indexer
	// Sources limits how long files of a source may be judged, and knows the
	// tokens.
	Sources *quota.Sources
	// Holds keeps files for the time Hold before they are judged. Nil means that no
	// file is held.
	Holds log.Holds
	Hold  time.Duration
	// Now is the clock for held files.
	Now    func() time.Time
	Limits quota.Limits
	// Timeout limits one append.
	Timeout time.Duration
	Logger  *slog.Logger
}

// Intake judges submissions and brings what they add into the log. All queued
// work forms one batch: each repository contributes at most one file to it,
// because a file is judged against integrated leaves only. A repository whose
// judgement takes long contributes its file to a later batch (judge.go). A batch
// does not wait for publication, so the next one is judged and appended while
// this one is being witnessed.
type Intake struct {
	storage   log.Storage
	blobs     log.Blobs
	batches   log.Batches // nil: no other process can append
	publisher *publisher.Publisher
	registry  *registry.Registry
	indexer   *index.Indexer
	budget    judgingTime
	keeper    *keeper
	logger    *slog.Logger
	maxQueued int           // submissions
	maxBatch  int           // files
	timeout   time.Duration // of one append

	// unknown is set, by the loop alone, while the outcome of an append is
	// unknown.
	unknown bool
	// strangers counts the entries read back that were not candidates.
	strangers atomic.Int64

	judging sync.WaitGroup // judgements, of which batches do not await all

	mu       sync.Mutex
	queues   map[tuf.Digest]*queue
	ready    []*queue // those with work and nothing in flight
	late     []judged // what batches have not waited for
	queued   int
	draining bool
	failing  error
	// appending is since when a batch is to be appended, zero while none is.
	appending time.Time
	wake      chan struct{}
	empty     chan struct{} // closed when draining and nothing is queued
}

// judgingTime is how long each source's files may be judged.
type judgingTime interface {
	// Wait returns after how long files of a source may be judged; 0 means now.
	Wait(from quota.Source) time.Duration
	// Spent notes how long files of a source were judged.
	Spent(from quota.Source, took time.Duration)
}

func (in *Intake) wakeUp() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// Drain makes Submit refuse new submissions. The channel is closed when all
// queued ones are decided.
func (in *Intake) Drain() <-chan struct{} {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.draining {
		in.draining = true
		in.checkEmpty()
		in.wakeUp()
	}
	return in.empty
}

// checkEmpty must be called with mu held.
func (in *Intake) checkEmpty() {
	if in.draining && in.queued == 0 {
		select {
		case <-in.empty:
		default:
			close(in.empty)
		}
	}
}

// New returns an intake. It works while Run does.
func New(cfg Config) *Intake {
	in := &Intake{
		storage:   cfg.Storage,
		blobs:     cfg.Blobs,
		batches:   cfg.Batches,
		publisher: cfg.Publisher,
		registry:  cfg.Registry,
		indexer:   cfg.Indexer,
		budget:    cfg.Sources,
		logger:    cfg.Logger,
		maxQueued: int(cfg.Limits.Queue.Capacity),
		maxBatch:  cfg.Limits.Batch,
		timeout:   cfg.Timeout,
		queues:    map[tuf.Digest]*queue{},
		wake:      make(chan struct{}, 1),
		empty:     make(chan struct{}),
	}
	in.keeper = newKeeper(cfg, in.Submit)
	return in
}

// Run judges submissions, and held files whose time has come, until the context ends. It
// stops judging once the log has halted.
func (in *Intake) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { in.run(ctx) })
	running.Go(func() { in.keeper.run(ctx) })
	running.Wait()
}

// Queued returns the number of submissions that wait to be judged.
func (in *Intake) Queued() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.queued
}

// run makes batches until the context ends or the log halts. When it returns, all
// judging has ended.
func (in *Intake) run(ctx context.Context) {
	defer in.judging.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.wake:
		}
		for in.batch(ctx) {
		}
		if ctx.Err() != nil || in.publisher.Halted() != nil {
			return
		}
	}
}

// IsDraining reports whether the intake refuses submissions because the log is being
// stopped.
func (in *Intake) IsDraining() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.draining
}

// EndHolds ends the hold of files that are due, without waiting for the next round,
// and returns when they are judged.
func (in *Intake) EndHolds(ctx context.Context) error {
	defer in.keeper.wait()
	return in.keeper.step(ctx)
}
