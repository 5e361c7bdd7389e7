package alert_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/alert"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/sqlitefile"
)

// followedOnce opens the state and the outbox in a folder, as a process does, and returns what is
// told after do has changed the state.
func followedOnce(t *testing.T, base string, do func(context.Context, *state.DB)) []alert.Event {
	t.Helper()
	ctx := t.Context()
	lines := filepath.Join(t.TempDir(), "lines")
	db, err := state.Open(ctx, filepath.Join(base, "state"))
	ok(t, err)
	d, err := alert.Open(ctx, filepath.Join(base, "a.sqlite"), alert.Config{To: map[string]alert.To{"file": {Type: "jsonl", Path: lines}}})
	ok(t, err)
	do(ctx, db)
	ok(t, d.Follow(ctx, "example", "log.example", db))
	ok(t, d.Flush(ctx))
	ok(t, errors.Join(d.Close(), db.Close()))
	b, err := os.ReadFile(lines)
	ok(t, err)
	return events(t, b)
}

// An outbox, or all of a monitor's directory, that was lost or restored from an older copy counts
// openings again. A receiver that keeps ids must not take one for another.
func TestRestored(t *testing.T) {
	opens := func(ctx context.Context, db *state.DB) { ok(t, find(ctx, db, 1)) }
	again := func(ctx context.Context, db *state.DB) { ok(t, errors.Join(lose(ctx, db, 1), find(ctx, db, 1))) }
	base := t.TempDir()
	openings := map[string]bool{} // that a receiver knows
	told := func(name, base string, do func(context.Context, *state.DB), want ...string) {
		t.Helper()
		list := followedOnce(t, base, do)
		if len(list) != len(want) {
			t.Fatalf("%s: told %+v", name, list)
		}
		for i, e := range list {
			switch {
			case string(e.Type) != want[i]:
				t.Errorf("%s: %+v, want %s", name, e, want[i])
			case e.Type == alert.Opened && openings[e.ID]:
				t.Errorf("%s: a receiver that keeps ids drops %s, episode %d", name, e.Finding.Kind, e.Episode)
			case e.Type == alert.Closed && !openings[e.Opening]:
				t.Errorf("%s: what closes was not told: %+v", name, e)
			}
			if e.Type == alert.Opened {
				openings[e.ID] = true
			}
		}
	}
	told("at first", base, opens, "finding.opened")
	backup := t.TempDir()
	ok(t, os.CopyFS(backup, os.DirFS(base)))
	told("it came back", base, again, "finding.closed", "finding.opened")

	restored := t.TempDir()
	ok(t, os.CopyFS(restored, os.DirFS(backup)))
	told("all was restored", restored, again, "finding.closed", "finding.opened")

	outbox, err := os.ReadFile(filepath.Join(backup, "a.sqlite"))
	ok(t, err)
	ok(t, os.WriteFile(filepath.Join(base, "a.sqlite"), outbox, 0o600))
	told("the outbox was restored", base, again, "finding.closed", "finding.opened")

	ok(t, os.Remove(filepath.Join(base, "a.sqlite")))
	told("the outbox was lost", base, func(context.Context, *state.DB) {}, "finding.opened")
	told("and it came back", base, again, "finding.closed", "finding.opened")
}

// An outbox of the version before has told openings under ids of another making: what closes names
// them.
func TestOutboxOfVersion1(t *testing.T) {
	base := t.TempDir()
	followedOnce(t, base, func(ctx context.Context, db *state.DB) { ok(t, find(ctx, db, 1)) })
	ok(t, sqlitefile.UpgradeChecked(filepath.Join(base, "a.sqlite"), 2, 1, "ALTER TABLE findings DROP COLUMN opening"))
	list := followedOnce(t, base, func(ctx context.Context, db *state.DB) { ok(t, lose(ctx, db, 1)) })
	if len(list) != 1 || list[0].Type != alert.Closed || list[0].Opening != alert.OpeningIDBefore("log.example", found(audit.FalseAdmission, "1", 1), 1) {
		t.Errorf("%+v", list)
	}
}
