package postgres

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/statetest"
	"github.com/tuflog/tuflog/proofs"
)

func recordOf(t testing.TB, n int) log.LedgerRecord {
	return statetest.Record(t, "log.example", n)
}

func TestLedger(t *testing.T) {
	url := newDatabase(t)
	db := open(t, url, 0)
	_, err := db.Ledger(nil).Load(t.Context())
	refused(t, "load without a log", err, fs.ErrNotExist, "ledger")
	check(t, db.Create(t.Context(), "log.example", "trillian:1"))
	l := lead(t, db, "a")
	statetest.TestLedger(t, db.Ledger(l), "log.example", func() log.Ledger { return open(t, url, 0).Ledger(l) })
	_, err = db.LostLedger(t.Context(), l)
	refused(t, "a lost ledger that is there", err, fs.ErrExist, "")
	for n, damage := range []string{"DELETE FROM ledger", "UPDATE ledger SET record = 'rubbish'"} {
		_, err := db.pool.Exec(t.Context(), damage)
		check(t, err)
		lost, err := db.LostLedger(t.Context(), l)
		check(t, err)
		old, err := lost.Load(t.Context())
		check(t, err)
		check(t, lost.Swap(t.Context(), old, recordOf(t, n+3)))
		if rec, err := db.Ledger(nil).Load(t.Context()); err != nil || rec.Edge.Tree().N != int64(n+3) {
			t.Errorf("after %s: %+v, %v", damage, rec, err)
		}
	}
}

func TestCheckpoints(t *testing.T) {
	db := newLog(t)
	cps := db.Checkpoints(lead(t, db, "a"))
	if b, err := cps.Load(t.Context()); b != nil || err != nil {
		t.Fatalf("no checkpoint: %q, %v", b, err)
	}
	// One of the same size with other signatures is fine.
	again := append(bytes.Clone(recordOf(t, 2).Note), recordOf(t, 2).Note[bytes.LastIndex(recordOf(t, 2).Note, []byte("— ")):]...)
	for _, note := range [][]byte{recordOf(t, 1).Note, recordOf(t, 2).Note, again, recordOf(t, 7).Note} {
		check(t, cps.Store(t.Context(), note))
		if b, err := db.Checkpoints(nil).Load(t.Context()); err != nil || !bytes.Equal(b, note) {
			t.Fatalf("stored %q, loaded %q, %v", note, b, err)
		}
	}
	refused(t, "a smaller checkpoint", cps.Store(t.Context(), recordOf(t, 6).Note), nil, "larger than size 6")
	refused(t, "no checkpoint", cps.Store(t.Context(), []byte("hello\n")), nil, "note")
}

func TestCreate(t *testing.T) {
	db := newLog(t)
	refused(t, "a second log", db.Create(t.Context(), "other.example", "trillian:2"), fs.ErrExist, `"log.example"`)
	if origin, storage, err := db.Log(t.Context()); err != nil || origin != "log.example" || storage != "trillian:1" {
		t.Errorf("log %q in %q, %v", origin, storage, err)
	}
	check(t, db.CheckStorage(t.Context(), "trillian:1"))
	refused(t, "another tree", db.CheckStorage(t.Context(), "trillian:2"), nil, "trillian:1, not in trillian:2")
	secret, err := db.Secret(t.Context())
	check(t, err)
	if other, err := newLog(t).Secret(t.Context()); err != nil || len(other) != 64 || other == secret {
		t.Errorf("secrets %q, %q, %v", secret, other, err)
	}
	_, err = open(t, newDatabase(t), 0).Secret(t.Context())
	refused(t, "secret without a log", err, fs.ErrNotExist, "")
}

// A log whose row is lost is still a log, which its ledger shows.
func TestLostLog(t *testing.T) {
	db := newLog(t)
	_, err := db.pool.Exec(t.Context(), "DELETE FROM log")
	check(t, err)
	_, _, err = db.Log(t.Context())
	refused(t, "without its row", err, nil, `the database has log "log.example", whose ledger says that size 0 was signed last`)
	var lost *LostLogError
	if !errors.As(db.CheckStorage(t.Context(), "trillian:1"), &lost) || errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("without its row: %v", err)
	}
	_, err = db.pool.Exec(t.Context(), lost.Restore("trillian:1"))
	check(t, err)
	check(t, db.CheckStorage(t.Context(), "trillian:1"))
	if secret, err := db.Secret(t.Context()); err != nil || len(secret) != 64 {
		t.Errorf("secret %q, %v", secret, err)
	}
}

func TestActions(t *testing.T) {
	db := newLog(t)
	want := []maintain.Action{
		{Time: time.Unix(1700000000, 5).UTC(), Action: "freeze", Detail: "because ö"},
		{Time: time.Unix(1700000009, 0).UTC(), Action: "resume", Before: "a\nb", After: "c"},
	}
	for _, a := range want {
		check(t, db.AppendAction(t.Context(), a))
	}
	got, err := db.Actions(t.Context())
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("actions: %v, %v", got, err)
	}
	for _, text := range []string{"DELETE FROM actions", "UPDATE actions SET action = ''", "TRUNCATE actions"} {
		_, err := db.pool.Exec(t.Context(), text)
		refused(t, text, err, nil, "only ever added to")
	}
}

// Each older schema becomes the newest, which is the same however it was reached.
func TestMigrate(t *testing.T) {
	list, err := steps(migrations)
	check(t, err)
	schema := func(url string) string {
		t.Helper()
		db := open(t, url, 0)
		var columns string
		check(t, db.pool.QueryRow(t.Context(), `SELECT string_agg(concat_ws(' ', table_schema, table_name, column_name, data_type, is_nullable, column_default), E'\n' ORDER BY table_schema, table_name, column_name)
			FROM information_schema.columns WHERE table_schema NOT IN ('pg_catalog', 'information_schema')`).Scan(&columns))
		return columns
	}
	want := schema(newDatabase(t))
	if !strings.Contains(want, "lease epoch bigint NO") {
		t.Fatalf("not a schema:\n%s", want)
	}
	for version := range list {
		url := newDatabase(t)
		conn, err := pgx.Connect(t.Context(), url)
		check(t, err)
		check(t, migrate(t.Context(), conn, list[:version]))
		check(t, conn.Close(t.Context()))
		if got := schema(url); got != want {
			t.Errorf("from version %d:\n%s\nwant\n%s", version, got, want)
		}
	}
	url := newDatabase(t)
	schema(url)
	conn, err := pgx.Connect(t.Context(), url)
	check(t, err)
	check(t, migrate(t.Context(), conn, append(list, "SELECT 1")))
	check(t, conn.Close(t.Context()))
	_, err = Open(t.Context(), Config{URL: url})
	refused(t, "a newer schema", err, nil, "a newer version of the program")
}

// Of many that open a new database at once, one migrates it.
func TestMigrateAtOnce(t *testing.T) {
	url := newDatabase(t)
	errs := make(chan error)
	for range 6 {
		go func() {
			db, err := Open(t.Context(), Config{URL: url})
			if err == nil {
				db.Close()
			}
			errs <- err
		}()
	}
	for range 6 {
		check(t, <-errs)
	}
}

// A migration that fails leaves the schema as it was.
func TestMigrateFails(t *testing.T) {
	list, err := steps(migrations)
	check(t, err)
	url := newDatabase(t)
	conn, err := pgx.Connect(t.Context(), url)
	check(t, err)
	defer conn.Close(t.Context())
	refused(t, "a wrong migration", migrate(t.Context(), conn, append(list, "CREATE TABLE half ()", "SELECT nothing")), nil, "version")
	var tables int
	check(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'").Scan(&tables))
	if tables != 0 {
		t.Errorf("%d tables are left", tables)
	}
}

func TestMigrationNames(t *testing.T) {
	for _, names := range [][]string{{"0002_a.sql"}, {"0001_a.sql", "0003_b.sql"}, {"0001_a.sql", "0001_b.sql"}, {"x.sql"}} {
		files := fstest.MapFS{}
		for _, name := range names {
			files["migrations/"+name] = &fstest.MapFile{}
		}
		if _, err := steps(files); err == nil {
			t.Errorf("took migrations %q", names)
		}
	}
}

func TestTiles(t *testing.T) {
	db := newLog(t)
	tiles := db.Tiles(lead(t, db, "a"))
	ctx := t.Context()
	if size, err := tiles.Size(ctx); size != 0 || err != nil {
		t.Fatalf("size %d, %v", size, err)
	}
	_, err := tiles.Tile(ctx, 0, 0)
	refused(t, "a tile that is not there", err, fs.ErrNotExist, "")
	a, b := bytes.Repeat([]byte{1}, 32), append(bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)...)
	check(t, tiles.Extend(ctx, 0, 1, map[proofs.TileID][]byte{{Level: 0, Width: 1}: a, {Level: -1, Width: 1}: []byte("\x00\x01a")}))
	check(t, tiles.Extend(ctx, 1, 2, map[proofs.TileID][]byte{{Level: 0, Width: 2}: b, {Level: -1, Width: 2}: []byte("\x00\x01a\x00\x02bb")}))
	for _, from := range []int64{0, 1, 3} {
		err := tiles.Extend(ctx, from, 9, map[proofs.TileID][]byte{{Level: 0, Index: 9, Width: 1}: a})
		refused(t, "extend from elsewhere", err, nil, "covers 2 entries")
	}
	for level, want := range map[int][]byte{0: b, -1: []byte("\x00\x01a\x00\x02bb")} {
		if got, err := db.Tiles(nil).Tile(ctx, level, 0); err != nil || !bytes.Equal(got, want) {
			t.Errorf("tile of level %d: %x, %v; want %x", level, got, err, want)
		}
	}
	_, err = db.pool.Exec(ctx, "DELETE FROM copied")
	check(t, err)
	check(t, tiles.Reset(ctx))
	if size, err := tiles.Size(ctx); size != 0 || err != nil {
		t.Errorf("size %d, %v after a reset", size, err)
	}
	if _, err := tiles.Tile(ctx, -1, 0); err == nil {
		t.Error("a bundle is left after a reset")
	}
}

// Whatever the steps in which a log grows, tiles are what they were given as, and
// full ones are one row.
func TestTilesGrow(t *testing.T) {
	db := newLog(t)
	tiles := db.Tiles(lead(t, db, "a"))
	var c copied
	want := map[[2]int64][]byte{}
	for _, step := range []int{1, 1, 3, 100, 150, 1, 1, 1, 254, 256, 255, 1, 600, 2, 3} {
		from := c.size
		changed := c.grow(step)
		check(t, tiles.Extend(t.Context(), from, c.size, changed))
		for id, data := range changed {
			want[[2]int64{int64(id.Level), id.Index}] = data
		}
		for id, data := range want {
			if got, err := tiles.Tile(t.Context(), int(id[0]), id[1]); err != nil || !bytes.Equal(got, data) {
				t.Fatalf("size %d: tile %v has %d bytes, %v; want %d", c.size, id, len(got), err, len(data))
			}
		}
	}
	var rows int
	check(t, db.pool.QueryRow(t.Context(), "SELECT count(*) FROM tiles WHERE index < $1", c.size/256).Scan(&rows))
	if want := int(2 * (c.size / 256)); rows != want {
		t.Errorf("%d rows for %d full tiles", rows, want)
	}
	// A tile that is not as long as it should be is not added to.
	_, err := db.pool.Exec(t.Context(), "DELETE FROM tiles WHERE level = 0 AND index = $1", c.size/256)
	check(t, err)
	from := c.size
	refused(t, "a hole", tiles.Extend(t.Context(), from, from+1, c.grow(1)), nil, "make the tiles anew")
	for _, tile := range [][]byte{nil, {0}, {0, 1}, {0, 1, 'a'}, {0, 9, 'a'}} {
		err := tiles.Extend(t.Context(), from, from+1, map[proofs.TileID][]byte{{Level: -1, Index: from / 256, Width: int(from%256) + 1}: tile})
		refused(t, "a bundle cut short", err, nil, "tile/entries/")
	}
}

func TestBlobs(t *testing.T) {
	url := newDatabase(t)
	statetest.TestBlobs(t, open(t, url, 0).Blobs(), func() log.Blobs { return open(t, url, 0).Blobs() })
}
