package audit_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	past "github.com/tuflog/tuflog/audit/history"
	"github.com/tuflog/tuflog/proofs"
)

// A release is at least as old as the first checkpoint with it that a quorum had cosigned, of
// those that were seen. The clock of one witness does not count alone.
func TestSeen(t *testing.T) {
	h := newHistory(t)
	dir := filepath.Join(t.TempDir(), "state")
	seen := func() {
		t.Helper()
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
		step(t, a)
		must(t, a.Close())
	}
	// resigned is the present checkpoint, which one witness cosigned at another time.
	resigned := func(witness int, at int64) []byte {
		t.Helper()
		note, err := proofs.ParseNote(h.Checkpoint(h.Size(), 2))
		must(t, err)
		note.Signatures[1+witness], err = h.Witnesses[witness].Sign(note.Text, at)
		must(t, err)
		return note.Marshal()
	}
	first := h.Time
	seen()
	h.Time += 3600
	h.release("targets", "later.bin", "later")
	h.Publish(1) // too few
	seen()
	h.Time += 3600
	h.release("targets", "last.bin", "last")
	h.Serve(resigned(1, 1)) // its clock is at its beginning
	seen()
	h.Time += 3600
	h.release("targets", "never.bin", "never")
	h.Serve(resigned(0, time.Now().Add(30*24*time.Hour).Unix())) // far ahead
	a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
	step(t, a)
	one, err := a.Histories(t.Context(), h.repo.String())
	must(t, err)
	rows := rowsOf(t, one[0], "")
	for _, r := range rows {
		want := first + 2
		switch r.Index {
		case historySize, historySize + 1:
			want = first + 2*3600 + 1
		case historySize + 2:
			want = 0 // a quorum of plausible times is not known
		}
		if r.SeenBy != want {
			t.Errorf("entry %d was seen at %d, want %d", r.Index, r.SeenBy, want)
		}
	}
	if len(rows) != historySize+3 {
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
