package conformance

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// clockSkew is how far the witness's clock may be from ours, in seconds.
const clockSkew = 300

// answerCases are about what a witness says when it cosigns.
func answerCases() []definition {
	zeroTime := must(tlogWitness, "The cosignature MUST NOT omit the timestamp, i.e. the timestamp MUST NOT be zero.")
	return []definition{
		{"answer: signature lines and nothing else", ruleLines, nil, answerLines},
		{"answer: cosignatures only, not the log's signatures", ruleCosigned, nil, answerOwn},
		{"answer: every key given cosigns", ruleCosigned, nil, answerKeys},
		{"cosignature: key name without a scheme", should(tlogCosignature, "The key name SHOULD be a schema-less URL that identifies the cosigner."), nil, func(s *session) error {
			sigs, _, err := s.cosignatures()
			for _, sig := range sigs {
				if strings.Contains(sig.Name, "://") {
					return fmt.Errorf("name %q", sig.Name)
				}
			}
			return err
		}},
		{"cosignature: key ID", must(tlogCosignature, "The key ID for Ed25519 cosignatures MUST be computed as SHA-256(<name> || \"\\n\" || 0x04 || 32-byte Ed25519 cosigner public key)[:4]; the key ID for ML-DSA-44 cosignatures with 0x06 and the 1312-byte public key."), nil, answerKeys},
		{"cosignature: a time and a signature, of the right length", must(tlogCosignature, "The signature MUST be a timestamped_signature structure."), nil, answerStructure},
		{"cosignature: message", must(tlogCosignature, "The signed message MUST be two newline (U+000A) terminated lines (one header line and one timestamp line) followed by the whole note body of the cosigned checkpoint; for ML-DSA-44 a cosigned_message structure."), nil, answerMessage},
		{"cosignature: time not 0", zeroTime, &ruleTime, func(s *session) error {
			return s.eachTime(func(t int64) error {
				if t == 0 {
					return errors.New("time is 0")
				}
				return nil
			})
		}},
		{"cosignature: time is now", ruleTime, nil, func(s *session) error {
			return s.eachTime(func(t int64) error {
				if now := s.cfg.Now().Unix(); t < now-clockSkew || t > now+clockSkew {
					return fmt.Errorf("time is %d, ours is %d", t, now)
				}
				return nil
			})
		}},
		{"cosignature: times do not decrease as the tree grows", ruleLargest, nil, func(s *session) error {
			s.backward = ""
			for range 5 {
				if err := s.advance(1); err != nil {
					return err
				}
			}
			return s.timesAscend()
		}},
		{"extension lines are cosigned", ruleGrowth, nil, extensions},
		{"extension lines change while the tree does not", ruleGrowth, nil, func(s *session) error {
			return errors.Join(extensions(s), s.advance(0))
		}},
	}
}

// timesAscend says whether times have gone backwards.
func (s *session) timesAscend() error {
	if s.backward != "" {
		return errors.New(s.backward)
	}
	return nil
}

// sameAgain returns the answer to the checkpoint cosigned last, and its text.
func (s *session) sameAgain() (answer, string, error) {
	r, err := s.request(s.tree, max(s.size, 0), max(s.size, 0))
	if err != nil {
		return answer{}, "", err
	}
	text, err := s.text(s.tree, max(s.size, 0))
	if err != nil {
		return answer{}, "", err
	}
	a, err := s.post(r.Marshal())
	return a, text, err
}

// cosignatures returns the signatures of the same checkpoint, cosigned again.
func (s *session) cosignatures() ([]proofs.Signature, string, error) {
	a, text, err := s.sameAgain()
	if err != nil {
		return nil, "", err
	}
	sigs, err := s.cosigned(a, text)
	return sigs, text, err
}

func answerLines(s *session) error {
	a, text, err := s.sameAgain()
	if err != nil {
		return err
	}
	if _, err := s.cosigned(a, text); err != nil {
		return err
	}
	if _, err := proofs.ParseSignatures([]byte(a.body)); err != nil {
		return fmt.Errorf("200, but %w", err)
	}
	return nil
}

func answerOwn(s *session) error {
	sigs, _, err := s.cosignatures()
	if err != nil {
		return err
	}
	for _, sig := range sigs {
		if s.keyOf(sig) == nil {
			return fmt.Errorf("a line by %s, id %08x, which is not one of the given keys", sig.Name, sig.KeyID)
		}
	}
	return nil
}

func (s *session) keyOf(sig proofs.Signature) *proofs.Key {
	i := slices.IndexFunc(s.cfg.Keys, func(k proofs.Key) bool { return k.Name() == sig.Name && k.ID() == sig.KeyID })
	if i < 0 {
		return nil
	}
	return &s.cfg.Keys[i]
}

func answerKeys(s *session) error {
	sigs, _, err := s.cosignatures()
	if err != nil {
		return err
	}
	for _, k := range s.cfg.Keys {
		if !slices.ContainsFunc(sigs, func(sig proofs.Signature) bool { return sig.Name == k.Name() && sig.KeyID == k.ID() }) {
			return fmt.Errorf("no signature by %s, id %08x", k.Name(), k.ID())
		}
	}
	return nil
}

// signatureSize returns the size of a cosignature without its time.
func signatureSize(k proofs.Key) int {
	if k.Algorithm() == proofs.MLDSA44 {
		return 2420
	}
	return ed25519.SignatureSize
}

func answerStructure(s *session) error {
	sigs, _, err := s.cosignatures()
	if err != nil {
		return err
	}
	for _, sig := range sigs {
		k := s.keyOf(sig)
		if k == nil {
			continue
		}
		if want := 8 + signatureSize(*k); len(sig.Sig) != want {
			return fmt.Errorf("%d bytes after the key id, want %d", len(sig.Sig), want)
		}
		if t := binary.BigEndian.Uint64(sig.Sig); t > math.MaxInt64 {
			return fmt.Errorf("time is %d", t)
		}
	}
	return nil
}

func answerMessage(s *session) error {
	return s.eachTime(func(int64) error { return nil })
}

// eachTime calls f with the time of every cosignature in an answer.
func (s *session) eachTime(f func(int64) error) error {
	sigs, text, err := s.cosignatures()
	if err != nil {
		return err
	}
	for _, sig := range sigs {
		if k := s.keyOf(sig); k != nil {
			t, err := k.Verify(text, sig.Sig)
			if err = errors.Join(err, f(t)); err != nil {
				return fmt.Errorf("%s: %w", k.Name(), err)
			}
		}
	}
	return nil
}

// extensions has a checkpoint with extension lines cosigned. What an Ed25519
// key signed must not verify without them.
func extensions(s *session) error {
	at, err := s.tree.at(max(s.size, 0))
	if err != nil {
		return err
	}
	text := s.textOf(at, "extension one", "another: — ümläut=")
	note, err := s.sign(text)
	if err != nil {
		return err
	}
	r, err := s.request(s.tree, at.N, at.N)
	if err != nil {
		return err
	}
	r.Checkpoint = note
	a, err := s.post(r.Marshal())
	if err != nil {
		return err
	}
	for _, sig := range a.signatures() {
		k := s.keyOf(sig)
		if k == nil || k.Algorithm() != proofs.CosignatureV1 {
			continue
		}
		if _, err := k.Verify(s.textOf(at), sig.Sig); err == nil {
			return broken{ruleExtensions, fmt.Errorf("%s signed the first three lines alone", k.Name())}
		}
	}
	if _, err := s.cosigned(a, text); err != nil {
		return err
	}
	s.size = at.N
	return nil
}
