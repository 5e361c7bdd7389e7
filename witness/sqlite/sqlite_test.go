package sqlite_test

import (
	"database/sql"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

func create(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	key := witnesstest.NewSigner(t, "witness.example", proofs.CosignatureV1).Key()
	if err := sqlite.Create(dir, key); err != nil {
		t.Fatal(err)
	}
	return open(t, dir)
}

func open(t *testing.T, dir string) *sqlite.Store {
	t.Helper()
	s, err := sqlite.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestStore(t *testing.T) {
	witnesstest.TestStore(t, func(t *testing.T) witnesstest.Store { return create(t, t.TempDir()) })
}

func TestCreateAndOpen(t *testing.T) {
	// A path that would mean something else to SQLite if it were not escaped.
	dir := filepath.Join(t.TempDir(), "a b?mode=memory#%41")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(dir); err == nil || !strings.Contains(err.Error(), "no witness in") {
		t.Fatalf("open of nothing: %v", err)
	}
	if err := sqlite.Create(dir); err == nil {
		t.Fatal("a state without a key was created")
	}
	keys := []proofs.Key{
		witnesstest.NewSigner(t, "witness.example", proofs.CosignatureV1).Key(),
		witnesstest.NewSigner(t, "witness.example", proofs.CosignatureV1).Key(),
	}
	if err := sqlite.Create(dir, keys...); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Create(dir, keys...); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Fatalf("create over a state: %v", err)
	}
	if got := open(t, dir).Signers(); !slices.Equal(got, keys) {
		t.Fatalf("signers are %v, want %v", got, keys)
	}
	info, err := os.Stat(filepath.Join(dir, "state.db"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode of the state is %v, %v", info.Mode(), err)
	}
}

func TestOpenHalfMadeState(t *testing.T) {
	// What a crash in the middle of Create leaves behind.
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "state.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sqlite.Open(dir); err == nil || !strings.Contains(err.Error(), "schema version 0") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("open of an empty file: %v", err)
	}
}

func TestReopenRemembers(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	log := witnesstest.NewLog(t, "log.example")
	log.Grow(5, "")
	cp := log.Checkpoint()
	next := witness.Latest{Tree: cp.Tree, Note: log.Sign(cp), Time: 7}
	id := witness.HashOrigin("log.example")
	if err := s.AddLog(t.Context(), witness.NewLog{Key: log.Key()}); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), id, nil, next); err != nil {
		t.Fatal(err)
	}
	// Open beside the first, as "witness log add" does, and after it.
	for _, other := range []*sqlite.Store{open(t, dir), s} {
		l, err := other.Log(t.Context(), id)
		if err != nil || l.Latest == nil || l.Latest.Tree != cp.Tree || l.Latest.Time != 7 {
			t.Fatalf("read %+v, %v", l, err)
		}
	}
	late := witnesstest.NewLog(t, "late.example")
	if err := open(t, dir).AddLog(t.Context(), witness.NewLog{Key: late.Key()}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Log(t.Context(), witness.HashOrigin("late.example")); err != nil {
		t.Fatalf("the first does not see what the second added: %v", err)
	}
}

func TestDamagedRow(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	log := witnesstest.NewLog(t, "log.example")
	log.Grow(5, "")
	cp := log.Checkpoint()
	id := witness.HashOrigin("log.example")
	if err := s.AddLog(t.Context(), witness.NewLog{Key: log.Key()}); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), id, nil, witness.Latest{Tree: cp.Tree, Note: log.Sign(cp), Time: 7}); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE logs SET size = 4`); err != nil {
		t.Fatal(err)
	}
	// Another process's store, since the first remembers what it wrote.
	if _, err := open(t, dir).Log(t.Context(), id); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("a row that contradicts its note was read: %v", err)
	}
}

func TestDurability(t *testing.T) {
	// The settings themselves, since no test here can cut the power.
	dir := t.TempDir()
	s := create(t, dir)
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1"} {
		if got := s.Pragma(t, pragma); got != want {
			t.Errorf("%s is %s, want %s", pragma, got, want)
		}
	}
	useLedger(t, s, newLedger(t, s))
	if got := s.Pragma(t, "synchronous"); got != "1" {
		t.Errorf("with a ledger, synchronous is %s", got)
	}
}
