-- The derived state, empty, as the migrations have made it by now: Scratch makes another
-- one by this, beside one of which anything may be missing.
CREATE SCHEMA state;

CREATE TABLE state.position (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	edge bytea NOT NULL,
	listed bigint NOT NULL DEFAULT 0
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
	contradicts bigint
);
CREATE INDEX leaves_of ON state.leaves (role, version);
CREATE INDEX leaves_at ON state.leaves (role, idx);
CREATE INDEX leaves_payload ON state.leaves (substr(payload, 1, 8));
CREATE INDEX leaves_metadata ON state.leaves (substr(metadata, 1, 8));
CREATE INDEX leaves_snapshot ON state.leaves (substr(snapshot, 1, 8)) WHERE snapshot IS NOT NULL;

CREATE TABLE state.roots (
	payload bytea PRIMARY KEY,
	leaf bigint NOT NULL
);

CREATE TABLE state.bases (
	idx bigint PRIMARY KEY,
	base bigint NOT NULL
);

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
