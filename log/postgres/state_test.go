package postgres

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/statetest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

var _ log.State = (*State)(nil)

func TestState(t *testing.T) {
	url := newDatabase(t)
	db := open(t, url, 0)
	l := lead(t, db, "a")
	statetest.TestState(t, db.State(l), func() log.State { return open(t, url, 0).State(l) })
}

// releases makes n leaves of a number of roles, each of which lists files of which
// one is another each time.
func releases(from, n, roles, files int) []log.StateLeaf {
	var leaves []log.StateLeaf
	for i := from; i < from+n; i++ {
		repository := tuf.Sum(fmt.Append(nil, "repository", i%roles))
		version := i / roles
		l := log.StateLeaf{Record: admit.Record{Index: int64(i), Leaf: leaf.Leaf{
			Kind: leaf.Release, Repository: repository, Role: tuf.RoleTargets, Version: int64(version + 1), Size: 5000, Encoding: tuf.JSON,
			Payload: tuf.Sum(fmt.Append(nil, "payload", i)), Metadata: tuf.Sum(fmt.Append(nil, "metadata", i)), Snapshot: tuf.Sum(fmt.Append(nil, "snapshot", i)), Listed: leaf.ByHash,
		}}}
		for f := range files {
			when := version - (version-f+files)%files // the last version that changed it
			sum := tuf.Sum(fmt.Append(nil, i%roles, " ", f, " ", when))
			t := log.Target{Path: fmt.Sprintf("dir/file%03d.bin", f), SHA256: sum, Length: int64(when)}
			copy(t.SHA512[:], sum[:])
			copy(t.SHA512[32:], sum[:])
			l.Targets = append(l.Targets, t)
		}
		leaves = append(leaves, l)
	}
	return leaves
}

func grow(t testing.TB, edge *proofs.Edge, leaves []log.StateLeaf) *proofs.Edge {
	t.Helper()
	for _, l := range leaves {
		check(t, edge.Append(l.Leaf.Hash()))
	}
	return edge.Clone()
}

// However the leaves are cut into transactions, and whatever is remembered in
// between, the rows are the same; and Differences tells when they are not.
func TestDifferences(t *testing.T) {
	db := newLog(t)
	l := lead(t, db, "a")
	leaves := releases(0, 600, 3, 5)
	var edge proofs.Edge
	state := db.State(l)
	for from := 0; from < len(leaves); {
		to := min(from+1+from%97, len(leaves))
		statetest.Apply(t, state, grow(t, &edge, leaves[from:to]), leaves[from:to])
		if from%2 == 0 {
			state = db.State(l)
		}
		from = to
	}
	anew, err := db.Scratch(t.Context(), nil)
	check(t, err)
	statetest.Apply(t, anew, &edge, leaves)
	found, err := state.Differences(t.Context(), anew)
	if err != nil || len(found) != 0 {
		t.Fatalf("differences: %q, %v", found, err)
	}
	// Every leaf's files are found, by reading few rows.
	for _, leaf := range leaves {
		rec, files, ok, err := state.Files(t.Context(), leaf.Index, 100)
		if err != nil || !ok || rec != leaf.Record || fmt.Sprint(files) != fmt.Sprint(leaf.Targets) {
			t.Fatalf("files of leaf %d: %v, %v", leaf.Index, files, err)
		}
	}
	var most int
	check(t, db.pool.QueryRow(t.Context(), "SELECT max((SELECT count(*) FROM state.targets t WHERE t.role = l.role AND t.first BETWEEN b.base AND l.idx)) FROM state.leaves l JOIN state.bases b ON b.idx = l.idx").Scan(&most))
	if most > spare+2*5 {
		t.Errorf("%d rows are read for a leaf of 5 files", most)
	}
	for _, tt := range []struct{ text, want string }{
		{"UPDATE state.targets SET sha512 = NULL WHERE first = 9", "table targets"},
		{"UPDATE state.targets SET past = NULL WHERE first = 9", "table targets"},
		{"DELETE FROM state.targets WHERE first = 9", "missing in table targets"},
		{"UPDATE state.roles SET name = 'tergets' WHERE number = 2", "table roles"},
		{"UPDATE state.leaves SET version = 9 WHERE idx = 2", "table leaves"},
		{"UPDATE state.leaves SET contradicts = 9 WHERE idx = 2", "table leaves"},
	} {
		_, err := db.pool.Exec(t.Context(), tt.text)
		check(t, err)
		found, err := state.Differences(t.Context(), anew)
		if got := strings.Join(found, "; "); err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, %v", tt.text, got, err)
		}
	}
	// The rows are right, and an index does not have what it should.
	_, err = db.pool.Exec(t.Context(), `CREATE EXTENSION amcheck; SET allow_system_table_mods = on;
		UPDATE pg_index SET indisready = false WHERE indexrelid = 'state.targets_sha512'::regclass;
		INSERT INTO state.targets SELECT role, first, 99, past, path, length, sha256, sha512 FROM state.targets WHERE first = 4;
		UPDATE pg_index SET indisready = true WHERE indexrelid = 'state.targets_sha512'::regclass;
		RESET allow_system_table_mods`, pgx.QueryExecModeSimpleProtocol)
	check(t, err)
	found, err = state.Differences(t.Context(), anew)
	if got := strings.Join(found, "; "); err != nil || !strings.Contains(got, "index state.targets_sha512: ") || strings.Count(got, "state: index ") != 1 {
		t.Errorf("a damaged index: %q, %v", got, err)
	}
	refused(t, "replace without a lease", anew.Replace(t.Context()), ErrNotLeader, "")
	refused(t, "drop the state", state.Drop(t.Context()), nil, "not dropped")
	check(t, anew.Drop(t.Context()))

	// Made anew by the leader it takes the place of the damaged one, even where nothing is
	// left of that, and while others compare.
	_, err = db.pool.Exec(t.Context(), "DROP SCHEMA state CASCADE")
	check(t, err)
	anew, err = db.Scratch(t.Context(), l)
	check(t, err)
	beside, err := db.Scratch(t.Context(), nil)
	check(t, err)
	statetest.Apply(t, anew, &edge, leaves)
	statetest.Apply(t, beside, &edge, leaves)
	check(t, anew.Replace(t.Context()))
	check(t, beside.Drop(t.Context()))
	if rec, _, _, err := db.State(nil).Files(t.Context(), 2, 1); err != nil || rec != leaves[2].Record {
		t.Errorf("after making it anew: %v, %v", rec, err)
	}
	more := releases(600, 10, 3, 5)
	statetest.Apply(t, db.State(l), grow(t, &edge, more), more)
}

// A second state is made as the migrations have made the first one, and is gone once its
// maker is.
func TestScratch(t *testing.T) {
	db := newLog(t)
	anew, err := db.Scratch(t.Context(), nil)
	check(t, err)
	shape := func(schema string) (list []string) {
		rows, err := db.pool.Query(t.Context(), `SELECT c.relname || ' ' || coalesce(c.reloptions::text, '') || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
				FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
				WHERE c.relnamespace = $1::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
			UNION ALL SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE c.relnamespace = $1::regnamespace
			UNION ALL SELECT conname || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = $1::regnamespace
			ORDER BY 1`, schema)
		check(t, err)
		list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		check(t, err)
		for i := range list {
			list[i] = strings.ReplaceAll(list[i], schema+".", "")
		}
		return list
	}
	if want, got := shape("state"), shape(anew.schema); !slices.Equal(got, want) || len(want) < 40 {
		t.Errorf("a second state is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	anew.release(t.Context())                                      // as if its maker was killed
	_, err = db.pool.Exec(t.Context(), "CREATE SCHEMA state_anew") // a former version's
	check(t, err)
	left := func() (n int) {
		check(t, db.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_namespace WHERE starts_with(nspname, 'state_')").Scan(&n))
		return n
	}
	for try := 0; ; try++ { // the server notices after a moment
		other, err := db.Scratch(t.Context(), nil)
		check(t, err)
		n := left()
		check(t, other.Drop(t.Context()))
		if n == 1 {
			break
		}
		if try == 100 {
			t.Fatalf("%d second states are left", n)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Names and paths of any length, with any character.
func TestStrangeNames(t *testing.T) {
	db := newLog(t)
	state := db.State(lead(t, db, "a"))
	leaves := releases(0, 1, 1, 0)
	paths := []string{"", "\x00", strings.Repeat("long/", 20000), "ö' ; DROP"}
	for _, path := range paths {
		leaves[0].Targets = append(leaves[0].Targets, log.Target{Path: path, Length: -1})
	}
	leaves[0].Leaf.Role = "role \x00 " + strings.Repeat("x", 2000)
	var edge proofs.Edge
	check(t, edge.Append(proofs.LeafHash(nil)))
	statetest.Apply(t, state, &edge, leaves)
	for _, path := range paths {
		found, err := state.ListPath(t.Context(), path, 9)
		if err != nil || len(found) != 1 || found[0].Path != path || found[0].Leaf.Role != leaves[0].Leaf.Role {
			t.Errorf("path %.20q: %v, %v", path, len(found), err)
		}
	}
}
