-- What is kept for the vendors: the tokens of their repositories, by their SHA-256,
-- and what others have submitted and is held. token_changes is raised with every
-- change, so that a front end sees in one row whether to read the tokens again.
CREATE TABLE tokens (
	repository bytea NOT NULL,
	hash bytea NOT NULL,
	made timestamptz NOT NULL,
	by text NOT NULL,
	PRIMARY KEY (repository, hash)
);
CREATE TABLE token_changes (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	number bigint NOT NULL
) WITH (fillfactor = 50);
INSERT INTO token_changes VALUES (true, 0);

-- ended is null while a file is held; then its bytes are in held_files. Names are
-- bytea: text cannot hold every character that they may have. Times are milliseconds
-- since 1970, by the clock of the front end that leads.
CREATE TABLE held (
	id text PRIMARY KEY,
	repository bytea NOT NULL,
	role bytea NOT NULL,
	version bigint NOT NULL,
	name bytea NOT NULL,
	kind text NOT NULL,
	source text NOT NULL,
	size bigint NOT NULL,
	since bigint NOT NULL,
	until bigint NOT NULL,
	ended bigint,
	status text NOT NULL DEFAULT '',
	leaf bigint NOT NULL DEFAULT -1,
	code text NOT NULL DEFAULT '',
	detail bytea NOT NULL DEFAULT ''
);
CREATE INDEX held_due ON held (until) WHERE ended IS NULL;
CREATE INDEX held_ended ON held (ended) WHERE ended IS NOT NULL;
CREATE TABLE held_files (
	id text PRIMARY KEY REFERENCES held ON DELETE CASCADE,
	file bytea NOT NULL,
	snapshot bytea
);
ALTER TABLE held_files ALTER file SET STORAGE EXTERNAL, ALTER snapshot SET STORAGE EXTERNAL;
