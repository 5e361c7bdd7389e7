package admit_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/tuf"
)

// What a judge remembers must never change a verdict: a log that has run for years
// and an auditor that begins today have to agree on every leaf. These tests play
// what was once possible where they did not.

// alike returns two names of keys whose ids have one 32-bit FNV-1a hash.
func alike(t *testing.T) (string, string) {
	t.Helper()
	seen := map[uint32]string{}
	for i := range 1 << 20 {
		id := fmt.Sprintf("t%06x", i)
		h := fnv.New32a()
		h.Write([]byte(id))
		if other, ok := seen[h.Sum32()]; ok {
			return other, id
		}
		seen[h.Sum32()] = id
	}
	t.Fatal("no two ids have one hash")
	return "", ""
}

// restarted returns a judge that has only been told of the leaves.
func restarted(t *testing.T, p *prefix) *admit.Repository {
	t.Helper()
	records := p.repo.Records()
	repo, err := admit.NewRepository(records[0].Leaf, records[0].Index, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records[1:] {
		if err := repo.Apply(rec.Index, rec.Leaf); err != nil {
			t.Fatal(err)
		}
	}
	return repo
}

// A vendor chooses two key ids that a short hash does not tell apart, so that a
// release of both keys did not seem to stand. Its second payload is evidence, before
// and after a restart.
func TestCollidingKeyIDs(t *testing.T) {
	a, b := alike(t)
	w := newWorld(t, topLevel{"r1", who(a + " " + b + "/2"), "s1", "x1"})
	first := w.released("targets", w.targets(who(a+" "+b), 1, "for everybody"))
	second := w.targets(who(a+" "+b), 1, "for one device")
	w.mustBeRefused(admit.RefusedSecondPayload, "targets", second, w.besidePlain("targets", second))
	w.repo = restarted(t, w.prefix)
	w.mustBeRefused(admit.RefusedSecondPayload, "targets", second, w.besidePlain("targets", second))
	w.evidence(first, "targets", second)
}

// A root lists keys that nobody can read, and a release has junk under their ids
// before its one good signature. Whether it stands does not depend on whether the
// judge has looked at it under the root before, or on junk that emptied its memory.
func TestUnreadableKeysTakeNothing(t *testing.T) {
	const payload = 8 << 20 // 63 signatures of it are looked at
	var unreadable []string
	junk := ""
	for i := range 64 {
		unreadable = append(unreadable, fmt.Sprint("u", i))
		junk += fmt.Sprintf(`{"keyid":"u%d","sig":"%0128x"},`, i, i)
	}
	first := forge(t, padded(forgedTargets(1, "first"), payload), "t1")
	first = []byte(strings.Replace(string(first), `{"signatures":[`, `{"signatures":[`+junk, 1))
	for _, warm := range []bool{true, false} {
		w := newWorld(t, usual)
		at := w.released("targets", first)
		w.rotate(2, topLevel{"r1", who("t1 " + strings.Join(unreadable, " ")), "s1", "x1"})
		if !warm {
			w.repo = restarted(t, w.prefix)
		}
		w.isCurrent(t.Context(), at, "targets")
		w.evidence(at, "targets", w.targets("t1", 1, "second"))
	}
}

// Sets of keys with one fingerprint are met by the same files, whatever else a role
// lists, and however a file is remembered.
func TestEqualFingerprintsEqualVerdicts(t *testing.T) {
	a, b := alike(t)
	readable := []string{a, b, "k1", "k1=x", "k2", "k2=x", "k3"}
	others := []string{"u1", "u2", "b1", "gone"} // of which nothing depends on
	random := rand.New(rand.NewPCG(11, 11))
	keys := map[string]*tuf.Key{}
	for _, name := range slices.Concat(readable, others[:3]) {
		public := publicKey(name)
		keys[name] = &tuf.Key{ID: name, Type: public["keytype"].(string), Scheme: public["scheme"].(string), Public: public["keyval"].(map[string]any)["public"].(string)}
	}
	some := func(names []string) []string {
		chosen := slices.Clone(names)
		random.Shuffle(len(chosen), func(i, j int) { chosen[i], chosen[j] = chosen[j], chosen[i] })
		return chosen[:random.IntN(len(chosen)+1)]
	}
	var files []*tuf.Metadata
	for i := range 20 {
		var signers []string
		for _, name := range some(slices.Concat(readable, others[:3])) {
			if random.IntN(4) == 0 {
				name = "-" + name
			}
			signers = append(signers, name)
		}
		files = append(files, parse(t, forge(t, forgedTargets(int64(i+1), "x"), signers...)))
	}
	verdicts := map[tuf.Digest]string{}
	met := 0
	for range 80 {
		ids, threshold := some(readable), 1+random.IntN(2)
		for range 3 {
			listed := slices.Concat(some(others), ids, some(others), ids[:random.IntN(len(ids)+1)])
			set := tuf.NewKeySet(keys, tuf.Role{KeyIDs: listed, Threshold: threshold})
			said := ""
			for _, m := range files {
				err := m.Meets(set)
				if err == nil {
					met++
				}
				said += fmt.Sprint(err == nil, m.Signers(set))
			}
			before, ok := verdicts[set.Fingerprint()]
			if ok && before != said {
				t.Fatalf("two sets with one fingerprint, of which one lists %q, are met by other files", listed)
			}
			verdicts[set.Fingerprint()] = said
		}
	}
	if len(verdicts) > 80 {
		t.Errorf("%d fingerprints of 80 sets: what nobody can sign with is among them", len(verdicts))
	}
	if met == 0 || len(verdicts) < 40 {
		t.Errorf("%d of the sets differ, files met %d times: this tests nothing", len(verdicts), met)
	}
}

// sameVerdict compares two judges on one submission.
func sameVerdict(t *testing.T, what string, sub submission, one, other *admit.Repository) {
	t.Helper()
	var snapshots []*tuf.Metadata
	for _, s := range sub.snapshots {
		snapshots = append(snapshots, parse(t, s))
	}
	m := parse(t, sub.file)
	d, err := one.Judge(t.Context(), sub.role, m, snapshots)
	d2, err2 := other.Judge(t.Context(), sub.role, m, snapshots)
	if d != d2 || (err == nil) != (err2 == nil) || err != nil && err.Error() != err2.Error() {
		t.Fatalf("%s judges %s otherwise: %+v, %v and %+v, %v", what, sub.role, d, err, d2, err2)
	}
}

// TestWarmAndFresh lets schemers submit files whose key ids collide, beside junk
// that is refused and fills what a judge remembers, with restarts between any two
// steps, and compares a judge that has run from the beginning with others.
func TestWarmAndFresh(t *testing.T) {
	rounds := 24
	if testing.Short() {
		rounds = 6
	}
	a, b := alike(t)
	appended, refused := 0, 0
	for round := range rounds {
		random := rand.New(rand.NewPCG(13, uint64(round)))
		s := newSchemer(t, random)
		s.more = []string{a, b, "u2", "u3", "b2"}
		p := newPrefix(t, forge(t, forgedRoot(1, s.roles), "r1"))
		s.release("targets")
		restart := restarted(t, p)
		var pool []submission
		for step := range 60 {
			s.act()
			pool, s.out = append(pool, s.out...), nil
			sub := pool[len(pool)-1]
			if random.IntN(3) == 0 {
				sub = pick(random, pool)
			}
			for range random.IntN(4) { // refused, and never seen by an auditor
				junk := forge(t, forgedSnapshot(int64(step+1), map[string]map[string]any{sub.role: plain(1)}), "-s1")
				p.judge(sub.role, forge(t, forgedTargets(int64(step+1), "junk"), "-t1", "-"+a), junk)
			}
			if random.IntN(5) == 0 {
				restart = restarted(t, p)
			}
			if random.IntN(3) == 0 {
				p.repo.Forget()
			}
			sameVerdict(t, "a judge that was restarted at some time", sub, p.repo, restart)
			sameVerdict(t, "a fresh judge", sub, p.repo, restarted(t, p))
			d, err := p.submit(sub.role, sub.file, sub.snapshots...)
			var r *admit.Refused
			switch {
			case errors.As(err, &r):
				refused++
			case err != nil:
				t.Fatal(err)
			case !d.Logged:
				appended++
				records := p.repo.Records()
				if err := restart.Apply(records[len(records)-1].Index, d.Leaf); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if appended < 5*rounds || refused < 10*rounds {
		t.Errorf("%d leaves and %d refusals: this tests little", appended, refused)
	}
}

// readsSince returns how many files have been read since.
func readsSince(w *world, before int) int { return w.reads - before }

// One payload is signed again and again, each time by another key of the role: no
// file is read again for it, and at some point it is enough.
func TestSignedAgainManyTimes(t *testing.T) {
	const keys = 80
	var all []string
	for i := range keys {
		all = append(all, fmt.Sprint("k", i))
	}
	w := newWorld(t, topLevel{"r1", who(strings.Join(all, " ")), "s1", "x1"})
	signed := forgedTargets(1, "x")
	released := 0
	for _, key := range all {
		before := w.reads
		d, err := w.submit("targets", forge(t, signed, key), w.beside("targets", forge(t, signed, key)))
		if err != nil {
			t.Fatal(err)
		}
		if !d.Logged {
			released++
		}
		if n := readsSince(w, before); n > 1 {
			t.Fatalf("%d files are read for one that is signed again", n)
		}
	}
	if want := admit.MaxSignedAgain + 1; released != want {
		t.Errorf("released %d times, want %d", released, want)
	}
}

// One version is used again after each rotation, under one key id: what is read for
// a judgement does not grow with the releases before it.
func TestVersionUsedAgainManyTimes(t *testing.T) {
	root := func(version int64) []byte {
		m := forgedRoot(version, usual)
		m["keys"].(map[string]any)["t1"] = publicKey(fmt.Sprint("t1-", version))
		return forge(t, m, "r1")
	}
	w := &world{prefix: newPrefix(t, root(1))}
	for version := range int64(100) {
		file := forgeAs(t, forgedTargets(1, fmt.Sprint(version)), "t1", fmt.Sprint("t1-", version+1))
		before := w.reads
		w.mustRelease("targets", file, w.beside("targets", file))
		w.mustRelease("root", root(version+2))
		if n := readsSince(w, before); n > 4 {
			t.Fatalf("%d files are read at version %d", n, version+1)
		}
	}
}

// A sibling delegates to the name of a role further down. She neither keeps its
// files out nor burns its versions, and her own stand at her own place only.
func TestSiblingDelegates(t *testing.T) {
	for _, keys := range []who{"m1", "c1 m1"} { // with or without the victim's key beside hers
		w := newWorld(t, usual)
		w.released("targets", w.targets("t1", 1, "x", delegation{name: "mallory", who: "m1", paths: "m/*"}, delegation{name: "carol", who: "q1", paths: "*"}))
		w.released("carol", w.content("q1", 1, "c", delegation{name: "release", who: "c1", paths: "*"}))
		w.released("mallory", w.content("m1", 1, "m", delegation{name: "release", who: keys, paths: "m/*"}))
		empty := forge(t, forgedEmpty(2), "m1")
		w.mustRelease("release", empty, w.besidePlain("release", empty))
		other := w.content("m1", 2, "evil")
		w.mustBeRefused(admit.RefusedNotCovered, "release", other, w.besidePlain("release", other))
		own := w.content("c1", 2, "own")
		at := w.mustRelease("release", own, w.besidePlain("release", own))
		w.released("mallory", w.content("m1", 2, "takes it back"))
		w.mustBeLogged(at, "release", own, w.besidePlain("release", own))
		w.isCurrent(t.Context(), at, "release")
	}
}

// A delegatee delegates to a name in as many files as it likes, each time by another
// key under an id of which each release of the role has junk. What was looked at once
// is not looked at again by each judgement of any role.
func TestManyPlacesWhereNothingStands(t *testing.T) {
	const places, releases = 40, 10
	w := newWorld(t, usual)
	ds := []delegation{{name: "c", who: "c1"}, {name: "b", who: "q1"}}
	for i := range places {
		ds = append(ds, delegation{name: fmt.Sprint("m", i), who: "m1"})
	}
	w.released("targets", w.targets("t1", 1, "x", ds...))
	for i := range places {
		m := forgedTargets(1, "m", delegation{name: "b", who: "junk"})
		m["delegations"].(map[string]any)["keys"].(map[string]any)["junk"] = publicKey(fmt.Sprint("y", i))
		w.released(fmt.Sprint("m", i), forge(t, m, "m1"))
	}
	for i := range releases {
		b := w.content("q1", int64(i+1), "b", delegation{name: "d", who: "d1"})
		w.released("b", []byte(strings.Replace(string(b), `{"signatures":[`, fmt.Sprintf(`{"signatures":[{"keyid":"junk","sig":"%0128x"},`, i+1), 1)))
	}
	for i := range 3 {
		before := w.reads
		w.released("c", w.content("c1", int64(i+1), "c"))
		if n := readsSince(w, before); i > 0 && n > 1 {
			t.Errorf("%d files are read for version %d", n, i+1)
		}
	}
}

// A rival that has been signed again and again is read once.
func TestRivalsSignedAgain(t *testing.T) {
	const keys = 20
	var all []string
	for i := range keys {
		all = append(all, fmt.Sprint("k", i))
	}
	by := who(strings.Join(all, " "))
	w := newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: by}, delegation{name: "b", who: by}))
	for _, content := range []string{"1", "2"} {
		for _, key := range all {
			file := forge(t, forgedTargets(1, content), key)
			w.mustRelease("a", file, w.besidePlain("a", file))
		}
	}
	file := w.content("k1", 1, "3")
	before := w.reads
	w.mustRelease("a", file, w.besidePlain("a", file))
	if n := readsSince(w, before); n > 2 {
		t.Errorf("%d files are read of two payloads", n)
	}
}

// Many roles delegate, with more paths than are kept in memory: who may sign a role
// is known without them, so their files are not read again for every judgement.
func TestManyRolesDelegate(t *testing.T) {
	const roles = 60
	w := newWorld(t, usual)
	var all []delegation
	for i := range roles {
		all = append(all, delegation{name: fmt.Sprint("role", i), who: "k1"})
	}
	w.released("targets", w.targets("t1", 1, "x", all...))
	for _, d := range all {
		before := w.reads
		w.released(d.name, w.content("k1", 1, d.name, delegation{name: d.name + "x", who: "q1", paths: d.name + strings.Repeat("p", 100<<10)}))
		if n := readsSince(w, before); n > 2 {
			t.Fatalf("%d files are read for %s", n, d.name)
		}
	}
	before := w.reads
	w.released("role7x", w.content("q1", 1, "7x"))
	if n := readsSince(w, before); n > 2 {
		t.Errorf("%d files are read for a role further down", n)
	}
}

// What comparing paths costs is counted alike wherever a judge runs, also where a
// product of 2^32 does not fit a word.
func TestCoverageIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("compares millions of paths")
	}
	const paths = 1 << 16
	m := forgedTargets(1, "x")
	file, files := m["targets"].(map[string]any)["file"], map[string]any{}
	for i := range paths {
		files[fmt.Sprintf("p%05x", i)] = file
	}
	m["targets"] = files
	for patterns, admitted := range map[int]bool{admit.MaxCoverage / paths: true, admit.MaxCoverage/paths + 1: false, 1 << 16: false} {
		w := newWorld(t, usual)
		w.released("targets", w.targets("t1", 1, "x", delegation{name: "a", who: "a1", paths: strings.Repeat("* ", patterns)}))
		a := forge(t, m, "a1")
		_, err := w.judge("a", a, w.besidePlain("a", a))
		if (err == nil) != admitted {
			t.Errorf("%d paths under %d patterns: %v", paths, patterns, err)
		}
	}
}

// crowded is a world in which carol's delegation to release is far down, and mallory
// has n places of that name before it, each with the keys of by.
func crowded(t *testing.T, n int, paths string, by func(i int) who) (w *world, own int64) {
	w = newWorld(t, usual)
	w.released("targets", w.targets("t1", 1, "x", delegation{name: "mallory", who: "m1", paths: paths}, delegation{name: "carol", who: "q1"}))
	w.released("carol", w.content("q1", 1, "carol", delegation{name: "dave", who: "q2"}))
	w.released("dave", w.content("q2", 1, "dave", delegation{name: "release", who: "c1"}))
	own = w.released("release", w.content("c1", 1, "own"))
	var all []delegation
	for i := range n {
		all = append(all, delegation{name: fmt.Sprint("m", i), who: "m1", paths: paths})
	}
	w.released("mallory", w.content("m1", 1, "mallory", all...))
	for i := range n {
		w.released(fmt.Sprint("m", i), w.content("m1", 1, "m", delegation{name: "release", who: by(i), paths: paths}))
	}
	return w, own
}

// A second payload that devices would take at carol's place is evidence, although
// mallory has hidden that place behind more than count.
func TestNobodyHidesARival(t *testing.T) {
	w, own := crowded(t, admit.MaxPlaces, "*", func(i int) who { return who(fmt.Sprint("m1 x", i)) })
	w.evidence(own, "release", w.content("c1 m1", 1, "other"))
	w.repo = restarted(t, w.prefix)
	w.mustBeRefused(admit.RefusedSecondPayload, "release", w.content("c1 m1", 1, "third"), w.besidePlain("release", w.content("c1 m1", 1, "third")))
}

// Nor does one that has used up the signatures that are looked at become a release.
func TestNobodyUsesUpTheLooks(t *testing.T) {
	if testing.Short() {
		t.Skip("hashes 2 GiB")
	}
	const payload, ids = 31 << 20, 16
	junk := ""
	w, _ := crowded(t, 6, "m/*", func(i int) who {
		if i == 0 {
			return "m1"
		}
		var keys []string
		for j := range ids {
			keys = append(keys, fmt.Sprintf("x%d-%d", i, j))
			junk += fmt.Sprintf(`{"keyid":"x%d-%d","sig":"%0128x"},`, i, j, ids*i+j)
		}
		return who(strings.Join(keys, " "))
	})
	second := forge(t, padded(forgedTargets(1, "other"), payload), "c1", "m1")
	second = []byte(strings.Replace(string(second), `{"signatures":[`, `{"signatures":[`+junk, 1))
	w.mustBeRefused(admit.RefusedSecondPayload, "release", second, w.beside("release", second))
}
