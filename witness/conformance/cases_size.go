package conformance

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/witness/client"
)

// pair sends the request of an honest log from one size to another, both
// relative to what was cosigned last.
func (s *session) pair(older, newer int64) (client.Request, error) {
	if err := s.room(4); err != nil {
		return client.Request{}, err
	}
	return s.request(s.tree, s.size+older, s.size+newer)
}

// room makes sure that at least n entries are cosigned, so that there are
// smaller sizes.
func (s *session) room(n int64) error {
	if s.size >= n {
		return nil
	}
	return s.advance(n - max(s.size, 0))
}

// sizeCases are about old sizes.
func sizeCases() []definition {
	above := func(name string, older, newer int64) definition {
		return definition{name, ruleOldAbove, nil, func(s *session) error {
			r, err := s.pair(older, newer)
			if err != nil {
				return err
			}
			return s.refuseAbove(r)
		}}
	}
	conflict := func(name string, older, newer int64) definition {
		return definition{name, ruleOldSize, nil, func(s *session) error {
			r, err := s.pair(older, newer)
			if err != nil {
				return err
			}
			return s.conflict(r.Marshal())
		}}
	}
	return []definition{
		above("old size above the checkpoint's", 2, 1),
		above("old size right, checkpoint smaller than it", 0, -1),
		{"old size 2^63-1", ruleOldAbove, nil, func(s *session) error {
			r, err := s.pair(0, 1)
			if err != nil {
				return err
			}
			r.OldSize = math.MaxInt64
			return s.refuseAbove(r)
		}},
		conflict("old size too small, proof right from there", -1, 1),
		conflict("old size too large, proof right from there", 1, 2),
		conflict("old size and checkpoint of an earlier time", -1, -1),
		conflict("old size and checkpoint in the future", 1, 1),
		{"old size 0", ruleOldSize, nil, oldSizeZero},
		{"old size 0, empty tree", ruleOldSize, nil, func(s *session) error {
			if err := s.room(1); err != nil {
				return err
			}
			r, err := s.request(s.tree, 0, 0)
			if err != nil {
				return err
			}
			return s.conflict(r.Marshal())
		}},
		conflictForm("409: body", ruleSizeBody, func(s *session, a answer) error {
			if want := fmt.Sprintf("%d\n", s.size); a.body != want {
				return fmt.Errorf("body %q, want %q", a.body, want)
			}
			return nil
		}),
		conflictForm("409: media type", ruleSizeType, func(_ *session, a answer) error {
			if a.mediaType() != client.SizeType {
				return fmt.Errorf("Content-Type %q", a.typ)
			}
			return nil
		}),
		{"409 leads to 200: its size is the old size to send", ruleOldSize, nil, conflictThenGrowth},
	}
}

// refuseAbove sends a request whose old size is above the checkpoint's. Where it is not
// the one cosigned last either, 409 is right as well.
func (s *session) refuseAbove(r client.Request) error {
	a, err := s.post(r.Marshal())
	if err != nil {
		return err
	}
	if n, ok := a.size(); ok && n == max(s.size, 0) && n != r.OldSize {
		return s.refuseEither(a, http.StatusBadRequest, http.StatusConflict)
	}
	return s.refused(a, http.StatusBadRequest)
}

// proofCases are about proofs and roots.
func proofCases() []definition {
	broken := func(name string, breakIt func([]proofs.Hash) []proofs.Hash) definition {
		return definition{name, ruleProof, nil, func(s *session) error {
			// Two hashes at least, and different ones.
			if err := s.uneven(); err != nil {
				return err
			}
			r, err := s.pair(0, 2)
			if err != nil {
				return err
			}
			r.Proof = breakIt(slices.Clone(r.Proof))
			return s.refuse(r.Marshal(), http.StatusUnprocessableEntity)
		}}
	}
	return []definition{
		broken("proof: one bit wrong", func(p []proofs.Hash) []proofs.Hash { p[0][31] ^= 1; return p }),
		broken("proof: one bit wrong in the last hash", func(p []proofs.Hash) []proofs.Hash { p[len(p)-1][0] ^= 128; return p }),
		broken("proof: none where one is needed", func([]proofs.Hash) []proofs.Hash { return nil }),
		broken("proof: the last hash missing", func(p []proofs.Hash) []proofs.Hash { return p[:len(p)-1] }),
		broken("proof: the first hash missing", func(p []proofs.Hash) []proofs.Hash { return p[1:] }),
		broken("proof: one hash too many", func(p []proofs.Hash) []proofs.Hash { return append(p, p[0]) }),
		broken("proof: hashes swapped", func(p []proofs.Hash) []proofs.Hash { p[0], p[1] = p[1], p[0]; return p }),
		broken("proof: 63 lines, as many as are allowed", func(p []proofs.Hash) []proofs.Hash {
			for len(p) < client.MaxProofLines {
				p = append(p, p[0])
			}
			return p
		}),
		{"proof: from another size", ruleProof, nil, func(s *session) error {
			if err := s.uneven(); err != nil {
				return err
			}
			r, err := s.pair(0, 2)
			if err != nil {
				return err
			}
			if r.Proof, err = s.tree.proof(s.size-1, s.size+2); err != nil {
				return err
			}
			return s.refuse(r.Marshal(), http.StatusUnprocessableEntity)
		}},
		{"proof: a hash between equal sizes", ruleProof, nil, func(s *session) error {
			r, err := s.pair(0, 0)
			if err != nil {
				return err
			}
			r.Proof = []proofs.Hash{proofs.LeafHash(nil)}
			return s.refuse(r.Marshal(), http.StatusUnprocessableEntity)
		}},
		{"another root at the size cosigned", ruleSameRoot, &v1SameRoot, forkAtSize},
		{"another history, larger, with a proof of its own", ruleProof, nil, forkWithOwnProof},
		{"another history, larger, with the true history's proof", ruleProof, nil, forkWithTrueProof},
	}
}

// refuseFork sends another history that pretends to begin with what the witness
// cosigned.
func (s *session) refuseFork(f *tree, newer int64) error {
	r, err := s.request(f, s.size, newer)
	if err != nil {
		return err
	}
	status := http.StatusUnprocessableEntity
	if newer == s.size && s.cfg.Spec == V1 {
		status = http.StatusConflict
	}
	return s.refuse(r.Marshal(), status)
}

// uneven grows the tree to a size from which a proof has at least three hashes:
// one that is no multiple of four.
func (s *session) uneven() error {
	if err := s.room(5); err != nil {
		return err
	}
	for s.size%4 != 1 {
		if err := s.advance(1); err != nil {
			return err
		}
	}
	return nil
}

// conflictThenGrowth does what a client does that knows nothing.
func conflictThenGrowth(s *session) error {
	if err := s.room(1); err != nil {
		return err
	}
	r, err := s.request(s.tree, 0, s.size+1)
	if err != nil {
		return err
	}
	a, err := s.post(r.Marshal())
	if err != nil {
		return err
	}
	if n, ok := a.size(); !ok || n != s.size {
		return fmt.Errorf("%v; want 409 and size %d", a, s.size)
	}
	return s.advance(1)
}

func oldSizeZero(s *session) error {
	if err := s.room(1); err != nil {
		return err
	}
	r, err := s.request(s.tree, 0, s.size+1)
	if err != nil {
		return err
	}
	return s.conflict(r.Marshal())
}

func forkWithTrueProof(s *session) error {
	if err := s.room(3); err != nil {
		return err
	}
	f, err := s.fork(s.size - 2)
	if err != nil {
		return err
	}
	r, err := s.request(f, s.size, s.size+3)
	if err != nil {
		return err
	}
	if r.Proof, err = s.tree.proof(s.size, s.size+3); err != nil {
		return err
	}
	return s.refuse(r.Marshal(), http.StatusUnprocessableEntity)
}

func forkWithOwnProof(s *session) error {
	if err := s.room(3); err != nil {
		return err
	}
	f, err := s.fork(s.size - 2)
	if err != nil {
		return err
	}
	return s.refuseFork(f, s.size+3)
}

func forkAtSize(s *session) error {
	if err := s.room(1); err != nil {
		return err
	}
	f, err := s.fork(s.size - 1)
	if err != nil {
		return err
	}
	return s.refuseFork(f, s.size)
}

// conflictForm is a case about what a 409 looks like, whatever old size led to it.
func conflictForm(name string, rule Rule, check func(s *session, a answer) error) definition {
	return definition{name, rule, nil, func(s *session) error {
		if err := s.room(4); err != nil {
			return err
		}
		var errs []error
		// Smaller, larger and no old size at all.
		for _, older := range []int64{-1, 1, -s.size} {
			r, err := s.pair(older, 2)
			if err != nil {
				return err
			}
			a, err := s.post(r.Marshal())
			if err != nil {
				return err
			}
			if a.status != http.StatusConflict {
				return fmt.Errorf("%v; want 409", a)
			}
			errs = append(errs, check(s, a))
		}
		return errors.Join(errs...)
	}}
}
