package audit_test

import (
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/tuf"
)

// What is kept of a repository is made old by a new leaf, and again by Describe, a few
// repositories at a time.
func TestDescribe(t *testing.T) {
	log := audittest.New(t)
	a, err := audit.New(t.Context(), audit.Config{Source: log.Source(), Policy: log.Policy(), StateDir: t.TempDir()})
	must(t, err)
	defer a.Close()
	var repos []tuf.Digest
	for range 3 {
		v, err := testvendor.New(time.Now().AddDate(1, 0, 0))
		must(t, err)
		_, root := v.File(tuf.RoleRoot)
		repo := log.Register(root)
		repos = append(repos, repo)
		_, file := v.File(tuf.RoleTargets)
		_, snapshot := v.File(tuf.RoleSnapshot)
		log.Submit(repo, tuf.RoleTargets, file, snapshot)
	}
	log.Publish(2)
	_, err = a.Step(t.Context())
	must(t, err)
	described := func() (n int) {
		for _, id := range repos {
			known, ok, err := a.State().Repository(t.Context(), id)
			must(t, err)
			if ok && known.Report != nil {
				n++
			}
		}
		return n
	}
	for i, want := range []struct {
		n    int
		more bool
	}{{2, true}, {3, false}, {3, false}} {
		if more, err := a.Describe(t.Context(), 2); err != nil || more != want.more || described() != want.n {
			t.Errorf("look %d: %d are described, more: %v, %v", i, described(), more, err)
		}
	}
}
