-- The batch that a leader is about to append, from index first on, written with its files
-- before any of it is sent. Who leads next finishes it: so what of it arrives late changes
-- nothing. Leaves are text of a few hundred bytes that digests fill; compressing them would
-- cost more than it saves.
CREATE TABLE batch (
	only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
	first bigint NOT NULL,
	entries bytea[] NOT NULL
) WITH (fillfactor = 50);
ALTER TABLE batch ALTER COLUMN entries SET STORAGE EXTERNAL;
