package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"strings"

	"github.com/tuflog/tuflog/internal/fetch"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/log/publisher"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/tesseralog"
	"github.com/tuflog/tuflog/log/trillianlog"
	"github.com/tuflog/tuflog/proofs"
)

// migration is a log on its way from a directory to servers.
type migration struct {
	flags  *migrateFlags
	stderr io.Writer
	logger *slog.Logger

	// The log in its directory.
	keys       []proofs.Key
	ledger     *logdir.Ledger
	record     log.LedgerRecord
	moved      *logdir.Moved // nil: its ledger is not retired
	storage    *tesseralog.Reader
	tree       proofs.Tree // all that storage has
	blobs      *sqlite.Blobs
	checkpoint []byte // published; nil: none
	published  proofs.Tree

	// Where it goes.
	db       *postgres.DB
	trillian trillianlog.Config
	target   string // names the database and the tree for ever
}

// openLedger opens the ledger and keeps others from it. One that is retired
// belongs to a migration that was broken off, or is complete.
func (m *migration) openLedger(ctx context.Context) (err error) {
	if m.keys, err = readKeys(m.flags.place); err != nil {
		return err
	}
	ledger, moved, err := logdir.OpenRetiredLedger(m.flags.ledgerDir())
	switch {
	case err == nil:
		m.moved = &moved
	case errors.Is(err, fs.ErrNotExist):
		ledger, err = logdir.OpenLedger(m.flags.ledgerDir())
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

// openTarget opens the database and finds out how far it is. It is errMoved where
// it has everything.
func (m *migration) openTarget(ctx context.Context) (err error) {
	if m.db, err = postgres.Open(ctx, postgres.Config{URL: m.flags.stateURL, Logger: m.logger}); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			m.db.Close()
		}
	}()
	origin, storage, err := m.db.Log(ctx)
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
	id, err := m.db.ID(ctx)
	if err != nil {
		return err
	}
	name, yet := postgres.Arriving(storage)
	m.target = id + ", " + name
	switch {
	case m.moved != nil && m.moved.Target != m.target:
		return fmt.Errorf("the log was moved to %s, which is not this database", m.moved.Where)
	case yet && m.moved != nil && m.moved.Arrived:
		return fmt.Errorf("the log had arrived in the %s, which does not know: it was restored from an old copy. Bring back the newest", m.db.Where())
	case yet:
		return m.findTree(name)
	case m.moved == nil:
		return fmt.Errorf("the database has the log %q already, from elsewhere", origin)
	}
	return m.confirm(ctx)
}

// confirm returns errMoved, if the new ledger has at least what the old one had.
func (m *migration) confirm(ctx context.Context) error {
	now, err := m.db.Ledger(nil).Load(ctx)
	if err != nil {
		return err
	}
	if have, had := now.Edge.Tree(), m.record.Edge.Tree(); have.N < had.N {
		return fmt.Errorf("the log was moved there when size %d had been signed, and its ledger there knows %d: it was restored from an old copy; logserver status --storage --state says more", had.N, have.N)
	}
	if err := m.arrived(); err != nil {
		return err
	}
	return errMoved
}

// findTree takes the number of the tree from the name of a storage, if the URL has
// none.
func (m *migration) findTree(name string) error {
	number, _ := strings.CutPrefix(name, "trillian tree ")
	u, err := url.Parse(m.flags.storageURL)
	if err != nil {
		return fmt.Errorf("--storage: %w", fetch.RedactError(err))
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/" + number
		m.flags.storageURL = u.String()
	}
	if m.trillian, err = trillianlog.ParseURL(m.flags.storageURL); err != nil {
		return err
	}
	if storageName(m.trillian.TreeID) != name {
		return fmt.Errorf("the log is on its way to %s, not to tree %d", name, m.trillian.TreeID)
	}
	return nil
}

// openLog opens the rest of the log in its directory, and checks it as serve does.
func (m *migration) openLog(ctx context.Context) (err error) {
	if m.storage, err = tesseralog.OpenReader(m.flags.tree()); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, m.storage.Close())
		}
	}()
	if m.tree, err = m.storage.Integrated(ctx); err != nil {
		return err
	}
	if state := m.storage.State(); state != m.tree {
		return fmt.Errorf("the storage says that its tree of size %d has root %v, its tiles have root %v: logserver fsck says what is damaged", state.N, state.Hash, m.tree.Hash)
	}
	published := logdir.NewCheckpoint(m.flags.checkpoint())
	var st status
	st.judge(ctx, publisher.Config{Checkpoints: published, Ledger: fixedLedger{m.record}, Storage: m.storage}, m.keys)
	if st.What != "" {
		return fmt.Errorf("the log cannot be served (%s): %s. %s", st.Code, st.What, st.Do)
	}
	if signed := m.record.Edge.Tree(); m.tree.N > signed.N {
		return fmt.Errorf("the storage has %d entries behind the %d that were signed, and they were not judged: serve the log once, which judges and signs them, and migrate it then", m.tree.N-signed.N, signed.N)
	}
	if m.checkpoint, err = published.Load(ctx); err != nil {
		return err
	}
	if m.checkpoint != nil {
		cp, _, err := proofs.OpenCheckpoint(m.checkpoint, m.keys...)
		if err != nil {
			return fmt.Errorf("the published checkpoint: %w; serve the log once to have it published anew", err)
		}
		m.published = cp.Tree
	}
	m.blobs, err = sqlite.OpenBlobs(m.flags.blobs())
	return err
}

// prepareTarget makes the tree and the log's place in the database, where there is
// none.
func (m *migration) prepareTarget(ctx context.Context) (err error) {
	if m.target != "" {
		return nil
	}
	tree, err := m.flags.makeTree(ctx)
	if err != nil {
		return err
	}
	if m.trillian, err = trillianlog.ParseURL(m.flags.storageURL); err != nil {
		return err
	}
	if err := checkTree(ctx, m.trillian); err != nil {
		return err
	}
	if err := m.db.CreateArriving(ctx, m.record.Origin, storageName(tree)); err != nil {
		return err
	}
	id, err := m.db.ID(ctx)
	if err != nil {
		return err
	}
	m.target = id + ", " + storageName(tree)
	return m.reached("begun")
}

// checkTree refuses a tree for a new database that has entries: they are another
// log's, or have their files in another database.
func checkTree(ctx context.Context, cfg trillianlog.Config) (err error) {
	trillian, err := trillianlog.Connect(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, trillian.Close()) }()
	root, err := trillian.Root(ctx)
	if err == nil && root.N > 0 {
		err = fmt.Errorf("tree %d has %d entries already, and the database is empty: give a URL without a tree, and one is made", cfg.TreeID, root.N)
	}
	return err
}

// where says for people where the log goes.
func (m *migration) where() string {
	return fmt.Sprintf("%s at %s, and the %s", storageName(m.trillian.TreeID), m.trillian.Target, m.db.Where())
}
