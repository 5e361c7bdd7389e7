package sqlite

// The schemas of a log's own SQLite files. Those of the others: log/postgres/schema.go with
// log/postgres/migrations/*.sql for a log on servers, audit/state/schema.go for what an auditor
// remembers, witness/sqlite/schema.go for a witness.

const stateVersion = 6

// Releases of a role mostly list what the one before lists. So a row of targets
// stands for all leaves of its role from first up to, but without, past; where
// past is NULL the last leaf of the role still lists the file. Rows are numbered in
// the order of first and path. What a leaf lists is found by targets_past alone,
// most quickly for the last leaves of a role.
//
// Leaves are listed after they were added, and the position says of how many. What
// rows say of others is not true yet, and is not told.
//
// The table digests finds leaves by the first 8 bytes of the digests they name,
// and the indices of targets find files by as much; the row has the rest. A digest
// that is not known is NULL.
const stateTables = `
CREATE TABLE position (edge BLOB NOT NULL, listed INTEGER NOT NULL);
INSERT INTO position VALUES (CAST('0' || char(10) AS BLOB), 0);
CREATE TABLE repositories (
	number INTEGER PRIMARY KEY,
	id BLOB NOT NULL UNIQUE,
	encoding TEXT NOT NULL,
	releases INTEGER NOT NULL DEFAULT 0,
	evidence INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE roles (
	number INTEGER PRIMARY KEY,
	repository INTEGER NOT NULL,
	name TEXT NOT NULL,
	UNIQUE (repository, name)
);
CREATE TABLE leaves (
	idx INTEGER PRIMARY KEY,
	kind TEXT NOT NULL,
	role INTEGER NOT NULL,
	version INTEGER NOT NULL,
	payload BLOB NOT NULL,
	metadata BLOB NOT NULL,
	size INTEGER NOT NULL,
	snapshot BLOB,
	listed TEXT NOT NULL,
	contradicts INTEGER
);
CREATE TABLE roots (
	payload BLOB PRIMARY KEY,
	leaf INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE digests (
	start INTEGER NOT NULL,
	leaf INTEGER NOT NULL,
	PRIMARY KEY (start, leaf)
) WITHOUT ROWID;
CREATE TABLE targets (
	number INTEGER PRIMARY KEY,
	role INTEGER NOT NULL,
	first INTEGER NOT NULL,
	past INTEGER,
	path TEXT NOT NULL,
	length INTEGER NOT NULL,
	sha256 BLOB,
	sha512 BLOB
)`

const stateIndices = `
CREATE INDEX leaves_of ON leaves (role, version);
CREATE INDEX leaves_at ON leaves (role, idx);
CREATE INDEX targets_past ON targets (role, past, first);
CREATE INDEX targets_path ON targets (path);
CREATE INDEX targets_length ON targets (length);
CREATE INDEX targets_sha256 ON targets (substr(sha256, 1, 8)) WHERE sha256 IS NOT NULL;
CREATE INDEX targets_sha512 ON targets (substr(sha512, 1, 8)) WHERE sha512 IS NOT NULL`

const (
	blobsVersion = 2
	blobsSchema  = `CREATE TABLE blobs (sum BLOB NOT NULL UNIQUE, data BLOB NOT NULL);` + vendorsSchema
)

// vendorsSchema is what is kept beside the blobs for the vendors: the tokens of
// their repositories, and what others have submitted and is held. Times are
// milliseconds since 1970; ended is 0 while a file is held.
const vendorsSchema = `
CREATE TABLE tokens (
	repository BLOB NOT NULL,
	hash BLOB NOT NULL,
	made INTEGER NOT NULL,
	by TEXT NOT NULL,
	PRIMARY KEY (repository, hash)
) WITHOUT ROWID;
CREATE TABLE token_changes (number INTEGER NOT NULL);
INSERT INTO token_changes VALUES (0);
CREATE TABLE held (
	id TEXT PRIMARY KEY,
	repository BLOB NOT NULL,
	role BLOB NOT NULL,
	version INTEGER NOT NULL,
	name BLOB NOT NULL,
	kind TEXT NOT NULL,
	source TEXT NOT NULL,
	size INTEGER NOT NULL,
	since INTEGER NOT NULL,
	until INTEGER NOT NULL,
	ended INTEGER NOT NULL,
	status TEXT NOT NULL,
	leaf INTEGER NOT NULL,
	code TEXT NOT NULL,
	detail BLOB NOT NULL
);
CREATE INDEX held_due ON held (ended, until);
CREATE INDEX held_of ON held (repository, ended);
CREATE TABLE held_files (
	id TEXT PRIMARY KEY,
	file BLOB NOT NULL,
	snapshot BLOB
);
`
