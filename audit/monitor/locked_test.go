package monitor_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/internal/sqlitefile"
)

// An outbox that another program has locked stops nothing: the log is followed, its findings are
// known and that they wait is said, and they are told when the lock is gone.
func TestLockedOutbox(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of waiting for a lock")
	}
	s := newSite(t, "a")
	path := config(t, map[string]*site{"a": s}, "[to.file]\ntype = \"jsonl\"\npath = \"alerts.jsonl\"\n")
	w := start(t, path)
	_, _ = w.until(t, judged("a", s.Size()))
	dir := w.Config().Dir
	outbox, err := sqlitefile.OpenChecked(monitor.AlertsFile(dir), 2)
	must(t, err)
	defer outbox.Close()
	tx, err := outbox.BeginTx(t.Context(), nil) // it takes the lock
	must(t, err)
	s.Append([]byte("no leaf"))
	s.Publish(2)
	_, _ = w.until(t, func(n monitor.News) bool { return n.Type == monitor.NewsOpened && n.Finding.Class == audit.Tampering })
	for range 3 { // while the lock is waited for
		s.Append([]byte("nor this"))
		s.Publish(2)
		_, _ = w.until(t, judged("a", s.Size()))
	}
	alerts := filepath.Join(filepath.Dir(path), "alerts.jsonl")
	if b, _ := os.ReadFile(alerts); len(b) > 0 {
		t.Errorf("the lock is none: %s", b)
	}
	runtest.Eventually(t, "it says so", func() bool { return strings.Contains(w.Statuses()[0].Untold, "locked") })
	must(t, tx.Rollback())
	runtest.Eventually(t, "it is told", func() bool {
		b, _ := os.ReadFile(alerts)
		return strings.Count(string(b), `"finding.opened"`) == 4 && w.Statuses()[0].Untold == ""
	})
}
