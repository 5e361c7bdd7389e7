package monitor_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/tuf"
)

func closed(log string, kind audit.Kind) func(monitor.News) bool {
	return func(n monitor.News) bool { return n.Log == log && n.Type == monitor.NewsGone && n.Finding.Kind == kind }
}

// A log that answers its monitor nothing while a quorum of witnesses cosigns on is found, as one
// that shows an older tree is. Another process goes on where the one before was.
func TestWithheldByRefusing(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of waiting for what is withheld")
	}
	s := newSite(t, "a")
	path := config(t, map[string]*site{"a": s}, "withheld = \"1s\"\n")
	w := start(t, path)
	_, _ = w.until(t, judged("a", s.Size()))
	s.down.Store(true)
	ahead := s.Clone()
	ahead.Append([]byte("withheld"))
	both := ahead.Checkpoint(ahead.Size(), 2)
	s.shown.Store(&both)
	_, n := w.until(t, opened("a", audit.ViewWithheld))
	if f := n.Finding; f.Class != audit.Tampering || !strings.Contains(f.Sentence, "does not let this monitor read more than size 2") || !strings.Contains(f.Sentence, "503") {
		t.Errorf("%+v", f)
	}
	w.stop()
	s.shown.Store(nil) // the witnesses are away, too
	w = start(t, path)
	before, _ := w.until(t, func(n monitor.News) bool { return n.Type == monitor.NewsTrouble })
	time.Sleep(time.Second)
	for len(w.news) > 0 {
		before = append(before, <-w.news)
	}
	there := false
	for _, n := range before {
		there = there || n.Type == monitor.NewsThere && n.Finding.Kind == audit.ViewWithheld
		if closed("a", audit.ViewWithheld)(n) {
			t.Error("another process took it back")
		}
	}
	if !there {
		t.Errorf("another process does not know it: %+v", before)
	}
	s.down.Store(false)
	s.Append([]byte("withheld"))
	s.Publish(2)
	_, _ = w.until(t, closed("a", audit.ViewWithheld))
}

// Witnesses are always a moment ahead of their log, whatever the clocks say, and what they show
// of another log of the policy says nothing of the one that is followed.
func TestNotWithheld(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of waiting for what must not come")
	}
	old, now := newSite(t, "log2025"), newSite(t, "log2026")
	for i := range 3 {
		old.release(t, fmt.Sprint("more", i))
	}
	now.Witnesses = old.Witnesses
	now.Publish(2)
	ahead := now.Clone()
	ahead.Append([]byte("next"))
	next := ahead.Checkpoint(ahead.Size(), 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte(old.Signer.Key().Name()))):
			_, _ = w.Write(old.Checkpoint(old.Size(), 2))
		case fmt.Sprintf("/%x/checkpoint", sha256.Sum256([]byte(now.Signer.Key().Name()))):
			if note := now.shown.Load(); note != nil {
				_, _ = w.Write(*note)
				return
			}
			_, _ = w.Write(now.Checkpoint(now.Size(), 2))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	text := strings.Replace(now.PolicyText(now.url), "\nwitness w1", fmt.Sprintf("\nlog %v %s\nwitness w1", old.Signer.Key(), old.url), 1)
	for i, host := range []string{"127.0.0.1", "localhost"} {
		key := now.Witnesses[i].Key().String()
		text = strings.Replace(text, key+"\n", key+" "+strings.Replace(server.URL, "127.0.0.1", host, 1)+"\n", 1)
	}
	must(t, os.WriteFile(filepath.Join(dir, "policy"), []byte(text), 0o600))
	path := filepath.Join(dir, "monitor.toml")
	must(t, os.WriteFile(path, fmt.Appendf(nil, "dir = \"dir\"\nlisten = \"none\"\n[[log]]\nname = \"b\"\npolicy = \"policy\"\nurl = %q\ninterval = \"100ms\"\nwithheld = \"30s\"\n", now.url), 0o600))
	cfg, err := monitor.Read(t.Context(), path)
	must(t, err)
	m, err := monitor.New(t.Context(), cfg, monitor.Options{
		News: io.Discard, Logger: slog.New(slog.DiscardHandler), Now: func() time.Time { return time.Now().Add(11 * time.Minute) },
	})
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	sizes := func(size int64) func() bool {
		return func() bool {
			s := m.Statuses()[0]
			return s.Judged > 0 && s.Witnesses[0].Size == size && s.Witnesses[1].Size == size
		}
	}
	runtest.Eventually(t, "the witnesses show the log", sizes(now.Size()))
	now.shown.Store(&next)
	runtest.Eventually(t, "the witnesses are ahead", sizes(ahead.Size()))
	time.Sleep(time.Second)
	if open := m.Statuses()[0].Open; open[audit.Tampering] != 0 {
		t.Errorf("an honest log: %v", open)
	}
	stop()
	must(t, <-ended)
	must(t, m.Close())
}

// A file that a leaf names and that the log does not serve for long is more than an outage.
func TestWithheldFile(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of waiting for what is withheld")
	}
	s := newSite(t, "a")
	path := config(t, map[string]*site{"a": s}, "withheld = \"1s\"\n")
	w := start(t, path)
	_, _ = w.until(t, judged("a", s.Size()))
	must(t, s.vendor.Put(tuf.RoleTargets, "app.bin", []byte("hidden")))
	must(t, s.vendor.Release(tuf.RoleTargets))
	_, file := s.vendor.File(tuf.RoleTargets)
	_, snapshot := s.vendor.File(tuf.RoleSnapshot)
	s.Submit(s.repo, tuf.RoleTargets, file, snapshot)
	s.Spoil(audittest.BlobPath(file), audittest.Missing)
	s.Publish(2)
	_, _ = w.until(t, opened("a", audit.BlobMissing))
	w.stop()
	cfg, err := monitor.Read(t.Context(), path)
	must(t, err)
	w = startAt(t, cfg, 10*time.Minute)
	_, n := w.until(t, opened("a", audit.FileWithheld))
	if f := n.Finding; f.Class != audit.Unexpected || f.Repository != s.repo || f.Role != tuf.RoleTargets || !strings.Contains(f.Sentence, "does not serve blob") {
		t.Errorf("%+v", f)
	}
	s.Spoil(audittest.BlobPath(file), nil)
	_, _ = w.until(t, closed("a", audit.FileWithheld))
}
