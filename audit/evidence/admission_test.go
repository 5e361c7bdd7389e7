package evidence_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/admit"
	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/bench/runtest"
	"github.com/tuflog/tuflog/bench/testvendor"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

func TestMain(m *testing.M) { runtest.Main(m) }

// lie logs a role's present file of a vendor as if the rules gave it, and returns its index.
func (w *world) lie(v *testvendor.Vendor, role string) int64 {
	_, file := v.File(role)
	_, snapshot := v.File(tuf.RoleSnapshot)
	m := audittest.Parse(w.T, file)
	return w.Append(leaf.Leaf{
		Kind: leaf.Release, Repository: w.repo, Role: role, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest,
		Size: int64(len(file)), Snapshot: tuf.Sum(snapshot), Listed: leaf.ByHash, Encoding: tuf.JSON,
	}.Marshal(), file, snapshot)
}

// records are the leaves of the vendor's repository that are right, with their places.
func (w *world) records() []admit.Record {
	var records []admit.Record
	for i, l := range w.leaves {
		if l.Repository == w.repo {
			records = append(records, admit.Record{Index: int64(i), Leaf: l})
		}
	}
	return records
}

// known is a history without anything in force.
type known struct {
	evidence.History
	records []admit.Record
}

func (k known) Records() []admit.Record { return k.records }

// accuse makes an accusation of a false admission as an auditor does.
func (w *world) accuse(index int64, maxEntries int) ([]byte, error) {
	w.Publish(2)
	log := &evidence.Log{Checkpoint: w.Checkpoint(w.Size(), 2), Keys: []proofs.Key{w.Signer.Key()}, Source: w.Source(), MaxEntries: maxEntries}
	return log.FalseAdmission(w.T.Context(), index, known{records: w.records()})
}

// span is the entries from one index up to another, with their proof.
func (w *world) span(from, to int64) fraud.Span {
	w.T.Helper()
	c, _, err := proofs.OpenCheckpoint(w.Checkpoint(w.Size(), 0), w.Signer.Key())
	must(w.T, err)
	s := fraud.Span{First: from}
	for i := from; i < to; i++ {
		raw, err := w.Source().Entries(w.T.Context(), i/proofs.FullWidth, proofs.TileWidth(w.Size(), proofs.EntriesLevel, i/proofs.FullWidth))
		must(w.T, err)
		bundle, err := proofs.ParseEntries(raw)
		must(w.T, err)
		s.Entries = append(s.Entries, bundle[i%proofs.FullWidth])
	}
	s, err = fraud.NewSpan(w.T.Context(), c.Tree, from, s.Entries, &evidence.Log{Source: w.Source()})
	must(w.T, err)
	return s
}

// A file that the keys in force did not sign is proved to be admitted falsely only if no
// other root can have been in force: by all entries since the root, or by the next root
// behind it.
func TestRootInForce(t *testing.T) {
	w := newHonest(t)
	thief, err := w.vendor.Clone()
	must(t, err)
	must(t, w.vendor.Rotate(tuf.RoleTargets))
	_, root := w.submit(w.vendor, w.repo, tuf.RoleRoot)
	const between = 300 // across two bundles
	for i := range between {
		w.Append(fmt.Appendf(nil, "of others %d", i))
	}
	must(t, thief.Release(tuf.RoleTargets))
	index := w.lie(thief, tuf.RoleTargets)
	_, file := thief.File(tuf.RoleTargets)
	_, rootFile := w.vendor.File(tuf.RoleRoot)

	b, err := w.accuse(index, 1000)
	must(t, err)
	s, err := evidence.Check(t.Context(), b, w.Signer.Key())
	must(t, err)
	a, err := fraud.ParseAccusation(b)
	must(t, err)
	if !strings.Contains(s.Sentence, fmt.Sprintf("it does not meet the threshold of root 4, which was in force since entry %d", root)) ||
		len(a.Spans) != 1 || a.Spans[0].First != root || a.Spans[0].End() != index+1 || len(a.Files) != 2 {
		t.Errorf("proves %s, with %d files", s.Sentence, len(a.Files))
	}

	// With a gap it says what to replay.
	check := func(spans ...fraud.Span) (evidence.Statement, error) {
		a := a
		a.Spans, a.Notes, a.Files = spans, [][]byte{w.Checkpoint(w.Size(), 0)}, [][]byte{file, rootFile}
		return evidence.Check(t.Context(), a.Marshal(), w.Signer.Key())
	}
	var u *evidence.Unproved
	if s, err := check(w.span(root, index-1), w.span(index, index+1)); !errors.As(err, &u) || u.From != root+1 || u.To != index {
		t.Errorf("with a gap: %s, %v", s.Sentence, err)
	}
	if s, err := check(w.span(root+1, index+1)); !errors.As(err, &u) || u.From != 0 || u.To != index {
		t.Errorf("without the root: %s, %v", s.Sentence, err)
	}

	// The next root, once there is one, needs no span.
	w.Append([]byte("of others"))
	must(t, w.vendor.Rotate(tuf.RoleTimestamp))
	_, rootFile5 := w.vendor.File(tuf.RoleRoot)
	next := w.Append(w.Judge(w.repo, tuf.RoleRoot, rootFile5).Leaf.Marshal(), rootFile5)
	if s, err := check(w.span(root, root+1), w.span(index, index+1), w.span(next, next+1)); err != nil || !strings.Contains(s.Sentence, "does not meet the threshold of root 4") {
		t.Errorf("with the next root: %s, %v", s.Sentence, err)
	}

	// A log of which too much would be shown is not accused by the file alone.
	b, err = w.accuse(index, 100)
	if !errors.As(err, &u) {
		t.Fatalf("with few entries: %v", err)
	}
	path := filepath.Join(t.TempDir(), "unproved.accusation")
	must(t, os.WriteFile(path, b, 0o600))
	if testing.Short() {
		return // it builds the program
	}
	stdout, stderr, code := runtest.Run(t, "auditor", "evidence", "check", "--key", w.Signer.Key().String(), path)
	if code != 2 || stdout != "" || !strings.Contains(stderr, fmt.Sprintf("this file alone does not prove that it should not be there, replay entries 0 to %d", index)) {
		t.Errorf("exit %d: %s%s", code, stdout, stderr)
	}
	stdout, _, code = runtest.Run(t, "auditor", "evidence", "check", "--json", "--key", w.Signer.Key().String(), path)
	if code != 2 || !strings.Contains(stdout, fmt.Sprintf(`"to": %d`, index)) || !strings.Contains(stdout, `"proved": false`) {
		t.Errorf("exit %d: %s", code, stdout)
	}
}

// What a delegated role may sign follows from all entries of its repository.
func TestDelegatedAdmission(t *testing.T) {
	w := newHonest(t)
	thief, err := w.vendor.Clone()
	must(t, err)
	must(t, thief.Delegate(tuf.RoleTargets, "plugin", "plugin/*")) // which targets never say
	must(t, thief.Release("plugin"))
	must(t, thief.Release("plugin"))
	index := w.lie(thief, "plugin")
	b, err := w.accuse(index, 1000)
	must(t, err)
	s, err := evidence.Check(t.Context(), b, w.Signer.Key())
	if err != nil || !strings.Contains(s.Sentence, "the rules refuse it: threshold: plugin 2") {
		t.Errorf("proves %s, %v", s.Sentence, err)
	}
	a, err := fraud.ParseAccusation(b)
	must(t, err)
	if a.Spans[0].First != 0 || a.Spans[0].End() != index+1 {
		t.Errorf("entries %d to %d", a.Spans[0].First, a.Spans[0].End())
	}
	var u *evidence.Unproved
	a.Spans = []fraud.Span{w.span(0, 2), w.span(3, index+1)}
	if s, err := evidence.Check(t.Context(), a.Marshal(), w.Signer.Key()); !errors.As(err, &u) || u.From != 0 {
		t.Errorf("with a gap: %s, %v", s.Sentence, err)
	}
	a.Spans = []fraud.Span{w.span(1, index+1)}
	if s, err := evidence.Check(t.Context(), a.Marshal(), w.Signer.Key()); !errors.As(err, &u) || u.From != 0 {
		t.Errorf("without the first root: %s, %v", s.Sentence, err)
	}
}

// Two payloads of a role two delegations down: the file leads to its keys.
func TestDelegatedEquivocation(t *testing.T) {
	w := newHonest(t)
	must(t, w.vendor.Delegate("plugin", "deep", "plugin/deep/*"))
	must(t, w.vendor.Release("plugin", "deep"))
	w.submit(w.vendor, w.repo, "plugin")
	evil, err := w.vendor.Clone()
	must(t, err)
	for _, v := range []*testvendor.Vendor{w.vendor, evil} {
		must(t, v.Put("deep", "plugin/deep/one", fmt.Appendf(nil, "%p", v)))
		must(t, v.Release("deep"))
		w.submit(v, w.repo, "deep")
	}
	w.Publish(2)
	a := w.accusation(evidence.Equivocation)
	s, err := evidence.Check(t.Context(), a.Marshal(), w.Signer.Key())
	if err != nil || s.Role != "deep" || s.Version != 2 || len(s.SignedBoth) != 1 || len(s.Entries) != 2 {
		t.Errorf("proves %+v, %v", s, err)
	}
	// Three roots, targets, plugin, two files and their snapshots.
	if len(a.Files) != 9 {
		t.Fatalf("%d files", len(a.Files))
	}
	for i := range a.Files {
		b := a
		b.Files = append(append([][]byte(nil), a.Files[:i]...), a.Files[i+1:]...)
		if s, err := evidence.Check(t.Context(), b.Marshal(), w.Signer.Key()); err == nil {
			t.Errorf("without file %d: %s", i, s.Sentence)
		}
	}
}
