-- Which log this is. One row; none before the log is made.
CREATE TABLE log (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	origin text NOT NULL,
	storage text NOT NULL,
	secret text NOT NULL,
	created timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Who leads. epoch has a unique index so that changing it is a change of a key:
-- a take-over then waits for transactions that hold the row FOR KEY SHARE, and a
-- renewal, which changes no key, does not. The row is updated twice a second for
-- ever: room in its page keeps these updates out of the indices.
CREATE TABLE lease (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	epoch bigint NOT NULL UNIQUE,
	holder text NOT NULL,
	url text NOT NULL,
	expires timestamptz NOT NULL
) WITH (fillfactor = 10);
INSERT INTO lease VALUES (true, 0, '', '', '-infinity');

-- fence fails unless the lease is held by this holder in this epoch, and keeps it
-- from being taken over until the transaction ends.
CREATE FUNCTION fence(wanted bigint, who text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM lease WHERE epoch = wanted AND holder = who AND expires > clock_timestamp() FOR KEY SHARE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the lease of epoch % has ended', wanted USING ERRCODE = 'TL001';
	END IF;
END $$;

CREATE TABLE ledger (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	record bytea NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE checkpoint (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	size bigint NOT NULL,
	note bytea NOT NULL
) WITH (fillfactor = 10);

-- What was done to the log by hand, oldest first. Nothing ever removes a row.
CREATE TABLE actions (
	number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	action text NOT NULL
);
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'table % is only ever added to', TG_TABLE_NAME;
END $$;
CREATE TRIGGER actions_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON actions
	FOR EACH STATEMENT EXECUTE FUNCTION append_only();

-- Files by their SHA-256, not compressed: the package comment says why.
CREATE TABLE blobs (
	sum bytea PRIMARY KEY,
	data bytea NOT NULL
);
ALTER TABLE blobs ALTER data SET STORAGE EXTERNAL;

-- A copy of the entries of the log: level -1 has the bundles. How much it covers
-- is one row.
CREATE TABLE copied (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	size bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO copied VALUES (true, 0);
CREATE FUNCTION move_copied(before bigint, after bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	UPDATE copied SET size = after WHERE size = before;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'the copy covers % entries, not %', (SELECT size FROM copied), before;
	END IF;
END $$;

-- A tile that is still growing is appended to, as rows of their own: part says how
-- many hashes or entries come before. One that is full is one row.
CREATE TABLE tiles (
	level smallint NOT NULL,
	index bigint NOT NULL,
	part smallint NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (level, index, part)
);
ALTER TABLE tiles ALTER data SET STORAGE EXTERNAL;
CREATE FUNCTION append_tile(l int, i bigint, p int, bytes int, more bytea) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	have bigint := (SELECT coalesce(sum(length(data)), 0) FROM tiles WHERE level = l AND index = i);
BEGIN
	IF have <> bytes THEN
		RAISE EXCEPTION 'tile %/% has % bytes where % are to be added to: make the tiles anew', l, i, have, bytes;
	END IF;
	INSERT INTO tiles VALUES (l, i, p, more);
END $$;
