package state_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/internal/sqlitefile"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// full makes a state with something in every table and index, and with pages that are
// free again.
func full(t *testing.T, dir string) {
	t.Helper()
	ctx := t.Context()
	db, err := state.Open(ctx, dir)
	must(t, err)
	for i := range 40 {
		repo := sum(i % 2)
		var targets []string
		for j := range 12 {
			if (i+j)%5 == 0 {
				continue
			}
			content := []byte(fmt.Sprint("file ", j, (i+j)/10))
			targets = append(targets, fmt.Sprintf(`"dir/file %d": {"length": %d, "hashes": {"sha256": "%v", "sha512": "%0128x"}}`, j, len(content), tuf.Sum(content), i+j))
		}
		m, err := tuf.ParseJSON(fmt.Appendf(nil, `{"signed": {"_type": "targets", "expires": "2030-01-01T00:00:00Z", "spec_version": "1.0.0", "version": %d, "targets": {%s},
			"delegations": {"keys": {"%064x": {"keytype": "ed25519", "scheme": "ed25519", "keyval": {"public": "%064x"}}}, "roles": [{"name": "a", "keyids": ["%064x"], "threshold": 1, "terminating": false, "paths": ["*"]}]}}, "signatures": []}`,
			i+1, strings.Join(targets, ", "), i/4, i/4, i/4))
		must(t, err)
		l := &state.Leaf{Index: db.Size(), Verdict: state.Right, Leaf: leaf.Leaf{Kind: leaf.Release, Repository: repo, Role: "targets", Version: int64(i + 1),
			Payload: m.PayloadDigest, Metadata: tuf.Sum(m.File), Size: int64(len(m.File)), Encoding: tuf.JSON}}
		must(t, db.List(ctx, l, m))
		must(t, db.Append(ctx, l))
		must(t, db.SetFact(ctx, repo, fmt.Sprint("fact ", i%9), bytes.Repeat([]byte{byte(i)}, 40)))
		must(t, db.PutFinding(ctx, state.Finding{Sum: sum(i % 30), Kind: "kind", Class: "class", Repository: repo, Leaf: l.Index, Body: []byte(`{"kind": "kind"}`)}, time.Unix(1000, 0)))
		must(t, db.Suppress(ctx, fmt.Sprint("kind ", i%5), repo))
	}
	fill(t, db, 300)
	for _, n := range []int64{30, 200, 300} {
		must(t, db.PutNote(ctx, note(t, treeOf(t, n)), n == 200, time.Unix(n, 0)))
	}
	must(t, db.SetVerified(ctx, note(t, db.Tree().Tree()).Marshal()))
	must(t, db.AddLost(ctx, state.LostTile{}))
	must(t, db.Commit(ctx))
	// What is forgotten leaves free pages.
	for i := range 400 {
		must(t, db.SetFact(ctx, sum(0), fmt.Sprint("long ", i), bytes.Repeat([]byte{byte(i)}, 60)))
	}
	must(t, db.Commit(ctx))
	for i := range 400 {
		must(t, db.RemoveFact(ctx, sum(0), fmt.Sprint("long ", i)))
	}
	must(t, db.FinishReplay(ctx, time.Unix(2000, 0)))
	must(t, db.Close())
}

// asked is all that a state answers, by each of its indexes.
func asked(t *testing.T, dir string) (string, error) {
	ctx := t.Context()
	db, err := state.Open(ctx, dir)
	if err != nil {
		return "", err
	}
	defer func() { _ = db.Close() }()
	var said []string
	var errs []error
	note := func(what string, err error) {
		said = append(said, what)
		errs = append(errs, err)
	}
	for j := range 12 {
		for i := range 6 {
			q := state.Query{SHA256: tuf.Sum([]byte(fmt.Sprint("file ", j, i)))}
			note("", db.Files(ctx, q, func(f state.File) error { note(fmt.Sprint(f), nil); return nil }))
		}
		q := state.Query{Path: fmt.Sprintf("dir/file %d", j)}
		note("", db.Files(ctx, q, func(f state.File) error { note(fmt.Sprint(f), nil); return nil }))
	}
	for i := range 52 {
		sha512 := make([]byte, 64)
		sha512[63] = byte(i)
		note("", db.Files(ctx, state.Query{SHA512: sha512}, func(f state.File) error { note(fmt.Sprint(f), nil); return nil }))
	}
	for i := range 10 {
		note("", db.KeyUses(ctx, fmt.Sprintf("%064x", i), tuf.KeyIdentity{}, func(k state.KeyUse) error { note(fmt.Sprint(k), nil); return nil }))
	}
	for i := range 2 {
		note("", db.Facts(ctx, sum(i), func(name string, value []byte) error { note(fmt.Sprint(name, value), nil); return nil }))
		note("", db.LeavesOf(ctx, sum(i), func(l state.Leaf) error { note(fmt.Sprint(l), nil); return nil }))
	}
	note("", db.Findings(ctx, true, func(f state.Finding) error { note(fmt.Sprint(f), nil); return nil }))
	note("", db.AllNotes(ctx, func(b []byte) error { note(string(b), nil); return nil }))
	for i := range int64(300) {
		l, _, err := db.Leaf(ctx, i)
		note(fmt.Sprint(l), err)
	}
	slices.Sort(said)
	return strings.Join(said, "\n"), errors.Join(errs...)
}

// freePages are the pages of a database that nobody reads, counted from 0: those that its
// list of free pages names. The pages of the list itself are read.
func freePages(t *testing.T, b []byte) map[int]bool {
	free := map[int]bool{}
	for trunk := binary.BigEndian.Uint32(b[32:]); trunk != 0; {
		page := b[(trunk-1)*4096:]
		for i := range binary.BigEndian.Uint32(page[4:]) {
			free[int(binary.BigEndian.Uint32(page[8+4*i:]))-1] = true
		}
		trunk = binary.BigEndian.Uint32(page)
	}
	if len(free) == 0 {
		t.Fatal("no free pages")
	}
	return free
}

// A bit that has flipped anywhere in a page that is in use is found by a check. Before
// that, who asks gets the same answer as ever, or learns that the state is damaged: no
// file, key, leaf or finding is missed, and none invented.
func TestFlippedBits(t *testing.T) {
	if testing.Short() {
		t.Skip("it opens a state, and asks it all, a hundred times; package sqlitefile has a short one")
	}
	dir := t.TempDir()
	full(t, dir)
	path := filepath.Join(dir, state.FileName)
	good, err := os.ReadFile(path)
	must(t, err)
	want, err := asked(t, dir)
	must(t, err)
	if n := strings.Count(want, "dir/file"); n < 100 {
		t.Fatalf("%d files", n)
	}
	free := freePages(t, good)
	refused := 0
	for page := range len(good) / 4096 {
		for try := range 2 {
			b := bytes.Clone(good)
			at := page*4096 + (page*1009+try*2011)%4096
			b[at] ^= 1 << ((page + try) % 8)
			must(t, os.WriteFile(path, b, 0o644))
			got, err := asked(t, dir)
			switch {
			case errors.Is(err, state.ErrDamaged):
				refused++
			case err != nil:
				t.Errorf("byte %d: %v", at, err)
			case got != want:
				t.Errorf("byte %d: another answer", at)
			}
			err = func() error {
				db, err := state.Open(t.Context(), dir)
				if err != nil {
					return err
				}
				defer func() { _ = db.Close() }()
				_, err = db.Check(t.Context(), nil)
				return err
			}()
			if free[page] && err != nil || !free[page] && !errors.Is(err, state.ErrDamaged) {
				t.Errorf("byte %d, in a page that is free: %t: %v", at, free[page], err)
			}
		}
	}
	t.Logf("%d pages, %d of them free; asked, damage was noticed %d times", len(good)/4096, len(free), refused)
}

// What has good checksums and is wrong all the same, as pages of different times would be,
// is found by what the tables say of each other.
func TestWrongRows(t *testing.T) {
	dir := t.TempDir()
	full(t, dir)
	path := filepath.Join(dir, state.FileName)
	good, err := os.ReadFile(path)
	must(t, err)
	for _, change := range []string{
		"UPDATE leaves SET payload = zeroblob(32) WHERE leaf = 70",
		"UPDATE leaves SET verdict = 77 WHERE leaf = 70",
		"UPDATE leaves SET role = NULL, kind = NULL WHERE leaf = 70",
		"UPDATE leaves SET verdict = 2 WHERE leaf = (SELECT min(first) FROM targets)",
		"DELETE FROM leaves WHERE leaf = 70",
		"DELETE FROM leaves WHERE leaf = 299",
		"DELETE FROM entries WHERE leaf = (SELECT min(leaf) FROM entries)",
		"INSERT INTO entries VALUES (0, x'00')",
		"UPDATE meta SET value = x'00' WHERE name = 'edge'",
		"UPDATE frontier SET hashes = zeroblob(length(hashes))",
		"DELETE FROM repositories WHERE repository = 1",
		"UPDATE repositories SET genesis = 70",
		"DELETE FROM roles WHERE role = 1",
		"UPDATE roles SET name = 'other' WHERE role = 1",
		"DELETE FROM targets WHERE role = 1 AND number = 3",
		"UPDATE targets SET role = 99 WHERE role = 1 AND number = 3",
		"UPDATE targets SET first = 1000, last = NULL WHERE role = 1 AND number = 3",
		"UPDATE targets SET first = first + 1 WHERE role = 1 AND number = 3",
		"UPDATE targets SET last = NULL",
		"UPDATE targets SET last = 1 - 2 WHERE role = 1 AND number = 3",
		"UPDATE targets SET evidence = 1 WHERE role = 1 AND number = 3",
		"DELETE FROM keys WHERE number = 0",
		"UPDATE keys SET last = NULL, id = 'x'",
		"UPDATE notes SET note = (SELECT note FROM notes WHERE size = 30)",
		"UPDATE notes SET size = size + 1",
		"UPDATE notes SET note = x'00'",
		"UPDATE findings SET repository = x'00'",
		"UPDATE activity SET newest = newest - 1 WHERE repository = 1",
		"UPDATE activity SET leaves = leaves + 1 WHERE repository = 1",
		"UPDATE activity SET findings = 7 WHERE repository = 1",
		"DELETE FROM activity WHERE repository = 1",
		"INSERT INTO activity VALUES (99, 0, 0, 0)",
		"UPDATE leaves SET previous = previous - 1 WHERE leaf = 200",
		"UPDATE leaves SET previous = NULL WHERE leaf = 200",
		"UPDATE finding_counts SET count = count + 1",
		"UPDATE finding_totals SET count = count - 1",
		"DELETE FROM finding_totals",
		"INSERT INTO finding_totals VALUES ('new', 'class', 0, 1)",
		"UPDATE findings SET changed = changed - 1 WHERE changed = 2",
		"DROP TRIGGER finding_changes",
		"DROP TABLE suppressed",
		"DROP INDEX keys_by_id",
		"ALTER TABLE lost RENAME COLUMN sum TO hash",
	} {
		must(t, os.WriteFile(path, good, 0o644))
		db, err := sqlitefile.OpenChecked(path, state.Version)
		must(t, err)
		_, err = db.ExecContext(t.Context(), change)
		must(t, errors.Join(err, db.Close()))
		checked, err := state.Open(t.Context(), dir)
		if err == nil {
			_, err = checked.Check(t.Context(), nil)
			must(t, checked.Close())
		}
		if !errors.Is(err, state.ErrDamaged) {
			t.Errorf("%s: %v", change, err)
		}
	}
}

// After a kill the state is that of a commit, also where the write-ahead log is damaged,
// and whether or not it had been copied into the database: or it is damaged, and says so.
func TestDamagedLog(t *testing.T) {
	if testing.Short() {
		t.Skip("it opens a state, and asks it all, a hundred times")
	}
	ctx := t.Context()
	dir, copied := t.TempDir(), t.TempDir()
	files := []string{state.FileName, state.FileName + "-wal"}
	read := func() (b [2][]byte) {
		for i, name := range files {
			var err error
			b[i], err = os.ReadFile(filepath.Join(dir, name))
			must(t, err)
		}
		return b
	}
	killed := func(b [2][]byte) (string, error) {
		for i, name := range files {
			must(t, os.WriteFile(filepath.Join(copied, name), b[i], 0o644))
		}
		_ = os.Remove(filepath.Join(copied, state.FileName+"-shm"))
		said, err := asked(t, copied)
		if err != nil {
			return said, err
		}
		db, err := state.Open(ctx, copied)
		if err != nil {
			return said, err
		}
		_, err = db.Check(ctx, nil)
		return said, errors.Join(err, db.Close())
	}

	full(t, dir)
	db, err := state.Open(ctx, dir)
	must(t, err)
	defer db.Close()
	was := map[string]bool{}
	remember := func() {
		said, err := killed(read())
		must(t, err)
		was[said] = true
	}
	remember()
	for i := range 4 {
		fill(t, db, 320+20*int64(i))
		must(t, db.SetVerdict(ctx, 50+60*int64(i), state.Wrong, 0)) // each in a page of its own
		must(t, db.SetFact(ctx, sum(0), "fact 1", []byte{byte(i)}))
		must(t, db.PutFinding(ctx, state.Finding{Sum: sum(500 + i), Kind: "kind", Class: "class", Leaf: -1, Body: []byte(`{}`)}, time.Unix(1000, 0)))
		must(t, db.SetVerified(ctx, newestNote(t, db)))
		must(t, db.Commit(ctx))
		remember()
	}
	for _, copiedBack := range []bool{false, true} {
		if copiedBack {
			other, err := sqlitefile.OpenChecked(filepath.Join(dir, state.FileName), state.Version)
			must(t, err)
			_, err = other.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)")
			must(t, errors.Join(err, other.Close()))
			remember()
		}
		good := read()
		refused, older := 0, 0
		for at := 5; at < len(good[1]); at += 1733 {
			b := [2][]byte{good[0], bytes.Clone(good[1])}
			b[1][at] ^= 1 << (at % 8)
			said, err := killed(b)
			switch {
			case errors.Is(err, state.ErrDamaged):
				refused++
			case err != nil:
				t.Errorf("copied %t: byte %d: %v", copiedBack, at, err)
			case !was[said]:
				t.Errorf("copied %t: byte %d: a state that never was", copiedBack, at)
			default:
				older++
			}
		}
		t.Logf("copied %t: %d bytes: %d times damaged, %d times the state of a commit", copiedBack, len(good[1]), refused, older)
		if refused == 0 || (older == 0) != copiedBack {
			t.Error("want damage, and where nothing was copied into the database older states, too")
		}
		// A log that ends anywhere is what a kill in the middle of a write leaves.
		for at := 9; at < len(good[1]) && !copiedBack; at += 5501 {
			if said, err := killed([2][]byte{good[0], good[1][:at]}); err != nil || !was[said] {
				t.Errorf("%d bytes of the log: %v", at, err)
			}
		}
	}
}

func newestNote(t *testing.T, db *state.DB) []byte {
	t.Helper()
	return note(t, db.Tree().Tree()).Marshal()
}
