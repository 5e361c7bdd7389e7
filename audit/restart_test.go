package audit_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/state"
	"github.com/tuflog/tuflog/tuf"
)

// An auditor that ends after every leaf, and has room in memory for one repository at a
// time, comes to the same as one that replays at once; and reads nothing twice.
func TestRestarts(t *testing.T) {
	h := newLongHistory(t)
	h.release(tuf.RoleTargets, "app.bin", "one more")
	h.Publish(2)
	whole := newAuditor(t, h.Log)
	step(t, whole)
	want := summary(report(t, whole))
	dir := filepath.Join(t.TempDir(), "state")
	size := h.Size()
	var read []string
	for n := int64(1); n <= size+1; n++ {
		h.Serve(h.Checkpoint(min(n, size), 2))
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
		a.SetMaxInMemory(1, 1)
		before := len(h.Read())
		if result := step(t, a); result.From != n-1 || result.To != min(n, size) {
			t.Fatalf("at size %d it judged from %d to %d", n, result.From, result.To)
		}
		read = h.Read()[before:]
		if got := summary(report(t, a)); n >= size && got != want {
			t.Errorf("restarted at size %d:\n%s\nwant\n%s", n, got, want)
		}
		must(t, a.Close())
	}
	if slices.ContainsFunc(read, func(path string) bool { return strings.HasPrefix(path, "blob/") }) {
		t.Errorf("when nothing was new it read %v", read)
	}
}

// An older copy of the state comes to the same findings; and the newest note beside it
// shows a log that has gone back with it.
func TestOlderCopyOfState(t *testing.T) {
	h := newLongHistory(t)
	base := t.TempDir()
	dir, copied := filepath.Join(base, "state"), filepath.Join(base, "copy")
	withState := func(c *audit.Config) { c.StateDir = dir }
	size := h.Size()
	look := func(n int64) (audit.StepResult, *audit.Report) {
		t.Helper()
		h.Serve(h.Checkpoint(n, 2))
		a := newAuditor(t, h.Log, withState)
		result := step(t, a)
		r := report(t, a)
		must(t, a.Finished(t.Context()))
		must(t, a.Close())
		return result, r
	}
	look(size / 2)
	must(t, os.CopyFS(copied, os.DirFS(dir)))
	_, r := look(size)
	want := summary(r)
	restore := func() {
		t.Helper()
		must(t, os.RemoveAll(dir))
		must(t, os.CopyFS(dir, os.DirFS(copied)))
	}
	restore()
	if result, _ := look(size / 2); kinds(result.Findings) != "rollback@-1" {
		t.Errorf("log and state went back together: %s", kinds(result.Findings))
	}
	restore()
	if _, r := look(size); summary(r) != want {
		t.Errorf("from an older copy:\n%s\nwant\n%s", summary(r), want)
	}
	db, err := state.Open(t.Context(), dir)
	must(t, err)
	if c, err := db.Check(t.Context(), nil); err != nil || c.Leaves != size {
		t.Errorf("check: %+v, %v", c, err)
	}
	must(t, db.Close())
}

// What cannot be judged is judged again by the next process, from the repository's first
// leaf; and what was found before is not new then.
func TestMissingFileAndRestart(t *testing.T) {
	h := newLongHistory(t)
	whole := newAuditor(t, h.Log)
	step(t, whole)
	want := summary(report(t, whole))
	paths := h.pathsOfBlobs(t)
	slices.Sort(paths)
	for i, path := range slices.Compact(paths) {
		if testing.Short() && i%4 > 0 {
			continue
		}
		dir := filepath.Join(t.TempDir(), "state")
		h.Spoil(path, audittest.Missing)
		var first string
		for restart := range 2 {
			a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
			result := step(t, a)
			r := report(t, a)
			if r.Vouches {
				t.Errorf("%s is missing, and the auditor vouches", path)
			}
			if first == "" {
				first = kinds(r.Findings)
			} else if kinds(r.Findings) != first {
				t.Errorf("%s is still missing: %s, and before the restart %s", path, kinds(r.Findings), first)
			}
			for _, f := range result.Findings {
				if restart == 1 && f.Class != audit.Outage {
					t.Errorf("%s is still missing: news is %+v", path, f)
				}
			}
			must(t, a.Close())
		}
		h.Spoil(path, nil)
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
		step(t, a)
		if got := summary(report(t, a)); got != want {
			t.Errorf("%s was missing before the restart:\n%s\nwant\n%s", path, got, want)
		}
		must(t, a.Close())
	}
}
