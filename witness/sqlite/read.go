package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
)

// remembered is a log as it was read or written last.
type remembered struct {
	log   witness.Log
	epoch uint64
	// pending counts changes under way. Until they are in the ledger as well,
	// nobody may learn of them, so the database is not read again.
	pending int
}

// known returns what is remembered of a log, if that is up to date. s.mu is
// held.
func (s *Store) known(id witness.OriginHash) (witness.Log, bool) {
	r, ok := s.logs[id]
	if !ok || r.pending == 0 && r.epoch != s.epoch {
		return witness.Log{}, false
	}
	return r.log, true
}

// Log implements witness.Store.
func (s *Store) Log(ctx context.Context, id witness.OriginHash) (witness.Log, error) {
	l, err := s.log(ctx, id)
	if err == nil && l.Removed {
		err = fmt.Errorf("log %s was removed: %w", l.Origin, witness.ErrUnknownLog)
	}
	if err != nil {
		return witness.Log{}, err
	}
	return l, nil
}

// log is Log for removed logs, too.
func (s *Store) log(ctx context.Context, id witness.OriginHash) (witness.Log, error) {
	s.mu.Lock()
	l, ok := s.known(id)
	epoch, failed := s.epoch, s.failed
	s.mu.Unlock()
	if failed != nil {
		return witness.Log{}, failed
	}
	if ok {
		return l, nil
	}
	l, err := one(ctx, s.read, id)
	if err != nil {
		return witness.Log{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Somebody may have been faster.
	if l, ok := s.known(id); ok {
		return l, nil
	}
	if r := s.logs[id]; r != nil && r.pending > 0 {
		return r.log, nil
	}
	s.logs[id] = &remembered{log: l, epoch: epoch}
	return l, nil
}

// Logs implements witness.Store.
func (s *Store) Logs(ctx context.Context) ([]witness.Log, error) {
	s.mu.Lock()
	failed := s.failed
	s.mu.Unlock()
	if failed != nil {
		return nil, failed
	}
	logs, err := query(ctx, s.read, selectLogs+`ORDER BY l.origin, k.rowid`)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, l := range logs {
		if r := s.logs[witness.HashOrigin(l.Origin)]; r != nil && r.pending > 0 {
			logs[i] = r.log
		}
	}
	return logs, nil
}

// Count returns how many logs are kept, removed ones too.
func (s *Store) Count(ctx context.Context) (n int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT count(*) FROM logs`).Scan(&n)
	return n, err
}

// querier is a *sql.DB or a *sql.Conn.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

const selectLogs = `SELECT l.id, l.origin, l.url, l.source, l.per_day, l.removed, l.size, l.root, l.note, l.time,
	EXISTS (SELECT 1 FROM latches x WHERE x.log = l.id AND x.cleared IS NULL),
	EXISTS (SELECT 1 FROM latches x WHERE x.log = l.id AND x.cleared IS NOT NULL),
	k.vkey FROM logs l JOIN keys k ON k.log = l.id `

// one reads one log.
func one(ctx context.Context, q querier, id witness.OriginHash) (witness.Log, error) {
	logs, err := query(ctx, q, selectLogs+`WHERE l.id = ? ORDER BY k.rowid`, id[:])
	if err != nil {
		return witness.Log{}, err
	}
	if len(logs) == 0 {
		return witness.Log{}, fmt.Errorf("origin hash %v: %w", id, witness.ErrUnknownLog)
	}
	return logs[0], nil
}

// query reads logs from rows of selectLogs, one row per key.
func query(ctx context.Context, q querier, query string, args ...any) ([]witness.Log, error) {
	logs, cleared, err := scan(ctx, q, query, args...)
	if err != nil {
		return nil, err
	}
	for _, i := range cleared {
		if logs[i].Cleared, err = marks(ctx, q, witness.HashOrigin(logs[i].Origin)); err != nil {
			return nil, err
		}
	}
	return logs, nil
}

// scan also returns the places of logs that have cleared latches.
func scan(ctx context.Context, q querier, query string, args ...any) (logs []witness.Log, cleared []int, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var (
			l              witness.Log
			id, root, note []byte
			size, time     sql.NullInt64
			hasCleared     bool
			vkey           string
		)
		if err := rows.Scan(&id, &l.Origin, &l.URL, &l.Source, &l.PerDay, &l.Removed, &size, &root, &note, &time, &l.Latched, &hasCleared, &vkey); err != nil {
			return nil, nil, err
		}
		if n := len(logs); n == 0 || logs[n-1].Origin != l.Origin {
			if size.Valid {
				latest := witness.Latest{Tree: proofs.Tree{N: size.Int64}, Note: note, Time: time.Int64}
				copy(latest.Tree.Hash[:], root)
				l.Latest = &latest
			}
			if err := checkRow(id, l); err != nil {
				return nil, nil, fmt.Errorf("state of %s is damaged: %w", l.Origin, err)
			}
			if hasCleared {
				cleared = append(cleared, n)
			}
			logs = append(logs, l)
		}
		key, err := proofs.ParseKey(vkey)
		if err != nil {
			return nil, nil, fmt.Errorf("state of %s is damaged: %w", l.Origin, err)
		}
		last := &logs[len(logs)-1]
		last.Keys = append(last.Keys, key)
	}
	return logs, cleared, rows.Err()
}

// marks reads the cleared latches of a log.
func marks(ctx context.Context, q querier, id witness.OriginHash) (all []witness.Mark, err error) {
	rows, err := q.QueryContext(ctx, `SELECT size, root, time FROM latches WHERE log = ? AND cleared IS NOT NULL ORDER BY id`, id[:])
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var m witness.Mark
		var root []byte
		if err := rows.Scan(&m.Tree.N, &root, &m.Time); err != nil {
			return nil, err
		}
		copy(m.Tree.Hash[:], root)
		all = append(all, m)
	}
	return all, rows.Err()
}

// checkRow compares a log's row with what it should agree with.
func checkRow(id []byte, l witness.Log) error {
	if hash := witness.HashOrigin(l.Origin); string(hash[:]) != string(id) {
		return fmt.Errorf("its id is %x", id)
	}
	if l.Latest == nil {
		return nil
	}
	return checkNote(l.Origin, *l.Latest)
}

// checkNote compares a checkpoint with the columns beside it.
func checkNote(origin string, latest witness.Latest) error {
	note, err := proofs.ParseNote(latest.Note)
	if err != nil {
		return err
	}
	cp, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return err
	}
	if cp.Origin != origin || cp.Tree != latest.Tree {
		return fmt.Errorf("the row says size %d and root %v, its note %s, size %d and root %v", latest.Tree.N, latest.Tree.Hash, cp.Origin, cp.Tree.N, cp.Tree.Hash)
	}
	return nil
}
