package sqlite

// version is the version of the schema: PRAGMA user_version.
const version = 3

// The latest checkpoint's size and root repeat what is in its note, for people
// who look into the file; reading compares them.
const schema = `
CREATE TABLE signers (
	vkey TEXT PRIMARY KEY
) STRICT;
CREATE TABLE logs (
	id      BLOB PRIMARY KEY CHECK (length(id) = 32), -- SHA-256 of origin
	origin  TEXT NOT NULL UNIQUE,
	url     TEXT NOT NULL,    -- where the log publishes; '' is unknown
	source  TEXT NOT NULL,    -- the list that named it; '' is the operator
	per_day INTEGER NOT NULL, -- requests a day by that list; 0 is no limit
	removed INTEGER NOT NULL DEFAULT 0 CHECK (removed IN (0, 1)),
	size    INTEGER CHECK (size >= 0),
	root    BLOB CHECK (length(root) = 32),
	note    BLOB,             -- the checkpoint with the log's signatures
	time    INTEGER,          -- of the cosignature, POSIX seconds
	CHECK ((size IS NULL) = (root IS NULL) AND (size IS NULL) = (note IS NULL) AND (size IS NULL) = (time IS NULL))
) STRICT;
CREATE TABLE keys (
	log    BLOB NOT NULL REFERENCES logs (id),
	key_id INTEGER NOT NULL,
	vkey   TEXT NOT NULL,
	PRIMARY KEY (log, key_id)
) STRICT;
CREATE TABLE latches (
	id      INTEGER PRIMARY KEY,
	log     BLOB NOT NULL REFERENCES logs (id),
	since   INTEGER NOT NULL,
	source  TEXT NOT NULL,
	why     TEXT NOT NULL,
	size    INTEGER NOT NULL, -- what was seen; 0, zeros and 0 for nothing
	root    BLOB NOT NULL CHECK (length(root) = 32),
	time    INTEGER NOT NULL,
	note    BLOB,
	cleared INTEGER,          -- when, POSIX seconds; NULL stops cosigning
	reason  TEXT
) STRICT;
CREATE INDEX latches_log ON latches (log);
CREATE TABLE suspects (
	log     BLOB NOT NULL REFERENCES logs (id),
	size    INTEGER NOT NULL,
	root    BLOB NOT NULL CHECK (length(root) = 32),
	note    BLOB NOT NULL,
	why     TEXT NOT NULL,
	failed  INTEGER NOT NULL, -- 1: its proof failed; 0: its old size was wrong
	seen    INTEGER NOT NULL,
	tries   INTEGER NOT NULL DEFAULT 0,
	next    INTEGER NOT NULL DEFAULT 0,
	verdict TEXT NOT NULL DEFAULT '',
	PRIMARY KEY (log, size, root)
) STRICT;
CREATE INDEX suspects_next ON suspects (verdict, next);
` + clockSchema

// clockSchema is what version 3 has more than version 2.
const clockSchema = `
CREATE TABLE clock (
	id       INTEGER PRIMARY KEY,
	since    INTEGER NOT NULL, -- when the clock came into doubt
	why      TEXT NOT NULL,
	latest   INTEGER NOT NULL, -- time of the last cosignature where the clock was behind that; 0: it jumped
	accepted INTEGER,          -- when, POSIX seconds; NULL stops cosigning
	reason   TEXT
) STRICT;
`
