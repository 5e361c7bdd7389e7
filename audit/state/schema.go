package state

import (
	"context"
	"regexp"
	"strings"
)

// version is the version of the schema: PRAGMA user_version.
const version = 3 // 1 was a text file of another name, 2 had no checksums of its pages

// The schema. Numbers stand for words (see codes.go), digests are blobs of 32 bytes, and
// indexes have their first 8, because every byte of an index is paid for with each leaf.
const schema = `
CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) WITHOUT ROWID;

-- The tiles at the edge of the judged tree that are not full.
CREATE TABLE frontier (
	level  INTEGER PRIMARY KEY,
	hashes BLOB NOT NULL
);

-- Tiles that the log has yet to serve.
CREATE TABLE lost (
	level INTEGER NOT NULL,
	tile  INTEGER NOT NULL,
	width INTEGER NOT NULL,
	sum   BLOB NOT NULL,
	PRIMARY KEY (level, tile, width)
) WITHOUT ROWID;

CREATE TABLE notes (
	text BLOB PRIMARY KEY,    -- SHA-256 of the signed text
	size INTEGER NOT NULL,    -- of the tree
	note BLOB NOT NULL,
	open INTEGER NOT NULL     -- 1: it has not been compared with the tree
) WITHOUT ROWID;
CREATE INDEX notes_by_size ON notes (size);
CREATE INDEX notes_open ON notes (size) WHERE open;

CREATE TABLE repositories (
	repository INTEGER PRIMARY KEY,
	id         BLOB NOT NULL UNIQUE,
	genesis    INTEGER,                    -- leaf; NULL: no right leaf begins it
	again      INTEGER NOT NULL DEFAULT 0, -- 1: it is to be judged again from its first leaf
	report     BLOB                        -- what was last said of it; NULL: it has had leaves since
);
CREATE INDEX repositories_again ON repositories (repository) WHERE again;

CREATE TABLE roles (
	role       INTEGER PRIMARY KEY,
	repository INTEGER NOT NULL,
	name       TEXT NOT NULL,
	UNIQUE (repository, name)
);

CREATE TABLE leaves (
	leaf        INTEGER PRIMARY KEY, -- its index in the log
	role        INTEGER,             -- NULL: the entry is not a leaf, and its bytes are in entries
	kind        INTEGER,
	verdict     INTEGER NOT NULL,
	version     INTEGER,
	payload     BLOB,
	metadata    BLOB,
	size        INTEGER,
	snapshot    BLOB,                -- NULL: none
	listed      INTEGER,
	contradicts INTEGER,
	encoding    INTEGER,
	expires     INTEGER              -- POSIX seconds; NULL: not known
);
CREATE INDEX leaves_by_role ON leaves (role, leaf);
CREATE INDEX leaves_by_payload ON leaves (substr(payload, 1, 8));
CREATE INDEX leaves_by_metadata ON leaves (substr(metadata, 1, 8));

CREATE TABLE entries (
	leaf INTEGER PRIMARY KEY,
	raw  BLOB NOT NULL
);

CREATE TABLE facts (
	repository INTEGER NOT NULL,
	name       TEXT NOT NULL,
	value      BLOB NOT NULL,
	PRIMARY KEY (repository, name)
) WITHOUT ROWID;

CREATE TABLE targets (
	role     INTEGER NOT NULL,
	number   INTEGER NOT NULL,
	first    INTEGER NOT NULL, -- leaf
	last     INTEGER,          -- leaf; NULL: the role's last release lists it
	evidence INTEGER NOT NULL, -- 1: the leaf is evidence, and the row is its alone
	path     TEXT NOT NULL,
	length   INTEGER NOT NULL, -- in bytes; -1: not listed
	sha256   BLOB,
	sha512   BLOB,
	PRIMARY KEY (role, number)
) WITHOUT ROWID;
CREATE INDEX targets_by_sha256 ON targets (substr(sha256, 1, 8)) WHERE sha256 IS NOT NULL;
CREATE INDEX targets_by_sha512 ON targets (substr(sha512, 1, 8)) WHERE sha512 IS NOT NULL;
CREATE INDEX targets_by_path ON targets (path);

CREATE TABLE keys (
	role      INTEGER NOT NULL, -- whose releases list the key
	number    INTEGER NOT NULL,
	first     INTEGER NOT NULL,
	last      INTEGER,
	evidence  INTEGER NOT NULL,
	id        TEXT NOT NULL,
	identity  BLOB NOT NULL,
	signs     TEXT NOT NULL,    -- the first roles that it may sign, in JSON
	more      INTEGER NOT NULL, -- how many others there are
	PRIMARY KEY (role, number)
) WITHOUT ROWID;
CREATE INDEX keys_by_id ON keys (id);
CREATE INDEX keys_by_identity ON keys (identity);

CREATE TABLE findings (
	number     INTEGER PRIMARY KEY, -- in the order in which they were seen first
	sum        BLOB NOT NULL UNIQUE, -- what tells it apart
	kind       TEXT NOT NULL,
	class      TEXT NOT NULL,
	repository BLOB NOT NULL,    -- empty: none
	leaf       INTEGER NOT NULL, -- -1: none
	scope      INTEGER NOT NULL,
	body       BLOB NOT NULL,    -- JSON
	first      INTEGER NOT NULL, -- POSIX seconds, as all times
	last       INTEGER NOT NULL, -- when it went, if it has
	gone       INTEGER NOT NULL, -- 0: it is there
	replay     INTEGER NOT NULL, -- the replay that it came in
	acked      INTEGER NOT NULL, -- 0: it is not acknowledged
	reason     TEXT NOT NULL
);
CREATE INDEX findings_there ON findings (kind, repository) WHERE gone = 0;
CREATE INDEX findings_of ON findings (repository);

CREATE TABLE suppressed (
	kind       TEXT NOT NULL,
	repository BLOB NOT NULL,
	count      INTEGER NOT NULL,
	PRIMARY KEY (kind, repository)
) WITHOUT ROWID;
`

var comment = regexp.MustCompile(`--[^\n]*`)

// spelled returns a statement in one spelling, without comments.
func spelled(statement string) string {
	return strings.Join(strings.Fields(comment.ReplaceAllString(statement, "")), " ")
}

// complete returns an error if a table or an index is missing, or another than it should be:
// a statement that does not need it would not notice.
func (r *Reader) complete(ctx context.Context) error {
	have := map[string]bool{}
	err := r.each(ctx, "SELECT coalesce(sql, '') FROM sqlite_schema", nil, func(scan func(...any) error) error {
		var statement string
		err := scan(&statement)
		have[spelled(statement)] = true
		return err
	})
	if err != nil {
		return err
	}
	for statement := range strings.SplitSeq(comment.ReplaceAllString(schema, ""), ";") {
		if statement = spelled(statement); statement != "" && !have[statement] {
			what, _, _ := strings.Cut(strings.TrimPrefix(statement, "CREATE "), " (")
			return damaged("its %s is missing, or another", strings.ToLower(what))
		}
	}
	return nil
}
