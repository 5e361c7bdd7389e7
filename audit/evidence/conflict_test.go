package evidence_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/audit/audittest"
	"github.com/tuflog/tuflog/audit/evidence"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/fraud"
)

// What a witness signs alone is evidence against it, and says so: a policy's parties decide
// what is proved, whatever a witness calls its key.
func TestConflictByWitnessAlone(t *testing.T) {
	l := audittest.New(t)
	for range 5 {
		l.Append([]byte("any entry"))
	}
	origin := l.Signer.Key().Name()
	for _, alg := range []proofs.Algorithm{proofs.CosignatureV1, proofs.MLDSA44} {
		namesake, err := proofs.GenerateSigner(nil, origin, alg)
		must(t, err)
		policy, err := proofs.ParsePolicy([]byte(strings.Replace(l.PolicyText(""), "quorum ", "witness namesake "+namesake.Key().String()+"\nquorum ", 1)))
		must(t, err)
		check := func(liar *proofs.Signer) (evidence.Statement, error) {
			note := proofs.Note{Text: proofs.Checkpoint{Origin: origin, Tree: proofs.Tree{N: 5, Hash: proofs.Hash{1}}}.String()}
			sig, err := liar.Sign(note.Text, 7)
			must(t, err)
			note.Signatures = append(note.Signatures, sig)
			c, err := fraud.NewConflict(t.Context(), note.Marshal(), l.Checkpoint(5, 2), nil)
			must(t, err)
			return evidence.Check(t.Context(), c.Marshal(), policy.Keys()...)
		}
		s, err := check(l.Witnesses[0])
		if err != nil || !slices.Equal(s.Against, []string{"w1.test"}) || !strings.HasPrefix(s.Sentence, "w1.test signed two histories of log "+origin+", ") {
			t.Errorf("%v: %+v, %v", alg, s, err)
		}
		// The log signed one of the two, and the witness of its name the other.
		if s, err := check(namesake); err == nil {
			t.Errorf("%v: accuses %q: %s", alg, s.Against, s.Sentence)
		}
	}
}
