package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/proofs"
)

// While a state is built its digests are in the order of insertion, and the
// only index is the one that Apply needs, of few rows.
const buildTables = stateTables + `;
CREATE TABLE unsorted (start INTEGER NOT NULL, leaf INTEGER NOT NULL);
CREATE INDEX targets_open ON targets (role) WHERE past IS NULL`

// Builder builds a state from the first entry of a log on, faster than a State,
// which can be read meanwhile and survives a crash. It implements log.StateWriter.
//
// Its file cannot be opened with OpenState before Finish is done: an interrupted
// build leaves no state.
type Builder struct {
	path   string
	state  *State
	sorted bool
}

// Build begins a state in a file that does not exist.
func Build(path string) (*Builder, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, fmt.Errorf("build a state: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	// The cache is as much as is sorted in memory at once. It takes twice its size.
	db, err := sqlitefile.Open(path, 0, "locking_mode(EXCLUSIVE)", "journal_mode(OFF)", "synchronous(OFF)", "cache_size(-8192)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // which keeps the lock
	b := &Builder{path: path, state: &State{db: db}}
	// Sorting takes temporary files. In a container there may be room for them
	// beside the state alone.
	beside := strings.ReplaceAll(filepath.Dir(path), "'", "''")
	if _, err = db.Exec("PRAGMA temp_store_directory = '" + beside + "';" + buildTables); err == nil {
		err = b.state.prepare("unsorted", "")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("build a state in %s: %w", path, err), b.Close())
	}
	return b, nil
}

// Position implements log.StateWriter.
func (b *Builder) Position(ctx context.Context) (*proofs.Edge, error) { return b.state.Position(ctx) }

// Apply implements log.StateWriter. After an error nothing more can be applied.
func (b *Builder) Apply(ctx context.Context, edge *proofs.Edge, leaves []log.StateLeaf) error {
	return b.state.Apply(ctx, edge, leaves)
}

// Listed implements log.StateWriter.
func (b *Builder) Listed(ctx context.Context) (int64, error) { return b.state.Listed(ctx) }

// List implements log.StateWriter.
func (b *Builder) List(ctx context.Context, leaves []log.StateLeaf, done func(listed int64)) error {
	return b.state.List(ctx, leaves, done)
}

// sort completes the work of Apply: the tables get their final form.
func (b *Builder) sort(ctx context.Context) error {
	if b.sorted {
		return nil
	}
	err := sqlitefile.InTx(ctx, b.state.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO digests SELECT start, leaf FROM unsorted WHERE true ORDER BY start, leaf ON CONFLICT DO NOTHING;
			DROP TABLE unsorted; DROP INDEX targets_open`)
		return err
	})
	b.sorted = err == nil
	return err
}

// BuildSteps is the number of steps of Finish, of about the same length.
var BuildSteps = int64(2 + strings.Count(stateIndices, ";"))

// Finish makes the state durable and ready for OpenState, and closes it. It calls
// step after each of its steps.
func (b *Builder) Finish(ctx context.Context, step func()) error {
	err := b.sort(ctx)
	for _, index := range strings.Split(stateIndices+fmt.Sprintf(";PRAGMA user_version = %d", stateVersion), ";") {
		step()
		if err == nil {
			_, err = b.state.db.ExecContext(ctx, index)
		}
	}
	if err = errors.Join(err, b.Close()); err == nil {
		err = syncFile(b.path)
	}
	if err != nil {
		return fmt.Errorf("finish the state in %s: %w", b.path, err)
	}
	return nil
}

// Close closes the file.
func (b *Builder) Close() error { return b.state.Close() }

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), durable.SyncDir(filepath.Dir(path)))
}

// ReplaceState replaces the state at path, if there is one, by a finished state.
// Neither may be open.
func ReplaceState(path, with string) error {
	// The write-ahead log of the old one would be taken for the new one's. In
	// this order there is no state at all until the end, whatever happens.
	if err := RemoveState(path); err != nil {
		return err
	}
	if err := os.Rename(with, path); err != nil {
		return err
	}
	return durable.SyncDir(filepath.Dir(path))
}

// RemoveState removes a state, finished or not, if there is one.
func RemoveState(path string) error {
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return durable.SyncDir(filepath.Dir(path))
}
