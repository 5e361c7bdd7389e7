package audit_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
)

// A copy that ends before what was verified is behind, and no rollback; what it shows is
// compared all the same, by the leaves that the state has. The log itself, and signatures
// that are younger than those over the larger tree, are judged as ever.
func TestCopyBehind(t *testing.T) {
	h := newLongHistory(t)
	size := h.Size()
	other := h.Beginning(size - 3)
	other.Append([]byte("another history"))
	other.Publish(2)
	later := h.Beginning(size - 2)
	later.Time += 3600
	later.Publish(2)
	for _, tt := range []struct {
		name string
		log  *audittest.Log
		copy bool
		want string
	}{
		{"a copy", h.Beginning(size - 2), true, "copy-behind@-1"},
		{"a copy of another history", other, true, "fork@-1"},
		{"a copy that was cosigned later", later, true, "rollback@-1"},
		{"the log", h.Beginning(size - 2), false, "rollback@-1"},
		{"the log, of another history", other, false, "fork@-1"},
	} {
		dir := filepath.Join(t.TempDir(), "state")
		a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
		step(t, a)
		must(t, a.Close())
		tt.log.Publish(2)
		for range 2 {
			a = newAuditor(t, tt.log, func(c *audit.Config) { c.StateDir, c.Copy = dir, tt.copy })
			result := step(t, a)
			found := slices.DeleteFunc(report(t, a).Findings, func(f audit.Finding) bool { return f.Kind == audit.SecondPayload })
			if got := kinds(found); got != tt.want {
				t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
			}
			for _, f := range result.Findings {
				if f.Kind == audit.CopyBehind && f.Sentence != fmt.Sprintf("the copy of the log ends at size %d, and size %d was verified before: nothing newer can be read from it", size-2, size) {
					t.Errorf("%s: %s", tt.name, f.Sentence)
				}
			}
			must(t, a.Close())
		}
		// The log, as it was all the time, goes on from there.
		a = newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
		step(t, a)
		if r := report(t, a); tt.want == "copy-behind@-1" && !r.Vouches || r.Judged != size {
			t.Errorf("%s: then %d leaves: %s", tt.name, r.Judged, kinds(r.Findings))
		}
		must(t, a.Close())
	}
}
