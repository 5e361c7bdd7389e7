package conformance

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/tuflog/tuflog/proofs"
)

// firstCases are about a log that the witness has cosigned nothing of.
func firstCases() []definition {
	return []definition{
		{"first contact: proof from size 0", ruleFirstProof, &v1Proof, firstProof},
		{"first contact: old size not 0", ruleOldSize, nil, firstOldSize},
		{"first contact: empty tree with another root", ruleEmptyRoot, &ruleRootLine, firstEmptyRoot},
		{"first contact: empty tree", ruleGrowth, nil, firstEmpty},
		{"first contact: entries, from size 0 without a proof", ruleFirstProof, &v1Proof, firstEntries},
	}
}

// onlyFirst skips a case that is too late.
func (s *session) onlyFirst() error {
	switch {
	case !s.fresh:
		return skipped{fmt.Sprintf("the witness has cosigned this log before, at size %d: use a new log key", s.size)}
	case s.size > 0:
		return skipped{fmt.Sprintf("the witness has cosigned this log at size %d by mistake already", s.size)}
	}
	return nil
}

// inconsistent is the status for what contradicts the Merkle tree: version
// 1.0.0 does not name one everywhere that the main branch does.
func (s *session) inconsistent() int {
	if s.cfg.Spec == V1 {
		return clientError
	}
	return http.StatusUnprocessableEntity
}

func firstProof(s *session) error {
	if err := s.onlyFirst(); err != nil {
		return err
	}
	if s.first.status == http.StatusOK {
		s.size = 0
	}
	return s.refused(*s.first, http.StatusUnprocessableEntity)
}

func firstOldSize(s *session) error {
	if err := s.onlyFirst(); err != nil {
		return err
	}
	a := s.second
	if a == nil {
		r, err := s.request(s.tree, 1, 1)
		if err != nil {
			return err
		}
		got, err := s.post(r.Marshal())
		if err != nil {
			return err
		}
		a = &got
	}
	if a.status == http.StatusOK {
		s.size = 1
		return errors.New("cosigned; want 409 and size 0")
	}
	if n, ok := a.size(); !ok || n != 0 {
		return fmt.Errorf("%v; want 409 and size 0", *a)
	}
	return nil
}

func firstEmptyRoot(s *session) error {
	if err := s.onlyFirst(); err != nil {
		return err
	}
	r, err := s.request(s.tree, 0, 0)
	if err != nil {
		return err
	}
	leaf := proofs.LeafHash([]byte("not an empty tree"))
	if r.Checkpoint, err = s.sign(s.textOf(proofs.Tree{Hash: leaf})); err != nil {
		return err
	}
	a, err := s.post(r.Marshal())
	if err != nil {
		return err
	}
	return s.refused(a, s.inconsistent())
}

func firstEmpty(s *session) error {
	if err := s.onlyFirst(); err != nil {
		return err
	}
	return s.advance(0)
}

func firstEntries(s *session) error {
	if err := s.onlyFirst(); err != nil {
		return err
	}
	return s.advance(3)
}

// growthCases are requests that must be granted.
func growthCases() []definition {
	return []definition{
		{"one entry more", ruleGrowth, nil, func(s *session) error { return s.advance(1) }},
		{"many entries more, proofs of all shapes", must(tlogWitness, "The consistency proof lines MUST encode a Merkle Consistency Proof from the old size to the checkpoint size according to RFC 6962, Section 2.1.2."), nil, func(s *session) error {
			// Sizes around powers of two have the proofs that are special: the
			// old tree is a subtree of the new one, or the new one is full.
			for _, k := range []int64{1, 1, 2, 3, 5, 8, 13, 1, 7, 16} {
				if err := s.advance(k); err != nil {
					return fmt.Errorf("from size %d, %d more: %w", s.size, k, err)
				}
			}
			return s.advance(nextPower(s.size) - s.size)
		}},
		{"from a full tree, and to one", ruleGrowth, nil, func(s *session) error {
			if err := s.advance(nextPower(s.size) - s.size); err != nil {
				return err
			}
			return s.advance(1)
		}},
		{"the same checkpoint again", must(tlogWitness, "The old size MUST be equal to or lower than the checkpoint size."), nil, func(s *session) error {
			return errors.Join(s.advance(0), s.advance(0))
		}},
		{"200 means recorded: the next old size is the new size", must(tlogWitness, "The witness MUST persist the new checkpoint before responding."), nil, func(s *session) error {
			for range 5 {
				old := max(s.size, 0)
				if err := s.advance(1); err != nil {
					return err
				}
				r, err := s.request(s.tree, old, old+1)
				if err != nil {
					return err
				}
				if err := s.conflict(r.Marshal()); err != nil {
					return err
				}
			}
			return nil
		}},
	}
}

// nextPower returns the smallest power of two above n.
func nextPower(n int64) int64 {
	p := int64(1)
	for p <= n {
		p *= 2
	}
	return p
}
