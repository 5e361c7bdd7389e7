package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// Ledger returns the ledger. Only the leader can swap; l is nil for the others.
func (db *DB) Ledger(l *Lease) log.Ledger { return ledger{db, l} }

type ledger struct {
	db    *DB
	lease *Lease
}

// Load implements log.Ledger.
func (l ledger) Load(ctx context.Context) (log.LedgerRecord, error) {
	var text []byte
	err := l.db.read(ctx, func(ctx context.Context) error {
		return l.db.pool.QueryRow(ctx, "SELECT record FROM ledger").Scan(&text)
	})
	if err != nil {
		return log.LedgerRecord{}, wrap("read the ledger", err)
	}
	return log.ParseLedgerRecord(text)
}

// Swap implements log.Ledger.
func (l ledger) Swap(ctx context.Context, old, new log.LedgerRecord) error {
	if err := old.CheckNext(new); err != nil {
		return err
	}
	want, err := old.Marshal()
	if err != nil {
		return err
	}
	next, err := new.Marshal()
	if err != nil {
		return err
	}
	if l.lease == nil {
		return fmt.Errorf("swap the ledger: %w", ErrNotLeader)
	}
	ctx, cancel := l.lease.within(ctx)
	defer cancel()
	conflict := false
	err = l.db.write(ctx, l.lease, func(b *pgx.Batch) {
		b.Queue("UPDATE ledger SET record = $2 WHERE record = $1", want, next).Exec(func(done pgconn.CommandTag) error {
			conflict = done.RowsAffected() == 0
			return nil
		})
	})
	if err == nil && conflict {
		err = log.ErrLedgerConflict
	}
	return wrap("swap the ledger", l.lease.explain(err))
}

// LostLedger returns the leader's ledger whose record is lost or cannot be read: it loads
// as an empty one, and one Swap stores a record. The error is fs.ErrExist if there is a
// readable record.
func (db *DB) LostLedger(ctx context.Context, l *Lease) (log.Ledger, error) {
	origin, _, err := db.Log(ctx)
	if err != nil {
		return nil, err
	}
	rec, err := db.Ledger(l).Load(ctx)
	if err == nil {
		return nil, fmt.Errorf("the database has a ledger, of size %d, which can be brought forward (ledger-behind): %w", rec.Edge.Tree().N, fs.ErrExist)
	}
	if errors.Is(err, log.ErrUnavailable) {
		return nil, err
	}
	return &lostLedger{ledger{db, l}, log.LedgerRecord{Origin: origin, Edge: new(proofs.Edge)}}, nil
}

type lostLedger struct {
	ledger
	record log.LedgerRecord
}

// Load implements log.Ledger.
func (l *lostLedger) Load(context.Context) (log.LedgerRecord, error) { return l.record, nil }

// Swap implements log.Ledger.
func (l *lostLedger) Swap(_ context.Context, old, new log.LedgerRecord) error {
	if err := old.CheckNext(new); err != nil {
		return err
	}
	next, err := new.Marshal()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithDeadline(l.lease.ctx, l.lease.Until())
	defer cancel()
	err = l.db.write(ctx, l.lease, func(b *pgx.Batch) {
		b.Queue("INSERT INTO ledger (record) VALUES ($1) ON CONFLICT (only_row) DO UPDATE SET record = excluded.record", next)
	})
	return wrap("make the ledger anew", l.lease.explain(err))
}

// Checkpoints returns the store of the published checkpoint. Only the leader can
// store; l is nil for the others. A smaller checkpoint never replaces a larger.
func (db *DB) Checkpoints(l *Lease) log.Checkpoints { return checkpoints{db, l} }

type checkpoints struct {
	db    *DB
	lease *Lease
}

// Load implements log.Checkpoints.
func (c checkpoints) Load(ctx context.Context) ([]byte, error) {
	var note []byte
	err := c.db.read(ctx, func(ctx context.Context) error {
		return c.db.pool.QueryRow(ctx, "SELECT note FROM checkpoint").Scan(&note)
	})
	if err = wrap("read the checkpoint", err); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return note, err
}

// Store implements log.Checkpoints.
func (c checkpoints) Store(ctx context.Context, signed []byte) error {
	note, err := proofs.ParseNote(signed)
	if err != nil {
		return err
	}
	cp, err := proofs.ParseCheckpoint(note.Text)
	if err != nil {
		return err
	}
	if c.lease == nil {
		return fmt.Errorf("store the checkpoint: %w", ErrNotLeader)
	}
	ctx, cancel := c.lease.within(ctx)
	defer cancel()
	smaller := false
	err = c.db.write(ctx, c.lease, func(b *pgx.Batch) {
		b.Queue(`INSERT INTO checkpoint (size, note) VALUES ($1, $2)
			ON CONFLICT (only_row) DO UPDATE SET size = excluded.size, note = excluded.note WHERE checkpoint.size <= excluded.size`, cp.Tree.N, signed).
			Exec(func(done pgconn.CommandTag) error {
				smaller = done.RowsAffected() == 0
				return nil
			})
	})
	if err == nil && smaller {
		err = fmt.Errorf("one larger than size %d is there", cp.Tree.N)
	}
	return wrap("store the checkpoint", c.lease.explain(err))
}
