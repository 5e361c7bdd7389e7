package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/log/postgres"
	"github.com/tuflog/tuflog/tuf"
)

// run migrates in this process. at is called when a stage is complete.
func (m *moving) run(t *testing.T, at func(stage string) error) (stderr string, err error) {
	t.Helper()
	flags := &migrateFlags{place: place{dir: m.Path("log")}, shared: shared{storageURL: m.storage, stateURL: m.state}, after: at}
	var text bytes.Buffer
	_, err = migrate(t.Context(), flags, &text)
	m.storage = flags.storageURL
	return text.String(), err
}

// withhold removes the file of an old release, as an operator may have to.
func (m *moving) withhold(t *testing.T, n int) {
	t.Helper()
	db, err := sql.Open("sqlite", m.Path("log/blobs.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	sum := tuf.Sum(m.old[n].files[0].Data)
	if done, err := db.Exec("DELETE FROM blobs WHERE sum = ?", sum[:]); err != nil {
		t.Fatal(err)
	} else if n, err := done.RowsAffected(); err != nil || n != 1 {
		t.Fatalf("%d files were removed, %v", n, err)
	}
}

// Damage on the way is found before anything is handed over, and a file that is withheld
// does not count as lost.
func TestMigrateVerifies(t *testing.T) {
	m := newMoving(t)
	m.before = m.grow(t, 4)
	m.audit(t)
	m.Log.Stop(t)
	m.withhold(t, 1)
	sum := tuf.Sum(m.old[0].files[0].Data)
	for _, tt := range []struct{ damage, repair, says string }{
		{
			fmt.Sprintf(`UPDATE blobs SET data = data || 'x' WHERE sum = '\x%v'`, sum),
			fmt.Sprintf(`UPDATE blobs SET data = substr(data, 1, length(data) - 1) WHERE sum = '\x%v'`, sum),
			"is damaged",
		},
		{
			fmt.Sprintf(`CREATE TABLE kept AS SELECT * FROM blobs WHERE sum = '\x%v'; DELETE FROM blobs WHERE sum = '\x%v'`, sum, sum),
			"INSERT INTO blobs SELECT * FROM kept",
			"its metadata: blob " + sum.String(),
		},
		{
			"UPDATE tiles SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE level = -1",
			"UPDATE tiles SET data = set_byte(data, 40, get_byte(data, 40) # 1) WHERE level = -1",
			"at size 5 the entries have root",
		},
	} {
		stderr, err := m.run(t, func(stage string) error {
			if stage == "copied" {
				m.sql(t, tt.damage)
			}
			return nil
		})
		if !strings.Contains(stderr, tt.says) || !strings.Contains(fmt.Sprint(err), "not what it should be") {
			t.Errorf("%q: %v\n%s", tt.says, err, stderr)
		}
		if err := logdir.ReadMoved(m.Path("log.ledger")); err != nil {
			t.Errorf("%q: the ledger is retired: %v", tt.says, err)
		}
		m.sql(t, tt.repair)
	}
	stderr, err := m.run(t, nil)
	if err != nil || !strings.Contains(stderr, "were not copied") || !strings.Contains(stderr, "files=1") {
		t.Fatalf("migrate without a file that is withheld: %v\n%s", err, stderr)
	}
	m.serveMoved(t) // its auditor has read the file before
	if stdout, stderr, code := runtest.Run(t, "auditor", "replay", "--log", m.Log.URL, "--policy", m.Path("policy")); code != 2 {
		t.Errorf("an auditor that cannot read all files: exit %d\n%s%s", code, stdout, stderr)
	}
}

// Another holder of the lease ends a migration: nothing is handed over, and later it goes
// on. A loss that has been noticed leaves the old ledger as it is.
func TestMigrateLosesLease(t *testing.T) {
	m := newMoving(t)
	m.before = m.grow(t, 2)
	m.audit(t)
	m.Log.Stop(t)
	for _, tt := range []struct {
		at      string
		retired bool
	}{{"entries copied", false}, {"verified", true}, {"retired", true}} {
		_, err := m.run(t, func(stage string) error {
			if stage == tt.at {
				m.sql(t, "UPDATE lease SET epoch = epoch + 1, holder = 'somebody else', expires = clock_timestamp() + interval '1 second'")
			}
			return nil
		})
		if !errors.Is(err, postgres.ErrNotLeader) && !errors.Is(err, context.Canceled) {
			t.Errorf("after %q: %v", tt.at, err)
		}
		var moved *logdir.MovedError
		// Between "verified" and the retiring it may have been noticed.
		if got := errors.As(logdir.ReadMoved(m.Path("log.ledger")), &moved); got != tt.retired && tt.at != "verified" || got && moved.Arrived {
			t.Errorf("after %q: the ledger is retired: %v", tt.at, got)
		}
	}
	if _, err := m.run(t, nil); err != nil {
		t.Fatal(err)
	}
	m.serveMoved(t)
}
