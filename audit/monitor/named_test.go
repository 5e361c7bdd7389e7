package monitor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// found is a finding that came, or was there with the first look.
func found(kind audit.Kind) func(monitor.News) bool {
	return func(n monitor.News) bool {
		return (n.Type == monitor.NewsOpened || n.Type == monitor.NewsThere) && n.Finding.Kind == kind
	}
}

// A stranger who registers a repository whose id begins as a watched one's changes nothing, and
// where it was never clear which one is meant a person is told. What is not in the configuration
// any more has no findings.
func TestBeginningOfAnID(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of three monitors")
	}
	s := newSite(t, "a")
	key, err := proofs.GenerateSigner(nil, "acme.test/expect", proofs.Ed25519)
	must(t, err)
	path := config(t, map[string]*site{"a": s}, fmt.Sprintf("[[log.repository]]\nid = %q\nname = \"acme\"\nexpectations = \"missing.note\"\nexpectations_key = \"%v\"\n", s.repo, key.Key()))
	cfg, err := monitor.Read(path)
	must(t, err)
	r := &cfg.Logs[0].Repositories[0]
	r.ID = s.repo.String()[:1] // a file gives four digits at least
	w := startOf(t, cfg)
	_, _ = w.until(t, found(audit.ExpectationsMissing))
	w.stop()
	for {
		v, err := testvendor.New(time.Now().AddDate(1, 0, 0))
		must(t, err)
		_, root := v.File(tuf.RoleRoot)
		if audittest.Parse(t, root).PayloadDigest.String()[:1] == r.ID {
			s.Register(root)
			s.Publish(2)
			break
		}
	}
	w = startOf(t, cfg)
	_, _ = w.until(t, judged("a", s.Size()))
	runtest.Eventually(t, "it is the one that it was", func() bool {
		status := w.Statuses()[0].Repositories[0]
		return status.ID == s.repo && status.Expectations != nil
	})
	if n := w.Statuses()[0].Open[audit.Unexpected]; n != 0 {
		t.Errorf("%d findings", n)
	}
	w.stop()

	other := *cfg
	other.Dir = filepath.Join(t.TempDir(), "dir")
	w = startOf(t, &other)
	_, n := w.until(t, found(audit.ExpectationsStale))
	if !strings.Contains(n.Finding.Sentence, "is the beginning of 2 ids in the log: give the whole one") {
		t.Error(n.Finding.Sentence)
	}
	w.stop()

	text, err := os.ReadFile(path)
	must(t, err)
	without, _, _ := strings.Cut(string(text), "[[log.repository]]")
	must(t, os.WriteFile(path, []byte(without), 0o600))
	w = start(t, path)
	runtest.Eventually(t, "it is read", func() bool { return w.Statuses()[0].Judged == s.Size() && w.Statuses()[0].Asked > 0 })
	if open := w.Statuses()[0].Open; open[audit.Outage] != 0 {
		t.Errorf("of what is not watched any more: %v", open)
	}
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
	cfg, err := monitor.Read(path)
	must(t, err)
	w = startAt(t, cfg, 10*time.Minute)
	_, n := w.until(t, opened("a", audit.FileWithheld))
	if f := n.Finding; f.Class != audit.Unexpected || f.Repository != s.repo || f.Role != tuf.RoleTargets || !strings.Contains(f.Sentence, "does not serve blob") {
		t.Errorf("%+v", f)
	}
	s.Spoil(audittest.BlobPath(file), nil)
	_, _ = w.until(t, closed("a", audit.FileWithheld))
}
