package audit_test

import (
	"path/filepath"
	"testing"

	"github.com/tuflog/tuflog/audit"
	past "github.com/tuflog/tuflog/audit/history"
)

// A release is at least as old as the first cosignature of a checkpoint with it, of those
// that were seen.
func TestSeen(t *testing.T) {
	h := newHistory(t)
	dir := filepath.Join(t.TempDir(), "state")
	withState := func(c *audit.Config) { c.StateDir = dir }
	first := h.Time
	a := newAuditor(t, h.Log, withState)
	step(t, a)
	must(t, a.Close())
	h.Time += 3600
	h.release("targets", "later.bin", "later")
	h.Publish(2)
	a = newAuditor(t, h.Log, withState)
	step(t, a)
	one, err := a.Histories(t.Context(), h.repo.String())
	must(t, err)
	rows := rowsOf(t, one[0], "")
	for _, r := range rows {
		want := first + 1
		if r.Index >= historySize {
			want = first + 3600 + 1
		}
		if r.SeenBy != want {
			t.Errorf("entry %d was seen at %d, want %d", r.Index, r.SeenBy, want)
		}
	}
	if len(rows) != historySize+1 {
		t.Errorf("%d rows", len(rows))
	}
}

// rowsOf collects the rows of a role.
func rowsOf(t *testing.T, h *past.History, role string) (rows []past.Row) {
	t.Helper()
	must(t, h.Rows(t.Context(), role, func(r past.Row) error {
		rows = append(rows, r)
		return nil
	}))
	return rows
}
