-- What each front end that may lead says of itself, once a second or more often. A row
-- lives as long as writes changes, as others see it by their own clocks; at is for people.
-- After a crash all of it is written anew within a second, so none of it is logged, and no
-- standby has it.
CREATE UNLOGGED TABLE front_ends (
	id text PRIMARY KEY,
	url text NOT NULL,
	version text NOT NULL,
	able boolean NOT NULL,
	why text NOT NULL,
	leader bigint NOT NULL,
	unreached text NOT NULL,
	writes bigint NOT NULL DEFAULT 0,
	at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
