package sqlitefile

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// walOf returns the write-ahead log of some transactions.
func walOf(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := CreateChecked(path, 0o600, 1, `CREATE TABLE words (word TEXT)`, "journal_mode(WAL)"); err != nil {
		t.Fatal(err)
	}
	db, err := OpenChecked(path, 1, "journal_mode(WAL)")
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []int{1, 300, 300} { // of some pages each
		err = errors.Join(err, InTx(t.Context(), db, func(tx *sql.Tx) error {
			var err error
			for range words {
				_, execErr := tx.Exec(`INSERT INTO words VALUES (hex(randomblob(50)))`)
				err = errors.Join(err, execErr)
			}
			return err
		}))
	}
	log, readErr := os.ReadFile(path + "-wal")
	if err := errors.Join(err, readErr, db.Close()); err != nil {
		t.Fatal(err)
	}
	return log
}

// The frames behind damage are lost, and none of a log that is whole, or whose last frame
// is not.
func TestLostFrames(t *testing.T) {
	log := walOf(t)
	frames := (len(log) - walHeader) / (frameHeader + pageSize)
	for _, tt := range []struct {
		name string
		log  []byte
		lost int
	}{
		{"whole", log, 0},
		{"cut", log[:len(log)-100], -1},
		{"the first frame damaged", flipped(log, walHeader+frameHeader+7), frames},
		{"its salt damaged", flipped(log, walHeader+9), frames - 1},
	} {
		lost, whole, err := lostFrames(bytes.NewReader(tt.log))
		if err != nil || !whole {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.name == "cut" { // what is left of the last transaction
			if len(lost) == 0 || len(lost) >= frames-1 || lost[len(lost)-1].commits {
				t.Errorf("%s: %d of %d", tt.name, len(lost), frames)
			}
		} else if len(lost) != tt.lost {
			t.Errorf("%s: %d of %d, want %d", tt.name, len(lost), frames, tt.lost)
		}
	}
	if _, whole, err := lostFrames(bytes.NewReader(flipped(log, 17))); whole || err != nil {
		t.Errorf("the header damaged: %v, %v", whole, err)
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 4
	return b
}

func FuzzLostFrames(f *testing.F) {
	log := walOf(f)
	f.Add(log)
	f.Add(log[:5000])
	f.Fuzz(func(t *testing.T, b []byte) {
		lost, whole, err := lostFrames(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if !whole && len(lost) > 0 || len(lost) > len(b)/(frameHeader+pageSize) {
			t.Errorf("%d frames of %d bytes", len(lost), len(b))
		}
		for i, l := range lost {
			if l.at < walHeader || l.at+pageSize > int64(len(b)) || i > 0 && l.at <= lost[i-1].at {
				t.Errorf("frame %d at %d of %d", i, l.at, len(b))
			}
		}
	})
}
