package monitor_test

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/internal/lockfile"
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

// Delivery that cannot begin, because another process delivers or the disk is full, begins by
// itself when it can. Until then the monitor is not ready, and says why.
func TestDeliveryBeginsAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of waiting until it is tried again")
	}
	s := newSite(t, "a")
	path := config(t, map[string]*site{"a": s}, "[to.file]\ntype = \"jsonl\"\npath = \"alerts.jsonl\"\n")
	cfg, err := monitor.Read(t.Context(), path)
	must(t, err)
	must(t, os.MkdirAll(cfg.Dir, 0o755))
	other, err := lockfile.Acquire(monitor.AlertsFile(cfg.Dir)+".lock", "")
	must(t, err)
	w := start(t, path)
	s.Append([]byte("no leaf"))
	s.Publish(2)
	_, _ = w.until(t, func(n monitor.News) bool { return n.Finding != nil && n.Finding.Class == audit.Tampering })
	handler, err := w.Handler(prometheus.NewRegistry(), nil, nil)
	must(t, err)
	ask := func(path string) (int, string) {
		r := httptest.NewRecorder()
		handler.ServeHTTP(r, httptest.NewRequestWithContext(t.Context(), "GET", path, nil))
		return r.Code, r.Body.String()
	}
	runtest.Eventually(t, "it says so", func() bool { return w.Statuses()[0].Undelivered != "" })
	if code, text := ask("/readyz"); code != 503 || !strings.Contains(text, "alerts are not delivered since ") {
		t.Errorf("/readyz: %d %s", code, text)
	}
	if _, text := ask("/metrics"); !strings.Contains(text, "\ntuflog_monitor_alerts_undelivered 1\n") {
		t.Errorf("metrics:\n%s", text)
	}
	must(t, other.Release())
	runtest.Eventually(t, "it is told", func() bool {
		b, _ := os.ReadFile(filepath.Join(filepath.Dir(path), "alerts.jsonl"))
		return strings.Contains(string(b), `"finding.opened"`) && w.Statuses()[0].Undelivered == ""
	})
	if _, text := ask("/metrics"); !strings.Contains(text, "\ntuflog_monitor_alerts_undelivered 0\n") {
		t.Errorf("metrics:\n%s", text)
	}
}
