package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
)

const (
	maxBatch = 256 // updates in one transaction
	// pollEvery is how soon it is noticed that another process changed the file,
	// and how soon the file is synced if the ledger is what makes it durable.
	pollEvery = 100 * time.Millisecond
)

var errClosed = errors.New("the state is closed")

const updateLatest = `UPDATE logs SET size = ?, root = ?, note = ?, time = ? WHERE id = ?`

// writer changes the file, and the ledger at the same time. It has no goroutine of
// its own: of those who want a change, one at a time leads and makes the changes of
// all who wait. Where only one wants a change, nobody has to be woken.
type writer struct {
	conn                             *sql.Conn
	begin, commit, rollback, version *sql.Stmt
	update                           *sql.Stmt

	mu     sync.Mutex
	queue  []*job
	closed bool

	writing chan struct{} // one token: the lead
	polled  chan struct{} // closed when the poller ends

	// Of the leader only: whether commits of updates are synced later, and whether
	// there is one that is not; the file's version as it was seen last; and each
	// log as it is in the file.
	lazy, dirty bool
	seen        int64
	tips        map[witness.OriginHash]*remembered
}

// job is a change: an update, or anything else in a transaction of its own.
type job struct {
	id   witness.OriginHash
	old  *proofs.Tree
	next witness.Latest

	other func(ctx context.Context, c *sql.Conn) error
	// touches says that other changes logs.
	touches bool

	answer chan error
	// after and epoch are the log as it is in the file after an update.
	after witness.Log
	epoch uint64
}

func (s *Store) startWriter() (err error) {
	ctx := context.Background()
	w := &s.writer
	if w.conn, err = s.write.Conn(ctx); err != nil {
		return err
	}
	for _, p := range []struct {
		to    **sql.Stmt
		query string
	}{
		{&w.begin, `BEGIN IMMEDIATE`},
		{&w.commit, `COMMIT`},
		{&w.rollback, `ROLLBACK`},
		{&w.version, `PRAGMA data_version`},
		{&w.update, updateLatest},
	} {
		if *p.to, err = w.conn.PrepareContext(ctx, p.query); err != nil {
			return errors.Join(err, w.conn.Close())
		}
	}
	if err := w.version.QueryRowContext(ctx).Scan(&w.seen); err != nil {
		return errors.Join(err, w.conn.Close())
	}
	w.tips = make(map[witness.OriginHash]*remembered)
	w.writing, w.polled = make(chan struct{}, 1), make(chan struct{})
	go s.pollLoop()
	return nil
}

// stopWriter waits for changes under way.
func (s *Store) stopWriter() error {
	w := &s.writer
	<-w.polled
	w.writing <- struct{}{} // for good
	s.confirm()
	w.mu.Lock()
	w.closed = true
	for _, j := range w.queue {
		s.refuse(j, errClosed)
	}
	w.queue = nil
	w.mu.Unlock()
	return w.conn.Close()
}

// refuse answers a job that was not begun.
func (s *Store) refuse(j *job, err error) {
	if j.other == nil {
		s.settle(j, err)
	}
	j.answer <- err
}

// submit makes a change, or has it made, whatever happens to the caller: whether
// a change was made must not stay open.
func (s *Store) submit(j *job) error {
	w := &s.writer
	j.answer = make(chan error, 1)
	w.mu.Lock()
	if w.closed {
		s.refuse(j, errClosed)
	} else {
		w.queue = append(w.queue, j)
	}
	w.mu.Unlock()
	for {
		select {
		case err := <-j.answer:
			return err
		case w.writing <- struct{}{}:
			s.lead()
		}
	}
}

// lead makes the changes that wait, and gives up the lead.
func (s *Store) lead() {
	w := &s.writer
	batch := w.take()
	switch {
	case len(batch) == 0: // another leader has made them
	case batch[0].other != nil:
		batch[0].answer <- s.runOther(batch[0])
	default:
		s.runUpdates(batch)
	}
	<-w.writing
}

// take takes from the queue one job that is no update, or the updates before it.
func (w *writer) take() []*job {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.queue) && n < maxBatch && w.queue[n].other == nil {
		n++
	}
	if n == 0 && len(w.queue) > 0 {
		n = 1
	}
	batch := w.queue[:n:n]
	if w.queue = w.queue[n:]; len(w.queue) == 0 {
		w.queue = nil
	}
	return batch
}

// change makes a change in a transaction of its own.
func (s *Store) change(touches bool, f func(ctx context.Context, c *sql.Conn) error) error {
	return s.submit(&job{other: f, touches: touches})
}

// Update implements witness.Store.
func (s *Store) Update(ctx context.Context, id witness.OriginHash, old *proofs.Tree, next witness.Latest) error {
	l, err := s.Log(ctx, id)
	if err != nil {
		return err
	}
	if err := checkNote(l.Origin, next); err != nil {
		return fmt.Errorf("log %s: %w", l.Origin, err)
	}
	s.mu.Lock()
	s.logs[id].pending++
	s.mu.Unlock()
	return s.submit(&job{id: id, old: old, next: next})
}

// settle publishes an update, or forgets what is remembered if it failed.
func (s *Store) settle(j *job, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.logs[j.id]
	r.pending--
	if err == nil {
		r.log, r.epoch = j.after, j.epoch
	} else {
		r.epoch = s.epoch - 1
	}
}

// pollLoop notices what other processes have changed, and confirms what was
// appended to the ledger, while nothing is written.
func (s *Store) pollLoop() {
	defer close(s.writer.polled)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.writer.writing <- struct{}{}
			s.poll(context.Background())
			s.confirm()
			<-s.writer.writing
		case <-s.stop:
			return
		}
	}
}

func (s *Store) runOther(j *job) error {
	ctx := context.Background()
	w := &s.writer
	if _, err := w.begin.ExecContext(ctx); err != nil {
		return err
	}
	s.poll(ctx)
	if err := j.other(ctx, w.conn); err != nil {
		return errors.Join(err, s.abandon(ctx))
	}
	if _, err := w.commit.ExecContext(ctx); err != nil {
		return errors.Join(err, s.abandon(ctx))
	}
	if j.touches {
		s.forget()
	}
	return s.syncIfLazy()
}

// forget makes all logs be read again.
func (s *Store) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
}

// abandon rolls back. What SQLite has rolled back itself is no error.
func (s *Store) abandon(ctx context.Context) error {
	_, err := s.writer.rollback.ExecContext(ctx)
	if err != nil && !inTransaction(ctx, s.writer.conn) {
		return nil
	}
	return err
}

// inTransaction says whether the connection is in a transaction.
func inTransaction(ctx context.Context, c *sql.Conn) bool {
	_, err := c.ExecContext(ctx, `BEGIN IMMEDIATE`)
	if err != nil {
		return true
	}
	_, err = c.ExecContext(ctx, `ROLLBACK`)
	return err != nil
}

// poll notices what other processes have changed. It errs on the side of
// reading again.
func (s *Store) poll(ctx context.Context) {
	var v int64
	err := s.writer.version.QueryRowContext(ctx).Scan(&v)
	if err == nil && v == s.writer.seen {
		return
	}
	s.writer.seen = v
	s.forget()
}

// runUpdates makes updates in one transaction, and answers them.
func (s *Store) runUpdates(batch []*job) {
	ctx := context.Background()
	if err := s.Err(); err != nil {
		s.finish(batch, err)
		return
	}
	if _, err := s.writer.begin.ExecContext(ctx); err != nil {
		s.finish(batch, err)
		return
	}
	// From here on nobody else writes.
	s.poll(ctx)
	var good []*job
	latched := false
	for _, j := range batch {
		err := s.checkUpdate(ctx, j)
		if err == nil {
			good = append(good, j)
			continue
		}
		latched = latched || errors.Is(err, errLatchedNow)
		s.finish([]*job{j}, err)
	}
	if len(good) == 0 && !latched {
		if err := s.abandon(ctx); err != nil {
			s.fail(err)
		}
		return
	}
	// Both at once. If a crash lets only one happen, nothing was signed yet, and
	// the other is made up for (see UseLedger).
	appended := s.append(good)
	err := s.commit(ctx, good)
	if err = errors.Join(err, <-appended); err != nil {
		// The file and the ledger, if there is one, may differ now. Until that is
		// put right, nothing may be signed on the strength of either.
		s.fail(err)
	}
	s.writer.dirty = true
	if latched {
		s.forget()
		err = errors.Join(err, s.syncIfLazy())
	}
	s.finish(good, err)
}

// beLazy leaves the syncing of updates to the ledger, with which the file agrees.
func (s *Store) beLazy(ctx context.Context) error {
	s.writer.writing <- struct{}{}
	defer func() { <-s.writer.writing }()
	s.writer.lazy, s.writer.dirty = true, true
	s.confirm()
	_, err := s.writer.conn.ExecContext(ctx, `PRAGMA synchronous = NORMAL`)
	return errors.Join(err, s.Err())
}

// syncIfLazy syncs a change that is no update.
func (s *Store) syncIfLazy() error {
	if !s.writer.lazy {
		return nil
	}
	err := s.sync()
	if err != nil {
		s.fail(err)
	}
	return err
}

// commit writes updates that were checked, and ends the transaction.
func (s *Store) commit(ctx context.Context, good []*job) error {
	for _, j := range good {
		if _, err := s.writer.update.ExecContext(ctx, j.next.Tree.N, j.next.Tree.Hash[:], j.next.Note, j.next.Time, j.id[:]); err != nil {
			return errors.Join(err, s.abandon(ctx))
		}
	}
	if _, err := s.writer.commit.ExecContext(ctx); err != nil {
		return errors.Join(err, s.abandon(ctx))
	}
	return nil
}

// errLatchedNow means that an update found the ledger to know more, and has
// latched the log in this transaction.
var errLatchedNow = fmt.Errorf("the ledger knows more than the state: %w", witness.ErrLatched)

// checkUpdate checks an update, and takes it for made: the next one of the same log
// in the transaction follows on it.
func (s *Store) checkUpdate(ctx context.Context, j *job) error {
	tip, err := s.tip(ctx, j.id)
	if err != nil {
		return err
	}
	latest := tip.log.Latest
	switch {
	case tip.log.Removed:
		return fmt.Errorf("log %s was removed: %w", tip.log.Origin, witness.ErrUnknownLog)
	case tip.log.Latched:
		return fmt.Errorf("log %s: %w", tip.log.Origin, witness.ErrLatched)
	case (latest == nil) != (j.old == nil) || latest != nil && latest.Tree != *j.old:
		return fmt.Errorf("log %s: %w", tip.log.Origin, witness.ErrStale)
	}
	if ahead, err := s.ledgerAhead(j.id, tip.log, j.next.Time); err != nil {
		return err
	} else if ahead != nil {
		delete(s.writer.tips, j.id)
		if err := insertLatch(ctx, s.writer.conn, j.id, *ahead); err != nil {
			return err
		}
		return fmt.Errorf("log %s: %w", tip.log.Origin, errLatchedNow)
	}
	if err := witness.CheckSuccessor(latest, j.next); err != nil {
		return fmt.Errorf("log %s: %w", tip.log.Origin, err)
	}
	tip.log.Latest = &j.next
	j.after, j.epoch = tip.log, tip.epoch
	return nil
}

// tip returns a log as it is in the file.
func (s *Store) tip(ctx context.Context, id witness.OriginHash) (*remembered, error) {
	s.mu.Lock()
	epoch := s.epoch
	s.mu.Unlock()
	if t, ok := s.writer.tips[id]; ok && t.epoch == epoch {
		return t, nil
	}
	l, err := one(ctx, s.writer.conn, id)
	if err != nil {
		return nil, err
	}
	t := &remembered{log: l, epoch: epoch}
	s.writer.tips[id] = t
	return t, nil
}

// finish answers updates.
func (s *Store) finish(batch []*job, err error) {
	for _, j := range batch {
		s.settle(j, err)
		j.answer <- err
	}
}
