package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/statetest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// newState makes a state of three leaves, the last two of which list a file each.
func newState(t *testing.T, path string) *sqlite.State {
	t.Helper()
	check(t, sqlite.CreateState(path))
	state, err := sqlite.OpenState(path)
	check(t, err)
	t.Cleanup(func() { check(t, state.Close()) })
	fill(t, state)
	return state
}

func fill(t *testing.T, state log.StateWriter) {
	t.Helper()
	var edge proofs.Edge
	var leaves []log.StateLeaf
	for i, role := range []string{tuf.RoleRoot, tuf.RoleTargets, tuf.RoleTargets} {
		l := log.StateLeaf{Record: admit.Record{Index: int64(i), Leaf: leaf.Leaf{
			Kind: leaf.Release, Repository: tuf.Sum([]byte("root")), Role: role, Version: int64(i + 1),
			Payload: tuf.Sum([]byte{byte(i)}), Metadata: tuf.Sum([]byte{byte(i), 1}), Size: 5, Encoding: tuf.JSON,
		}}}
		if role == tuf.RoleTargets {
			l.Targets = []log.Target{{Path: "app", SHA256: tuf.Sum([]byte{byte(i)}), SHA512: log.SHA512{63: byte(i)}, Length: 7}}
		}
		leaves = append(leaves, l)
		check(t, edge.Append(l.Leaf.Hash()))
	}
	statetest.Apply(t, state, &edge, leaves)
}

// build begins a state with the same leaves.
func build(t *testing.T, path string) *sqlite.Builder {
	t.Helper()
	b, err := sqlite.Build(path)
	check(t, err)
	fill(t, b)
	return b
}

// change opens the file of a state beside it and changes it.
func change(t *testing.T, path string, texts ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	check(t, err)
	db.SetMaxOpenConns(1)
	for _, text := range texts {
		_, err := db.Exec(text)
		check(t, err)
	}
	check(t, db.Close())
}

func TestDifferences(t *testing.T) {
	dir := t.TempDir()
	for i, tt := range []struct {
		change []string
		want   string
	}{
		{nil, ""},
		{[]string{"UPDATE targets SET sha512 = zeroblob(64) WHERE number = 1"}, "table targets"},
		{[]string{"UPDATE targets SET sha512 = NULL WHERE number = 2"}, "table targets"},
		{[]string{"UPDATE targets SET sha256 = zeroblob(32) WHERE number = 2"}, "table targets"},
		{[]string{"UPDATE targets SET path = 'ape' WHERE number = 1"}, "table targets"},
		{[]string{"UPDATE targets SET length = 8 WHERE number = 1"}, "table targets"},
		{[]string{"UPDATE targets SET past = NULL WHERE number = 1"}, "table targets"},
		{[]string{"DELETE FROM targets WHERE number = 1"}, "missing in table targets"},
		{[]string{"UPDATE roles SET name = 'tergets' WHERE name = 'targets'"}, "table roles"},
		{[]string{"UPDATE leaves SET version = 9 WHERE idx = 2"}, "table leaves"},
		// The rows are right, and an index does not have what it should.
		{[]string{
			"PRAGMA writable_schema = ON",
			"UPDATE sqlite_schema SET sql = replace(sql, '1, 8', '57, 8') WHERE name = 'targets_sha512'",
		}, "index targets_sha512"},
	} {
		path := filepath.Join(dir, "state"+string(rune('a'+i))+".db")
		state := newState(t, path)
		check(t, state.Close())
		change(t, path, tt.change...)
		state, err := sqlite.OpenState(path)
		check(t, err)
		found, err := state.Differences(t.Context(), build(t, path+".anew"))
		check(t, state.Close())
		if got := strings.Join(found, "; "); err != nil || (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%q: %q, %v; want %q", tt.change, got, err, tt.want)
		}
	}
}

func TestStateOfAnotherVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	check(t, sqlite.CreateState(path))
	change(t, path, "PRAGMA user_version = 3")
	if _, err := sqlite.OpenState(path); err == nil || !strings.Contains(err.Error(), "version 3, want 6: run logserver reindex") {
		t.Errorf("opened the state of an older version: %v", err)
	}
}
