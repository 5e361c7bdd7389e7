package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/bench/process"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/log/api"
	"github.com/tuflog/tuflog/log/logdir"
	"github.com/tuflog/tuflog/proofs"
)

// moving is a log in a directory, with witnesses and an auditor, and servers to move
// it to.
type moving struct {
	*sharedWorld
	id     string
	vendor *testvendor.Vendor
	old    []acknowledged
	before proofs.Checkpoint // when it was moved

}

type acknowledged struct {
	files  []api.File
	result api.FileResult
}

func newMoving(t *testing.T) *moving {
	t.Helper()
	m := &moving{sharedWorld: newServers(t), vendor: newVendor(t)}
	m.serve(t, runtest.Must(t, "logserver", "init", "--dir", m.Path("log"), "--origin", "test.example/log", "--only", "ed25519"), "--open-registration")
	m.id = m.register(t, m.vendor)
	m.storage = "trillian://" + m.trillian.Target()
	return m
}

// grow has n more releases acknowledged, and returns the checkpoint afterwards.
func (m *moving) grow(t *testing.T, n int) proofs.Checkpoint {
	t.Helper()
	for range n {
		files := release(t, m.vendor, fmt.Sprintf("version %d", len(m.old)))
		res, err := m.client.Submit(withTimeout(t, process.Patience), m.id, files)
		if err != nil || !res.Done || len(res.Results) != 1 {
			t.Fatalf("submit: %+v, %v", res, err)
		}
		m.check(t, m.id, files, res.Results[0])
		m.old = append(m.old, acknowledged{files, res.Results[0]})
	}
	_, body := get(t, m.Log.URL+"/checkpoint")
	cp, err := m.Policy.OpenCheckpoint(body)
	if err != nil {
		t.Fatal(err)
	}
	return cp.Checkpoint
}

func (m *moving) migrate(t *testing.T) (stdout, stderr string, code int) {
	t.Helper()
	return runtest.Run(t, "logserver", "migrate", "--dir", m.Path("log"), "--storage", m.storage, "--state", m.state)
}

// serveMoved starts two front ends, one of them where the log was served before,
// and checks that nobody notices.
func (m *moving) serveMoved(t *testing.T) {
	t.Helper()
	m.Log.Args = append(m.Log.Args, "--storage", m.storage, "--state", m.state)
	m.Log.Start(t)
	m.fronts = []*runtest.Service{m.Log, m.addFront(t, "log2", true)}
	m.leads(t)
	for _, a := range m.old {
		m.check(t, m.id, a.files, a.result)
		_, proof := get(t, m.Log.URL+fmt.Sprintf("/v1/entries/%d/proof", a.result.Index))
		moved := a.result
		moved.Sidecar = string(proof)
		m.check(t, m.id, a.files, moved)
		// Sent again, they are where they were.
		res, err := m.client.Submit(withTimeout(t, process.Patience), m.id, a.files)
		if err != nil || res.Results[0].Index != a.result.Index {
			t.Errorf("the release at %d is %+v, %v", a.result.Index, res, err)
		}
	}
	after := m.grow(t, 2)
	if after.Tree.N != m.before.Tree.N+2 {
		t.Errorf("the log has %d entries after %d and two more", after.Tree.N, m.before.Tree.N)
	}
	proof, err := proofs.ConsistencyProof(t.Context(), m.before.Tree.N, after.Tree, httpTiles{t, m.fronts[1].URL})
	if err == nil {
		err = proofs.VerifyConsistency(m.before.Tree, after.Tree, proof)
	}
	if err != nil {
		t.Errorf("the log is not the one it was: %v", err)
	}
	m.same(t, m.id, after.Tree.N-1)
	for _, w := range m.Witnesses {
		if text := w.Said(); regexp.MustCompile(`(?i)fork|rollback|inconsistent|refus`).MatchString(text) {
			t.Errorf("a witness complains:\n%s", text)
		}
	}
	m.audit(t)
}

// audit replays the log with an auditor's state that lasts.
func (m *moving) audit(t *testing.T) {
	t.Helper()
	if stdout, stderr, code := runtest.Run(t, "auditor", "replay", "--log", m.Log.URL, "--policy", m.Path("policy"), "--state", m.Path("audit")); code != 0 {
		t.Errorf("the auditor: exit %d\n%s%s", code, stdout, stderr)
	}
}

// httpTiles reads tiles from a log server.
type httpTiles struct {
	t   *testing.T
	url string
}

func (h httpTiles) ReadTile(_ context.Context, level int, index int64, width int) ([]byte, error) {
	status, body := get(h.t, h.url+"/"+proofs.TileID{Level: level, Index: index, Width: width}.Path())
	if status != 200 {
		return nil, fmt.Errorf("status %d: %s", status, body)
	}
	return body, nil
}

// A log moves from its directory to servers, and witnesses, devices and auditors
// do not notice.
func TestMigrate(t *testing.T) {
	m := newMoving(t)
	m.grow(t, 5)
	m.audit(t)
	m.before = m.grow(t, 1)
	// The vendor's token and what is held of others move with the log.
	m.client.Token = runtest.Must(t, "logserver", "token", "add", "--dir", m.Path("log"), m.id)
	other, err := m.vendor.Clone()
	if err != nil {
		t.Fatal(err)
	}
	for range 9 {
		release(t, other, "draft")
	}
	m.outsider(t, m.Log.URL, m.id, files(other))
	held := m.held(t)
	if _, stderr, code := m.migrate(t); code != 2 || !strings.Contains(stderr, "in use by logserver serve (process ") {
		t.Errorf("migrate a log that is served: exit %d\n%s", code, stderr)
	}
	m.Log.Stop(t)
	ledger, err := os.ReadFile(m.Path("log.ledger/ledger"))
	if err != nil {
		t.Fatal(err)
	}
	published, err := os.ReadFile(m.Path("log/checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := m.migrate(t)
	found := regexp.MustCompile(`--storage (trillian://\S+/\d+) `).FindStringSubmatch(stdout)
	if code != 0 || found == nil || !strings.Contains(stdout, "7 entries") {
		t.Fatalf("migrate: exit %d\n%s%s", code, stdout, stderr)
	}
	for name, want := range map[string][]byte{"ledger": ledger, "checkpoint": published} {
		column := map[string]string{"ledger": "record", "checkpoint": "note"}[name]
		got, err := m.postgres.Exec(t.Context(), "tuflog", "SELECT encode("+column+", 'escape') FROM "+name)
		if plain := strings.ReplaceAll(strings.TrimSpace(string(want)), "—", `\342\200\224`); err != nil || strings.TrimSpace(got) != plain {
			t.Errorf("%s: %q, %v; want %q", name, got, err, plain)
		}
	}

	// Again, with and without the tree: nothing changes.
	for _, storage := range []string{m.storage, found[1]} {
		m.storage = storage
		if stdout, stderr, code := m.migrate(t); code != 0 || !strings.Contains(stdout, "moved there already") {
			t.Errorf("migrate again: exit %d\n%s%s", code, stdout, stderr)
		}
	}
	// A database that does not know that the log had arrived is an old copy.
	m.sql(t, "UPDATE log SET storage = storage || ' (not all of it)'")
	if _, stderr, code := m.migrate(t); code != 2 || !strings.Contains(stderr, "restored from an old copy") {
		t.Errorf("migrate with an old copy: exit %d\n%s", code, stderr)
	}
	m.sql(t, "UPDATE log SET storage = replace(storage, ' (not all of it)', '')")
	m.refusedAfter(t)
	m.serveMoved(t)
	if moved := m.held(t, "--storage", m.storage, "--state", m.state); len(moved) != 1 || moved[0] != held[0] {
		t.Errorf("held are %+v, want %+v", moved, held)
	}
	m.outsider(t, m.fronts[1].URL, m.id, files(other))
	for _, s := range m.fronts {
		s.End(t, syscall.SIGTERM)
	}
	if stdout, stderr, code := m.tool(t, "fsck", "--judge"); code != 0 {
		t.Errorf("fsck: exit %d\n%s%s", code, stdout, stderr)
	}
	if stdout, _, code := m.migrate(t); code != 0 || !strings.Contains(stdout, "moved there already") {
		t.Errorf("migrate once more: exit %d\n%s", code, stdout)
	}
}

// refusedAfter checks that nothing writes the log in its old directory.
func (m *moving) refusedAfter(t *testing.T) {
	t.Helper()
	dir, policy := m.Path("log"), m.Path("policy")
	for _, args := range [][]string{
		{"serve", "--dir", dir, "--policy", policy, "--listen", "127.0.0.1:0"},
		{"freeze", "--dir", dir, "--policy", policy, "--i-know"},
		{"resume", "--dir", dir, "--i-know", "ledger-lost"},
		{"resume", "--dir", dir, "--i-know", "ledger-behind"},
		// Another ledger does not help.
		{"resume", "--dir", dir, "--ledger", m.Path("ledger2"), "--i-know", "ledger-lost"},
	} {
		_, stderr, code := runtest.Run(t, "logserver", args...)
		if code != 2 || !strings.Contains(stderr, `was moved on `) || !strings.Contains(stderr, `PostgreSQL database "tuflog"`) {
			t.Errorf("%v: exit %d\n%s", args, code, stderr)
		}
	}
	stdout, stderr, code := runtest.Run(t, "logserver", "status", "--dir", dir)
	if code != 1 || !strings.Contains(stdout, "(moved)") || !strings.Contains(stdout, "must never be written here again") {
		t.Errorf("status: exit %d\n%s%s", code, stdout, stderr)
	}
}

// Wherever it is broken off, migrate goes on when it is run again; until the old
// ledger is retired the log can be served, and grow, where it was; after that
// nothing can sign before all of it has arrived.
func TestMigrateInterrupted(t *testing.T) {
	m := newMoving(t)
	m.before = m.grow(t, 3)
	m.audit(t)
	m.Log.Stop(t)
	interrupted := errors.New("interrupted by the test")
	for _, stage := range []string{"begun", "entries copied", "copied", "verified", "retired", "handed over"} {
		flags := &migrateFlags{place: place{dir: m.Path("log")}, shared: shared{storageURL: m.storage, stateURL: m.state}}
		reached := false
		flags.after = func(s string) error {
			reached = reached || s == stage
			if s == stage {
				return interrupted
			}
			return nil
		}
		var stderr bytes.Buffer
		if _, err := migrate(t.Context(), flags, &stderr); !errors.Is(err, interrupted) || !reached {
			t.Fatalf("broken off after %q: %v\n%s", stage, err, stderr.String())
		}
		m.standsStill(t, stage)
	}
	if stdout, stderr, code := m.migrate(t); code != 0 || !strings.Contains(stdout, "moved there already") {
		t.Errorf("migrate: exit %d\n%s%s", code, stdout, stderr)
	}
	tree, err := m.postgres.Exec(t.Context(), "tuflog", "SELECT storage FROM log")
	if err != nil {
		t.Fatal(err)
	}
	m.storage += "/" + strings.TrimPrefix(strings.TrimSpace(tree), "trillian tree ")
	if actions, err := m.postgres.Exec(t.Context(), "tuflog", "SELECT action FROM actions"); err != nil || strings.Count(actions, "migrate") != 1 {
		t.Errorf("actions: %s, %v", actions, err)
	}
	m.serveMoved(t)
}

// standsStill checks who can write the log after a stage.
func (m *moving) standsStill(t *testing.T, stage string) {
	t.Helper()
	tree, err := m.postgres.Exec(t.Context(), "tuflog", "SELECT storage FROM log")
	if err != nil {
		t.Fatal(err)
	}
	number := regexp.MustCompile(`\d+`).FindString(tree)
	serve := []string{"serve", "--dir", m.Path("log"), "--policy", m.Path("policy"), "--listen", "127.0.0.1:0", "--storage", m.storage + "/" + number, "--state", m.state}
	handedOver := stage == "handed over"
	if !handedOver {
		if _, stderr, code := runtest.Run(t, "logserver", serve...); code != 2 || !strings.Contains(stderr, "logserver migrate --dir "+m.Path("log")) || !strings.Contains(stderr, " completes it") {
			t.Errorf("after %q a front end serves: exit %d\n%s", stage, code, stderr)
		}
	}
	if stage == "retired" || handedOver {
		m.refusedAfter(t)
		return
	}
	m.Log.Start(t)
	m.before = m.grow(t, 1)
	m.Log.Stop(t)
}

// Killed at any time, it goes on all the same.
func TestMigrateKilled(t *testing.T) {
	m := newMoving(t)
	m.before = m.grow(t, 3)
	m.audit(t)
	m.Log.Stop(t)
	for _, line := range []string{"begun", "entries copied", "copied", "verified", "retired"} {
		s := &runtest.Service{Name: "logserver", Args: []string{"migrate", "--dir", m.Path("log"), "--storage", m.storage, "--state", m.state}}
		if !s.KillAt(t, line) {
			t.Logf("it ended before it was killed at %q:\n%s", line, s.Said())
		}
	}
	stdout, stderr, code := m.migrate(t)
	if code != 0 {
		t.Fatalf("migrate: exit %d\n%s%s", code, stdout, stderr)
	}
	tree, err := m.postgres.Exec(t.Context(), "tuflog", "SELECT storage FROM log")
	if err != nil {
		t.Fatal(err)
	}
	m.storage += "/" + regexp.MustCompile(`\d+`).FindString(tree)
	m.serveMoved(t)
}

// Servers that hold something else are refused, and the log stays where it is.
func TestMigrateRefuses(t *testing.T) {
	m := newMoving(t)
	m.before = m.grow(t, 1)
	m.Log.Stop(t)
	target := m.storage
	refused := func(want, storage, state string) {
		t.Helper()
		_, stderr, code := runtest.Run(t, "logserver", "migrate", "--dir", m.Path("log"), "--storage", storage, "--state", state)
		if code != 2 || !strings.Contains(stderr, want) {
			t.Errorf("exit %d, want %q\n%s", code, want, stderr)
		}
		if err := logdir.ReadMoved(m.Path("log.ledger")); err != nil {
			t.Errorf("%s: %v", want, err)
		}
	}
	refused("trillian2", target, m.postgres.URL("trillian2")) // no such database
	refused("want trillian://", "http://example", m.state)
	refused("not available", "trillian://127.0.0.1:1/77", m.state)

	// Another log, in another database, is there already.
	if err := m.postgres.CreateDatabase(t.Context(), "other"); err != nil {
		t.Fatal(err)
	}
	runtest.Must(t, "logserver", "init", "--dir", m.Path("other"), "--origin", "other.example/log", "--storage", target, "--state", m.postgres.URL("other"))
	refused(`has log "other.example/log"`, target, m.postgres.URL("other"))
	if err := m.postgres.CreateDatabase(t.Context(), "same"); err != nil {
		t.Fatal(err)
	}
	runtest.Must(t, "logserver", "init", "--dir", m.Path("same"), "--origin", "test.example/log", "--storage", target, "--state", m.postgres.URL("same"))
	refused("from elsewhere", target, m.postgres.URL("same"))

	// A damaged log is not moved.
	entries := m.Path("log/tree/tile/entries/000.p/2")
	before, err := os.ReadFile(entries)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(entries, bytes.Replace(before, []byte("version 1"), []byte("version 3"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	refused("entry 0 is not the one", target, m.state)
	if err := os.WriteFile(entries, before, 0o600); err != nil {
		t.Fatal(err)
	}

	// Entries that nobody has judged are not moved.
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.CopyFS(m.Path("tree.before"), os.DirFS(m.Path("log/tree"))))
	invent(t, m.Path("log/tree"), m.id)
	refused("were not judged", target, m.state)
	check(os.RemoveAll(m.Path("log/tree")))
	check(os.Rename(m.Path("tree.before"), m.Path("log/tree")))

	// It is moved to one place, for ever.
	m.storage = target
	if stdout, stderr, code := m.migrate(t); code != 0 {
		t.Fatalf("migrate: exit %d\n%s%s", code, stdout, stderr)
	}
	if err := m.postgres.CreateDatabase(t.Context(), "empty"); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{m.postgres.URL("empty"), m.postgres.URL("same")} {
		_, stderr, code := runtest.Run(t, "logserver", "migrate", "--dir", m.Path("log"), "--storage", target, "--state", state)
		if code != 2 || !strings.Contains(stderr, "which is not this database") {
			t.Errorf("to another place: exit %d\n%s", code, stderr)
		}
	}
	names, err := filepath.Glob(m.Path("log.ledger/*"))
	if err != nil || !slices.ContainsFunc(names, func(n string) bool { return filepath.Base(n) == "ledger.migrated" }) {
		t.Errorf("the ledger's directory has %v, %v", names, err)
	}
}
