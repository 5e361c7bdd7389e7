package admit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// A role has a name for which there is a leaf, of a release and of evidence, or
// none of its files is admitted: a leaf that nobody can parse would stop the log.
func TestLongRoleNames(t *testing.T) {
	longest := strings.Repeat("ä/", tuf.MaxRoleName/len("%C3%A4%2F"))
	longest += strings.Repeat("x", tuf.MaxRoleName-len(tuf.EscapeRole(longest)))
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: longest, who: "a1"}))
	first := w.released(longest, w.targets("a1", 1, "x"))
	w.evidence(first, longest, w.targets("a1", 1, "y"))
	for _, rec := range w.repo.Records() {
		if back, err := leaf.Parse(rec.Leaf.Marshal()); err != nil || back != rec.Leaf {
			t.Errorf("leaf %d: %v", rec.Index, err)
		}
	}
	file := parse(t, w.targets("a1", 1, "x"))
	for _, name := range []string{longest + "x", "a\x00b", "", "\xff"} {
		var refused *admit.Refused
		if _, err := w.repo.Judge(t.Context(), name, file, nil); !errors.As(err, &refused) || refused.Code != admit.RefusedRoleName {
			t.Errorf("a role with a name of %d bytes: %v", len(name), err)
		}
	}
	for _, name := range []string{longest + "x", ""} { // TestRefused has the NUL
		if _, err := tuf.ParseJSON(w.targets("t1", 2, "x", delegation{name: name, who: "a1"})); err == nil {
			t.Errorf("a delegation to a name of %d bytes is read", len(name))
		}
	}
}
