package leader_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/log/maintain"
	"github.com/tuflog/tuflog/log/storagetest"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Judged in parts, a log has the problems that it has judged at once.
func TestFsckJudgesInParts(t *testing.T) {
	r := start(t, nil)
	var second leaf.Leaf // of a root that is not the first of its repository
	for i := range 5 {
		v := newVendor(t)
		id := r.register(t, file(v, "root").Data)
		r.submit(t, id, all(v)...)
		check(t, v.Put(tuf.RoleTargets, "app", []byte{byte(i)}))
		if i == 2 {
			check(t, v.Rotate(tuf.RoleRoot))
		}
		check(t, v.Release(tuf.RoleTargets))
		r.submit(t, id, all(v)...)
		if i == 2 {
			m, err := tuf.ParseJSON(file(v, "root").Data)
			check(t, err)
			second = leaf.Leaf{
				Kind: leaf.Release, Repository: m.PayloadDigest, Role: tuf.RoleRoot, Version: m.Version,
				Payload: m.PayloadDigest, Metadata: m.FileDigest, Size: int64(len(m.File)), Encoding: tuf.JSON,
			}
		}
	}
	run := func(entries [][]byte, atOnce int64) []string {
		t.Helper()
		var storage storagetest.Mem
		_, err := storage.Append(t.Context(), entries)
		check(t, err)
		var edge proofs.Edge
		for _, e := range entries {
			check(t, edge.Append(proofs.LeafHash(e)))
		}
		checked := 0
		f := maintain.Fsck{Storage: &storage, Stored: edge.Tree(), Blobs: r.blobs, Judge: true, JudgeAtOnce: atOnce, Progress: func(n int) { checked += n }}
		problems, err := f.Run(t.Context())
		check(t, err)
		if want := len(entries) * int(f.Passes()); checked != want || f.Passes() < 2 {
			t.Errorf("%d entries in %d passes, want %d", checked, f.Passes(), want)
		}
		slices.Sort(problems)
		return problems
	}
	good := r.Storage.Entries()
	if len(good) != 16 {
		t.Fatalf("%d entries", len(good))
	}
	for _, atOnce := range []int64{0, 1, 3, 16} {
		if problems := run(good, atOnce); len(problems) > 0 {
			t.Errorf("%d at once: %q", atOnce, problems)
		}
	}
	changed := func(i int, change func(*leaf.Leaf)) []byte {
		l, err := leaf.Parse(good[i])
		check(t, err)
		change(&l)
		return l.Marshal()
	}
	bad := slices.Concat(good, [][]byte{good[4], second.Marshal()})
	bad[7] = changed(7, func(l *leaf.Leaf) { l.Version++ })
	bad[10] = changed(10, func(l *leaf.Leaf) { l.Kind, l.Contradicts = leaf.Evidence, 3 })
	want := run(bad, 0)
	if text := strings.Join(want, "\n"); len(want) < 4 || !strings.Contains(text, "entry 7: ") || !strings.Contains(text, "entry 10: ") ||
		!strings.Contains(text, "entry 16: ") || !strings.Contains(text, "entry 17: it opens a repository with a root that another has") {
		t.Errorf("found %s", text)
	}
	for _, atOnce := range []int64{1, 3, 17} {
		if problems := run(bad, atOnce); !slices.Equal(problems, want) {
			t.Errorf("%d at once: %q, want %q", atOnce, problems, want)
		}
	}
}
