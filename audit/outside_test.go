package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

func grown(h *history, what ...string) *history {
	c := h.clone()
	for _, w := range what {
		c.release(tuf.RoleTargets, "app.bin", w)
	}
	c.Publish(2)
	return c
}

// A checkpoint that a witness shows is compared at once if the tree has its size, and
// otherwise when it has grown to it, in this process or the next.
func TestOffer(t *testing.T) {
	h := newHistory(t)
	left, right := grown(h, "left", "left again"), grown(h, "right")
	straight := grown(left, "left, third")
	for _, tt := range []struct {
		name    string
		shown   *history // by the log, at first
		offered []byte
		grow    *history // to which the log grows then; nil: it does not
		want    string
	}{
		{"of the same history, smaller", left, left.Checkpoint(h.Size(), 2), nil, ""},
		{"the same", left, left.Checkpoint(left.Size(), 1), nil, ""},
		{"ahead, and the log comes to it", left, straight.Checkpoint(straight.Size(), 2), straight, ""},
		{"a fork, smaller", left, right.Checkpoint(right.Size(), 2), nil, "fork@-1"},
		{"a fork, that no witness cosigned", left, right.Checkpoint(right.Size(), 0), nil, "fork@-1"},
		{"a fork of the same size", left, grown(h, "x", "y").Checkpoint(left.Size(), 2), nil, "fork@-1"},
		{"a fork ahead of the log", right, left.Checkpoint(left.Size(), 2), grown(right, "right, second"), "fork@-1"},
		{"a fork ahead, and the log grows over it", right, left.Checkpoint(left.Size(), 2), grown(right, "right, second", "third"), "fork@-1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := h.clone()
			c.Become(tt.shown.Log)
			dir := t.TempDir()
			withState := func(cfg *audit.Config) { cfg.StateDir = dir }
			a := newAuditor(t, c.Log, withState)
			step(t, a)
			must(t, a.Offer(t.Context(), tt.offered))
			must(t, a.Offer(t.Context(), tt.offered)) // as each time that the witness is asked
			found := []audit.Finding{}
			if tt.grow != nil {
				must(t, a.Close())
				a = newAuditor(t, c.Log, withState)
				c.Become(tt.grow.Log)
			}
			for range 3 {
				found = append(found, step(t, a).Findings...)
			}
			if got := kinds(found); got != tt.want {
				t.Fatalf("found %q, want %q", got, tt.want)
			}
			for _, f := range found {
				if f.Kind == audit.Fork {
					checkFork(t, c, f)
				}
			}
		})
	}
}

// A log that has forked is accused once, whatever more it signs.
func TestOneForkIsOne(t *testing.T) {
	h := newHistory(t)
	shown, other := grown(h, "shown", "again"), grown(h, "other")
	a := newAuditor(t, shown.Log)
	step(t, a)
	found := ""
	for _, more := range []string{"a", "b", "c"} {
		must(t, a.Offer(t.Context(), other.Checkpoint(other.Size(), 2)))
		found += kinds(step(t, a).Findings)
		other = grown(other, more)
		shown.release(tuf.RoleTargets, "app.bin", more)
		shown.Publish(2)
	}
	if found != "fork@-1" {
		t.Errorf("found %q", found)
	}
}

// A fork that somebody has settled hides no other one.
func TestForkAfterOneThatWasSettled(t *testing.T) {
	h := newHistory(t)
	shown, other := grown(h, "shown", "again"), grown(h, "other")
	a := newAuditor(t, shown.Log)
	step(t, a)
	must(t, a.Offer(t.Context(), other.Checkpoint(other.Size(), 2)))
	first := step(t, a).Findings
	if kinds(first) != "fork@-1" {
		t.Fatalf("found %q", kinds(first))
	}
	list, err := audit.KeptFindings(t.Context(), a.State(), false)
	must(t, err)
	for _, f := range list {
		if f.Kind == audit.Fork {
			_, err := a.State().Acknowledge(t.Context(), f.ID, "a backup was restored", time.Now())
			must(t, err)
		}
	}
	must(t, a.Offer(t.Context(), other.Checkpoint(other.Size(), 2)))
	if got := kinds(step(t, a).Findings); got != "" {
		t.Errorf("what was settled is found again: %s", got)
	}
	third := grown(grown(h, "shown"), "third")
	must(t, a.Offer(t.Context(), third.Checkpoint(third.Size(), 2)))
	if got := kinds(step(t, a).Findings); got != "fork@-1" {
		t.Errorf("another fork: %q", got)
	}
}

// It is the same one for the next process, whichever of the two trees that sees first.
func TestOneForkIsOneForTheNextProcess(t *testing.T) {
	h := newHistory(t)
	shown, other := grown(h, "shown"), grown(h, "other")
	dir := t.TempDir()
	withState := func(c *audit.Config) { c.StateDir = dir }
	for i, note := range [][]byte{other.Checkpoint(other.Size(), 2), other.Checkpoint(other.Size(), 1), nil} {
		a := newAuditor(t, shown.Log, withState)
		step(t, a)
		if note != nil {
			must(t, a.Offer(t.Context(), note))
		}
		if got := kinds(step(t, a).Findings); (got == "fork@-1") != (i == 0) {
			t.Errorf("process %d: found %q", i, got)
		}
		must(t, a.Close())
		shown.release(tuf.RoleTargets, "app.bin", fmt.Sprint(i))
		shown.Publish(2)
	}
}

// What the log has not signed does not count, whoever offers it, and takes no room.
func TestOfferedByStrangers(t *testing.T) {
	h := newHistory(t)
	a := newAuditor(t, h.Log)
	step(t, a)
	forged := bytes.Replace(h.Checkpoint(h.Size(), 2), []byte("\n"), []byte("\n1"), 1)
	for name, note := range map[string][]byte{
		"nothing":     nil,
		"another log": audittest.New(t).Checkpoint(0, 2),
		"forged":      forged,
		"huge":        make([]byte, proofs.MaxNoteSize+1),
	} {
		if err := a.Offer(t.Context(), note); !errors.Is(err, audit.ErrNotOffered) {
			t.Errorf("%s: %v", name, err)
		}
	}
	ahead := grown(h, "next")
	for i := range 600 {
		ahead.Append([]byte{byte(i), byte(i >> 8)})
		must(t, a.Offer(t.Context(), ahead.Checkpoint(ahead.Size(), 0)))
	}
	if n := len(a.WaitsFor()); n != 256 {
		t.Errorf("%d trees wait", n)
	}
	if got := kinds(step(t, a).Findings); got != "" {
		t.Error(got)
	}
}

// What others watch is kept beside what the log shows: it is there until it is said to be
// gone, comes back as the same, and says nothing about the log.
func TestKeepAndWatched(t *testing.T) {
	h := newHistory(t)
	dir := t.TempDir()
	a := newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
	step(t, a)
	must(t, a.Finished(t.Context()))
	unlogged := audit.NewFinding(audit.LiveUnlogged, -1, h.repo, tuf.RoleTargets, 9, "u serves targets 9").WithContent("9.targets.json", []byte("{}"))
	missing := audit.NewFinding(audit.LiveMissing, -1, h.repo, "", 0, "u: timeout after 3 s").About("u")
	lasting := audit.NewFinding(audit.LiveOther, -1, h.repo, tuf.RoleTargets, 3, "seen once")
	must(t, a.Watched(t.Context(), "u", []audit.Finding{unlogged, missing}))
	must(t, a.Watched(t.Context(), "v", nil))
	must(t, a.Keep(t.Context(), lasting))
	must(t, a.Keep(t.Context(), lasting))
	if got := kinds(step(t, a).Findings); got != "live-unlogged@-1 live-missing@-1 live-other@-1" {
		t.Errorf("of the step that follows: %s", got)
	}
	if r := report(t, a); !r.Vouches || kinds(r.Findings) != "second-payload@8 live-unlogged@-1 live-other@-1 live-missing@-1" {
		t.Errorf("vouches: %v, findings %s", r.Vouches, kinds(r.Findings))
	}
	missing.Sentence = "u: timeout after 7 s"
	must(t, a.Watched(t.Context(), "u", []audit.Finding{missing}))
	must(t, a.Close())

	a = newAuditor(t, h.Log, func(c *audit.Config) { c.StateDir = dir })
	if got := kinds(step(t, a).Findings); got != "" {
		t.Errorf("told again: %s", got)
	}
	r := report(t, a)
	if kinds(r.Findings) != "second-payload@8 live-other@-1 live-missing@-1" || r.Findings[1].Lived.ID == "" {
		t.Errorf("findings %s", kinds(r.Findings))
	}
	names, err := a.WatchedNames(t.Context())
	if must(t, err); len(names) != 1 || names[0] != "u" {
		t.Errorf("watched: %q", names)
	}
	must(t, a.WatchedPart(t.Context(), "u", nil, func(f *audit.Finding) bool {
		return f.Kind == audit.LiveMissing && f.Sentence == "u: timeout after 3 s"
	}))
	if got := kinds(report(t, a).Findings); got != "second-payload@8 live-other@-1 live-missing@-1" {
		t.Errorf("what could not be looked at: %s", got)
	}
	must(t, a.Watched(t.Context(), "u", nil))
	if got := kinds(report(t, a).Findings); got != "second-payload@8 live-other@-1" {
		t.Errorf("findings %s", got)
	}
	all, err := audit.KeptFindings(t.Context(), a.State(), true)
	must(t, err)
	for _, f := range all {
		if f.Kind == audit.LiveUnlogged && (f.Gone == 0 || len(f.Evidence) != 1 || f.Evidence[0].Size != 2) {
			t.Errorf("%+v", f)
		}
	}
	// Of one repository there may be more unexpected ones than are kept with their evidence:
	// the next is there all the same. Of what need not be told at once the rest is counted.
	a.SetMaxPerKind(2)
	for version := range int64(4) {
		must(t, a.Keep(t.Context(), audit.NewFinding(audit.UnexpectedRelease, -1, h.repo, tuf.RoleTargets, version, "not expected").WithContent("note", []byte("{}"))))
		must(t, a.Keep(t.Context(), audit.NewFinding(audit.LiveMissing, -1, h.repo, tuf.RoleTargets, version, "not there")))
	}
	r = report(t, a)
	counts, evidence := map[audit.Kind]int{}, 0
	for _, f := range r.Findings {
		counts[f.Kind]++
		if f.Kind == audit.UnexpectedRelease {
			evidence += len(f.Evidence)
		}
	}
	if counts[audit.UnexpectedRelease] != 4 || evidence != 2 || counts[audit.LiveMissing] != 2 || len(r.Suppressed) != 1 || r.Suppressed[0].Count != 2 {
		t.Errorf("kept %v with %d files, suppressed %+v", counts, evidence, r.Suppressed)
	}
	wrong := lasting
	wrong.Class = audit.Hygiene
	if a.Keep(t.Context(), wrong) == nil || a.Watched(t.Context(), "w", []audit.Finding{wrong}) == nil {
		t.Error("a finding may have any class")
	}
}
