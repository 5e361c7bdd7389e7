package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"

	"github.com/tuflog/tuflog/witness"
)

// Ledger is a second record of the signed statements, outside the state's
// directory. *ledger.Ledger is one.
type Ledger interface {
	// Last returns the last signed statement about a log.
	Last(id witness.OriginHash) (witness.Mark, bool)
	// Note returns the checkpoint of Last.
	Note(id witness.OriginHash) ([]byte, error)
	// Unsure reports whether records of a log were appended after the last call
	// of Confirm, and returns the last statement before them, or nil.
	Unsure(id witness.OriginHash) (before *witness.Mark, ok bool)
	// Append makes records durable.
	Append(records []witness.Signed) error
	// Confirm records that the state's file has synced all appended records.
	Confirm() error
}

// ledgerName is the source of latches that the ledger causes.
const ledgerName = "ledger"

// UseLedger also records updates in a ledger. From then on an update is durable
// when the ledger has synced it; the file is written at the same time, and synced
// within a moment (pollEvery). A crash may have left either behind: it is brought
// up to the other. A log is latched if the ledger knows more about it than a crash
// explains. Now is the time in POSIX seconds. It returns the latches. Call it
// before the first update.
func (s *Store) UseLedger(ctx context.Context, l Ledger, now int64) (map[string]witness.Latch, error) {
	s.mu.Lock()
	s.ledger = l
	s.mu.Unlock()
	var lacking []witness.Signed
	latches := make(map[string]witness.Latch)
	err := s.change(true, func(ctx context.Context, c *sql.Conn) error {
		logs, err := query(ctx, c, selectLogs+`ORDER BY l.origin, k.rowid`)
		if err != nil {
			return err
		}
		for _, log := range logs {
			if err := s.reconcile(ctx, c, log, now, &lacking, latches); err != nil {
				return fmt.Errorf("log %s: %w", log.Origin, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := l.Append(lacking); err != nil {
		return nil, err
	}
	return latches, s.beLazy(ctx)
}

// reconcile makes the file and the ledger agree on a log.
func (s *Store) reconcile(ctx context.Context, c *sql.Conn, log witness.Log, now int64, lacking *[]witness.Signed, latches map[string]witness.Latch) error {
	id := witness.HashOrigin(log.Origin)
	last, ok := s.ledger.Last(id)
	if log.Latest != nil && (!ok || last.Tree.N < log.Latest.Tree.N || last.Tree == log.Latest.Tree && last.Time < log.Latest.Time) {
		*lacking = append(*lacking, witness.Signed{ID: id, Latest: *log.Latest})
		return nil
	}
	ahead, err := s.ledgerAhead(id, log, now)
	if err != nil || ahead == nil {
		return err
	}
	if before, unsure := s.ledger.Unsure(id); unsure && follows(log.Latest, before) {
		next := witness.Latest{Tree: last.Tree, Note: ahead.Note, Time: last.Time}
		if witness.CheckSuccessor(log.Latest, next) == nil && checkNote(log.Origin, next) == nil {
			return setLatest(ctx, c, id, next)
		}
	}
	latches[log.Origin] = *ahead
	return insertLatch(ctx, c, id, *ahead)
}

// follows says whether a state is at a mark, nil for none, or past it.
func follows(latest *witness.Latest, before *witness.Mark) bool {
	if before == nil || latest == nil {
		return before == nil
	}
	return latest.Tree.N > before.Tree.N && latest.Time >= before.Time || latest.Tree == before.Tree && latest.Time >= before.Time
}

func setLatest(ctx context.Context, c *sql.Conn, id witness.OriginHash, l witness.Latest) error {
	_, err := c.ExecContext(ctx, updateLatest, l.Tree.N, l.Tree.Hash[:], l.Note, l.Time, id[:])
	return err
}

// ledgerAhead returns the latch for a log of which the ledger knows more than
// the state, else nil.
func (s *Store) ledgerAhead(id witness.OriginHash, log witness.Log, now int64) (*witness.Latch, error) {
	s.mu.Lock()
	l := s.ledger
	s.mu.Unlock()
	if l == nil {
		return nil, nil
	}
	last, ok := l.Last(id)
	if !ok {
		return nil, nil
	}
	why := log.Unknown(last)
	if why == "" {
		return nil, nil
	}
	note, err := l.Note(id)
	if err != nil {
		return nil, fmt.Errorf("log %s: %w", log.Origin, err)
	}
	return &witness.Latch{Since: now, Source: ledgerName, Why: why, Seen: last, Note: note}, nil
}

// append begins to append to the ledger, if there is one, what is being committed.
// The channel has the outcome.
func (s *Store) append(batch []*job) <-chan error {
	done := make(chan error, 1)
	s.mu.Lock()
	l := s.ledger
	s.mu.Unlock()
	if l == nil {
		done <- nil
		return done
	}
	records := make([]witness.Signed, len(batch))
	for i, j := range batch {
		records[i] = witness.Signed{ID: j.id, Latest: j.next}
	}
	go func() { done <- l.Append(records) }()
	return done
}

// confirm syncs the file and tells the ledger, for the leader.
func (s *Store) confirm() {
	s.mu.Lock()
	l, failed := s.ledger, s.failed
	s.mu.Unlock()
	if l == nil || failed != nil || !s.writer.dirty {
		return
	}
	err := s.sync()
	if err == nil {
		err = l.Confirm()
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.writer.dirty = false
}

// sync syncs what was committed and is in the write-ahead log only. What SQLite
// has moved from there into the database it has synced itself.
func (s *Store) sync() error {
	f, err := os.OpenFile(s.path+"-wal", os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// fail makes every later call fail.
func (s *Store) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed == nil {
		s.failed = fmt.Errorf("the state is out of use until it is opened again: %w", err)
		close(s.broken)
	}
}

// Failed is closed when the state is out of use until it is opened again; Err
// then returns why.
func (s *Store) Failed() <-chan struct{} { return s.broken }

// Err returns why the state is out of use.
func (s *Store) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.failed)
}
