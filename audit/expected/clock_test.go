package expected_test

import (
	"strings"
	"testing"
	"time"
)

// A clock that is behind for a while, as that of a machine that boots without one, passes over
// no release.
func TestClockThatWentBack(t *testing.T) {
	w := newWorld(t)
	w.serve(w.sign(1, 0, month, "release targets any"))
	w.step(true)
	right := w.now
	w.start()
	w.now = time.Unix(1000, 0)
	w.put("evil.bin", "evil")
	w.log.Time = right.Unix()
	_, err := w.a.Step(t.Context())
	must(t, err)
	w.w.Read(t.Context())
	w.judge(true)
	w.now = right.Add(time.Hour)
	w.step(true)
	if found := w.found(); !strings.Contains(found, "unexpected-release") {
		t.Errorf("found %q", found)
	}
	// Nor does one that was ahead accuse anybody, or keep a release waiting until then.
	w.now = right.AddDate(4, 0, 0)
	w.judge(true)
	w.now = right.Add(2 * time.Hour)
	w.put("worse.bin", "worse")
	w.step(true)
	if n := strings.Count(w.found(), "unexpected-release"); n != 2 {
		t.Errorf("%d releases are found: %q", n, w.found())
	}
}
