package admit_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// content is metadata of a delegated role, signed by the keys of by.
func (w *world) content(by who, version int64, content string, delegations ...delegation) []byte {
	w.t.Helper()
	return w.targets(by, version, content, delegations...)
}

func ruleWalk(t *testing.T) {
	t.Run("dependents wait", ruleDependentsWait)
	t.Run("two parents", ruleTwoParents)
	t.Run("near and far", ruleNearAndFar)
	t.Run("terminating", ruleTerminating)
	t.Run("cycle", ruleCycle)
	t.Run("to itself", ruleToItself)
	t.Run("removed and put back", ruleRemovedAndPutBack)
	t.Run("thresholds", ruleThresholds)
	t.Run("current targets", ruleCurrentTargets)
	t.Run("bins", ruleBins)
	t.Run("many", ruleManyDelegations)
}

func ruleDependentsWait(t *testing.T) {
	w := newWorld(t, usual)
	b := w.content("q1", 1, "b")
	w.refused(admit.RefusedNotDelegated, "b", b)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: "a1"}))
	w.refused(admit.RefusedNotDelegated, "b", b)
	w.released("a", w.content("a1", 1, "a", delegation{name: "b", who: "q1"}))
	at := w.released("b", b)
	w.isCurrent(t.Context(), at, "b")
}

func ruleTwoParents(t *testing.T) {
	// targets -> a, b; a -> c by c1; b -> c by c2. Both are places of c.
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: "a1"}, delegation{name: "b", who: "q1"}))
	w.released("b", w.content("q1", 1, "b", delegation{name: "c", who: "c2"}))
	second := w.released("c", w.content("c2", 1, "c")) // a has not spoken yet
	w.released("a", w.content("a1", 1, "a", delegation{name: "c", who: "c1"}))
	w.isCurrent(t.Context(), second, "c")
	first := w.released("c", w.content("c1", 1, "other")) // at a's place nothing stands
	w.isCurrent(t.Context(), first, "c")                  // breadth-first, a comes first
	w.evidence(second, "c", w.content("c1 c2", 1, "third"))
	w.refused(admit.RefusedThreshold, "c", w.content("a1", 2, "c"))
	// The order changes, then the first parent goes.
	w.released("targets", w.targets("t1", 2, "x", delegation{name: "b", who: "q1"}, delegation{name: "a", who: "a1"}))
	w.isCurrent(t.Context(), second, "c")
	w.released("c", w.content("c2", 2, "c"))
	w.released("targets", w.targets("t1", 3, "x", delegation{name: "a", who: "a1"}))
	w.isCurrent(t.Context(), first, "c")
}

func ruleNearAndFar(t *testing.T) {
	// c is delegated by a, which comes first, and further down the list by targets.
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: "a1"}, delegation{name: "c", who: "c2"}))
	w.released("a", w.content("a1", 1, "a", delegation{name: "c", who: "c1"}))
	far := w.released("c", w.content("c1", 1, "far"))
	near := w.released("c", w.content("c2", 1, "near"))
	w.isCurrent(t.Context(), near, "c")
	w.released("targets", w.targets("t1", 2, "x", delegation{name: "a", who: "a1"}))
	w.isCurrent(t.Context(), far, "c")
}

func ruleTerminating(t *testing.T) {
	// Whether a search for a target goes on has nothing to do with who may sign.
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: "a1", last: true}, delegation{name: "b", who: "q1"}))
	w.released("a", w.content("a1", 1, "a"))
	w.released("b", w.content("q1", 1, "b"))
}

func ruleCycle(t *testing.T) {
	// a -> b -> a, by other keys: the walk ends.
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: "a1"}))
	w.released("a", w.content("a1", 1, "a", delegation{name: "b", who: "q1"}))
	w.released("b", w.content("q1", 1, "b", delegation{name: "a", who: "a2"}, delegation{name: "b", who: "q2"}))
	w.refused(admit.RefusedThreshold, "a", w.content("q2", 2, "a"))
	w.refused(admit.RefusedNotDelegated, "c", w.content("c1", 1, "c"))
	other := w.released("a", w.content("a2", 2, "a2"))
	w.released("b", w.content("q2", 2, "b"))
	w.isCurrent(t.Context(), other-1, "b")
	w.released("b", w.content("q1", 2, "other"))
	// Cut off from targets, the circle holds nobody up.
	w.released("targets", w.targets("t1", 2, "x"))
	w.refused(admit.RefusedNotDelegated, "a", w.content("a1", 3, "a"))
	w.refused(admit.RefusedNotDelegated, "b", w.content("q1", 3, "b"))
}

func ruleToItself(t *testing.T) {
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: "a1"}))
	w.released("a", w.content("a1", 1, "a", delegation{name: "a", who: "a2"}))
	w.released("a", w.content("a2", 2, "a"))
	at := w.released("a", w.content("a1", 2, "other"))
	w.isCurrent(t.Context(), at, "a")
	w.refused(admit.RefusedThreshold, "a", w.content("a2", 3, "a")) // what a 1 delegated is past
}

func ruleRemovedAndPutBack(t *testing.T) {
	w := newWorld(t, usual)
	with := func(version int64, by who) []byte {
		return w.targets("t1", version, "x", delegation{name: "a", who: by})
	}
	w.released("targets", with(1, "a1"))
	a := w.content("a1", 1, "a")
	at := w.released("a", a)
	w.released("targets", w.targets("t1", 2, "x"))
	w.isCurrent(t.Context(), -1, "a")
	w.logged(at, "a", a)
	w.refused(admit.RefusedNotDelegated, "a", w.content("a1", 2, "a"))
	w.refused(admit.RefusedNotDelegated, "a", w.content("a1", 1, "second payload"))
	w.released("targets", with(3, "a1"))
	w.isCurrent(t.Context(), at, "a")
	w.evidence(at, "a", w.content("a1", 1, "second payload"))
	w.released("targets", with(4, "a2"))
	w.isCurrent(t.Context(), -1, "a")
	w.released("a", w.content("a2", 1, "used again"))
}

func ruleThresholds(t *testing.T) {
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: "a1 a2 a3 a1=x/2"}, delegation{name: "b", who: "q2 q3/3"}))
	w.refused(admit.RefusedThreshold, "a", w.content("a1", 1, "a"))
	w.refused(admit.RefusedThreshold, "a", w.content("a1 a1=x", 1, "a"))
	w.refused(admit.RefusedThreshold, "a", w.content("a1 -a2", 1, "a"))
	w.refused(admit.RefusedThreshold, "b", w.content("q2 b3", 1, "b"))
	w.released("a", w.content("a3 a1", 1, "a"))
}

func ruleCurrentTargets(t *testing.T) {
	// A delegation counts while the targets metadata that has it is current.
	w := newWorld(t, usual)
	a := w.content("a1", 1, "a")
	w.released("targets", w.targets("t1", 5, "x"))
	w.released("targets", w.targets("t1", 4, "x", delegation{name: "a", who: "a1"}))
	w.refused(admit.RefusedNotDelegated, "a", a)
	w.evidence(1, "targets", w.targets("t1", 5, "y", delegation{name: "a", who: "a1"}))
	w.refused(admit.RefusedNotDelegated, "a", a)
	w.released("targets", w.targets("t1", 6, "x", delegation{name: "a", who: "a1"}))
	w.released("a", a)
}

func ruleBins(t *testing.T) {
	w := newWorld(t, usual)
	w.released("targets", forge(t, forgedBins(1, "bin", 14, "k1 k2/2"), "t1"))
	first := w.content("k1 k2", 1, "0")
	w.released("bin-0000", first)
	w.released("bin-3fff", w.content("k2 k1", 1, "3fff", delegation{name: "below", who: "a1"}))
	w.refused(admit.RefusedThreshold, "bin-1000", w.content("k1", 1, "1000"))
	for _, name := range []string{"bin-4000", "bin-3FFF", "bin-fff", "bin-00000", "bin", "bin-", "nib-0000"} {
		w.refused(admit.RefusedNotDelegated, name, w.content("k1 k2", 1, name))
	}
	w.released("below", w.content("a1", 1, "below"))
	// Bins are in order: bin-0001 comes before bin-3fff.
	w.released("bin-0001", w.content("k1 k2", 1, "1", delegation{name: "below", who: "a2"}))
	at := w.released("below", w.content("a2", 1, "other"))
	w.isCurrent(t.Context(), at, "below")
	w.released("below", w.content("a1", 2, "below"))
	w.isCurrent(t.Context(), at, "below")
}

func ruleManyDelegations(t *testing.T) {
	w := newWorld(t, usual)
	var all []delegation
	for i := range tuf.MaxDelegations {
		all = append(all, delegation{name: fmt.Sprint("role", i), who: who(fmt.Sprint("k", i%10))})
	}
	w.released("targets", w.targets("t1", 1, "x", all...))
	last := all[len(all)-1]
	w.released(last.name, w.content(last.who, 1, "x"))
	w.refused(admit.RefusedNotDelegated, fmt.Sprint("role", len(all)), w.content("k1", 1, "x"))
	tooMany := w.targets("t1", 2, "x", append(all, delegation{name: "one more", who: "k1"})...)
	if _, err := tuf.ParseJSON(tooMany); err == nil || !strings.Contains(err.Error(), "more than 16384 delegations") {
		t.Errorf("one delegation more: %v", err)
	}
}

func ruleTopLevelNames(t *testing.T) {
	w := newWorld(t, usual)
	for _, name := range []string{"root", "targets", "snapshot", "timestamp"} {
		if _, err := tuf.ParseJSON(w.targets("t1", 1, "x", delegation{name: name, who: "a1"})); err == nil {
			t.Errorf("a delegation to %s parses", name)
		}
	}
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "Root", who: "a1"}, delegation{name: "targets.json", who: "a1"}))
	w.released("Root", w.content("a1", 1, "x"))
	w.released("targets.json", w.content("a1", 1, "y"))
}

func rulePassingOff(t *testing.T) {
	// a and b have the same key, so signatures alone do not tell whose a file is.
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1 k1", 1, "x", delegation{name: "a", who: "k1"}, delegation{name: "b", who: "k1"}))
	file := w.content("k1", 1, "a")
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "b", file, w.beside("a", file))
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "b", file, w.besidePlain("a", file))
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "b", file)
	w.mustRelease("a", file, w.beside("a", file))
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "b", file, w.beside("a", file))

	// Another repository with the same keys, and one that delegates to them.
	other := newWorld(t, topLevel{"r2 r1", "t1", "s1", "x1"})
	foreign := w.targets("t1", 7, "only there")
	at := other.released("targets", foreign)
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "targets", foreign, forge(t, forgedSnapshot(1, map[string]map[string]any{"targets": plain(7)}), "s2"))
	// What is signed by the present keys of both, beside a snapshot signed by both,
	// is a release of both: nothing in TUF metadata says of which repository it is.
	w.released("targets", foreign)
	other.logged(at, "targets", foreign)
	// A root chains to one history only, even where the keys are the same.
	w.mustRelease("root", forge(t, forgedRoot(2, usual), "r1"))
	if w.repo.ID() == other.repo.ID() {
		t.Error("two repositories have one name")
	}
}

func ruleSharedPayload(t *testing.T) {
	bins := func(t *testing.T) (*world, []byte, int64) {
		w := newWorld(t, usual)
		w.released("targets", forge(t, forgedBins(1, "bin", 1, "k1"), "t1"))
		empty := forge(t, forgedEmpty(1), "k1")
		return w, empty, w.mustRelease("bin-0", empty, w.besidePlain("bin-0", empty))
	}
	// Empty bins that are released together share their payload.
	w, empty, first := bins(t)
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "bin-1", empty)
	w.mustBeRefused(admit.RefusedSnapshotNeeded, "bin-1", empty, w.beside("bin-0", empty))
	second := w.mustRelease("bin-1", empty, w.besidePlain("bin-1", empty))
	w.logged(second+1, "bin-1", func() []byte { // bound now, and it was not
		w.released("bin-1", empty)
		return empty
	}())
	w.mustBeLogged(first, "bin-0", empty, w.besidePlain("bin-0", empty))

	// One passed off as another's gives way to that one's own.
	w, empty, _ = bins(t)
	own := w.content("k1", 1, "own")
	w.mustBeRefused(admit.RefusedNotCovered, "bin-1", own, w.besidePlain("bin-1", own)) // the path is bin-0's
	at := w.mustRelease("bin-0", own, w.besidePlain("bin-0", own))
	third := w.content("k1", 1, "third")
	w.mustBeRefused(admit.RefusedSecondPayload, "bin-0", third, w.besidePlain("bin-0", third)) // own is nobody else's
	w.mustBeRefused(admit.RefusedSecondPayload, "bin-0", third, w.beside("bin-0", third))
	w.mustBeLogged(at, "bin-0", own, w.besidePlain("bin-0", own))

	// In a new repository what targets itself delegates says whose a file is.
	w = newWorld(t, usual)
	bin := forge(t, forgedEmpty(1), "t1")
	wrong := w.mustRelease("targets", bin, w.besidePlain("targets", bin))
	right := w.targets("t1", 1, "x", delegation{name: "a", who: "t1", paths: "bin/*"})
	at = w.mustRelease("targets", right, w.besidePlain("targets", right))
	w.mustBeRefused(admit.RefusedSecondPayload, "targets", w.targets("t1", 1, "y"), w.besidePlain("targets", w.targets("t1", 1, "y")))
	w.mustRelease("a", bin, w.besidePlain("a", bin))
	w.isCurrent(t.Context(), at, "targets")
	w.mustBeLogged(wrong, "targets", bin, w.besidePlain("targets", bin))

	// Where each role has its own keys a second payload is refused, and no evidence
	// unless the snapshot's keys said of both whose they are.
	w = newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: "a1"}))
	one, two := w.content("a1", 1, "one"), w.content("a1", 1, "two")
	at = w.mustRelease("a", one, w.besidePlain("a", one))
	w.mustBeRefused(admit.RefusedSecondPayload, "a", two, w.besidePlain("a", two))
	w.mustBeRefused(admit.RefusedSecondPayload, "a", two, w.beside("a", two))
	bound := w.mustRelease("a", one, w.beside("a", one))
	w.mustBeRefused(admit.RefusedSecondPayload, "a", two, w.besidePlain("a", two))
	w.mustBeLogged(bound, "a", one, w.besidePlain("a", one))
	w.mustBeEvidence(bound, "a", two, w.beside("a", two))
	w.isCurrent(t.Context(), bound, "a")
	if at >= bound {
		t.Errorf("the bound release, %d, does not come after the other, %d", bound, at)
	}
}

func ruleCovered(t *testing.T) {
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x",
		delegation{name: "a", who: "k1", paths: "other/*"}, delegation{name: "b", who: "k1", paths: "fi?e"}, delegation{name: "c", who: "q1", paths: "*"}))
	file := w.content("k1", 1, "1")
	w.mustBeRefused(admit.RefusedNotCovered, "a", file, w.besidePlain("a", file))
	w.mustRelease("b", file, w.besidePlain("b", file))
	w.mustRelease("a", file, w.beside("a", file)) // the vendor may list what no client will find
	// Every delegation on the way must cover it, and one way is enough.
	w.released("a", w.content("k1", 2, "2", delegation{name: "d", who: "d1", paths: "*"}))
	deep := w.content("d1", 1, "deep")
	w.mustBeRefused(admit.RefusedNotCovered, "d", deep, w.besidePlain("d", deep))
	w.released("c", w.content("q1", 1, "c", delegation{name: "d", who: "d1", paths: "f*"}))
	w.mustRelease("d", deep, w.besidePlain("d", deep))
}

// More places of a name than count do not hide those whose way covers the file.
func ruleManyPlaces(t *testing.T) {
	w := newWorld(t, usual)
	var many []delegation
	for i := range admit.MaxPlaces {
		many = append(many, delegation{name: fmt.Sprint("m", i), who: "m1", paths: "m/*"})
	}
	w.released("targets", w.targets("t1", 1, "x", append(many, delegation{name: "c", who: "q1"})...))
	for i, d := range many {
		w.released(d.name, w.content("m1", 1, d.name, delegation{name: "b", who: who(fmt.Sprint("k", i))}))
	}
	w.released("c", w.content("q1", 1, "c", delegation{name: "b", who: "a1"}))
	w.released("b", w.content("a1", 1, "b"))
	w.released("b", w.content("k0", 1, "k0"))
	w.refused(admit.RefusedThreshold, "b", w.content("k63", 1, "k63")) // one too many
}

func ruleManyPayloads(t *testing.T) {
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: "k1"}, delegation{name: "b", who: "k1"}))
	for i := range admit.MaxUnbound {
		file := w.content("k1", 1, fmt.Sprint(i))
		w.mustRelease("a", file, w.besidePlain("a", file))
	}
	file := w.content("k1", 1, "one more")
	w.mustBeRefused(admit.RefusedSecondPayload, "a", file, w.besidePlain("a", file))
	empty := forge(t, forgedEmpty(1), "k1")
	w.mustRelease("a", empty, w.besidePlain("a", empty))
	// One that is released as another role's leaves room.
	zero := w.content("k1", 1, "0")
	w.mustRelease("b", zero, w.besidePlain("b", zero))
	w.mustRelease("a", file, w.besidePlain("a", file))
	file = w.content("k1", 1, "yet another")
	w.mustBeRefused(admit.RefusedSecondPayload, "a", file, w.besidePlain("a", file))
	at := w.released("a", file) // a bound one has room
	w.evidence(at, "a", w.content("k1", 1, "and another"))
}
