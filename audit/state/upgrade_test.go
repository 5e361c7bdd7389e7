package state_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/sqlitefile"
)

// toVersion4 takes away what version 5 changed.
const toVersion4 = `
DROP INDEX targets_by_sha256; DROP INDEX targets_by_sha512;
CREATE INDEX targets_by_sha256 ON targets (substr(sha256, 1, 8)) WHERE sha256 IS NOT NULL;
CREATE INDEX targets_by_sha512 ON targets (substr(sha512, 1, 8)) WHERE sha512 IS NOT NULL;
PRAGMA user_version = 4;`

// toVersion3 takes away what version 4 added, too.
const toVersion3 = toVersion4 + `
DROP TRIGGER finding_comes; DROP TRIGGER finding_changes; DROP TRIGGER finding_counts_change;
DROP TABLE activity; DROP TABLE finding_counts; DROP TABLE finding_totals;
DROP INDEX notes_by_time; ALTER TABLE notes DROP COLUMN seen;
DROP INDEX leaves_by_version; ALTER TABLE leaves DROP COLUMN previous;
DROP INDEX findings_by_change; DROP INDEX findings_by_status; DROP INDEX findings_by_class;
DROP INDEX findings_by_kind; DROP INDEX findings_by_repository;
ALTER TABLE findings DROP COLUMN status; ALTER TABLE findings DROP COLUMN changed; ALTER TABLE findings DROP COLUMN episode;
CREATE INDEX findings_of ON findings (repository);
PRAGMA user_version = 3`

// dump is all rows of all tables.
func dump(t *testing.T, dir string) string {
	t.Helper()
	db, err := sqlitefile.OpenChecked(filepath.Join(dir, state.FileName), state.Version)
	must(t, err)
	defer db.Close()
	var all []string
	for _, table := range column(t, db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name") {
		names := column(t, db, "SELECT name FROM pragma_table_xinfo('"+table+"') ORDER BY name")
		for _, row := range column(t, db, fmt.Sprintf("SELECT quote(%s) FROM %s", strings.Join(names, ") || ' ' || quote("), table)) {
			all = append(all, table+" "+row)
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

func column(t *testing.T, db *sql.DB, query string) (list []string) {
	t.Helper()
	rows, err := db.Query(query)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var s string
		must(t, rows.Scan(&s))
		list = append(list, s)
	}
	must(t, rows.Err())
	return list
}

// A state of version 3 or 4 is the same after it was upgraded, but for what it did not know.
func TestUpgrade(t *testing.T) {
	ctx := t.Context()
	dir := t.TempDir()
	full(t, dir)
	db, err := state.Open(ctx, dir)
	must(t, err)
	must(t, db.Exec(ctx, "UPDATE notes SET seen = 0; UPDATE findings SET changed = number"))
	must(t, db.Close())
	want := dump(t, dir)

	for old, to := range map[int]string{3: toVersion3, 4: toVersion4} {
		file, err := sqlitefile.OpenChecked(filepath.Join(dir, state.FileName), state.Version)
		must(t, err)
		_, err = file.Exec(to)
		must(t, errors.Join(err, file.Close()))
		if v, err := state.OpenView(ctx, dir); !errors.Is(err, state.ErrVersion) {
			t.Errorf("a view of version %d: %v, %v", old, v, err)
		}
		db := open(t, dir)
		if _, err := db.Check(ctx, nil); err != nil {
			t.Error(err)
		}
		if got := dump(t, dir); got != want {
			t.Errorf("of version %d it is\n%s\nwant\n%s", old, got, want)
		}
		must(t, db.Close())
	}
}
