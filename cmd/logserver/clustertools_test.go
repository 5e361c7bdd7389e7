package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/serverlog"
)

// sql runs a statement in the log's database.
func (w *sharedWorld) sql(t *testing.T, statement string) {
	t.Helper()
	if out, err := w.postgres.Exec(t.Context(), "tuflog", statement); err != nil {
		t.Fatalf("%s: %v\n%s", statement, err, out)
	}
}

// tool runs a command on the shared log.
func (w *sharedWorld) tool(t *testing.T, name string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return runtest.Run(t, "logserver", append([]string{name, "--dir", w.Path("log"), "--storage", w.storage, "--state", w.state}, args...)...)
}

func (w *sharedWorld) stop(t *testing.T, code int) {
	t.Helper()
	for _, s := range w.fronts {
		if got := s.End(t, syscall.SIGTERM); got != code {
			t.Errorf("a front end: exit %d, want %d", got, code)
		}
	}
}

func (w *sharedWorld) statusOf(t *testing.T, code int) (st status) {
	t.Helper()
	stdout, stderr, got := w.tool(t, "status", "--json")
	if got != code {
		t.Errorf("status: exit %d, want %d\n%s%s", got, code, stdout, stderr)
	}
	return statusIn(t, stdout)
}

func statusIn(t *testing.T, stdout string) (st status) {
	t.Helper()
	if err := json.Unmarshal([]byte(stdout), &st); err != nil {
		t.Fatalf("status: %v\n%s", err, stdout)
	}
	return st
}

// A log on servers is looked at, checked, brought forward and ended like one in a
// directory.
func TestFrontEndTools(t *testing.T) {
	t.Parallel()
	w := newSharedWorld(t)
	leader, _ := w.leads(t)
	v := newVendor(t)
	id := w.registerAt(t, leader, v)
	w.submitAt(t, leader, id, v, "1")
	w.toolsWhileServed(t, leader)
	w.statusInTrouble(t)
	w.sql(t, "CREATE TABLE saved AS SELECT record FROM ledger")
	w.submitAt(t, leader, id, v, "2")
	w.stop(t, 0)
	if st := w.statusOf(t, 0); st.Served || st.Leader != "" {
		t.Errorf("status of a log that is not served: %+v", st)
	}
	w.ledgerIsOld(t, id)
	w.ledgerAndCopyAreLost(t)
	w.rowsAreLost(t)
	w.copyIsDamaged(t)
	w.ends(t)
	w.hasEnded(t, id, v)
}

// toolsWhileServed looks at a log of two entries that is served. Only what changes nothing is
// done to it.
func (w *sharedWorld) toolsWhileServed(t *testing.T, leader *runtest.Service) {
	t.Helper()
	st := w.statusOf(t, 0)
	if st.Leader != leader.URL || !st.Served || st.Published.Size != 2 || st.Ledger.Size != 2 || st.Storage.Size != 2 || st.Storage.Root != st.Published.Root || st.Epoch == 0 || *st.Trillian != *st.Storage {
		t.Errorf("status: %+v", st)
	}
	if stdout, stderr, code := w.tool(t, "fsck", "--judge"); code != 0 {
		t.Errorf("fsck of a log that is served: exit %d\n%s%s", code, stdout, stderr)
	}
	if _, stderr, code := w.tool(t, "freeze", "--policy", w.Path("policy"), "--i-know"); code != 2 || !strings.Contains(stderr, leader.URL) {
		t.Errorf("freeze of a log that is served: exit %d\n%s", code, stderr)
	}
	if err := w.postgres.CreateDatabase(t.Context(), "another"); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := runtest.Run(t, "logserver", "init", "--dir", w.Path("another"), "--origin", "another.example/log", "--storage", w.storage, "--state", w.postgres.URL("another")); code != 2 || !strings.Contains(stderr, "has 2 entries already") {
		t.Errorf("init over another log's tree: exit %d\n%s", code, stderr)
	}
}

// ledgerIsOld brings a ledger of an older date forward. Until then nobody leads, and everybody
// serves.
func (w *sharedWorld) ledgerIsOld(t *testing.T, id string) {
	t.Helper()
	w.sql(t, "UPDATE ledger SET record = (SELECT record FROM saved)")
	if st := w.statusOf(t, 1); st.Code != "ledger-behind" {
		t.Errorf("status with an old ledger: %+v", st)
	}
	for _, s := range w.fronts {
		s.Start(t)
		runtest.Eventually(t, "/readyz says why nobody leads", func() bool {
			status, body := get(t, s.URL+"/readyz")
			return status == 503 && bytes.Contains(body, []byte("restored from an old copy"))
		})
	}
	w.same(t, id, 2)
	w.stop(t, 2)
	stdout, stderr, code := w.tool(t, "resume", "--i-know", "ledger-behind")
	if code != 0 || !strings.Contains(stdout, "size 3") {
		t.Errorf("resume: exit %d\n%s%s", code, stdout, stderr)
	}
	w.statusOf(t, 0)
	if _, stderr, code := w.tool(t, "resume", "--i-know", "ledger-lost"); code != 2 || !strings.Contains(stderr, "has a ledger, of size 3") {
		t.Errorf("resume of a ledger that is there: exit %d\n%s", code, stderr)
	}
}

// ledgerAndCopyAreLost makes the ledger and the copy of the entries anew, as in a database of
// which not all came back.
func (w *sharedWorld) ledgerAndCopyAreLost(t *testing.T) {
	t.Helper()
	w.sql(t, "DELETE FROM ledger")
	if st := w.statusOf(t, 1); st.Code != maintain.HaltLedgerLost {
		t.Errorf("status without a ledger: %+v", st)
	}
	if stdout, stderr, code := w.tool(t, "resume", "--i-know", "ledger-lost"); code != 0 || !strings.Contains(stdout, "size 3") {
		t.Errorf("resume without a ledger: exit %d\n%s%s", code, stdout, stderr)
	}
	w.sql(t, "DELETE FROM copied; DROP SCHEMA state CASCADE")
	if st := w.statusOf(t, 1); st.Code != log.HaltStorageDamaged {
		t.Errorf("status without a copy: %+v", st)
	}
	if stdout, stderr, code := w.tool(t, "reindex", "--tiles"); code != 0 || !strings.Contains(stdout, "3 entries indexed") {
		t.Errorf("reindex without a copy: exit %d\n%s%s", code, stdout, stderr)
	}
	w.statusOf(t, 0)
}

// copyIsDamaged finds and mends a copy that is not what Trillian holds.
func (w *sharedWorld) copyIsDamaged(t *testing.T) {
	t.Helper()
	w.sql(t, "UPDATE tiles SET data = set_byte(data, 5, get_byte(data, 5) # 1) WHERE level = 0 AND index = 0")
	if stdout, stderr, code := w.tool(t, "fsck"); code != 1 || !strings.Contains(stdout, "tile/0/000.p/3") {
		t.Errorf("fsck of a damaged copy: exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := w.tool(t, "reindex", "--tiles"); code != 0 || !strings.Contains(stdout, "3 entries indexed") {
		t.Errorf("reindex: exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := w.tool(t, "fsck", "--judge"); code != 0 {
		t.Errorf("fsck afterwards: exit %d\n%s%s", code, stdout, stderr)
	}
}

// ends ends the log, first without a quorum.
func (w *sharedWorld) ends(t *testing.T) {
	t.Helper()
	for _, witness := range w.Witnesses[:2] {
		witness.Stop(t)
	}
	if _, stderr, code := w.tool(t, "freeze", "--policy", w.Path("policy"), "--i-know"); code != 2 || !strings.Contains(stderr, "the log has ended, but a quorum does not have its end yet") {
		t.Errorf("freeze without a quorum: exit %d\n%s", code, stderr)
	}
	if st := w.statusOf(t, 0); !st.Ended || st.Ledger.Size != 4 || st.Published.Size != 3 {
		t.Errorf("status: %+v", st)
	}
	for _, witness := range w.Witnesses[:2] {
		witness.Start(t)
	}
	if stdout, stderr, code := w.tool(t, "freeze", "--policy", w.Path("policy"), "--i-know"); code != 0 || !strings.Contains(stdout, "the log has ended at size 4") {
		t.Errorf("freeze: exit %d\n%s%s", code, stdout, stderr)
	}
}

// hasEnded starts the front ends of a log that has ended: they serve, and take nothing.
func (w *sharedWorld) hasEnded(t *testing.T, id string, v *testvendor.Vendor) {
	t.Helper()
	for _, s := range w.fronts {
		s.Start(t)
	}
	w.leads(t)
	w.same(t, id, 2)
	if out := runtest.Must(t, "auditor", "replay", "--log", w.fronts[0].URL, "--policy", w.Path("policy")); !strings.Contains(out, "the log has ended") {
		t.Errorf("auditor: %s", out)
	}
	if stdout, stderr, code := w.tool(t, "fsck", "--judge"); code != 0 {
		t.Errorf("fsck of a log that has ended: exit %d\n%s%s", code, stdout, stderr)
	}
	for _, s := range w.fronts {
		_, err := w.clientOf(s).Submit(withTimeout(t, process.Patience), id, release(t, v, "3"))
		var problem *api.ProblemError
		if !errors.As(err, &problem) || problem.Code != api.CodeEnded {
			t.Errorf("a submission to a log that has ended: %v", err)
		}
		if status, body := get(t, s.URL+"/readyz"); status != 403 || !bytes.Contains(body, []byte(`"ended"`)) {
			t.Errorf("/readyz: %d %s", status, body)
		}
	}
	if out, err := w.postgres.Exec(t.Context(), "tuflog", "SELECT action FROM actions ORDER BY number"); err != nil || !strings.Contains(out, "ledger-behind") || !strings.Contains(out, "freeze") {
		t.Errorf("actions: %s, %v", out, fmt.Sprint(err))
	}
}

// rowsAreLost checks what is said of rows and tables that are lost, and what is wrong though
// the log goes on.
func (w *sharedWorld) rowsAreLost(t *testing.T) {
	t.Helper()
	w.sql(t, "CREATE TABLE kept AS SELECT * FROM log; DELETE FROM log")
	for _, name := range []string{"status", "fsck"} {
		if _, stderr, code := w.tool(t, name); code != 2 || !strings.Contains(stderr, "the row of its table log is lost") || !strings.Contains(stderr, "INSERT INTO log (") || strings.Contains(stderr, "makes a log") {
			t.Errorf("%s without the row of log: exit %d\n%s", name, code, stderr)
		}
	}
	w.sql(t, "INSERT INTO log SELECT * FROM kept; DROP TABLE kept")
	w.sql(t, "ALTER TABLE front_ends RENAME TO away; ALTER TABLE tokens RENAME TO gone; DELETE FROM token_changes")
	if st := w.statusOf(t, 1); len(st.Faults) != 2 || st.What != "" || !strings.Contains(st.Faults[0].What, "the tokens of repositories cannot be read") || !strings.Contains(st.Faults[1].What, "The one that leads goes on") {
		t.Errorf("status without tables: %+v", st)
	}
	w.sql(t, "ALTER TABLE away RENAME TO front_ends; ALTER TABLE gone RENAME TO tokens")
	runtest.Eventually(t, "status names a front end that cannot keep what it serves", func() bool {
		w.sql(t, "DELETE FROM front_ends; INSERT INTO front_ends VALUES ('x', 'http://x', 'v', true, 'its directory is full', 0, '', 0, clock_timestamp())")
		stdout, _, code := w.tool(t, "status")
		return code == 1 && strings.Contains(stdout, "the front end at http://x says: its directory is full")
	})
	w.sql(t, "DELETE FROM front_ends")
	if err := os.Remove(w.Path("log/witnesses.json")); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := w.tool(t, "status"); code != 0 || !strings.Contains(stdout, "none is known here") {
		t.Errorf("status: exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, stderr, code := w.tool(t, "status", "--policy", w.Path("policy"), "--json"); code != 0 || len(statusIn(t, stdout).Witnesses) != 3 {
		t.Errorf("status with a policy: exit %d\n%s%s", code, stdout, stderr)
	}
}

// A front end that has stopped looks again, goes on when what has stopped it was put
// right, and records it.
func TestStoppedFrontEndLooksAgain(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for a minute")
	}
	w := newSharedWorld(t)
	leader, follower := w.leads(t)
	v := newVendor(t)
	id := w.registerAt(t, leader, v)
	w.sql(t, "CREATE TABLE older AS SELECT record FROM ledger")
	w.submitAt(t, leader, id, v, "1")
	w.stop(t, 0)
	w.sql(t, "CREATE TABLE newest AS SELECT record FROM ledger")
	w.sql(t, "UPDATE ledger SET record = (SELECT record FROM older)")
	for _, s := range w.fronts {
		s.Start(t)
	}
	says := func(s *runtest.Service) string {
		_, body := get(t, s.URL+"/readyz")
		return string(body)
	}
	for _, s := range w.fronts {
		runtest.Eventually(t, "it stops", func() bool { return strings.Contains(says(s), "restored from an old copy") })
	}
	w.sql(t, "UPDATE ledger SET record = (SELECT record FROM newest)")
	// One leads, and the other goes on because of that.
	for began := time.Now(); strings.Contains(says(leader), "old copy") || strings.Contains(says(follower), "old copy"); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("they do not go on: %s\n%s", says(leader), says(follower))
		}
	}
	w.submitAt(t, leader, id, v, "2")
	runtest.Eventually(t, "it is recorded", func() bool {
		out, err := w.postgres.Exec(t.Context(), "tuflog", "SELECT action FROM actions")
		return err == nil && strings.Contains(out, "went-on") && strings.Count(out, "after ledger-behind") == 2
	})
}

// statusInTrouble checks what status says while Trillian is away, and of a Trillian
// that has less than was copied from it.
func (w *sharedWorld) statusInTrouble(t *testing.T) {
	t.Helper()
	w.trillian.KillServer()
	if st := w.statusOf(t, 1); st.Code != maintain.HaltTrillianAway || st.Trillian != nil || st.Storage.Size != 2 || !st.Served {
		t.Errorf("status without Trillian: %+v", st)
	}
	if _, stderr, code := w.tool(t, "fsck"); code != 2 {
		t.Errorf("fsck without Trillian: exit %d\n%s", code, stderr)
	}
	if err := w.trillian.RestartServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	frozen := func(state string) {
		t.Helper()
		if _, err := w.entries.Exec(t.Context(), "trillian", "UPDATE Trees SET TreeState = '"+state+"'"); err != nil {
			t.Fatal(err)
		}
	}
	frozen("FROZEN")
	if st := w.statusOf(t, 1); st.Code != maintain.HaltTreeFrozen || !strings.Contains(st.What, "FROZEN") {
		t.Errorf("status with a frozen tree: %+v", st)
	}
	frozen("ACTIVE")
	whole := w.storage
	storage, err := serverlog.MakeTree(t.Context(), "trillian://"+w.trillian.Target())
	if err != nil {
		t.Fatal(err)
	}
	w.sql(t, "CREATE TABLE storage_was AS SELECT storage FROM log")
	w.sql(t, fmt.Sprintf("UPDATE log SET storage = 'trillian tree %s'", path.Base(storage)))
	w.storage = storage
	if st := w.statusOf(t, 1); st.Code != log.HaltStorageBehind || st.Trillian.Size != 0 || !strings.Contains(st.Do, "logserver reindex --dir ") || !strings.Contains(st.Do, " --tiles makes") && !strings.Contains(st.Do, " --tiles drops") {
		t.Errorf("status with an empty Trillian: %+v", st)
	}
	if stdout, _, code := w.tool(t, "fsck"); code != 1 || !strings.Contains(stdout, "the copy has size 2, Trillian size 0") {
		t.Errorf("fsck with an empty Trillian: exit %d\n%s", code, stdout)
	}
	w.storage = whole
	w.sql(t, "UPDATE log SET storage = (SELECT storage FROM storage_was)")
}
