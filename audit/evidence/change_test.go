package evidence_test

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs/fraud"
	"github.com/tuflog/tuflog/tuf"
)

// TestChangedAccusations changes accusations that prove their point, byte by byte and part
// by part. What is left proves the same, or nothing.
func TestChangedAccusations(t *testing.T) {
	lies := map[evidence.Kind]func(w *world){
		evidence.BadLeaf: func(w *world) { w.Append([]byte("hello")) },
		evidence.BehindEnd: func(w *world) {
			w.Append([]byte(leaf.End))
			w.Append([]byte("hello"))
		},
		evidence.Duplicate: func(w *world) { w.Append(w.leaves[1].Marshal()) },
		evidence.FalseAdmission: func(w *world) {
			// A file that keys signed which roots do not give the role any more.
			thief, err := w.vendor.Clone()
			must(t, err)
			must(t, w.vendor.Rotate(tuf.RoleTargets))
			w.submit(w.vendor, w.repo, tuf.RoleRoot)
			must(t, thief.Release(tuf.RoleTargets))
			_, file := thief.File(tuf.RoleTargets)
			_, snapshot := thief.File(tuf.RoleSnapshot)
			m := audittest.Parse(t, file)
			w.Append(leaf.Leaf{
				Kind: leaf.Release, Repository: w.repo, Role: tuf.RoleTargets, Version: m.Version, Payload: m.PayloadDigest, Metadata: m.FileDigest,
				Size: int64(len(file)), Snapshot: tuf.Sum(snapshot), Listed: leaf.ByHash, Encoding: tuf.JSON,
			}.Marshal(), file, snapshot)
		},
		evidence.Equivocation: (*world).equivocate,
	}
	for kind, lie := range lies {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := newHonest(t)
			before := w.Checkpoint(w.Size(), 2) // as true as the one behind it
			lie(w)
			w.Publish(2)
			a := w.accusation(kind)
			key := w.Signer.Key()
			want, err := evidence.Check(t.Context(), a.Marshal(), key)
			must(t, err)
			t.Log(want.Sentence)
			same := func(what string, b []byte) bool {
				s, err := evidence.Check(t.Context(), b, key)
				if kind == evidence.Equivocation && s.Unchecked != "" {
					// With another log's checkpoint it proves as much without a log.
					vendor, _, _ := strings.Cut(want.Sentence, "; in log ")
					if said, _, _ := strings.Cut(s.Sentence, "; which entries of log "); said != vendor || s.Log != "" || s.Size != 0 || s.Entries != nil {
						t.Errorf("%s: it proves %+v", what, s)
					}
					s.Unchecked, s.Log, s.Size, s.Entries, s.Sentence = "", want.Log, want.Size, want.Entries, want.Sentence
				}
				if err == nil && !reflect.DeepEqual(s, want) {
					t.Errorf("%s: it proves %s\nand proved %s", what, s.Sentence, want.Sentence)
				}
				return err == nil
			}
			text := a.Marshal()
			step := 1
			if testing.Short() {
				step = 97 // each byte costs a check of signatures
			}
			for i := 0; i < len(text); i += step {
				for _, by := range []byte{1, 0x20, 0x80} {
					bad := bytes.Clone(text)
					bad[i] ^= by
					same("a byte", bad)
				}
			}
			for i := 0; i < len(text); i += 101 * step {
				if same("a beginning", text[:i]) {
					t.Errorf("%d of %d bytes prove it", i, len(text))
				}
			}
			part := func(what string, change func(a *fraud.Accusation)) {
				b := a
				b.Spans, b.Files, b.Notes = slices.Clone(a.Spans), slices.Clone(a.Files), slices.Clone(a.Notes)
				change(&b)
				if same(what, b.Marshal()) {
					t.Errorf("%s proves it all the same", what)
				}
			}
			for i := range a.Files {
				part("without a file", func(a *fraud.Accusation) { a.Files = slices.Delete(a.Files, i, i+1) })
				part("with a file twice", func(a *fraud.Accusation) { a.Files = append(a.Files, a.Files[i]) })
			}
			part("with another file", func(a *fraud.Accusation) { a.Files = append(a.Files, []byte("{}")) })
			for i := range a.Spans {
				if kind != evidence.Equivocation { // of which the log only shows where it is
					part("without entries", func(a *fraud.Accusation) { a.Spans = slices.Delete(a.Spans, i, i+1) })
				}
				part("with entries elsewhere", func(a *fraud.Accusation) { a.Spans[i].First++ })
			}
			part("with an older checkpoint", func(a *fraud.Accusation) { a.Notes[0] = before })
			part("with two checkpoints", func(a *fraud.Accusation) { a.Notes = append(a.Notes, before) })
			part("without a checkpoint", func(a *fraud.Accusation) { a.Notes = nil })
			part("about something else", func(a *fraud.Accusation) { a.Subject = "4" })
			for _, other := range []evidence.Kind{evidence.BadLeaf, evidence.BehindEnd, evidence.Duplicate, evidence.FalseAdmission, evidence.Equivocation, evidence.Rollback, "fork"} {
				if other != kind {
					part("as another kind", func(a *fraud.Accusation) { a.Kind = string(other) })
				}
			}
		})
	}
}
