package monitor_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/monitor"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/proofs"
)

// found is a finding that came, or was there with the first look.
func found(kind audit.Kind) func(monitor.News) bool {
	return func(n monitor.News) bool {
		return (n.Type == monitor.NewsOpened || n.Type == monitor.NewsThere) && n.Finding.Kind == kind
	}
}

// A rule that names a repository by the beginning of its id is refused, with what to write: a
// stranger may register one whose id begins the same. What is not in the configuration any more
// has no findings.
func TestBeginningOfAnID(t *testing.T) {
	if testing.Short() {
		t.Skip("seconds of two monitors")
	}
	s := newSite(t, "a")
	key, err := proofs.GenerateSigner(nil, "acme.test/expect", proofs.Ed25519)
	must(t, err)
	path := config(t, map[string]*site{"a": s}, fmt.Sprintf("[[log.repository]]\nid = %q\nname = \"acme\"\nexpectations = \"missing.note\"\nexpectations_key = \"%v\"\n", s.repo, key.Key()))
	w := start(t, path)
	_, _ = w.until(t, found(audit.ExpectationsMissing))
	if id := w.Statuses()[0].Repositories[0].ID; id != s.repo {
		t.Errorf("it is %v", id)
	}
	w.stop()
	text, err := os.ReadFile(path)
	must(t, err)
	whole, beginning := s.repo.String(), s.repo.String()[:12]
	for _, tt := range []struct{ name, text string }{
		{"log[0].repository[0].id: ", strings.Replace(string(text), whole, beginning, 1)},
		{"route 1: repositories: ", string(text) + "[[route]]\nrepositories = [\"acme\", \"" + beginning + "\"]\n"},
	} {
		must(t, os.WriteFile(path, []byte(tt.text), 0o600))
		_, err := monitor.Read(t.Context(), path)
		if err == nil || !strings.Contains(err.Error(), tt.name) || !strings.HasSuffix(err.Error(), "; so begins, of what was logged: "+whole+" (log a)") {
			t.Errorf("%v", err)
		}
		if _, err := monitor.Parse(path, []byte(tt.text)); err == nil || !strings.Contains(err.Error(), "is the beginning of an id, and anybody can register") {
			t.Errorf("%v", err)
		}
	}

	without, _, _ := strings.Cut(string(text), "[[log.repository]]")
	must(t, os.WriteFile(path, []byte(without), 0o600))
	w = start(t, path)
	runtest.Eventually(t, "it is read", func() bool { return w.Statuses()[0].Judged == s.Size() && w.Statuses()[0].Asked > 0 })
	if open := w.Statuses()[0].Open; open[audit.Outage] != 0 {
		t.Errorf("of what is not watched any more: %v", open)
	}
}
