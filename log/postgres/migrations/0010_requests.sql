-- How many requests were sent to each witness, where the log has declared how many it sends:
-- whichever front end sends one counts it here before. The state is that of package
-- witness/budget; an empty one is none.
CREATE TABLE witness_requests (
	witness text PRIMARY KEY,
	state text NOT NULL
) WITH (fillfactor = 50);
