package evidence_test

import (
	"testing"

	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/proofs"
)

// FuzzCheck: whatever a file holds, it is checked without a panic, and without a key it
// accuses no log.
func FuzzCheck(f *testing.F) {
	w := newHonest(f)
	w.Append(w.leaves[1].Marshal())
	w.Publish(2)
	vkey := w.Signer.Key().String() // each process has a log of its own
	f.Add(vkey, w.accusation(evidence.Duplicate).Marshal())
	f.Add(vkey, []byte("tuflog accusation v1\nkind equivocation root\nfile e30=\nfile e30=\nfile e30=\n"))
	f.Add(vkey, []byte("tuflog conflict v1\n"))
	f.Fuzz(func(t *testing.T, vkey string, b []byte) {
		key, err := proofs.ParseKey(vkey)
		if err != nil {
			return
		}
		s, err := evidence.Check(t.Context(), b, key)
		if err == nil && (s.Sentence == "" || len(s.Against) == 0) {
			t.Errorf("%q proves %+v", b, s)
		}
		if s, err := evidence.Check(t.Context(), b); err == nil && s.Log != "" {
			t.Errorf("%q accuses without a key: %+v", b, s)
		}
	})
}
