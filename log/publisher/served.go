package publisher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/regular"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

const (
	// keepEvery is how often, at most, the newest served checkpoint is written.
	keepEvery = time.Second
	// keepAgain is how long after a write that has failed the next one is tried.
	keepAgain = 5 * time.Second
	// maxKept bounds what is read of the file, in bytes: a checkpoint with a dozen
	// large signatures has less than 48 KiB.
	maxKept = 64 << 10
)

// Served is the newest checkpoint that this process has served, leading or following.
// It is kept outside the shared database, in a file of this front end alone: a
// database that was restored from an older date does not include it, so the log is
// compared with it when it is opened or followed. A log in a directory has its
// published checkpoint for that, and does not need a Served.
//
// The file lags behind by a second and the time of a write, so that a growing log
// does not pay for it; Close brings it up to date. After a kill the file has at least
// the checkpoint that was served that much earlier. If the file cannot be written,
// the checkpoint is kept in memory alone, and a warning is logged.
type Served struct {
	path   string
	logger *slog.Logger

	mu     sync.Mutex
	newest log.Published
	shown  log.Published // the newest that somebody has got since the start
	timer  *time.Timer   // runs while something waits to be written
	wrote  time.Time
	closed bool

	writing sync.Mutex
	file    *durable.File
	kept    []byte // what the file has; nil: nothing
	failing error  // why the file could not be written last; with mu
}

// OpenServed reads the file at path, which need not exist. Its checkpoint must have a
// signature of one of the log's keys. A file that is damaged or of another log is an
// error, because only this file can reveal here that the log is of an older date.
func OpenServed(path string, keys []proofs.Key, logger *slog.Logger) (*Served, error) {
	s := &Served{path: path, logger: logger, file: durable.NewFile(path, 0o644), newest: log.Published{Tree: proofs.EmptyTree}}
	note, err := readServed(path)
	if err != nil || note == nil {
		return s, err
	}
	cp, err := openOwn(note, keys)
	if err != nil {
		return nil, fmt.Errorf("%s, the newest checkpoint that was served from here: %w. It keeps the log from going on behind it: put there what another front end or a witness has as the newest (/checkpoint), or remove it if you know that the log is not of an older date", path, err)
	}
	s.newest, s.kept = log.Published{Tree: cp.Tree, Note: note}, note
	return s, nil
}

func readServed(path string) (note []byte, err error) {
	note, err = regular.ReadSome(path, maxKept+1)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err == nil && len(note) > maxKept:
		err = fmt.Errorf("%s: it has more than %d bytes and cannot be a checkpoint", path, maxKept)
	}
	if note == nil {
		note = []byte{} // an empty file is damaged
	}
	return note, err
}

// openOwn reads a checkpoint that one of the log's keys has signed.
func openOwn(signed []byte, keys []proofs.Key) (proofs.Checkpoint, error) {
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return proofs.Checkpoint{}, fmt.Errorf("it is damaged: %w", err)
	}
	cp, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return cp, fmt.Errorf("it is damaged: %w", err)
	}
	if origin := keys[0].Name(); cp.Origin != origin {
		return cp, fmt.Errorf("it is of log %q, not of %q", cp.Origin, origin)
	}
	if cp, _, err = proofs.OpenCheckpoint(signed, keys...); err != nil {
		return cp, fmt.Errorf("it is damaged, or no key of the log has signed it: %w", err)
	}
	return cp, nil
}

// Newest returns the newest checkpoint. For a nil *Served it is that of the empty
// tree.
func (s *Served) Newest() log.Published {
	if s == nil {
		return log.Published{Tree: proofs.EmptyTree}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// show returns the checkpoint to be served while p is the published one: p, unless a larger
// one was shown before.
func (s *Served) show(p log.Published) log.Published {
	if s == nil {
		return p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.Tree.N < s.shown.Tree.N {
		return s.shown
	}
	if p.Note != nil {
		s.shown = p
	}
	return p
}

// Keep keeps a checkpoint that is about to be served if it is larger, or is the same
// with other signatures: keys of the log come and go without its growing.
func (s *Served) Keep(p log.Published) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	larger := p.Tree.N > s.newest.Tree.N
	if p.Note == nil || !larger && (p.Tree != s.newest.Tree || bytes.Equal(p.Note, s.newest.Note)) {
		return
	}
	s.newest = p
	if s.timer == nil && !s.closed {
		s.timer = time.AfterFunc(keepEvery-time.Since(s.wrote), s.write)
	}
}

// write brings the file up to date.
func (s *Served) write() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.mu.Lock()
	newest := s.newest
	s.timer, s.wrote = nil, time.Now()
	s.mu.Unlock()
	if bytes.Equal(newest.Note, s.kept) {
		return
	}
	err := s.file.Write(newest.Note)
	if err == nil {
		s.kept = newest.Note
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil && s.failing == nil {
		s.logger.Warn("the newest served checkpoint is kept in memory alone: after a restart this process does not know it", "err", err)
	}
	if s.failing = err; err != nil && s.timer == nil && !s.closed {
		s.timer = time.AfterFunc(keepAgain, s.write)
	}
}

// Trouble returns the reason why the file does not have the newest checkpoint; nil if it
// has it or is about to.
func (s *Served) Trouble() error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failing == nil {
		return nil
	}
	return fmt.Errorf("the newest checkpoint that it has served is kept in memory alone, and lost with the process: %w", s.failing)
}

// Close brings the file up to date; nothing is written afterwards. It may be called on
// a nil *Served.
func (s *Served) Close() {
	if s == nil {
		return
	}
	s.mu.Lock()
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.mu.Unlock()
	s.write()
}

// checkServed halts unless the checkpoint that this process has served is a prefix
// of the log in storage and known to the ledger.
func (p *Publisher) checkServed(ctx context.Context, stored proofs.Tree) error {
	served := p.cfg.Served.Newest().Tree
	if served.N == 0 {
		return nil
	}
	what := fmt.Sprintf("this front end has served a checkpoint of size %d (root %v), which is in %s", served.N, served.Hash, p.cfg.Served.path)
	if stored.N < served.N {
		return &log.Halt{
			Code: log.HaltStorageBehind,
			What: fmt.Sprintf("%s, but storage holds a tree of size %d (root %v) and the ledger says that size %d was signed last: both are of an older date", what, stored.N, stored.Hash, p.tree.N),
			Do:   "Bring back the storage that holds all signed entries, and the newest ledger",
		}
	}
	tiles := &log.Noted{Tiles: p.cfg.Storage}
	proof, err := proofs.ConsistencyProof(ctx, served.N, stored, tiles)
	if err == nil {
		err = proofs.VerifyConsistency(served, stored, proof)
	}
	switch {
	case err != nil && tiles.Err != nil:
		return err
	case err != nil:
		return &log.Halt{
			Code: log.HaltStorageForked,
			What: fmt.Sprintf("%s; storage holds a tree of size %d (root %v), which does not begin with it: it went on from an older date, is another log's, is damaged, or was changed (%v)", what, stored.N, stored.Hash, err),
			Do:   "Bring back the storage that holds what was served. If another tree was signed since, the log has shown two histories, and witnesses and auditors will prove it",
		}
	case served.N > p.tree.N:
		return &log.Halt{
			Code: log.HaltLedgerBehind,
			What: fmt.Sprintf("%s, but the ledger says that size %d (root %v) was signed last: it is of an older date", what, p.tree.N, p.tree.Hash),
			Do:   "Bring back the newest ledger, or give logserver resume --i-know ledger-behind --checkpoint FILE the newest checkpoint that anybody has, this one or a witness's, if the storage is the newest that the log ever had",
		}
	}
	return nil
}
