package maintain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/proofs"
)

// openLedger opens the ledger and keeps others from it. One that is retired
// belongs to a move that was broken off, or is complete.
func (m *move) openLedger(ctx context.Context) (err error) {
	ledger, moved, err := logdir.OpenRetiredLedger(m.LedgerDir)
	switch {
	case err == nil:
		m.moved = &moved
	case errors.Is(err, fs.ErrNotExist):
		ledger, err = logdir.OpenLedger(m.LedgerDir)
	}
	if err != nil {
		return err
	}
	m.ledger = ledger
	if m.record, err = ledger.Load(ctx); err != nil {
		return errors.Join(err, ledger.Close())
	}
	return nil
}

// lookThere finds out how far the log is where it goes, and refuses what is not of this
// move. It is ErrMoved where everything is there.
func (m *move) lookThere(ctx context.Context) error {
	origin, storage, arriving, err := m.to.Log(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		if m.moved != nil {
			return fmt.Errorf("the log was moved to %s, which is not this database", m.moved.Where)
		}
		return nil
	}
	if err != nil {
		return err
	}
	if origin != m.record.Origin {
		return fmt.Errorf("the database has log %q, not %q", origin, m.record.Origin)
	}
	id, err := m.to.ID(ctx)
	if err != nil {
		return err
	}
	m.target = id + ", " + storage
	switch {
	case m.moved != nil && m.moved.Target != m.target:
		return fmt.Errorf("the log was moved to %s, which is not this database", m.moved.Where)
	case arriving && m.moved != nil && m.moved.Arrived:
		return fmt.Errorf("the log had arrived in the %s, which does not know: it was restored from an old copy. Bring back the newest", m.to.Database())
	case arriving:
		return m.to.Find(storage)
	case m.moved == nil:
		return fmt.Errorf("the database has the log %q already, from elsewhere", origin)
	}
	return m.confirm(ctx)
}

// confirm returns ErrMoved, if the new ledger has at least what the old one had.
func (m *move) confirm(ctx context.Context) error {
	now, err := m.to.Ledger(ctx)
	if err != nil {
		return err
	}
	if have, had := now.Edge.Tree(), m.record.Edge.Tree(); have.N < had.N {
		return fmt.Errorf("the log was moved there when size %d had been signed, and its ledger there knows %d: it was restored from an old copy; logserver status --storage --state says more", had.N, have.N)
	}
	if err := m.arrived(); err != nil {
		return err
	}
	return ErrMoved
}

// openLog opens the rest of the log in its directory, and checks it as at a start.
func (m *move) openLog(ctx context.Context) (err error) {
	if m.from, err = m.Open(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.from.Close())
		}
	}()
	if m.tree, err = m.from.Storage.Integrated(ctx); err != nil {
		return err
	}
	if said := m.from.Stored; said != m.tree {
		return fmt.Errorf("the storage says that its tree of size %d has root %v, its tiles have root %v: logserver fsck says what is damaged", said.N, said.Hash, m.tree.Hash)
	}
	if m.checkpoint, err = m.Published.Load(ctx); err != nil {
		return err
	}
	if _, halt := (Parts{Keys: m.Keys, Record: m.record, Published: m.checkpoint, Storage: m.from.Storage}).Judge(ctx); halt != nil {
		return fmt.Errorf("the log cannot be served (%s): %s. %s", halt.Code, halt.What, halt.Do)
	}
	if signed := m.record.Edge.Tree(); m.tree.N > signed.N {
		return fmt.Errorf("the storage has %d entries behind the %d that were signed, and they were not judged: serve the log once, which judges and signs them, and migrate it then", m.tree.N-signed.N, signed.N)
	}
	if m.checkpoint != nil {
		cp, _, err := proofs.OpenCheckpoint(m.checkpoint, m.Keys...)
		if err != nil {
			return fmt.Errorf("the published checkpoint: %w; serve the log once to have it published anew", err)
		}
		m.published = cp.Tree
	}
	return nil
}

// prepare makes the log's place where it goes, if it has none.
func (m *move) prepare(ctx context.Context) error {
	if m.target != "" {
		return nil
	}
	storage, err := m.to.Create(ctx, m.record.Origin)
	if err != nil {
		return err
	}
	id, err := m.to.ID(ctx)
	if err != nil {
		return err
	}
	m.target = id + ", " + storage
	return m.reached("begun")
}
