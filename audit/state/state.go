package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tuflog/tuflog/internal/durable"
	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/proofs"
)

// ErrDamaged is wrapped by every error that says that a state is not what was written.
var ErrDamaged = errors.New("the state is damaged")

func damaged(format string, args ...any) error {
	return &Error{fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))}
}

// ErrVersion is wrapped by the error that says that another version of this program wrote a
// state.
var ErrVersion = sqlitefile.ErrVersion

func otherVersion(path string, err error) error {
	return fmt.Errorf("%s: %w: another version of this program wrote it; use that one, or another directory", path, err)
}

// Error is the error of a state that cannot be read or written.
type Error struct{ Err error }

func (e *Error) Error() string { return "auditor state: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// explained makes an Error, which wraps ErrDamaged where SQLite says so of the file.
func explained(err error) error {
	if err == nil || errors.As(err, new(*Error)) {
		return err
	}
	if sqlitefile.Damaged(err) {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return &Error{err}
}

// Advice says what to do about a damaged state.
const Advice = "put back a copy of it, which replays forward from where it was made, or move the directory away and replay from entry 0; keep DIR.newest in either case: it shows whether the log goes back"

// FileName is the name of the database in its directory.
const FileName = "state.sqlite"

// DB is an open state. After a method that writes has returned an error, or a Commit,
// the state is that of the last Commit that succeeded: what has not been committed is
// to be done again.
type DB struct {
	Reader

	dir  string // empty: it is temporary
	lock *lockfile.Lock
	pool *sql.DB

	waiting  waiting             // rows for the transaction
	writing  bool                // in a transaction
	tree     *proofs.Frontier    // of the leaves in the database, those not committed included
	saved    map[int][]byte      // tiles at its edge, as they are in the database
	active   map[int64]*activity // by the number of the repository
	behind   []*activity         // those that are yet to be written
	roles    map[roleName]int64
	targets  open[target]
	keys     open[key]
	payloads payloads // of leaves that were rolled back, too
	newest   []byte   // what DIR.newest has
	newestAt string   // its path
	maxLog   int64    // bytes
	unfolded int64    // bytes of the write-ahead log when readers were waited for in vain; 0: they were not
	previous *stateV1 // what an older version left in the directory; nil: nothing
}

type roleName struct {
	repository int64
	name       string
}

// Open opens the state in a directory, and makes both if need be. With an empty name it
// is a temporary one. If another process has the directory, the error wraps
// lockfile.ErrHeld and names the process. The error wraps ErrDamaged if what is there is
// not a state.
func Open(ctx context.Context, dir string) (*DB, error) {
	ctx = context.WithoutCancel(ctx)
	if dir != "" {
		dir = filepath.Clean(dir) // as in the paths of all that is in it
	}
	db := &DB{dir: dir, waiting: newWaiting(), maxLog: maxLog}
	db.settle, db.tally = db.flush, db.saveActivity
	if err := db.open(ctx); err != nil {
		return nil, errors.Join(explained(err), db.Close())
	}
	return db, nil
}

// OpenExisting is Open, but does not make a state where there is none: then the error wraps
// fs.ErrNotExist.
func OpenExisting(ctx context.Context, dir string) (*DB, error) {
	if _, err := os.Stat(filepath.Join(dir, FileName)); err != nil {
		return nil, &Error{err}
	}
	return Open(ctx, dir)
}

func (db *DB) open(ctx context.Context) error {
	db.forget()
	if db.dir == "" {
		var err error
		db.pool, db.conn, err = sqlitefile.Temporary(ctx, version, strings.Join(whole(), ";\n"), "synchronous(OFF)", "journal_mode(MEMORY)", cacheSize)
		db.tree, db.saved, db.counts = new(proofs.Frontier), map[int][]byte{}, map[Verdict]int64{}
		return err
	}
	if err := os.MkdirAll(db.dir, 0o755); err != nil {
		return err
	}
	var err error
	if db.lock, err = lockfile.AcquireDir(db.dir); err != nil {
		return err
	}
	if db.newestAt, err = newestFile(db.dir); err != nil {
		return err
	}
	_ = durable.Sweep(db.dir) // that it cannot harms nothing but the room
	path := filepath.Join(db.dir, FileName)
	if lost, err := sqlitefile.LostLog(path); err != nil {
		return err
	} else if lost {
		return damaged("%s-wal has lost what was written", path)
	}
	// A new file is empty until its schema is committed.
	if err := db.create(path); err != nil {
		return err
	}
	if db.pool, err = sqlitefile.OpenChecked(path, version, pragmas...); err != nil {
		if errors.Is(err, sqlitefile.ErrVersion) {
			return otherVersion(path, err)
		}
		return err
	}
	if db.conn, err = db.pool.Conn(ctx); err != nil {
		return err
	}
	if err := db.complete(ctx); err != nil {
		return err
	}
	if err := db.load(ctx); err != nil {
		return err
	}
	if err := db.readNewest(); err != nil {
		return err
	}
	return db.takeOver(ctx)
}

const cacheSize = "cache_size(-32768)" // KiB

var pragmas = []string{"journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(4096)", cacheSize}

func (db *DB) create(path string) error {
	var err error
	// What an older version left is removed when it has been taken over.
	if db.previous, err = readV1(db.dir); err != nil {
		return err
	}
	all := strings.Join(whole(), ";\n")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return sqlitefile.CreateChecked(path, 0o644, version, all, pragmas...)
	}
	if err := sqlitefile.CompleteChecked(path, version, all, pragmas...); err != nil {
		return err
	}
	if err := sqlitefile.UpgradeChecked(path, 3, version, fromVersion3(), pragmas...); err != nil {
		return err
	}
	return sqlitefile.UpgradeChecked(path, 4, version, fromVersion4(), pragmas...)
}

// forget drops what is remembered of the database.
func (db *DB) forget() {
	db.Reader.forget()
	db.roles, db.active, db.behind = map[roleName]int64{}, map[int64]*activity{}, nil
	db.targets, db.keys = open[target]{}, open[key]{}
	db.waiting.drop()
}

// Temporary reports whether the state ends with the process.
func (db *DB) Temporary() bool { return db.dir == "" }

// Dir returns the directory, empty for a temporary state.
func (db *DB) Dir() string { return db.dir }

// Close gives back the directory. What has not been committed is lost.
func (db *DB) Close() error {
	var errs []error
	errs = append(errs, db.Reader.close()) // and with it what has not been committed
	if db.pool != nil {
		errs = append(errs, db.pool.Close())
	}
	if db.lock != nil {
		errs = append(errs, db.lock.Release())
	}
	db.pool, db.lock = nil, nil
	return errors.Join(errs...)
}

// write runs a statement in the transaction that the next Commit ends, behind the rows
// that wait.
func (db *DB) write(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := db.flush(ctx); err != nil {
		return nil, err
	}
	return db.writeNow(ctx, query, args...)
}

// writeNow is write for what does not depend on the rows that wait.
func (db *DB) writeNow(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx = context.WithoutCancel(ctx)
	if !db.writing {
		if err := db.begin(ctx); err != nil {
			return nil, db.failed(ctx, err)
		}
	}
	s, err := db.stmt(ctx, query)
	if err != nil {
		return nil, db.failed(ctx, err)
	}
	result, err := s.ExecContext(ctx, args...)
	if err != nil {
		return nil, db.failed(ctx, err)
	}
	return result, nil
}

// begin begins a transaction. It takes SQLite's lock for writing at once, and not while rows
// are read: a transaction that has read what another process has written since cannot write.
func (db *DB) begin(ctx context.Context) error {
	if db.reading > 0 {
		return &Error{errors.New("a transaction would begin while rows are read")}
	}
	db.letOthers(ctx)
	if err := db.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	db.writing = true
	return nil
}

// failed goes back to the last commit.
func (db *DB) failed(ctx context.Context, err error) error {
	err = explained(err)
	if rollbackErr := db.Rollback(ctx); rollbackErr != nil {
		return errors.Join(err, rollbackErr)
	}
	return err
}

// Rollback goes back to the last commit.
func (db *DB) Rollback(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	db.forget()
	if db.writing {
		db.writing = false
		// It fails where SQLite has rolled back by itself, as on a full disk.
		_, _ = db.conn.ExecContext(ctx, "ROLLBACK")
	}
	return db.load(ctx)
}

// Commit makes what was written since the last one last.
func (db *DB) Commit(ctx context.Context) error {
	if !db.writing && !db.waiting.any() {
		return nil
	}
	if err := errors.Join(db.saveTree(ctx), db.saveCounts(ctx), db.saveActivity(ctx)); err != nil {
		return err
	}
	if _, err := db.write(ctx, "COMMIT"); err != nil {
		return err
	}
	db.writing = false
	db.trim()
	db.foldLog(ctx)
	return nil
}

// maxLog is how many bytes the write-ahead log has before readers are waited for. SQLite by
// itself begins the log anew only at a moment without a reader, which does not come as long as
// readers overlap.
const maxLog = 64 << 20

// foldLog puts what the write-ahead log has in its place in the file, and empties the log, if
// it has become large. Readers that begin meanwhile read the newest state, and then the file
// alone, so that it waits no longer than the readers of now last, nor than SQLite waits for a
// lock. If one lasts longer, it is waited for again when the log has grown by as much once
// more. What fails is tried again: everything is in the log.
func (db *DB) foldLog(ctx context.Context) {
	if db.dir == "" {
		return
	}
	info, err := os.Stat(filepath.Join(db.dir, FileName) + "-wal")
	if err != nil || info.Size() < db.maxLog+db.unfolded {
		return
	}
	var busy, frames, done int64
	_, err = db.rowNow(ctx, "PRAGMA wal_checkpoint(TRUNCATE)", nil, &busy, &frames, &done)
	if db.unfolded = 0; err != nil || busy != 0 {
		db.unfolded = info.Size()
	}
}

// maxNames is how many repositories and roles are remembered by their numbers.
const maxNames = 1 << 16

func (db *DB) trim() {
	if len(db.repos) > maxNames {
		clear(db.repos)
	}
	if len(db.active) > maxNames {
		clear(db.active)
	}
	if len(db.roles) > maxNames {
		clear(db.roles)
	}
	db.targets.trim()
	db.keys.trim()
}

// Set keeps a value under a name, and Get returns it; empty if there is none.
func (db *DB) Set(ctx context.Context, name, value string) error {
	if have, err := db.Get(ctx, name); err != nil || have == value {
		return err
	}
	_, err := db.write(ctx, "INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2", name, []byte(value))
	if err == nil {
		db.meta[name] = value
	}
	return err
}
