-- What is derived from the log's entries and files, and can be made anew from
-- them: in a schema of its own, so that a second one can be made beside it.
--
-- Names and paths are bytea: text cannot hold every character that they may have.
-- Nothing long is indexed itself, but by the first 8 bytes of a digest: an entry
-- of an index has at most 2.7 kB.
CREATE SCHEMA state;

CREATE TABLE state.position (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	edge bytea NOT NULL
) WITH (fillfactor = 10);
INSERT INTO state.position (edge) VALUES ('\x300a');

CREATE TABLE state.repositories (
	number bigint PRIMARY KEY,
	id bytea NOT NULL UNIQUE,
	encoding text NOT NULL,
	releases bigint NOT NULL,
	evidence bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE state.roles (
	number bigint PRIMARY KEY,
	repository bigint NOT NULL,
	name bytea NOT NULL,
	UNIQUE (repository, name)
);

-- base: see targets.
CREATE TABLE state.leaves (
	idx bigint PRIMARY KEY,
	kind text NOT NULL,
	role bigint NOT NULL,
	version bigint NOT NULL,
	payload bytea NOT NULL,
	metadata bytea NOT NULL,
	size bigint NOT NULL,
	snapshot bytea,
	listed text NOT NULL,
	contradicts bigint,
	base bigint NOT NULL
);
CREATE INDEX leaves_of ON state.leaves (role, version);
CREATE INDEX leaves_at ON state.leaves (role, idx);
CREATE INDEX leaves_payload ON state.leaves (substr(payload, 1, 8));
CREATE INDEX leaves_metadata ON state.leaves (substr(metadata, 1, 8));
CREATE INDEX leaves_snapshot ON state.leaves (substr(snapshot, 1, 8)) WHERE snapshot IS NOT NULL;

-- Released roots are found here and by leaves_payload: one that is damaged
-- contradicts the other.
CREATE TABLE state.roots (
	payload bytea PRIMARY KEY,
	leaf bigint NOT NULL
);

-- A row stands for a file that all leaves of a role list from first up to, but
-- without, past; NULL means that the last leaf still lists it. No index has past,
-- and pages have room, so that ending a row touches no index. What a leaf lists
-- has begun between its base and itself: from time to time all files of a role
-- begin anew, so that these are never many more than the leaf lists. A digest
-- that is not known is NULL.
CREATE TABLE state.targets (
	role bigint NOT NULL,
	first bigint NOT NULL,
	place int NOT NULL,
	past bigint,
	path bytea NOT NULL,
	length bigint NOT NULL,
	sha256 bytea,
	sha512 bytea,
	PRIMARY KEY (role, first, place)
) WITH (fillfactor = 85);
CREATE INDEX targets_path ON state.targets (substr(sha256(path), 1, 8));
CREATE INDEX targets_length ON state.targets (length, first);
CREATE INDEX targets_sha256 ON state.targets (substr(sha256, 1, 8)) WHERE sha256 IS NOT NULL;
CREATE INDEX targets_sha512 ON state.targets (substr(sha512, 1, 8)) WHERE sha512 IS NOT NULL;
