package audit_test

import (
	"slices"
	"testing"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
)

// logIn is what a network answers, with status 200, before somebody has logged in.
func logIn([]byte) ([]byte, error) { return []byte("<html>Please log in to the Wi-Fi</html>"), nil }

// A wrong answer accuses the log once a second one is wrong, too, and no longer than until
// the log serves what it signed.
func TestServedWrong(t *testing.T) {
	for _, tt := range []struct {
		path func(h *history) string
		want string
	}{
		{func(*history) string { return "tile/entries/000.p/9" }, "root-mismatch@0"},
		{func(*history) string { return "tile/0/000.p/9" }, "tile-mismatch@0"},
		{func(h *history) string { return audittest.BlobPath(h.file("plugin")) }, "blob-mismatch@4"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			h := newHistory(t)
			path := tt.path(h)
			evidence := kinds(report(t, stepped(t, newAuditor(t, h.Log))).Findings)

			once := 0
			h.Spoil(path, func(b []byte) ([]byte, error) {
				if once++; once == 1 {
					return logIn(b)
				}
				return b, nil
			})
			r := report(t, stepped(t, newAuditor(t, h.Log, withoutPacks)))
			if once < 2 || !r.Vouches || kinds(r.Findings) != evidence {
				t.Errorf("wrong once: read %d times, vouches %v, found %s", once, r.Vouches, kinds(r.Findings))
			}

			h.Spoil(path, logIn)
			dir := t.TempDir()
			open := func() *audit.Auditor {
				return newAuditor(t, h.Log, withoutPacks, func(c *audit.Config) { c.StateDir = dir })
			}
			accused := func(of audit.Finding) bool { return of.Class == audit.Tampering }
			for range 2 {
				a := open()
				for range 2 {
					step(t, a)
					r := report(t, a)
					if found := slices.DeleteFunc(r.Findings, func(f audit.Finding) bool { return !accused(f) }); r.Vouches || kinds(found) != tt.want {
						t.Errorf("wrong each time: vouches %v, found %s", r.Vouches, kinds(found))
					}
				}
				must(t, a.Close())
			}

			h.Spoil(path, nil)
			a := open()
			if result := step(t, a); slices.ContainsFunc(result.Findings, accused) {
				t.Errorf("right again: new are %s", kinds(result.Findings))
			}
			if r := report(t, a); !r.Vouches || kinds(r.Findings) != evidence {
				t.Errorf("right again: vouches %v, found %s", r.Vouches, kinds(r.Findings))
			}
			kept, err := audit.KeptFindings(t.Context(), a.State(), true)
			must(t, err)
			if i := slices.IndexFunc(kept, accused); i < 0 || kept[i].Gone == 0 {
				t.Errorf("the state has forgotten it: %s", kinds(kept))
			}
		})
	}
}

// stepped is an auditor after a step.
func stepped(t *testing.T, a *audit.Auditor) *audit.Auditor {
	t.Helper()
	step(t, a)
	return a
}
