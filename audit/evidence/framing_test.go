package evidence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/audit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a log with two repositories, and the leaves of the first.
type world struct {
	*audittest.Log
	vendor, other *testvendor.Vendor
	repo          tuf.Digest
	leaves        []leaf.Leaf // of both repositories, in log order
	files         [][]byte    // every file of the honest vendors
}

func newVendor(t testing.TB) *testvendor.Vendor {
	t.Helper()
	v, err := testvendor.New(time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC))
	must(t, err)
	return v
}

func (w *world) submit(v *testvendor.Vendor, repo tuf.Digest, role string) (leaf.Leaf, int64) {
	w.T.Helper()
	_, file := v.File(role)
	_, snapshot := v.File(tuf.RoleSnapshot)
	w.files = append(w.files, file)
	if tuf.TypeOf(role) != tuf.RoleTargets {
		l, index := w.Submit(repo, role, file)
		w.leaves = append(w.leaves, l)
		return l, index
	}
	w.files = append(w.files, snapshot)
	l, index := w.Submit(repo, role, file, snapshot)
	w.leaves = append(w.leaves, l)
	return l, index
}

func (w *world) genesis(v *testvendor.Vendor) tuf.Digest {
	w.T.Helper()
	_, root := v.File(tuf.RoleRoot)
	repo := w.Register(root)
	w.files = append(w.files, root)
	w.leaves = append(w.leaves, w.Judge(repo, tuf.RoleRoot, root).Leaf)
	return repo
}

// newHonest is a log of two honest vendors: rotations, a file signed again, delegations,
// snapshots and timestamps.
func newHonest(t testing.TB) *world {
	t.Helper()
	w := &world{Log: audittest.New(t), vendor: newVendor(t), other: newVendor(t)}
	w.repo = w.genesis(w.vendor)
	w.submit(w.vendor, w.repo, tuf.RoleTargets)
	must(t, w.vendor.Delegate(tuf.RoleTargets, "plugin", "plugin/*"))
	must(t, w.vendor.Put("plugin", "plugin/one", []byte("a plugin")))
	must(t, w.vendor.Release(tuf.RoleTargets, "plugin"))
	w.submit(w.vendor, w.repo, tuf.RoleTargets)
	w.submit(w.vendor, w.repo, "plugin")
	second := w.genesis(w.other)
	must(t, w.vendor.Rotate(tuf.RoleTargets))
	w.submit(w.vendor, w.repo, tuf.RoleRoot)
	must(t, w.vendor.SignAgain(tuf.RoleTargets))
	w.submit(w.vendor, w.repo, tuf.RoleTargets)
	w.submit(w.vendor, w.repo, tuf.RoleSnapshot)
	w.submit(w.vendor, w.repo, tuf.RoleTimestamp)
	must(t, w.vendor.Rotate(tuf.RoleSnapshot))
	w.submit(w.vendor, w.repo, tuf.RoleRoot)
	w.submit(w.other, second, tuf.RoleTargets)
	must(t, w.vendor.Put(tuf.RoleTargets, "app.bin", []byte("another version")))
	must(t, w.vendor.Release(tuf.RoleTargets))
	w.submit(w.vendor, w.repo, tuf.RoleTargets)
	w.Publish(2)
	return w
}

// equivocate has the vendor's keys sign a second payload, which the log takes as evidence.
func (w *world) equivocate() {
	w.T.Helper()
	evil, err := w.vendor.Clone()
	must(w.T, err)
	must(w.T, w.vendor.Release(tuf.RoleTargets))
	w.submit(w.vendor, w.repo, tuf.RoleTargets)
	must(w.T, evil.Put(tuf.RoleTargets, "app.bin", []byte("for one customer")))
	must(w.T, evil.Release(tuf.RoleTargets))
	if l, _ := w.submit(evil, w.repo, tuf.RoleTargets); l.Kind != leaf.Evidence {
		w.T.Fatalf("the second payload is a %s", l.Kind)
	}
	w.Publish(2)
}

// TestHonestLogIsNotAccused puts every two or three entries of an honest log, and every
// span of it, into accusations of every entry, with all files that the log has or all but
// one. None proves anything.
func TestHonestLogIsNotAccused(t *testing.T) {
	w := newHonest(t)
	w.equivocate() // the log is honest all the same
	var entries [][]byte
	for _, l := range w.leaves {
		entries = append(entries, l.Marshal())
	}
	n := int64(len(entries))
	span := func(from, to int64) fraud.Span { return fraud.Span{First: from, Entries: entries[from:to]} }
	var all [][]fraud.Span
	for i := range n {
		for j := i + 1; j <= n; j++ {
			all = append(all, []fraud.Span{span(i, j)})
			if j == n || testing.Short() && (i+j)%3 > 0 {
				continue
			}
			all = append(all, []fraud.Span{span(i, i+1), span(j, j+1)})
			for k := j + 1; k < n; k++ {
				all = append(all, []fraud.Span{span(i, i+1), span(j, j+1), span(k, k+1)})
			}
		}
	}
	fetch := func(withheld tuf.Digest) func(context.Context, tuf.Digest) ([]byte, error) {
		return func(_ context.Context, sum tuf.Digest) ([]byte, error) {
			for _, f := range w.files {
				if sum == tuf.Sum(f) && sum != withheld {
					return f, nil
				}
			}
			return nil, fs.ErrNotExist
		}
	}
	count := 0
	check := func(kind evidence.Kind, index int64, spans []fraud.Span, withheld tuf.Digest) {
		if !slices.ContainsFunc(spans, func(s fraud.Span) bool { return s.First <= index && index < s.End() }) {
			return
		}
		count++
		if s, err := evidence.CheckEntries(t.Context(), kind, index, n, spans, fetch(withheld)); err == nil {
			t.Errorf("an honest log is accused: %s", s.Sentence)
		}
	}
	for index := range n {
		for _, spans := range all {
			for _, kind := range []evidence.Kind{evidence.BadLeaf, evidence.BehindEnd, evidence.Duplicate, evidence.FalseAdmission} {
				check(kind, index, spans, tuf.Digest{})
			}
		}
		for _, f := range w.files {
			check(evidence.FalseAdmission, index, []fraud.Span{span(0, n)}, tuf.Sum(f))
			check(evidence.FalseAdmission, index, []fraud.Span{span(0, index+1)}, tuf.Sum(f))
		}
	}
	t.Logf("%d accusations of an honest log", count)
}

// TestHonestVendorIsNotAccused puts every two files of honest vendors, with every two
// snapshots, every chain of roots and every way of delegation, into accusations of every
// role. None proves anything: not the same file signed again, not another repository's
// root, not an older root.
func TestHonestVendorIsNotAccused(t *testing.T) {
	if testing.Short() {
		t.Skip("it checks 33,000 accusations")
	}
	w := newHonest(t)
	var all, roots, targets, snapshots []*tuf.Metadata
	seen := map[tuf.Digest]bool{}
	for _, f := range w.files {
		m := audittest.Parse(t, f)
		if seen[m.FileDigest] {
			continue
		}
		seen[m.FileDigest] = true
		all = append(all, m)
		switch m.Type {
		case tuf.RoleRoot:
			roots = append(roots, m)
		case tuf.RoleTargets:
			targets = append(targets, m)
		case tuf.RoleSnapshot:
			snapshots = append(snapshots, m)
		}
	}
	// The second of them is the other vendor's.
	chains := [][]*tuf.Metadata{roots[:1], roots[1:2], {roots[0], roots[2]}, {roots[0], roots[2], roots[3]}, {roots[1], roots[2]}, roots[3:]}
	count := 0
	check := func(role string, roots, delegators, rivals, snapshots []*tuf.Metadata) {
		count++
		if err := evidence.CheckRivals(role, roots, delegators, rivals, snapshots); err == nil {
			t.Errorf("an honest vendor is accused of %s %d", role, rivals[0].Version)
		}
	}
	for i, a := range all {
		for _, b := range all[i:] {
			if a.Version != b.Version || a.PayloadDigest == b.PayloadDigest {
				check(tuf.RoleSnapshot, chains[3], nil, []*tuf.Metadata{a, b}, nil)
				continue
			}
			rivals := []*tuf.Metadata{a, b}
			for _, chain := range chains {
				for _, role := range []string{tuf.RoleRoot, tuf.RoleSnapshot, tuf.RoleTimestamp} {
					check(role, chain, nil, rivals, nil)
				}
				for _, s := range snapshots {
					for _, u := range snapshots {
						check(tuf.RoleTargets, chain, nil, rivals, []*tuf.Metadata{s, u})
						for _, d := range targets {
							check("plugin", chain, []*tuf.Metadata{d}, rivals, []*tuf.Metadata{s, u})
						}
					}
				}
			}
		}
	}
	t.Logf("%d accusations of honest vendors", count)
}

// TestNoAccusationByOthersKeys: what proves that a vendor equivocated proves nothing of
// another vendor, nor under roots that do not belong to it.
func TestNoAccusationByOthersKeys(t *testing.T) {
	w := newHonest(t)
	w.equivocate()
	a := w.accusation(evidence.Equivocation)
	s, err := evidence.Check(t.Context(), a.Marshal(), w.Signer.Key())
	must(t, err)
	if s.Repository != w.repo || s.Role != tuf.RoleTargets || len(s.Entries) != 2 || len(s.SignedBoth) != 1 {
		t.Errorf("proves %+v", s)
	}
	_, root := w.other.File(tuf.RoleRoot)
	roots := len(a.Files) - 4
	for name, files := range map[string][][]byte{
		"another repository's root":  slices.Concat([][]byte{root}, a.Files[roots:]),
		"the first root alone":       slices.Concat(a.Files[:1], a.Files[roots:]),
		"the last root alone":        a.Files[roots-1:],
		"a chain with a gap":         slices.Concat(a.Files[:1], a.Files[2:]),
		"another's root behind":      slices.Concat(a.Files[:roots], [][]byte{root}, a.Files[roots:]),
		"one file twice":             slices.Concat(a.Files[:roots], [][]byte{a.Files[roots], a.Files[roots], a.Files[roots+2], a.Files[roots+2]}),
		"the snapshots changed over": slices.Concat(a.Files[:roots+2], [][]byte{a.Files[roots+3], a.Files[roots+2]}),
		"one snapshot for both":      slices.Concat(a.Files[:roots+2], [][]byte{a.Files[roots+2], a.Files[roots+2]}),
		"no snapshots":               a.Files[:roots+2],
		"a delegator":                slices.Concat(a.Files[:roots], a.Files[roots:roots+1], a.Files[roots:]),
	} {
		b := a
		b.Files = files
		if s, err := evidence.Check(t.Context(), b.Marshal(), w.Signer.Key()); err == nil {
			t.Errorf("%s: %s", name, s.Sentence)
		}
	}
	for _, role := range []string{"plugin", tuf.RoleRoot, tuf.RoleSnapshot, "a%2Fb"} {
		b := a
		b.Subject = role
		if s, err := evidence.Check(t.Context(), b.Marshal(), w.Signer.Key()); err == nil {
			t.Errorf("as %s: %s", role, s.Sentence)
		}
	}
	// Of a log whose key is not there nothing is said. One whose key is there has to have
	// signed what it is said to hold.
	s, err = evidence.Check(t.Context(), a.Marshal(), w.Witnesses[0].Key())
	if err != nil || s.Unchecked != audittest.Origin || s.Log != "" || s.Size != 0 || s.Entries != nil || strings.Contains(s.Sentence, "entries 1") {
		t.Errorf("with a witness's key alone: %+v, %v", s, err)
	}
	b := a
	b.Notes = [][]byte{bytes.Replace(a.Notes[0], fmt.Appendf(nil, "\n%d\n", w.Size()), fmt.Appendf(nil, "\n%d\n", w.Size()+1), 1)}
	if s, err := evidence.Check(t.Context(), b.Marshal(), w.Signer.Key()); !errors.Is(err, proofs.ErrBadSignature) {
		t.Errorf("with a checkpoint that was altered: %+v, %v", s, err)
	}
	// The keys of the repository prove it without a log.
	a.Spans, a.Notes = nil, nil
	if s, err := evidence.Check(t.Context(), a.Marshal()); err != nil || s.Log != "" {
		t.Errorf("without a log: %+v, %v", s, err)
	}
}

// accusation replays the log and returns the accusation of a kind that its findings hold.
func (w *world) accusation(kind evidence.Kind) fraud.Accusation {
	w.T.Helper()
	auditor, err := audit.New(w.T.Context(), audit.Config{Source: w.Source(), Policy: w.Policy()})
	must(w.T, err)
	defer auditor.Close()
	result, err := auditor.Step(w.T.Context())
	must(w.T, err)
	for _, f := range result.Findings {
		for _, e := range f.Evidence {
			a, err := fraud.ParseAccusation([]byte(e.Text))
			if err == nil && evidence.Kind(a.Kind) == kind {
				return a
			}
		}
	}
	w.T.Fatalf("no finding has a %s", kind)
	return fraud.Accusation{}
}
