package state_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Rows that wait are there for a reader, go with a rollback, and have their ends, whether
// these came before or after they were written.
func TestRowsThatWait(t *testing.T) {
	ctx := t.Context()
	db, err := state.Open(ctx, t.TempDir())
	must(t, err)
	defer db.Close()
	const releases, listed = 150, 40
	release := func(i int) {
		var targets []string
		for j := range listed {
			// Some change with each release, some with every 128th.
			content := i * (1 - j%2)
			if j%2 == 1 {
				content = i / 128
			}
			targets = append(targets, fmt.Sprintf(`"file %d": {"length": %d, "hashes": {"sha256": "%064x"}}`, j, content, j<<20+content))
		}
		m, err := tuf.ParseJSON(fmt.Appendf(nil, `{"signed": {"_type": "targets", "expires": "2030-01-01T00:00:00Z", "spec_version": "1.0.0", "version": %d, "targets": {%s}}, "signatures": []}`, i+1, strings.Join(targets, ", ")))
		must(t, err)
		l := &state.Leaf{Index: db.Size(), Verdict: state.Right, Leaf: leaf.Leaf{Kind: leaf.Release, Repository: sum(1), Role: "targets", Version: int64(i + 1),
			Payload: m.PayloadDigest, Metadata: m.FileDigest, Size: int64(len(m.File)), Encoding: tuf.JSON}}
		must(t, db.List(ctx, l, m))
		must(t, db.Append(ctx, l))
	}
	for i := range 50 {
		release(i)
	}
	must(t, db.Rollback(ctx))
	if n := rowsOf(t, db, "file 0"); db.Size() != 0 || n != 0 {
		t.Fatalf("after a rollback there are %d leaves, and %d rows", db.Size(), n)
	}
	for i := range releases {
		release(i)
		if i%60 == 59 {
			must(t, db.Commit(ctx))
		}
		if i%75 > 0 {
			continue
		}
		if n := rowsOf(t, db, "file 0"); n != i+1 {
			t.Fatalf("release %d: %d rows", i, n)
		}
	}
	must(t, db.Commit(ctx))
	ends := map[bool]int{}
	must(t, db.Files(ctx, state.Query{Path: "file 0"}, func(f state.File) error {
		if f.Last != f.First || f.Length != f.First {
			t.Errorf("%+v", f)
		}
		ends[f.Open]++
		return nil
	}))
	if ends[true] != 1 {
		t.Errorf("%d rows of one file are open", ends[true])
	}
	for path, want := range map[string]int{"file 0": releases, "file 8": releases, "file 1": 2, "file 9": 2} {
		if n := rowsOf(t, db, path); n != want {
			t.Errorf("%s: %d rows, want %d", path, n, want)
		}
	}
}

func rowsOf(t *testing.T, db *state.DB, path string) (n int) {
	t.Helper()
	must(t, db.Files(t.Context(), state.Query{Path: path}, func(state.File) error {
		n++
		return nil
	}))
	return n
}
