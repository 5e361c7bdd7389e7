package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tuflog/tuflog/internal/lockfile"
	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/internal/wait"
	"github.com/tuflog/tuflog/tuf"
)

// errUnknownFinding is wrapped if no finding has the id.
var errUnknownFinding = errors.New("no such finding")

// Acknowledge notes that somebody knows of a finding: an id, or the beginning of one that
// is nobody else's. An empty reason takes the acknowledgement back.
func (db *DB) Acknowledge(ctx context.Context, id, reason string, now time.Time) (Finding, error) {
	f, err := db.acknowledged(ctx, id, reason, now)
	if err != nil {
		return Finding{}, err
	}
	if _, err := db.write(ctx, acknowledge, f.Acked, f.Reason, f.Sum[:]); err != nil {
		return Finding{}, err
	}
	return f, db.Commit(ctx)
}

const acknowledge = "UPDATE findings SET acked = ?, reason = ? WHERE sum = ?"

// acknowledged returns what a finding will be.
func (r *Reader) acknowledged(ctx context.Context, id, reason string, now time.Time) (Finding, error) {
	prefix, err := hexPrefix(id)
	if err != nil {
		return Finding{}, err
	}
	low, high, err := idRange(prefix)
	if err != nil {
		return Finding{}, err
	}
	var found []Finding
	err = r.findings(ctx, "WHERE sum >= ? AND sum <= ? LIMIT 2", []any{low[:], high[:]}, func(f Finding) error {
		found = append(found, f)
		return nil
	})
	switch {
	case err != nil:
		return Finding{}, err
	case len(found) == 0:
		return Finding{}, fmt.Errorf("%w: %q", errUnknownFinding, id)
	case len(found) > 1:
		return Finding{}, fmt.Errorf("%w: %q is the beginning of several ids: %s and %s", errUnknownFinding, id, found[0].ID(), found[1].ID())
	}
	f := found[0]
	f.Acked, f.Reason = now.Unix(), reason
	if reason == "" {
		f.Acked = 0
	}
	return f, nil
}

func hexPrefix(id string) (string, error) {
	id = strings.ToLower(id)
	if len(id) < 4 || len(id) > 2*len(tuf.Digest{}) || strings.Trim(id, "0123456789abcdef") != "" {
		return "", fmt.Errorf("%w: id %q, want 4 to 64 hex digits", errUnknownFinding, id)
	}
	return id, nil
}

// Acknowledge is [DB.Acknowledge] for several findings, all or none, of the state in a
// directory, which another process may have open and write. It waits for that process to end
// its transaction, for a minute at most. If there is no state, the error wraps fs.ErrNotExist.
func Acknowledge(ctx context.Context, dir string, ids []string, reason string, now time.Time) ([]Finding, error) {
	db, err := OpenExisting(ctx, dir) // alone it checks what was left behind, and upgrades it
	if err == nil {
		err = db.Close()
	}
	if err != nil && !errors.Is(err, lockfile.ErrHeld) {
		return nil, err
	}
	turn, err := takeTurn(ctx, dir)
	if err != nil {
		return nil, explained(err)
	}
	found, err := acknowledgeBeside(ctx, filepath.Join(dir, FileName), ids, reason, now)
	return found, errors.Join(explained(err), turn.Release())
}

func acknowledgeBeside(ctx context.Context, path string, ids []string, reason string, now time.Time) (found []Finding, err error) {
	// Who writes all the time also copies the log into the file.
	pool, err := sqlitefile.OpenChecked(path, version, "synchronous(FULL)", "wal_autocheckpoint(0)", "busy_timeout(60000)", viewCacheSize)
	if err != nil {
		if errors.Is(err, sqlitefile.ErrVersion) {
			err = otherVersion(path, err)
		}
		return nil, err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	r := &Reader{conn: conn}
	r.forget()
	defer func() { err = errors.Join(err, r.close()) }() // what is not committed is rolled back
	if err := r.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, err
	}
	for _, id := range ids {
		f, err := r.acknowledged(ctx, id, reason, now)
		if err != nil {
			return nil, err
		}
		if err := r.exec(ctx, acknowledge, f.Acked, f.Reason, f.Sum[:]); err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	return found, r.exec(ctx, "COMMIT")
}

// turnName is the file in the directory whose lock is held by those who want to write beside
// the process that has the directory. That one begins a transaction as soon as it has ended
// one: SQLite, which asks now and then whether the database is free, would wait for long.
const turnName = "turn"

// maxTurn is how long others are waited for.
const maxTurn = 10 * time.Second

func takeTurn(ctx context.Context, dir string) (*lockfile.Lock, error) {
	for begin := time.Now(); ; {
		lock, err := lockfile.Acquire(filepath.Join(dir, turnName), "")
		if err == nil || !errors.Is(err, lockfile.ErrHeld) || time.Since(begin) > maxTurn {
			return lock, err
		}
		if err := wait.For(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// Awaited reports whether somebody waits for the end of the transaction, to acknowledge a
// finding.
func (db *DB) Awaited() bool {
	if db.dir == "" {
		return false
	}
	f, err := os.Open(filepath.Join(db.dir, turnName))
	if err != nil {
		return false // nobody ever has
	}
	defer f.Close() // and with it its lock
	return errors.Is(lockfile.Hold(f), lockfile.ErrHeld)
}

// letOthers waits for those who want to write, but not for one that was stopped.
func (db *DB) letOthers(ctx context.Context) {
	for begin := time.Now(); db.Awaited() && time.Since(begin) < maxTurn; {
		if wait.For(ctx, 2*time.Millisecond) != nil {
			return
		}
	}
}
