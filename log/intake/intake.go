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

var (
	// ErrFull means that the queue has no room.
	ErrFull = errors.New("the queue is full")
	// ErrDraining means that the log is shutting down.
	ErrDraining = errors.New("the log is shutting down")
)

// Config says what an intake works with.
type Config struct {
	Storage   log.Storage
	Blobs     log.Blobs
	Batches   log.Batches // nil: no other process can append
	Publisher *publisher.Publisher
	Registry  *registry.Registry
	Indexer   *index.Indexer
	// Sources say for how long files of a source may be judged, and who has tokens.
	Sources *quota.Sources
	// Holds keeps files that are held for Hold before they are judged. Nil: none are.
	Holds log.Holds
	Hold  time.Duration
	// Now is the clock of what is held.
	Now    func() time.Time
	Limits quota.Limits
	// Timeout is how long one append may take.
	Timeout time.Duration
	Logger  *slog.Logger
}

// Intake judges submissions and brings what they add into the log. Whatever is
// queued is one batch: each repository that has work brings at most one file to
// it, because a file is judged against integrated leaves only. A repository whose
// judgement takes long brings it to a later batch (judge.go). Publication is not
// waited for, so the next batch is judged and appended while this one is being
// witnessed.
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

	// unknown is set, by the loop alone, while it is not known what an append
	// has left in the log.
	unknown bool
	// strangers counts the entries read back that were no candidates.
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

// Submit queues a submission.
func (in *Intake) Submit(s *Submission) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	switch {
	case in.draining:
		return ErrDraining
	case in.publisher.Ended() && !s.waited: // who waits for held files is to learn the end
		return log.ErrEnded
	case in.queued >= in.maxQueued:
		return ErrFull
	}
	in.queued++
	q, ok := in.queues[s.Repository]
	if !ok {
		q = &queue{id: s.Repository}
		in.queues[s.Repository] = q
		in.ready = append(in.ready, q)
	}
	q.add(s)
	in.wakeUp()
	return nil
}

func (in *Intake) wakeUp() {
	select {
	case in.wake <- struct{}{}:
	default:
	}
}

// Drain refuses new submissions; the channel is closed when all queued ones are
// decided.
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

// New returns an intake that Run lets work.
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
// judges no more once the log has halted.
func (in *Intake) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { in.run(ctx) })
	running.Go(func() { in.keeper.run(ctx) })
	running.Wait()
}

// Queued returns how many submissions wait to be judged.
func (in *Intake) Queued() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.queued
}

// run makes batches until the context ends or the log halts. When it returns nothing is
// being judged any more.
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

// IsDraining reports whether nothing more is taken, because the log is being stopped.
func (in *Intake) IsDraining() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.draining
}

// EndHolds ends the hold of files that are due, without waiting for the next look, and
// returns when they are judged.
func (in *Intake) EndHolds(ctx context.Context) error {
	defer in.keeper.wait()
	return in.keeper.step(ctx)
}
