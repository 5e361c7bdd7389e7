package state

import (
	"context"
	"regexp"
	"strings"
)

// version is the version of the schema: PRAGMA user_version.
const version = 5 // 1 was a text file of another name, 2 had no checksums of its pages, 3 and 4 are upgraded

// The schema. Numbers stand for words (see codes.go), digests are blobs of 32 bytes, and
// indexes have their first 8, because every byte of an index is paid for with each leaf. The
// hashes of target files are whole there: they are words of whoever lists them, who could
// choose many that begin as another's.
const schema = `
CREATE TABLE meta (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) WITHOUT ROWID;

-- The tiles at the edge of the judged tree that are not full.
CREATE TABLE frontier (
	level  INTEGER PRIMARY KEY,
	hashes BLOB NOT NULL
);

-- Tiles that the log has yet to serve.
CREATE TABLE lost (
	level INTEGER NOT NULL,
	tile  INTEGER NOT NULL,
	width INTEGER NOT NULL,
	sum   BLOB NOT NULL,
	PRIMARY KEY (level, tile, width)
) WITHOUT ROWID;

CREATE TABLE notes (
	text BLOB PRIMARY KEY,    -- SHA-256 of the signed text
	size INTEGER NOT NULL,    -- of the tree
	note BLOB NOT NULL,
	open INTEGER NOT NULL,    -- 1: it has not been compared with the tree
	seen INTEGER NOT NULL DEFAULT 0 -- first, in POSIX seconds; 0: by a version before
) WITHOUT ROWID;
CREATE INDEX notes_by_size ON notes (size);
CREATE INDEX notes_by_time ON notes (seen, size);
CREATE INDEX notes_open ON notes (size) WHERE open;

CREATE TABLE repositories (
	repository INTEGER PRIMARY KEY,
	id         BLOB NOT NULL UNIQUE,
	genesis    INTEGER,                    -- leaf; NULL: no right leaf begins it
	again      INTEGER NOT NULL DEFAULT 0, -- 1: it is to be judged again from its first leaf
	report     BLOB                        -- what was last said of it; NULL: it has had leaves since
);
CREATE INDEX repositories_again ON repositories (repository) WHERE again;

CREATE TABLE roles (
	role       INTEGER PRIMARY KEY,
	repository INTEGER NOT NULL,
	name       TEXT NOT NULL,
	UNIQUE (repository, name)
);

CREATE TABLE leaves (
	leaf        INTEGER PRIMARY KEY, -- its index in the log
	role        INTEGER,             -- NULL: the entry is not a leaf, and its bytes are in entries
	kind        INTEGER,
	verdict     INTEGER NOT NULL,
	version     INTEGER,
	payload     BLOB,
	metadata    BLOB,
	size        INTEGER,
	snapshot    BLOB,                -- NULL: none
	listed      INTEGER,
	contradicts INTEGER,
	encoding    INTEGER,
	expires     INTEGER,             -- POSIX seconds; NULL: not known
	previous    INTEGER              -- the leaf of its repository before it; NULL: none
);
CREATE INDEX leaves_by_role ON leaves (role, leaf);
CREATE INDEX leaves_by_version ON leaves (role, version);
CREATE INDEX leaves_by_payload ON leaves (substr(payload, 1, 8));
CREATE INDEX leaves_by_metadata ON leaves (substr(metadata, 1, 8));

-- What repositories are listed by. It is beside them, because a row with a report is large.
CREATE TABLE activity (
	repository INTEGER PRIMARY KEY,
	newest     INTEGER NOT NULL, -- leaf, whatever its verdict
	leaves     INTEGER NOT NULL, -- how many it has
	findings   INTEGER NOT NULL  -- how many are there and not acknowledged
);
CREATE INDEX activity_by_newest ON activity (newest);
CREATE INDEX activity_by_findings ON activity (findings);

CREATE TABLE entries (
	leaf INTEGER PRIMARY KEY,
	raw  BLOB NOT NULL
);

CREATE TABLE facts (
	repository INTEGER NOT NULL,
	name       TEXT NOT NULL,
	value      BLOB NOT NULL,
	PRIMARY KEY (repository, name)
) WITHOUT ROWID;

CREATE TABLE targets (
	role     INTEGER NOT NULL,
	number   INTEGER NOT NULL,
	first    INTEGER NOT NULL, -- leaf
	last     INTEGER,          -- leaf; NULL: the role's last release lists it
	evidence INTEGER NOT NULL, -- 1: the leaf is evidence, and the row is its alone
	path     TEXT NOT NULL,
	length   INTEGER NOT NULL, -- in bytes; -1: not listed
	sha256   BLOB,
	sha512   BLOB,
	PRIMARY KEY (role, number)
) WITHOUT ROWID;
CREATE INDEX targets_by_sha256 ON targets (sha256) WHERE sha256 IS NOT NULL;
CREATE INDEX targets_by_sha512 ON targets (sha512) WHERE sha512 IS NOT NULL;
CREATE INDEX targets_by_path ON targets (path);

CREATE TABLE keys (
	role      INTEGER NOT NULL, -- whose releases list the key
	number    INTEGER NOT NULL,
	first     INTEGER NOT NULL,
	last      INTEGER,
	evidence  INTEGER NOT NULL,
	id        TEXT NOT NULL,
	identity  BLOB NOT NULL,
	signs     TEXT NOT NULL,    -- the first roles that it may sign, in JSON
	more      INTEGER NOT NULL, -- how many others there are
	PRIMARY KEY (role, number)
) WITHOUT ROWID;
CREATE INDEX keys_by_id ON keys (id);
CREATE INDEX keys_by_identity ON keys (identity);

CREATE TABLE findings (
	number     INTEGER PRIMARY KEY, -- in the order in which they were seen first
	sum        BLOB NOT NULL UNIQUE, -- what tells it apart
	kind       TEXT NOT NULL,
	class      TEXT NOT NULL,
	repository BLOB NOT NULL,    -- empty: none
	leaf       INTEGER NOT NULL, -- -1: none
	scope      INTEGER NOT NULL,
	body       BLOB NOT NULL,    -- JSON
	first      INTEGER NOT NULL, -- POSIX seconds, as all times
	last       INTEGER NOT NULL, -- when it went, if it has
	gone       INTEGER NOT NULL, -- 0: it is there
	replay     INTEGER NOT NULL, -- the replay that it came in
	acked      INTEGER NOT NULL, -- 0: it is not acknowledged
	reason     TEXT NOT NULL,
	changed    INTEGER NOT NULL DEFAULT 0, -- the number of the change that it had last
	episode    INTEGER NOT NULL DEFAULT 1, -- how often it came
	status     INTEGER AS (CASE WHEN gone > 0 THEN 2 WHEN acked <> 0 THEN 1 ELSE 0 END) -- 0: open
);
CREATE INDEX findings_by_change ON findings (changed);
CREATE INDEX findings_by_status ON findings (status);
CREATE INDEX findings_by_class ON findings (class, status);
CREATE INDEX findings_by_kind ON findings (kind, status);
CREATE INDEX findings_by_repository ON findings (repository, status);
CREATE INDEX findings_there ON findings (kind, repository) WHERE gone = 0;

-- How many findings there are. Rows may have the count 0.
CREATE TABLE finding_counts (
	repository BLOB NOT NULL,    -- empty: about none
	kind       TEXT NOT NULL,
	class      TEXT NOT NULL,
	status     INTEGER NOT NULL,
	count      INTEGER NOT NULL,
	PRIMARY KEY (repository, kind, status)
) WITHOUT ROWID;
CREATE TABLE finding_totals (
	kind   TEXT NOT NULL,
	class  TEXT NOT NULL,
	status INTEGER NOT NULL,
	count  INTEGER NOT NULL,
	PRIMARY KEY (kind, status)
) WITHOUT ROWID;

CREATE TABLE suppressed (
	kind       TEXT NOT NULL,
	repository BLOB NOT NULL,
	count      INTEGER NOT NULL,
	PRIMARY KEY (kind, repository)
) WITHOUT ROWID;
`

// triggers keep what follows from a finding, whichever process writes that: its number among
// the changes, and the counts. That a finding is in doubt (gone is -1) is not a change.
var triggers = []string{`
CREATE TRIGGER finding_comes AFTER INSERT ON findings BEGIN
	UPDATE findings SET changed = (SELECT max(changed) + 1 FROM findings) WHERE number = new.number;` + counted("new", "1") + `
END`, `
CREATE TRIGGER finding_changes AFTER UPDATE OF gone, acked, reason ON findings
WHEN (old.gone > 0) <> (new.gone > 0) OR old.acked <> new.acked OR old.reason <> new.reason BEGIN
	UPDATE findings SET changed = (SELECT max(changed) + 1 FROM findings), episode = old.episode + (old.gone > 0 AND new.gone <= 0)
		WHERE number = new.number;
END`, `
CREATE TRIGGER finding_counts_change AFTER UPDATE OF gone, acked ON findings
WHEN ` + statusOf("old") + ` <> ` + statusOf("new") + ` BEGIN` + counted("old", "-1") + counted("new", "1") + `
END`}

// statusOf is the column of a row that has none yet.
func statusOf(row string) string {
	return strings.NewReplacer("ROW", row).Replace("(CASE WHEN ROW.gone > 0 THEN 2 WHEN ROW.acked <> 0 THEN 1 ELSE 0 END)")
}

// counted are the statements of a trigger that add to the counts of a row's kind.
func counted(row, by string) string {
	return strings.NewReplacer("ROW", row, "STATUS", statusOf(row), "BY", by).Replace(`
	INSERT INTO finding_counts (repository, kind, class, status, count) VALUES (ROW.repository, ROW.kind, ROW.class, STATUS, BY) ON CONFLICT DO UPDATE SET count = count + BY;
	INSERT INTO finding_totals (kind, class, status, count) VALUES (ROW.kind, ROW.class, STATUS, BY) ON CONFLICT DO UPDATE SET count = count + BY;
	UPDATE activity SET findings = findings + BY WHERE STATUS = 0 AND repository = (SELECT repository FROM repositories WHERE id = ROW.repository);`)
}

// whole returns the schema as statements.
func whole() []string {
	var all []string
	for statement := range strings.SplitSeq(comment.ReplaceAllString(schema, ""), ";") {
		if strings.TrimSpace(statement) != "" {
			all = append(all, statement)
		}
	}
	return append(all, triggers...)
}

// fromVersion4 makes a state of version 4 one of the newest: hashes of target files are whole in
// their indexes.
func fromVersion4() string {
	statements := []string{"DROP INDEX targets_by_sha256", "DROP INDEX targets_by_sha512"}
	for _, statement := range whole() {
		if statement = spelled(statement); strings.HasPrefix(statement, "CREATE INDEX targets_by_sha") {
			statements = append(statements, statement)
		}
	}
	return strings.Join(statements, ";\n")
}

// fromVersion3 makes a state of version 3 one of the newest. It reads and writes all leaves.
func fromVersion3() string {
	statements := []string{
		"ALTER TABLE notes ADD COLUMN seen INTEGER NOT NULL DEFAULT 0",
		"ALTER TABLE leaves ADD COLUMN previous INTEGER",
		`UPDATE leaves SET previous = p.before FROM (
			SELECT leaf, lag(leaf) OVER (PARTITION BY repository ORDER BY leaf) AS before FROM leaves JOIN roles USING (role)) p
			WHERE leaves.leaf = p.leaf AND p.before IS NOT NULL`,
		"ALTER TABLE findings ADD COLUMN changed INTEGER NOT NULL DEFAULT 0",
		"ALTER TABLE findings ADD COLUMN episode INTEGER NOT NULL DEFAULT 1",
		"ALTER TABLE findings ADD COLUMN status INTEGER AS (CASE WHEN gone > 0 THEN 2 WHEN acked <> 0 THEN 1 ELSE 0 END)",
		"UPDATE findings SET changed = number",
		"DROP INDEX findings_of",
	}
	old := regexp.MustCompile(`^CREATE (TABLE|INDEX) (activity|activity_by_newest|activity_by_findings|notes_by_time|leaves_by_version|finding_counts|finding_totals|findings_by_\w+) `)
	for _, statement := range whole() {
		if statement = spelled(statement); old.MatchString(statement) {
			statements = append(statements, statement)
		}
	}
	statements = append(statements,
		"INSERT INTO finding_counts SELECT repository, kind, class, status, count(*) FROM findings GROUP BY repository, kind, status",
		"INSERT INTO finding_totals SELECT kind, class, status, count(*) FROM findings GROUP BY kind, status",
		`INSERT INTO activity SELECT p.repository, max(leaf), count(*), `+openFindings+`
			FROM leaves JOIN roles USING (role) JOIN repositories p USING (repository) GROUP BY p.repository`)
	return strings.Join(append(append(statements, triggers...), fromVersion4()), ";\n")
}

// openFindings is how many findings about a repository p are open.
const openFindings = "(SELECT coalesce(sum(count), 0) FROM finding_counts c WHERE c.repository = p.id AND c.status = 0)"

var comment = regexp.MustCompile(`--[^\n]*`)

// spelled returns a statement in one spelling, without comments.
func spelled(statement string) string {
	s := strings.Join(strings.Fields(comment.ReplaceAllString(statement, "")), " ")
	return strings.NewReplacer(" ,", ",", " )", ")", "( ", "(").Replace(s)
}

// complete returns an error if a table or an index is missing, or another than it should be:
// a statement that does not need it would not notice.
func (r *Reader) complete(ctx context.Context) error {
	have := map[string]bool{}
	err := r.each(ctx, "SELECT coalesce(sql, '') FROM sqlite_schema", nil, func(scan func(...any) error) error {
		var statement string
		err := scan(&statement)
		have[spelled(statement)] = true
		return err
	})
	if err != nil {
		return err
	}
	for _, statement := range whole() {
		if statement = spelled(statement); !have[statement] {
			what := strings.Join(strings.Fields(statement)[1:3], " ")
			return damaged("its %s is missing, or another", strings.ToLower(what))
		}
	}
	return nil
}
