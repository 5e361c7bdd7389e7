package fraud

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/proofs"
)

// A lying witness makes evidence alone: it signs a tree that the log never signed. Whatever
// its key is called, the evidence accuses that witness and nobody else.
func TestWitnessAloneAccusesNobodyElse(t *testing.T) {
	f := newForked(t)
	origin := f.log.Key().Name()
	honest := newSigner(t, "w1.example", proofs.CosignatureV1)
	evil := proofs.Checkpoint{Origin: origin, Tree: refTree(f.leaves("b", 5))}.String()
	for _, alg := range []proofs.Algorithm{proofs.CosignatureV1, proofs.MLDSA44} {
		for _, name := range []string{"w2.example", "w1.example", origin} {
			if name == origin && alg.ForLogs() {
				continue // proofs.Policy.Keys does not give such a key
			}
			// Another key of the name w1.example than the honest one's.
			seed := strings.NewReader(strings.Repeat("liar", 8))
			liar, err := proofs.GenerateSigner(seed, name, alg)
			if err != nil {
				t.Fatal(err)
			}
			label := name
			if name != "w2.example" {
				label = fmt.Sprintf("%s+%08x", name, liar.Key().ID())
			}
			keys := []proofs.Key{f.log.Key(), honest.Key(), liar.Key(), liar.Key()}

			// The liar signed one tree, the log and the honest witness the other.
			older, _ := f.note(t, "a", 5, honest)
			c, err := NewConflict(t.Context(), older, signNote(t, evil, liar), nil)
			if err != nil {
				t.Fatal(err)
			}
			if v, err := c.Check(keys...); !errors.Is(err, proofs.ErrNoSignature) {
				t.Errorf("%v %s: of one tree each: %v, %v", alg, name, v, err)
			}

			// The liar signed both.
			older, _ = f.note(t, "a", 5, honest, liar)
			if c, err = NewConflict(t.Context(), older, signNote(t, evil, liar), nil); err != nil {
				t.Fatal(err)
			}
			v, err := c.Check(keys...)
			if err != nil || v.ByLog || !slices.Equal(v.By, []string{label}) {
				t.Errorf("%v %s: accuses %+v, %v", alg, name, v, err)
			}
			if want := label + " signed two histories of log " + origin + ", which does not prove that the log signed both"; v.String() != want {
				t.Errorf("%v %s: %q, want %q", alg, name, v, want)
			}

			// And went back: with later times for smaller trees.
			larger := signNote(t, proofs.Checkpoint{Origin: origin, Tree: refTree(f.leaves("a", 9))}.String(), f.log, honest, liar)
			smaller := proofs.Note{Text: evil, Signatures: []proofs.Signature{sign(t, liar, evil, testTime+100)}}
			back, err := Rollback{Larger: larger, Smaller: smaller.Marshal()}.Check(keys...)
			if err != nil || len(back.By) != 1 || back.By[0].Name != label {
				t.Errorf("%v %s: went back: %+v, %v", alg, name, back, err)
			}
		}
	}

	// The log with the witness: it signed both.
	older, _ := f.note(t, "a", 5, honest)
	newer, _ := f.note(t, "b", 5, honest)
	c, err := NewConflict(t.Context(), older, newer, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Check(honest.Key(), f.log.Key())
	if want := origin + " showed two histories, signed by w1.example, " + origin; err != nil || v.String() != want {
		t.Errorf("%q, %v; want %q", v, err, want)
	}
	if v, err := c.Check(honest.Key()); err != nil || strings.Contains(v.String(), "showed") {
		t.Errorf("%q, %v", v, err)
	}
}

// A log whose only keys are of the type that witnesses have, too, is accused by its name.
func TestLogWithOneTypeOfKey(t *testing.T) {
	for _, alg := range []proofs.Algorithm{proofs.Ed25519, proofs.ECDSA, proofs.MLDSA44} {
		f := forked{log: newSigner(t, "example.com/log", alg), common: 3}
		older, _ := f.note(t, "a", 5)
		newer, _ := f.note(t, "b", 5)
		c, err := NewConflict(t.Context(), older, newer, nil)
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Check(newSigner(t, "w1.example", proofs.CosignatureV1).Key(), f.log.Key())
		if err != nil || !v.ByLog || !slices.Equal(v.By, []string{"example.com/log"}) {
			t.Errorf("%v: %+v, %v", alg, v, err)
		}
	}
}
