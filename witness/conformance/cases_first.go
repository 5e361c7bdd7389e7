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
		{"first contact: old size not 0", ruleOldSize, nil, firstOldSize},
		{"first contact: old size above the checkpoint's", ruleOldAbove, nil, firstOldAbove},
		{"first contact: proof from size 0", ruleFirstProof, &v1Proof, firstProof},
		{"first contact: empty tree with another root", ruleEmptyRoot, &v1EmptyRoot, firstEmptyRoot},
		{"first contact: empty tree", ruleGrowth, nil, firstEmpty},
		{"first contact: entries, from size 0 without a proof", ruleGrowth, nil, firstEntries},
	}
}

// inconsistent is the status for what contradicts the Merkle tree: version
// 1.0.0 does not name one everywhere that the main branch does.
func (s *session) inconsistent() int {
	if s.cfg.Spec == V1 {
		return clientError
	}
	return http.StatusUnprocessableEntity
}

// meet sends a request of a log that the witness has cosigned nothing of, and returns
// the answer and that log's session. A log is used up when the witness cosigns what it
// should not, or turns out to know more of it.
func (s *session) meet(request func(n *session) ([]byte, error)) (answer, *session, error) {
	for _, n := range append([]*session{s}, s.others...) {
		if !n.fresh {
			continue
		}
		body, err := request(n)
		if err != nil {
			return answer{}, nil, err
		}
		a, err := n.post(body)
		if err != nil {
			return answer{}, nil, err
		}
		if size, ok := a.size(); ok && size > 0 || a.status == http.StatusNotFound {
			n.fresh = false
			continue
		}
		return a, n, nil
	}
	return answer{}, nil, skipped{"the witness has cosigned every log given: use new log keys, with further ones for first contact"}
}

// refuseFirst sends a request that must be refused. Size is what the log has if it is
// not, -1 for nothing that matters.
func (s *session) refuseFirst(status int, size int64, request func(n *session) ([]byte, error)) error {
	a, n, err := s.meet(request)
	if err != nil {
		return err
	}
	return s.refusedFirst(a, n, status, size)
}

func (s *session) refusedFirst(a answer, n *session, status int, size int64) error {
	if a.status == http.StatusOK {
		n.fresh, n.size = false, size
	}
	return s.refused(a, status)
}

func firstOldSize(s *session) error {
	switch {
	case s.first == nil:
		return skipped{"the witness has cosigned this log before: use a new log key"}
	case s.first.status == http.StatusOK:
		return fmt.Errorf("old size %d, size %d: cosigned; want 409 and size 0", firstOld, firstNew)
	}
	if n, ok := s.first.size(); !ok || n != 0 {
		return fmt.Errorf("%v; want 409 and size 0", *s.first)
	}
	return nil
}

func firstOldAbove(s *session) error {
	a, n, err := s.meet(func(n *session) ([]byte, error) {
		r, err := n.request(n.tree, 0, firstNew)
		r.OldSize = 2 * firstNew
		return r.Marshal(), err
	})
	if err != nil {
		return err
	}
	if size, ok := a.size(); ok && size == 0 {
		return s.refuseEither(a, http.StatusBadRequest, http.StatusConflict)
	}
	return s.refusedFirst(a, n, http.StatusBadRequest, firstNew)
}

func firstProof(s *session) error {
	return s.refuseFirst(http.StatusUnprocessableEntity, -1, func(n *session) ([]byte, error) {
		r, err := n.request(n.tree, 0, 0)
		r.Proof = []proofs.Hash{proofs.EmptyTree.Hash}
		return r.Marshal(), err
	})
}

func firstEmptyRoot(s *session) error {
	return s.refuseFirst(s.inconsistent(), -1, func(n *session) ([]byte, error) {
		r, err := n.request(n.tree, 0, 0)
		if err != nil {
			return nil, err
		}
		leaf := proofs.LeafHash([]byte("not an empty tree"))
		r.Checkpoint, err = n.sign(n.textOf(proofs.Tree{Hash: leaf}))
		return r.Marshal(), err
	})
}

// grant sends a request of a new log that must be cosigned.
func (s *session) grant(size int64) error {
	a, n, err := s.meet(func(n *session) ([]byte, error) {
		r, err := n.request(n.tree, 0, size)
		return r.Marshal(), err
	})
	if err != nil {
		return err
	}
	text, err := n.text(n.tree, size)
	if err == nil {
		_, err = n.cosigned(a, text)
	}
	if err == nil {
		n.size, n.fresh = size, size == 0
	}
	return err
}

func firstEmpty(s *session) error { return s.grant(0) }

func firstEntries(s *session) error { return s.grant(3) }

// growthCases are requests that must be granted.
func growthCases() []definition {
	return []definition{
		{"one entry more", ruleGrowth, nil, func(s *session) error { return s.advance(1) }},
		{"many entries more, proofs of all shapes", ruleGrowth, nil, func(s *session) error {
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
		{"the same checkpoint again", ruleGrowth, nil, func(s *session) error {
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
