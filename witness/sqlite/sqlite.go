// Package sqlite keeps a witness's state in one SQLite file, state.db, in a
// directory of its own.
//
// The file is in WAL mode with synchronous=FULL: a change that was reported as done survives a power cut. All
// waiting changes are made in one transaction, so that many logs share a sync. With a ledger (see UseLedger) they
// share the ledger's sync, and the file is synced a moment later. The rows read or written last are kept in
// memory.
//
// Several processes may have the file open at once, so that logs can be added
// while the witness serves; only one may cosign, the one that holds the lock of
// the directory (see Lock).
//
//	signers   the witness's own public keys
//	logs      one row per log: origin, and the checkpoint cosigned last
//	keys      the logs' public keys
//	latches   why cosigning was stopped, and why it was resumed
//	suspects  checkpoints refused although their log signed them
//	clock     when the clock was in doubt, and why it was trusted again
package sqlite

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
)

// FileName is the name of the file in its directory.
const FileName = "state.db"

// Create makes a new state in an existing directory, for a witness with the
// given public keys. It refuses to replace an existing state: a witness that
// forgets what it cosigned can be made to cosign a fork.
func Create(dir string, signers ...proofs.Key) error {
	if len(signers) == 0 {
		return errors.New("create state: no key")
	}
	path := filepath.Join(dir, FileName)
	err := sqlitefile.Create(path, 0o600, version, schema, func(tx *sql.Tx) error {
		for _, k := range signers {
			if _, err := tx.Exec(`INSERT INTO signers (vkey) VALUES (?)`, k.String()); err != nil {
				return err
			}
		}
		return nil
	}, pragmas...)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("create state: %s exists already and is not overwritten", path)
	}
	if err != nil {
		return fmt.Errorf("create state %s: %w", path, err)
	}
	return nil
}

var pragmas = []string{"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"}

// Store is a witness's state. It implements witness.Store.
type Store struct {
	path    string
	signers []proofs.Key
	read    *sql.DB
	write   *sql.DB
	writer  writer

	mu     sync.Mutex
	epoch  uint64 // what is remembered from another epoch is out of date
	logs   map[witness.OriginHash]*remembered
	clock  *rememberedClock
	ledger Ledger
	failed error
	stop   chan struct{} // closed by Close
	broken chan struct{} // closed when failed is set
}

var (
	_ witness.Store    = (*Store)(nil)
	_ witness.Suspects = (*Store)(nil)
)

// Open opens the state in a directory where Create made one.
func Open(dir string) (*Store, error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("no witness in %s: %s is missing (witness init makes one)", dir, FileName)
		}
		return nil, fmt.Errorf("open state: %w", err)
	}
	s := &Store{path: path, logs: make(map[witness.OriginHash]*remembered), stop: make(chan struct{}), broken: make(chan struct{})}
	if err := s.open(path); err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	return s, nil
}

func (s *Store) open(path string) (err error) {
	s.write, err = sqlitefile.Open(path, version, pragmas...)
	if errors.Is(err, sqlitefile.ErrVersion) {
		if upgradeErr := sqlitefile.Upgrade(path, 2, version, clockSchema, pragmas...); upgradeErr != nil {
			return errors.Join(err, upgradeErr)
		}
		s.write, err = sqlitefile.Open(path, version, pragmas...)
	}
	if errors.Is(err, sqlitefile.ErrVersion) {
		return fmt.Errorf("%w: another program made it, or another version of this one", err)
	}
	if err != nil {
		return err
	}
	s.write.SetMaxOpenConns(1)
	if s.read, err = sqlitefile.Open(path, version, append(slices.Clip(pragmas), "query_only(1)")...); err != nil {
		return errors.Join(err, s.write.Close())
	}
	s.read.SetMaxIdleConns(4)
	if err = s.load(); err == nil {
		err = s.startWriter()
	}
	if err != nil {
		return errors.Join(err, s.read.Close(), s.write.Close())
	}
	return nil
}

// load reads the signers.
func (s *Store) load() (err error) {
	rows, err := s.write.Query(`SELECT vkey FROM signers ORDER BY rowid`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var vkey string
		if err := rows.Scan(&vkey); err != nil {
			return err
		}
		k, err := proofs.ParseKey(vkey)
		if err != nil {
			return err
		}
		s.signers = append(s.signers, k)
	}
	return rows.Err()
}

// Signers returns the public keys that the state was created for. A signature
// by another key would speak for a witness whose history is not in this state.
func (s *Store) Signers() []proofs.Key { return append([]proofs.Key(nil), s.signers...) }

// Close lets changes under way end and closes the files. Updates after it fail.
func (s *Store) Close() error {
	close(s.stop)
	err := s.stopWriter()
	return errors.Join(err, s.read.Close(), s.write.Close())
}
