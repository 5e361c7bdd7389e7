package alert

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tuflog/tuflog/internal/sqlitefile"
)

// schemaVersion is PRAGMA user_version of an outbox.
const schemaVersion = 2 // 1 had no ids of openings

// The schema. Times are Unix milliseconds.
const schema = `
CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) WITHOUT ROWID;

-- The findings that are open, and of which events were made: for the number of the next
-- episode they stay when they close.
CREATE TABLE findings (
	origin  TEXT NOT NULL,
	sum     BLOB NOT NULL,
	log     TEXT NOT NULL,
	class   TEXT NOT NULL,
	episode INTEGER NOT NULL, -- how many openings were told; the last of them is this one if told is 1
	seen    INTEGER NOT NULL, -- the episode that the log's state says that it was in
	open    INTEGER NOT NULL,
	told    INTEGER NOT NULL, -- 1: there is an event about this opening
	acked   INTEGER NOT NULL,
	sent    TEXT NOT NULL,    -- JSON: where the opening went
	opening TEXT NOT NULL DEFAULT '', -- the id of the event about it; empty: none, or eventIDBefore
	body    BLOB NOT NULL,    -- JSON: the finding; empty: it is closed
	PRIMARY KEY (origin, sum)
) WITHOUT ROWID;
CREATE INDEX findings_open ON findings (origin) WHERE open;

CREATE TABLE events (
	number     INTEGER PRIMARY KEY AUTOINCREMENT,
	id         TEXT NOT NULL UNIQUE,
	time       INTEGER NOT NULL,
	class      TEXT NOT NULL, -- empty: it is not about a finding
	log        TEXT NOT NULL,
	repository BLOB NOT NULL, -- empty: none
	body       BLOB NOT NULL  -- JSON
);
CREATE INDEX events_by_log ON events (log, repository, number);

-- What waits to become a message to a destination.
CREATE TABLE queue (
	number  INTEGER PRIMARY KEY AUTOINCREMENT,
	dest    TEXT NOT NULL,
	event   INTEGER NOT NULL, -- events.number
	cause   TEXT NOT NULL,    -- those of one cause may become one message; empty: it is one by itself
	bulk    INTEGER NOT NULL, -- 1: it is for the digest
	urgent  INTEGER NOT NULL, -- when there is no room, the lowest are left out first
	due     INTEGER NOT NULL,
	UNIQUE (dest, event)
);
CREATE INDEX queue_due ON queue (dest, due);
CREATE INDEX queue_event ON queue (event);

-- What is on its way: its content does not change any more.
CREATE TABLE messages (
	number INTEGER PRIMARY KEY AUTOINCREMENT,
	dest   TEXT NOT NULL,
	body   BLOB NOT NULL,
	made   INTEGER NOT NULL,
	tries  INTEGER NOT NULL,
	next   INTEGER NOT NULL
);
CREATE INDEX messages_next ON messages (dest, next);

-- Until when a destination is told no more of a cause.
CREATE TABLE storms (
	dest  TEXT NOT NULL,
	cause TEXT NOT NULL,
	until INTEGER NOT NULL,
	step  INTEGER NOT NULL,
	PRIMARY KEY (dest, cause)
) WITHOUT ROWID;

CREATE TABLE destinations (
	name     TEXT PRIMARY KEY,
	settings TEXT NOT NULL,              -- their digest
	failing  INTEGER NOT NULL DEFAULT 0, -- since when; 0: it is not
	tries    INTEGER NOT NULL DEFAULT 0, -- since then
	next     INTEGER NOT NULL DEFAULT 0, -- not before
	off      INTEGER NOT NULL DEFAULT 0, -- since when; 0: it is on
	trouble  TEXT NOT NULL DEFAULT '',   -- the last one
	last     INTEGER NOT NULL DEFAULT 0, -- when it last took something
	sent     INTEGER NOT NULL DEFAULT 0,
	failed   INTEGER NOT NULL DEFAULT 0, -- attempts
	lost     INTEGER NOT NULL DEFAULT 0, -- that found no room
	unsaid   INTEGER NOT NULL DEFAULT 0  -- of them, those that no message has counted
) WITHOUT ROWID;
`

const fromVersion1 = `ALTER TABLE findings ADD COLUMN opening TEXT NOT NULL DEFAULT ''`

var pragmas = []string{"journal_mode(WAL)", "synchronous(FULL)", "wal_autocheckpoint(1000)"}

// openFile opens the outbox, and makes it if need be.
func openFile(path string) (*sql.DB, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		// Another process may have been faster.
		if err := sqlitefile.CreateChecked(path, 0o600, schemaVersion, schema, pragmas...); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, fmt.Errorf("outbox %s: %w", path, err)
		}
	} else if err := sqlitefile.CompleteChecked(path, schemaVersion, schema, pragmas...); err != nil {
		return nil, explained(path, err)
	} else if err := sqlitefile.UpgradeChecked(path, 1, schemaVersion, fromVersion1, pragmas...); err != nil {
		return nil, explained(path, err)
	}
	db, err := sqlitefile.OpenChecked(path, schemaVersion, pragmas...)
	if err != nil {
		return nil, explained(path, err)
	}
	return db, nil
}

// explained says what to do about a damaged file.
func explained(path string, err error) error {
	if sqlitefile.Damaged(err) {
		return fmt.Errorf("outbox %s is damaged: move it away: open findings are then told again, under new ids (%w)", path, err)
	}
	return fmt.Errorf("outbox %s: %w", path, err)
}

// query calls scan for each row.
func query(ctx context.Context, q queryer, statement string, args []any, scan func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}
