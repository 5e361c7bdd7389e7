package admit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// A file that cannot be read is trouble, not a verdict on the file submitted.
func TestUnreadableBlobs(t *testing.T) {
	w := newWorld(t, topLevel{"r1", "t1 t2", "s1", "x1"})
	signed := forgedTargets(1, "x", delegation{name: "a", who: "a1"})
	at := w.released("targets", forge(t, signed, "t1"))
	w.rotate(2, topLevel{"r1", "t1 t2 t3", "s1", "x1"})

	again := forge(t, signed, "t2")
	first := w.repo.Records()[at].Leaf.Metadata
	for _, missing := range []tuf.Digest{first, w.repo.Records()[2].Leaf.Metadata} {
		// A repository that has cached nothing.
		fresh := reload(t, w.prefix)
		kept := w.blobs[missing]
		for what, blob := range map[string][]byte{"missing": nil, "damaged": append(kept[:len(kept):len(kept)], ' '), "not metadata": []byte("{}")} {
			if w.blobs[missing] = blob; blob == nil {
				delete(w.blobs, missing)
			}
			for role, file := range map[string][]byte{"targets": again, "a": forge(t, forgedTargets(1, "a"), "a1")} {
				d, err := fresh.Judge(t.Context(), role, parse(t, file), []*tuf.Metadata{parse(t, w.beside(role, file))})
				if err == nil || admit.IsRefused(err) {
					t.Errorf("%s is %s: %s is judged %+v, %v", missing, what, role, d, err)
				}
			}
			if _, _, err := fresh.Current(t.Context(), "a"); err == nil {
				t.Errorf("%s is %s: there is a current a", missing, what)
			}
		}
		w.blobs[missing] = kept
		if d, err := fresh.Judge(t.Context(), "targets", parse(t, again), []*tuf.Metadata{parse(t, w.beside("targets", again))}); err != nil || d.Logged {
			t.Errorf("once all is there again: %+v, %v", d, err)
		}
	}
}

// reload makes a repository from nothing but its leaves.
func reload(t testing.TB, p *prefix) *admit.Repository {
	t.Helper()
	records := p.repo.Records()
	r, err := admit.NewRepository(records[0].Leaf, records[0].Index, p)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records[1:] {
		if err := r.Apply(rec.Index, rec.Leaf); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// A file with more signatures than its summary holds is still read when it is
// asked whether it stands.
func TestManySignatures(t *testing.T) {
	w := newWorld(t, usual)
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprint("k", i))
	}
	keys = append(keys, "t1", "t2")
	at := w.released("targets", w.targets(who(strings.Join(keys, " ")), 1, "x"))
	w.rotate(2, topLevel{"r1", "t2", "s1", "x1"})
	w.isCurrent(t.Context(), at, "targets")
	w.rotate(3, topLevel{"r1", "t1 t2/2", "s1", "x1"})
	w.isCurrent(t.Context(), at, "targets")
	w.rotate(4, topLevel{"r1", "t3", "s1", "x1"})
	w.isCurrent(t.Context(), -1, "targets")
}

// longHistory is a repository with n releases of targets, two of each version
// under other keys, and delegations at the top.
func longHistory(t testing.TB, n int) *world {
	w := newWorld(t, usual)
	for i := range n {
		version := int64(i + 1)
		file := w.targets("t1", version, "x", delegation{name: "a", who: "a1"})
		w.blobs[tuf.Sum(file)] = file
		m := parse(t, file)
		leaf := leaf.Leaf{
			Kind: leaf.Release, Repository: w.repo.ID(), Role: "targets", Version: version, Payload: m.PayloadDigest,
			Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
			Snapshot: m.FileDigest, Listed: leaf.ByHash,
		}
		if err := w.repo.Apply(w.next, leaf); err != nil {
			t.Fatal(err)
		}
		w.next++
	}
	return w
}

// TestReadsFewFiles counts the files that judgements read where one role has
// thousands of releases.
func TestReadsFewFiles(t *testing.T) {
	releases := 5000
	if testing.Short() {
		releases = 1000
	}
	w := longHistory(t, releases)
	reads := func(what string, most int, do func()) {
		t.Helper()
		before := w.reads
		do()
		if n := w.reads - before; n > most {
			t.Errorf("%s: %d files are read, want at most %d", what, n, most)
		}
	}
	next := w.targets("t1", int64(releases+1), "x", delegation{name: "a", who: "a1"})
	reads("the first judgement", 3, func() { w.released("targets", next) })
	reads("the second", 2, func() { w.released("a", w.targets("a1", 1, "a")) })
	reads("a role that nobody delegates to", 2, func() { w.refused(admit.RefusedNotDelegated, "b", w.targets("a1", 1, "b")) })
	reads("a late version", 1, func() { w.evidence(4, "targets", w.targets("t1", 4, "y")) })
	reads("one logged long ago", 1, func() { w.logged(3, "targets", w.targets("t1", 3, "x", delegation{name: "a", who: "a1"})) })
	reads("one that nobody signed", 1, func() { w.refused(admit.RefusedThreshold, "targets", w.targets("k1", 9000, "x")) })

	// After a rotation everything is passed over once.
	w.rotate(2, topLevel{"r1", "t2", "s1", "x1"})
	reads("the first after a rotation", releases+10, func() { w.refused(admit.RefusedNotDelegated, "a", w.targets("a1", 2, "a")) })
	for i := range 5 {
		reads("the next after a rotation", 3, func() { w.refused(admit.RefusedNotDelegated, "a", w.targets("a1", int64(i+3), "a")) })
	}
	reads("a release after a rotation", 3, func() {
		w.released("targets", w.targets("t2", 1, "x", delegation{name: "a", who: "a1"}))
	})
	w.rotate(3, topLevel{"r1", "t3", "s1", "x1"})
	reads("the first after another rotation", 3, func() { w.refused(admit.RefusedNotDelegated, "a", w.targets("a1", 2, "a")) })
	w.rotate(4, topLevel{"r1", "t1 t2", "s1", "x1"})
	reads("keys that come back", 3, func() {
		w.isCurrent(t.Context(), int64(releases+1), "targets")
		w.isCurrent(t.Context(), int64(releases+2), "a")
	})
}

// TestLargeTargets logs metadata with 100,000 targets, and what it delegates to.
func TestLargeTargets(t *testing.T) {
	targets := 100_000
	if testing.Short() {
		targets = 10_000
	}
	w := newWorld(t, usual)
	large := func(version int64) []byte {
		m := forgedTargets(version, "x", delegation{name: "a", who: "a1"})
		files := map[string]any{}
		for i := range targets {
			files[fmt.Sprintf("images/board-%06d.bin", i)] = map[string]any{"length": i, "hashes": map[string]string{"sha256": tuf.Sum(fmt.Append(nil, i)).String()}}
		}
		m["targets"] = files
		return forge(t, m, "t1")
	}
	file := large(1)
	at := w.released("targets", file)
	w.logged(at, "targets", file)
	w.released("a", w.targets("a1", 1, "a"))
	before := w.reads
	w.released("a", w.targets("a1", 2, "a"))
	if w.reads != before {
		t.Errorf("the large file is read again: %d files are read", w.reads-before)
	}
	w.isCurrent(t.Context(), at, "targets")

	// A repository that has just been loaded reads it once.
	fresh := reload(t, w.prefix)
	before = w.reads
	if rec, ok, err := fresh.Current(t.Context(), "a"); err != nil || !ok || rec.Leaf.Version != 2 {
		t.Errorf("%+v, %v, %v", rec, ok, err)
	}
	if n := w.reads - before; n > 3 { // root, targets and a
		t.Errorf("%d files are read", n)
	}
}

// BenchmarkJudge judges the next release where there are 5,000.
func BenchmarkJudge(b *testing.B) {
	for _, n := range []int{1, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := longHistory(b, n)
			file := w.targets("t1", int64(n+1), "x")
			snapshots := []*tuf.Metadata{parse(b, w.beside("targets", file))}
			m := parse(b, file)
			b.ReportAllocs()
			for b.Loop() {
				if d, err := w.repo.Judge(b.Context(), "targets", m, snapshots); err != nil || d.Logged {
					b.Fatal(d, err)
				}
			}
		})
		b.Run(fmt.Sprint(n, "delegated"), func(b *testing.B) {
			w := longHistory(b, n)
			file := w.targets("a1", 1, "x")
			snapshots := []*tuf.Metadata{parse(b, w.beside("a", file))}
			m := parse(b, file)
			b.ReportAllocs()
			for b.Loop() {
				if d, err := w.repo.Judge(b.Context(), "a", m, snapshots); err != nil || d.Logged {
					b.Fatal(d, err)
				}
			}
		})
	}
}

// BenchmarkJudgeBins judges one of 16,384 bins that all have releases.
func BenchmarkJudgeBins(b *testing.B) {
	w := newWorld(b, usual)
	w.released("targets", forge(b, forgedBins(1, "bin", 14, "k1"), "t1"))
	file := w.targets("k1", 1, "")
	m := parse(b, file)
	w.blobs[m.FileDigest] = file
	for i := range 1 << 14 {
		leaf := leaf.Leaf{
			Kind: leaf.Release, Repository: w.repo.ID(), Role: fmt.Sprintf("bin-%04x", i), Version: 1, Payload: m.PayloadDigest,
			Metadata: m.FileDigest, Size: int64(len(file)), Encoding: tuf.JSON,
			Snapshot: m.FileDigest, Listed: leaf.ByHash,
		}
		if err := w.repo.Apply(w.next, leaf); err != nil {
			b.Fatal(err)
		}
		w.next++
	}
	next := w.targets("k1", 2, "x")
	for _, role := range []string{"bin-3fff", "nobody"} {
		b.Run(role, func(b *testing.B) {
			snapshots := []*tuf.Metadata{parse(b, w.beside(role, next))}
			m := parse(b, next)
			for b.Loop() {
				if _, err := w.repo.Judge(b.Context(), role, m, snapshots); err != nil && !admit.IsRefused(err) {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestLateReleasesAreSorted submits a history backwards.
func TestLateReleasesAreSorted(t *testing.T) {
	w := newWorld(t, usual)
	versions := []int64{9, 3, 7, 1, 8, 2, 6}
	for i, version := range versions {
		w.released("targets", w.targets("t1", version, "x"))
		highest := slices.Index(versions, slices.Max(versions[:i+1]))
		w.isCurrent(t.Context(), int64(highest+1), "targets")
		if rec, ok, err := reload(t, w.prefix).Current(t.Context(), "targets"); err != nil || !ok || rec.Index != int64(highest+1) {
			t.Errorf("after %d: %+v, %v, %v", version, rec, ok, err)
		}
	}
}
