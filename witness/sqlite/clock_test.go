package sqlite_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness"
	"github.com/tuflog/tuflog/witness/sqlite"
	"github.com/tuflog/tuflog/witness/witnesstest"
)

// What is accepted is written down, and another process learns of it.
func TestAcceptClock(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir)
	other, err := sqlite.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	stop := witness.ClockStop{Since: 1_700_000_000, Why: "the clock jumped"}
	if err := s.StopClock(t.Context(), stop); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_100, 0)
	accepted, err := other.AcceptClock(t.Context(), "it was set right", now)
	if err != nil || len(accepted) != 1 || accepted[0].ClockStop != stop {
		t.Fatalf("accepted %+v, %v", accepted, err)
	}
	if accepted, err = other.AcceptClock(t.Context(), "again", now); err != nil || len(accepted) != 0 {
		t.Fatalf("accepted again: %+v, %v", accepted, err)
	}
	for {
		state, err := s.Clock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if state == (witness.ClockState{}) {
			break
		}
		time.Sleep(time.Millisecond) // until the file is looked at again
	}
	records, err := s.ClockRecords(t.Context(), now)
	if want := (sqlite.ClockRecord{ClockStop: stop, Accepted: now.Unix(), Reason: "it was set right"}); err != nil || len(records) != 1 || records[0] != want {
		t.Fatalf("records %+v, %v", records, err)
	}
}

// A state of the version before is taken over.
func TestStateWithoutClock(t *testing.T) {
	dir := t.TempDir()
	if err := sqlite.Create(dir, witnesstest.NewSigner(t, "witness.example", proofs.CosignatureV1).Key()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(`DROP TABLE clock; PRAGMA user_version = 2`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		s, err := sqlite.Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if state, err := s.Clock(t.Context()); err != nil || state.Stop != nil {
			t.Errorf("state %+v, %v", state, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
