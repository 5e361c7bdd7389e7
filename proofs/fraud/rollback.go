package fraud

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// ErrNoRollback means that of two signed checkpoints no party signed the smaller tree
// with a later time than the larger one.
var ErrNoRollback = errors.New("no key signed the smaller tree with a later time than the larger one")

// A Rollback is a larger and a smaller signed checkpoint of one origin, of which a party gave
// the smaller one the later time, whether or not the trees contradict each other. A signature
// with a time says that its tree was the largest that the party had seen by then, so one of
// the two statements is false. Either the party went back to the smaller tree, although a log
// and its witnesses only sign trees that continue the ones that they signed before; or its
// clock went back between the two signatures. Which of both, no signature says. Signatures
// without a time prove nothing: a small checkpoint that is served late may have been signed
// early.
type Rollback struct {
	Larger, Smaller []byte // signed checkpoints, verbatim
}

// A RollbackVerdict is the statement that a Rollback proves.
type RollbackVerdict struct {
	Origin          string
	Larger, Smaller proofs.Tree
	By              []Backwards // in the order of the keys given
}

// Backwards is a party that signed the smaller tree with a later time than the larger one.
type Backwards struct {
	Name            string // as in ConflictVerdict.By
	Larger, Smaller int64  // times of the two signatures, in POSIX seconds
}

// Check verifies a rollback with public keys of any type. Only signatures by one key are
// compared with each other. A party with a signature that does not verify is not accused.
// The error is ErrNoRollback if none of the keys gave the smaller tree the later time.
func (r Rollback) Check(keys ...proofs.Key) (RollbackVerdict, error) {
	larger, a, err := parseSigned(r.Larger)
	if err != nil {
		return RollbackVerdict{}, fmt.Errorf("larger checkpoint: %w", err)
	}
	smaller, b, err := parseSigned(r.Smaller)
	if err != nil {
		return RollbackVerdict{}, fmt.Errorf("smaller checkpoint: %w", err)
	}
	if a.Origin != b.Origin {
		return RollbackVerdict{}, fmt.Errorf("checkpoints of two origins, %s and %s: %w", strict.Quote(a.Origin), strict.Quote(b.Origin), ErrNoRollback)
	}
	if a.Tree.N <= b.Tree.N {
		return RollbackVerdict{}, fmt.Errorf("trees of sizes %d and %d: %w", a.Tree.N, b.Tree.N, ErrNoRollback)
	}
	v := RollbackVerdict{Origin: a.Origin, Larger: a.Tree, Smaller: b.Tree}
	for _, p := range partiesOf(a.Origin, keys) {
		for _, k := range p.keys {
			if back, ok := backwards(larger, smaller, k); ok {
				back.Name = p.label
				v.By = append(v.By, back)
				break
			}
		}
	}
	if len(v.By) == 0 {
		return RollbackVerdict{}, fmt.Errorf("sizes %d and %d of %s: %w", a.Tree.N, b.Tree.N, strict.Quote(a.Origin), ErrNoRollback)
	}
	return v, nil
}

// backwards reports whether a key signed the smaller tree with a later time than the larger.
func backwards(larger, smaller proofs.Note, k proofs.Key) (Backwards, bool) {
	first, err := larger.VerifiedBy(k)
	if err != nil {
		return Backwards{}, false
	}
	last, err := smaller.VerifiedBy(k)
	if err != nil {
		return Backwards{}, false
	}
	// Time 0 is no time.
	first = slices.DeleteFunc(first, func(t int64) bool { return t == 0 })
	if len(first) == 0 || slices.Max(last) <= slices.Min(first) {
		return Backwards{}, false
	}
	return Backwards{Larger: slices.Min(first), Smaller: slices.Max(last)}, true
}

// String says in one sentence what is proved, and against whom.
func (v RollbackVerdict) String() string {
	var parties []string
	for _, p := range v.By {
		parties = append(parties, fmt.Sprintf("%s (%s, then %s)", strict.Printable(p.Name), signedTime(p.Larger), signedTime(p.Smaller)))
	}
	who, it, its := strings.Join(parties, ", "), "it", "its"
	if len(parties) > 1 {
		who, it, its = "each of "+who, "each of them", "that one's"
	}
	return fmt.Sprintf("%s signed the tree of size %d of %s, and with a later time the smaller one of size %d: "+
		"either %s signed the smaller tree after the larger one, or %s clock went back between the two signatures",
		who, v.Larger.N, strict.Printable(v.Origin), v.Smaller.N, it, its)
}

// signedTime writes the time of a signature, in POSIX seconds.
func signedTime(unix int64) string { return time.Unix(unix, 0).UTC().Format(time.RFC3339) }
