package postgres

import (
	"errors"
	"testing"
	"time"

	"github.com/tuflog/tuflog/log"
	"github.com/tuflog/tuflog/log/quota"
	"github.com/tuflog/tuflog/log/statetest"
)

func TestVendors(t *testing.T) {
	url := newDatabase(t)
	db := open(t, url, 0)
	l := lead(t, db, "a")
	statetest.TestTokens(t, db.Tokens(), func() log.Tokens { return open(t, url, 0).Tokens() })
	statetest.TestLostChanges(t, db.Tokens(), func() { check(t, execAs(t, url, "DELETE FROM token_changes")) })
	statetest.TestHolds(t, db.Holds(l), func() log.Holds { return open(t, url, 0).Holds(nil) })
}

// Who no longer leads holds nothing and ends no hold; what is held stays for the
// next leader.
func TestHoldsAreFenced(t *testing.T) {
	url := newDatabase(t)
	db := open(t, url, 300*time.Millisecond)
	old := db.Holds(lead(t, db, "a"))
	h := log.Held{ID: "1", Size: 1, Since: time.UnixMilli(1), Until: time.UnixMilli(2)}
	if _, err := old.Hold(t.Context(), h, []byte("x"), nil, quota.DefaultLimits.Hold); err != nil {
		t.Fatal(err)
	}
	old.lease.abandon()
	next := open(t, url, 0)
	now := next.Holds(lead(t, next, "b"))
	other := h
	other.ID = "2"
	if _, err := old.Hold(t.Context(), other, []byte("x"), nil, quota.DefaultLimits.Hold); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a deposed leader holds a file: %v", err)
	}
	if _, err := old.SettleHold(t.Context(), h.ID, log.Outcome{}, time.Now()); !errors.Is(err, ErrNotLeader) {
		t.Errorf("a deposed leader ends a hold: %v", err)
	}
	due, err := now.DueHolds(t.Context(), time.Now(), 10)
	if err != nil || len(due) != 1 || due[0].ID != h.ID {
		t.Errorf("held after a change of leaders: %+v, %v", due, err)
	}
}
