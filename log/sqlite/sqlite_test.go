package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/sqlite"
	"github.com/tuflog/tuflog/log/statetest"
	"github.com/tuflog/tuflog/tuf"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestBlobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a dir?#%", "blobs.db")
	check(t, os.Mkdir(filepath.Dir(path), 0o755))
	check(t, sqlite.CreateBlobs(path))
	blobs, err := sqlite.OpenBlobs(path)
	check(t, err)
	t.Cleanup(func() { check(t, blobs.Close()) })
	statetest.TestBlobs(t, blobs, func() log.Blobs {
		check(t, blobs.Close())
		blobs, err = sqlite.OpenBlobs(path)
		check(t, err)
		return blobs
	})
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file is not where it should be: %v", err)
	}
}

func TestState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state.db")
	check(t, sqlite.CreateState(path))
	state, err := sqlite.OpenState(path)
	check(t, err)
	t.Cleanup(func() { check(t, state.Close()) })
	statetest.TestState(t, state, func() log.State {
		check(t, state.Close())
		state, err = sqlite.OpenState(path)
		check(t, err)
		return state
	})
}

func TestCreateAndOpenAreTwoThings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if _, err := sqlite.OpenBlobs(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened what is not there: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("opening made a file")
	}
	check(t, sqlite.CreateBlobs(path))
	if err := sqlite.CreateState(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("made a database over another: %v", err)
	}
	check(t, os.WriteFile(path+"2", []byte("not a database, but long enough to look like one"), 0o600))
	if _, err := sqlite.OpenState(path + "2"); err == nil {
		t.Error("opened what is no database")
	}
}

// A file that changed on disk is not served under its old name.
func TestDamagedBlob(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs.db")
	check(t, sqlite.CreateBlobs(path))
	blobs, err := sqlite.OpenBlobs(path)
	check(t, err)
	data := []byte("metadata that an attacker, or a disk, will change")
	check(t, blobs.Put(t.Context(), [][]byte{data}))
	check(t, blobs.Close())
	file, err := os.ReadFile(path)
	check(t, err)
	changed := bytes.Replace(file, []byte("attacker"), []byte("attack3r"), 1)
	if bytes.Equal(changed, file) {
		t.Fatal("the blob is not in the file")
	}
	check(t, os.WriteFile(path, changed, 0o600))
	blobs, err = sqlite.OpenBlobs(path)
	check(t, err)
	defer blobs.Close()
	if _, err := blobs.Blob(t.Context(), tuf.Sum(data)); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("a damaged blob: %v", err)
	}
}

func TestVendors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs.db")
	check(t, sqlite.CreateBlobs(path))
	open := func() *sqlite.Blobs {
		blobs, err := sqlite.OpenBlobs(path)
		check(t, err)
		t.Cleanup(func() { check(t, blobs.Close()) })
		return blobs
	}
	statetest.TestTokens(t, open(), func() log.Tokens { return open() })
	statetest.TestLostChanges(t, open(), func() {
		db, err := sql.Open("sqlite", path)
		check(t, err)
		_, err = db.ExecContext(t.Context(), "DELETE FROM token_changes")
		check(t, errors.Join(err, db.Close()))
	})
	statetest.TestHolds(t, open(), func() log.Holds { return open() })
}

// Blobs of the first version are brought up to date when they are opened, whoever
// comes first.
func TestUpgradeBlobs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "blobs.db")
	check(t, sqlite.CreateBlobsV1(path))
	var opened []*sqlite.Blobs
	for range 2 {
		blobs, err := sqlite.OpenBlobs(path)
		check(t, err)
		opened = append(opened, blobs)
	}
	if _, err := opened[0].AddToken(t.Context(), log.NewToken(tuf.Sum(nil), "text", log.ByOperator, time.Now())); err != nil {
		t.Error(err)
	}
	check(t, opened[1].Put(t.Context(), [][]byte{[]byte("file")}))
	for _, blobs := range opened {
		check(t, blobs.Close())
	}
}
