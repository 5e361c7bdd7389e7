package monitor_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
)

// A disk that was full, also while the configuration was read again, stops nothing for good: all
// destinations are told past the outbox that it is, and of what is found when there is room again.
func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute, for which the disk has to be full")
	}
	s := newSite(t, "a")
	path := config(t, map[string]*site{"a": s}, "[to.first]\ntype = \"jsonl\"\npath = \"first.jsonl\"\n")
	cfg, err := monitor.Read(t.Context(), path)
	must(t, err)
	must(t, os.MkdirAll(cfg.Dir, 0o755))
	if err := syscall.Mount("tmpfs", cfg.Dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("a file system of its own, which root may mount: %v", err)
	}
	t.Cleanup(func() { must(t, syscall.Unmount(cfg.Dir, syscall.MNT_DETACH)) })
	w := start(t, path)
	_, _ = w.until(t, judged("a", s.Size()))
	filler := filepath.Join(cfg.Dir, "filler")
	fill(t, filler)

	folder := filepath.Dir(path)
	more, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, append(more, "[to.second]\ntype = \"jsonl\"\npath = \"second.jsonl\"\n"...), 0o600))
	cfg, err = monitor.Read(t.Context(), path)
	must(t, err)
	must(t, w.Reload(t.Context(), cfg))
	runtest.Eventually(t, "it says that it delivers nothing", func() bool { return strings.Contains(w.Statuses()[0].Undelivered, "full") })
	has := func(name, what string) bool {
		b, _ := os.ReadFile(filepath.Join(folder, name))
		return bytes.Contains(b, []byte(what))
	}
	runtest.Eventually(t, "both are told past the outbox", func() bool {
		return has("first.jsonl", "machine does not let it work") && has("second.jsonl", "machine does not let it work")
	})
	must(t, os.Remove(filler))
	s.Append([]byte("no leaf"))
	s.Publish(2)
	_, _ = w.until(t, func(n monitor.News) bool { return n.Finding != nil && n.Finding.Class == audit.Tampering })
	runtest.Eventually(t, "both are told", func() bool {
		return has("first.jsonl", `"finding.opened"`) && has("second.jsonl", `"finding.opened"`) && w.Statuses()[0].Undelivered == ""
	})
}

// fill writes a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}
