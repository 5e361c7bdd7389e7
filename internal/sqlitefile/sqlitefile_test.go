package sqlitefile_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/internal/sqlitefile"
)

const table = `CREATE TABLE words (word TEXT NOT NULL)`

func insert(word string) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO words VALUES (?)`, word)
		return err
	}
}

func words(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRow(`SELECT count(*) FROM words`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFile(t *testing.T) {
	// A path with what means something in a URL.
	path := filepath.Join(t.TempDir(), "a?mode=memory&b #%41")
	if _, err := sqlitefile.Open(path, 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	pragmas := []string{"journal_mode(WAL)", "synchronous(FULL)"}
	if err := sqlitefile.Create(path, 0o600, 3, table, insert("one"), pragmas...); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Fatalf("%v, %v", info, err)
	}
	if err := sqlitefile.Create(path, 0o600, 3, table, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	for _, other := range []int{0, 2, 4} {
		if _, err := sqlitefile.Open(path, other, pragmas...); !errors.Is(err, sqlitefile.ErrVersion) {
			t.Errorf("as version %d: %v", other, err)
		}
	}
	// One that somebody else has upgraded is left alone.
	for range 2 {
		if err := sqlitefile.Upgrade(path, 3, 4, `ALTER TABLE words ADD COLUMN more TEXT`, pragmas...); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sqlitefile.Open(path, 4, pragmas...)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "10000"} {
		var got string
		if err := db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %s, %v; want %s", pragma, got, err, want)
		}
	}
	errNo := errors.New("no")
	err = sqlitefile.InTx(t.Context(), db, func(tx *sql.Tx) error {
		_, err := tx.Exec(`INSERT INTO words (word) VALUES ('two')`)
		return errors.Join(err, errNo)
	})
	if n := words(t, db); !errors.Is(err, errNo) || n != 1 {
		t.Errorf("a transaction that failed left %d words, %v", n, err)
	}
}

// What fails while it is made is no file of that version.
func TestCreateFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	errNo := errors.New("no")
	if err := sqlitefile.Create(path, 0o600, 1, table, func(*sql.Tx) error { return errNo }); !errors.Is(err, errNo) {
		t.Errorf("created: %v", err)
	}
	if _, err := sqlitefile.Open(path, 1); !errors.Is(err, sqlitefile.ErrVersion) {
		t.Errorf("opened: %v", err)
	}
}

func TestDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, bytes.Repeat([]byte("hello"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlitefile.Open(path, 1); !sqlitefile.Damaged(err) {
		t.Errorf("opened: %v", err)
	}
	if _, err := sqlitefile.Open(path+".no", 1); sqlitefile.Damaged(err) {
		t.Errorf("no file: %v", err)
	}
}

func TestTemporary(t *testing.T) {
	db, conn, err := sqlitefile.Temporary(t.Context(), 1, table, "synchronous(OFF)")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), `INSERT INTO words (word) VALUES ('one')`); err != nil {
		t.Error(err)
	}
	if err := errors.Join(conn.Close(), db.Close()); err != nil {
		t.Error(err)
	}
}
