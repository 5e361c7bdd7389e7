package page_test

import (
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/page"
	"github.com/tuflog/tuflog/bench/realdata"
	"github.com/tuflog/tuflog/tuf"
)

// offered is a file of a history.
type offered struct {
	role string
	file *tuf.Metadata
}

// logHistory logs a real history commit by commit, with snapshots and timestamps, and calls
// published after each.
func logHistory(t testing.TB, history string, published func(*audittest.Log)) (*audittest.Log, []tuf.Digest) {
	t.Helper()
	l := audittest.New(t)
	var repos []tuf.Digest
	var snapshots []*tuf.Metadata
	var waiting []offered
	offer := func(o offered) bool {
		var beside []*tuf.Metadata
		for _, s := range snapshots {
			if listed, ok := s.Snapshot.File(o.role + ".json"); ok && listed.Version == o.file.Version && o.file.Targets != nil {
				beside = append(beside, s)
			}
		}
		for _, repo := range slices.Backward(repos) {
			if _, err := l.Offer(repo, o.role, o.file, beside); err == nil {
				return true
			}
		}
		if o.role == tuf.RoleRoot && o.file.Version == 1 && o.file.Meets(o.file.Root.KeySet(tuf.RoleRoot)) == nil {
			repos = append(repos, l.Register(o.file.File))
			return true
		}
		return false
	}
	for _, c := range realdata.Commits(t, history) {
		l.Time = c.Time.Unix()
		for _, f := range c.Files {
			m, err := tuf.ParseJSON(f.Data)
			if err != nil {
				continue // a device could not read it either
			}
			if m.Snapshot != nil {
				snapshots = append(snapshots, m)
			}
			waiting = append(waiting, offered{f.Role, m})
		}
		slices.SortStableFunc(waiting, func(a, b offered) int { return admit.Compare(a.role, a.file.Version, b.role, b.file.Version) })
		for progress := true; progress; {
			progress = false
			waiting = slices.DeleteFunc(waiting, func(o offered) bool {
				logged := offer(o)
				progress = progress || logged
				return logged
			})
		}
		l.Publish(2)
		published(l)
	}
	return l, repos
}

// The pages over Sigstore's history: every one that is linked is whole, and they say what is
// known of it.
func TestRealHistory(t *testing.T) {
	if testing.Short() {
		t.Skip("logs and replays Sigstore's whole history")
	}
	dir := filepath.Join(t.TempDir(), "state")
	var a *audit.Auditor
	l, repos := logHistory(t, "sigstore_root_signing", func(l *audittest.Log) {
		if a == nil {
			var err error
			a, err = audit.New(t.Context(), audit.Config{Source: l.Source(), Policy: l.Policy(), StateDir: dir})
			must(t, err)
		}
		_, err := a.Step(t.Context())
		must(t, err)
	})
	_, err := a.Report(t.Context())
	must(t, err)
	must(t, a.Close())
	s, err := page.New(page.Config{
		Logs:   []page.Log{{Name: "sigstore", StateDir: dir, Policy: l.Policy(), Source: l.Source(), Watched: []page.Watched{{ID: repos[0], Name: "sigstore"}}}},
		Limits: page.Limits{PerSecond: -1},
	})
	must(t, err)
	defer s.Close()

	seen, queue, pages := map[string]bool{"/": true}, []string{"/"}, 0
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		r := get(t, s, path)
		b := body(t, r)
		if r.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, r.Status)
			continue
		}
		if !strings.HasPrefix(r.Header.Get("Content-Type"), "text/html") {
			continue
		}
		pages++
		d := parse(t, path, b)
		d.check(t)
		for _, link := range d.links(t) {
			if seen[link] {
				continue
			}
			seen[link] = true
			// Of the many some do.
			many := strings.HasPrefix(link, "/search") || strings.Contains(link, "format=") || strings.Contains(link, "/releases/")
			if !many || len(seen)%16 == 0 || len(seen) < 150 {
				queue = append(queue, link)
			}
		}
	}
	if pages < 60 {
		t.Errorf("only %d pages were found", pages)
	}
	d := parse(t, "", body(t, get(t, s, "/logs/sigstore/repositories/"+repos[0].String())))
	for _, want := range []string{"sigstore", "root rotation", "What stood out", "trusted_root.json", "3 of 5", "ecdsa"} {
		if !strings.Contains(d.text(), want) {
			t.Errorf("the page of Sigstore does not say %q", want)
		}
	}
}
