package sqlitefile_test

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/internal/sqlitefile"
)

const wal = "journal_mode(WAL)"

// checked makes a file with an index, a row that takes pages of its own, and free pages.
func checked(t *testing.T, path string) {
	t.Helper()
	if err := sqlitefile.CreateChecked(path, 0o600, 3, `CREATE TABLE words (word TEXT PRIMARY KEY, rest BLOB)`, wal); err != nil {
		t.Fatal(err)
	}
	db, err := sqlitefile.OpenChecked(path, 3, wal)
	if err != nil {
		t.Fatal(err)
	}
	err = sqlitefile.InTx(t.Context(), db, func(tx *sql.Tx) error {
		for i := range 120 {
			if _, err := tx.Exec(`INSERT INTO words VALUES (?, zeroblob(?))`, fmt.Sprintf("word %d %s", i, strings.Repeat("-", 200)), i%100*(i%100)); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`DELETE FROM words WHERE length(rest) > 5000`)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// told is what somebody reads of a file, who looks up each word by the index.
func told(t *testing.T, path string) (string, error) {
	t.Helper()
	db, err := sqlitefile.OpenChecked(path, 3, wal)
	if err != nil {
		return "", err
	}
	defer db.Close()
	var said strings.Builder
	for i := range 120 {
		var n, rest int
		if err := db.QueryRow(`SELECT count(*), coalesce(sum(length(rest) + unicode(hex(rest))), 0) FROM words WHERE word = ?`, fmt.Sprintf("word %d %s", i, strings.Repeat("-", 200))).Scan(&n, &rest); err != nil {
			return "", err
		}
		fmt.Fprintln(&said, n, rest)
	}
	return said.String(), nil
}

// A bit that has flipped is noticed where it would be read, whatever it is a bit of. In a
// free page, which nobody reads, it changes nothing.
func TestFlippedBits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	checked(t, path)
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(good)%4096 != 0 || good[20] != 8 {
		t.Fatalf("%d bytes, of each page %d free", len(good), good[20])
	}
	if binary.BigEndian.Uint32(good[36:]) < 3 {
		t.Fatalf("no free pages: %x", good[32:40])
	}
	want, err := told(t, path)
	if err != nil {
		t.Fatal(err)
	}
	unread := 0
	for page := range len(good) / 4096 {
		at := page*4096 + page*677%4096
		if page == 0 {
			at = 20 // whether there are checksums
		}
		b := bytes.Clone(good)
		b[at] ^= 1 << (page % 8)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := told(t, path)
		switch {
		case err == nil && got == want:
			unread++
		case !sqlitefile.Damaged(err):
			t.Errorf("byte %d: %v; wrong: %v", at, err, err == nil)
		}
	}
	if free := int(binary.BigEndian.Uint32(good[36:])); unread != free {
		t.Errorf("of %d pages %d can be damaged, and %d are free", len(good)/4096, unread, free)
	}
}

func TestChecked(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	checked(t, path)
	if err := sqlitefile.CreateChecked(path, 0o600, 3, table); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created twice: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := sqlitefile.OpenChecked(path, 4, wal); !errors.Is(err, sqlitefile.ErrVersion) {
		t.Errorf("another version: %v", err)
	}
	if err := sqlitefile.CompleteChecked(path, 3, table, wal); err != nil {
		t.Errorf("nothing to complete: %v", err)
	}

	// SQLite by itself reads such a file; what it writes has no checksum.
	plain, err := sqlitefile.Open(path, 3)
	if err != nil {
		t.Fatal(err)
	}
	_, err = plain.Exec(`INSERT INTO words VALUES ('new', NULL)`)
	if err := errors.Join(err, plain.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := told(t, path); !sqlitefile.Damaged(err) {
		t.Errorf("written without checksums: %v", err)
	}

	// Who made it was killed before it had a schema.
	killed := filepath.Join(dir, "killed")
	if err := sqlitefile.CreateChecked(killed, 0o600, 0, ``); err != nil {
		t.Fatal(err)
	}
	if err := sqlitefile.CompleteChecked(killed, 3, table, wal); err != nil {
		t.Fatal(err)
	}
	db, err := sqlitefile.OpenChecked(killed, 3, wal)
	if err != nil {
		t.Fatal(err)
	}
	if n := words(t, db); n != 0 {
		t.Errorf("%d words", n)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	// A file without checksums is of another version, or damaged.
	old := filepath.Join(dir, "old")
	if err := sqlitefile.Create(old, 0o600, 2, table, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlitefile.OpenChecked(old, 3); !errors.Is(err, sqlitefile.ErrVersion) {
		t.Errorf("an older version: %v", err)
	}
	for _, b := range [][]byte{nil, []byte("short"), bytes.Repeat([]byte("hello"), 1000)} {
		if err := os.WriteFile(old, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlitefile.OpenChecked(old, 3); !sqlitefile.Damaged(err) && !errors.Is(err, sqlitefile.ErrVersion) {
			t.Errorf("%d bytes: %v", len(b), err)
		}
	}
}
