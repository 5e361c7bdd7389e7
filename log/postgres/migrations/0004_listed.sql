-- Target files are added after the leaves that list them: listed is of how many
-- leaves, from the first on. What rows say of others is not true yet.
ALTER TABLE state.position ADD COLUMN listed bigint NOT NULL DEFAULT 0;
UPDATE state.position SET listed = split_part(convert_from(edge, 'UTF8'), E'\n', 1)::bigint;

-- The base of a leaf that may list files (see targets) is known when the first of its
-- rows begins.
CREATE TABLE state.bases (
	idx bigint PRIMARY KEY,
	base bigint NOT NULL
);
INSERT INTO state.bases SELECT l.idx, l.base FROM state.leaves l JOIN state.roles n ON n.number = l.role
	WHERE n.name NOT IN ('root', 'snapshot', 'timestamp');
ALTER TABLE state.leaves DROP COLUMN base;
