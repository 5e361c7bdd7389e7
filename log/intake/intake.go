package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
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
// judgement takes long brings it to a later batch (round.go). Publication is not
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

// candidate is a file that is to be appended.
type candidate struct {
	queue  *queue
	sub    *Submission
	file   *file
	leaf   leaf.Leaf
	entry  []byte          // the leaf's text
	stored []*tuf.Metadata // what must be durable as blobs before it
	seen   int64           // strangers when its judgement began
	read   bool            // it was met while reading back, at index
	index  int64
	done   bool // it is in the log
}

// turnTime is after how long no other file is judged in one turn: then others have
// theirs, of this repository and of all.
const turnTime = 25 * time.Millisecond

// maxPasses is how often the files of a submission are gone through. That many
// delegations may lie above a file whose name stands before those of all of them.
const maxPasses = 32

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

// Trouble returns why nothing can be appended now, or nil.
func (in *Intake) Trouble() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.failing
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

// AppendEnd appends the log's end.
func (in *Intake) AppendEnd(ctx context.Context) error {
	appendCtx, cancel := context.WithTimeout(ctx, in.timeout)
	_, err := in.storage.Append(appendCtx, [][]byte{[]byte(leaf.End)})
	cancel()
	// Whatever Append says, what counts is what can be read.
	return errors.Join(err, in.ReadBack(ctx, nil))
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

// batch judges what is ready and appends what comes of it. It reports whether
// there was anything to do.
func (in *Intake) batch(ctx context.Context) bool {
	in.mu.Lock()
	late := in.late
	in.late = nil
	queues := in.turns()
	in.mu.Unlock()
	if len(queues) == 0 && len(late) == 0 {
		return false
	}
	in.checkLate(ctx, late)
	found := append(late, in.judgeAll(ctx, queues)...)

	candidates := distinctRoots(found)
	in.noteAppending(len(candidates) > 0)
	for pause, most := in.publisher.Backoff(); len(candidates) > 0; pause = min(2*pause, most) {
		err := in.append(ctx, candidates)
		in.note(err)
		if err == nil {
			break
		}
		if wait.For(ctx, pause) != nil || in.publisher.Halted() != nil {
			return false
		}
	}
	in.noteAppending(false)
	in.requeue(found)
	return ctx.Err() == nil
}

// turns takes the queues that have a turn now from those that are ready. It sees to
// it that the others are looked at again. It must be called with mu held.
func (in *Intake) turns() (queues []*queue) {
	wait := in.budget.Wait
	if in.draining {
		wait = func(quota.Source) time.Duration { return 0 } // what was taken is judged
	}
	var rest []*queue
	var soonest time.Duration
	for i, q := range in.ready {
		if len(queues) == in.maxBatch {
			rest = append(rest, in.ready[i:]...)
			break
		}
		after, ok := q.next(wait)
		if ok {
			queues = append(queues, q)
			continue
		}
		rest = append(rest, q)
		if soonest == 0 || after < soonest {
			soonest = after
		}
	}
	in.ready = rest
	if soonest > 0 {
		time.AfterFunc(soonest, in.wakeUp)
	}
	return queues
}

// distinctRoots leaves out a root whose payload another candidate of the batch
// has: only once that one is in the log can the other be judged.
func distinctRoots(found []judged) []*candidate {
	roots := map[tuf.Digest]bool{}
	candidates := make([]*candidate, 0, len(found))
	for _, j := range found {
		c := j.candidate
		if c == nil {
			continue
		}
		if c.leaf.Role == tuf.RoleRoot {
			if roots[c.leaf.Payload] {
				continue
			}
			roots[c.leaf.Payload] = true
		}
		candidates = append(candidates, c)
	}
	return candidates
}

// requeue makes the queues that still have work ready again.
func (in *Intake) requeue(found []judged) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, j := range found {
		q := j.queue
		in.queued -= q.end()
		if len(q.lines) == 0 {
			delete(in.queues, q.id)
			in.registry.EndHistory(q.id)
			continue
		}
		in.ready = append(in.ready, q)
	}
	in.checkEmpty()
}

// note keeps what came of an attempt to append.
func (in *Intake) note(err error) {
	in.mu.Lock()
	before := in.failing
	in.failing = err
	in.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		in.logger.Error("cannot append", "err", err)
	case err == nil && before != nil:
		in.logger.Info("appending again")
	}
}

// judge goes through the submission whose turn it is until it meets a file that is
// to be appended, or the turn is over.
func (in *Intake) judge(ctx context.Context, q *queue) *candidate {
	in.mu.Lock()
	sub := q.served.submissions[0]
	in.mu.Unlock()
	began := time.Now()
	defer func() { in.budget.Spent(sub.From, time.Since(began)) }()
	for n := range quota.MaxJudged {
		if n > 0 && time.Since(began) > turnTime {
			return nil
		}
		runtime.Gosched() // answers and checkpoints are not to wait for strangers' files
		if len(sub.todo) == 0 {
			if sub.passes++; len(sub.again) == 0 || !sub.progress || sub.passes >= maxPasses {
				sub.finish(nil)
				return nil
			}
			// What was refused may only have come too early.
			sub.todo, sub.again, sub.progress = sub.again, nil, false
		}
		f := sub.todo[0]
		seen := in.strangers.Load()
		decision, err := in.decide(ctx, sub, f)
		var refused *admit.Refused
		switch {
		case errors.As(err, &refused):
			sub.mu.Lock()
			f.because(refused)
			sub.mu.Unlock()
			if admit.MayComeLater(refused.Code) {
				sub.again = append(sub.again, f)
			} else {
				sub.mu.Lock()
				f.Status = api.StatusRefused
				sub.mu.Unlock()
			}
		case err != nil && ctx.Err() != nil:
			return nil // the log is being stopped; that is no verdict
		case err != nil:
			in.logger.Error("cannot judge", "repository", q.id, "file", f.name, "err", err)
			sub.finish(fmt.Errorf("judging %s: %w", f.name, err))
			return nil
		case decision.Logged:
			sub.settle(f, decision.Leaf, decision.Index, api.StatusLogged)
		case in.publisher.Ended():
			sub.mu.Lock()
			f.refuse(api.CodeEnded, log.ErrEnded.Error())
			sub.mu.Unlock()
		default:
			held, err := in.keeper.take(ctx, sub, f, decision.Leaf)
			switch {
			case err != nil && ctx.Err() != nil:
				return nil
			case err != nil:
				in.logger.Error("cannot hold", "repository", q.id, "file", f.name, "err", err)
				sub.finish(fmt.Errorf("holding %s: %w", f.name, err))
				return nil
			case !held:
				c := in.candidate(q, sub, f, decision.Leaf)
				c.seen = seen
				return c
			}
		}
		sub.todo = sub.todo[1:]
	}
	return nil
}

// decide judges one file.
func (in *Intake) decide(ctx context.Context, sub *Submission, f *file) (admit.Decision, error) {
	if sub.Genesis {
		at, ok, err := in.registry.RootAt(ctx, f.Meta.PayloadDigest)
		if err != nil {
			return admit.Decision{}, err
		}
		if !ok {
			return admit.JudgeGenesis(f.Meta)
		}
		sub.mu.Lock()
		sub.Repository = at.Repository
		sub.mu.Unlock()
		return admit.Decision{Logged: true, Index: at.Index, Leaf: leaf.Leaf{Kind: leaf.Release}}, nil
	}
	repo, err := in.registry.Get(ctx, sub.Repository)
	if err != nil {
		return admit.Decision{}, err
	}
	if repo == nil {
		return admit.Decision{}, &admit.Refused{Code: api.CodeUnknownRepo, Detail: "the log has no repository " + sub.Repository.String()}
	}
	return in.registry.Judge(ctx, repo, f.role, f.Meta, sub.snapshots)
}

func (in *Intake) candidate(q *queue, sub *Submission, f *file, leaf leaf.Leaf) *candidate {
	c := &candidate{queue: q, sub: sub, file: f, leaf: leaf, entry: leaf.Marshal(), stored: []*tuf.Metadata{f.Meta}}
	if v := sub.voucher(leaf); v != nil {
		c.stored = append(c.stored, v)
	}
	return c
}

// voucher returns the snapshot that a leaf names, nil if it names none.
func (s *Submission) voucher(leaf leaf.Leaf) *tuf.Metadata {
	for _, v := range s.snapshots {
		if v.FileDigest == leaf.Snapshot && !leaf.Snapshot.IsZero() {
			return v
		}
	}
	return nil
}

// settle decides a file that is in the log.
func (s *Submission) settle(f *file, entry leaf.Leaf, index int64, status api.Status) {
	if entry.Kind == leaf.Evidence {
		status = api.StatusEvidence
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Status, f.index, f.refusal = status, index, refusal{}
}

// append makes the candidates' blobs durable, appends their leaves and reads
// them back. It is called again with the same candidates until it succeeds:
// what an attempt that failed has left in the log counts, and is looked for
// before anything is appended again.
func (in *Intake) append(ctx context.Context, candidates []*candidate) error {
	if in.unknown {
		if err := in.ReadBack(ctx, candidates); err != nil {
			return err
		}
	}
	var files, entries [][]byte
	var sent []*candidate
	for _, c := range candidates {
		// What is stale is left out, and judged again in its turn.
		if c.done || in.stale(c) {
			continue
		}
		sent = append(sent, c)
		for _, m := range c.stored {
			files = append(files, m.File)
		}
		entries = append(entries, c.entry)
	}
	if len(entries) == 0 {
		return nil
	}
	if err := in.put(ctx, files, entries); err != nil {
		return err
	}
	in.unknown = true
	appendCtx, cancel := context.WithTimeout(ctx, in.timeout)
	_, appended := in.storage.Append(appendCtx, entries)
	cancel()
	if halt := (*log.Halt)(nil); errors.As(appended, &halt) {
		return in.publisher.Stop(halt)
	}
	// Whatever else Append says, good or bad, what counts is what can be read.
	if err := errors.Join(appended, in.ReadBack(ctx, candidates)); err != nil {
		return err
	}
	for _, c := range sent {
		if !c.done {
			return fmt.Errorf("storage says it has appended %d entries, but one of repository %v cannot be read back", len(entries), c.queue.id)
		}
	}
	return nil
}

// put makes durable what must be before entries are appended.
func (in *Intake) put(ctx context.Context, files, entries [][]byte) error {
	if in.batches == nil {
		return in.blobs.Put(ctx, files)
	}
	return in.batches.PutBatch(ctx, files, in.publisher.Tree().N, entries)
}

// ReadBack takes what is new in the log into the state of its repositories and
// settles the candidates among it. An entry that is no candidate, left by an
// attempt whose outcome was unknown or by a process that died, is judged like any
// other before the publisher may sign it.
func (in *Intake) ReadBack(ctx context.Context, candidates []*candidate) error {
	waiting := map[string]*candidate{}
	for _, c := range candidates {
		if !c.done {
			waiting[string(c.entry)] = c
		}
	}
	err := in.publisher.Extend(ctx, func(entries []log.Entry) error {
		for _, e := range entries {
			if leaf.IsEnd(e.Data) {
				continue // the publisher has made sure that it is wanted
			}
			c := waiting[string(e.Data)]
			own := c != nil && !c.read
			judged := own && !in.stale(c)
			if own {
				c.index, c.read = e.Index, true
			}
			if err := in.registry.ReadBack(ctx, e, judged); err != nil {
				return err
			}
			if !own {
				in.strangers.Add(1) // whoever judged without it has a smaller number
			}
		}
		return nil
	})
	for _, c := range waiting {
		// Should Extend fail after it has given out the entries, it gives
		// them out again: the indices are not certain before it succeeds.
		if err != nil {
			c.read = false
			continue
		}
		if !c.read {
			continue
		}
		c.done = true
		c.sub.settle(c.file, c.leaf, c.index, api.StatusReleased)
		c.sub.todo = c.sub.todo[1:]
		c.sub.progress = true
		in.indexer.Hint(c.file.Meta)
		in.keeper.appended(c.sub, c.leaf)
		if len(c.sub.todo) == 0 && len(c.sub.again) == 0 {
			c.sub.finish(nil)
		}
	}
	if err != nil {
		return err
	}
	in.unknown = false
	in.indexer.Grow(in.publisher.Tree())
	return nil
}

// stale reports whether an entry that is no candidate was taken in since a candidate was
// judged. Another front end has appended it, which led before or still does: it may be
// the very same release.
func (in *Intake) stale(c *candidate) bool { return c.seen != in.strangers.Load() }

// IsDraining reports whether nothing more is taken, because the log is being stopped.
func (in *Intake) IsDraining() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.draining
}

func (in *Intake) AppendingFor() time.Duration {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.appending.IsZero() {
		return 0
	}
	return time.Since(in.appending)
}

// noteAppending keeps since when there is something to append.
func (in *Intake) noteAppending(is bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.appending = (time.Time{}); is {
		in.appending = time.Now()
	}
}

// EndHolds ends the hold of files that are due, without waiting for the next look, and
// returns when they are judged.
func (in *Intake) EndHolds(ctx context.Context) error {
	defer in.keeper.wait()
	return in.keeper.step(ctx)
}
