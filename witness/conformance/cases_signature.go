package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// signatureCases are about who signed the checkpoint.
func signatureCases() []definition {
	accepted := func(name string, rule Rule, sigs func(n *noteParts) []proofs.Signature) definition {
		return definition{name, rule, nil, func(s *session) error { return s.acceptNote(sigs) }}
	}
	refused := func(name string, v1 *Rule, sigs func(n *noteParts) []proofs.Signature) definition {
		return definition{name, ruleBadSig, v1, func(s *session) error { return s.refuseNote(sigs) }}
	}
	list := []proofs.Signature(nil)
	share := must(signedNote, "Verifiers MUST ignore signatures from unknown keys, even if they share a name or ID (but not both) with a known key.")
	return []definition{
		accepted("signatures by unknown keys, before and after the log's", ruleUnknownKey, func(n *noteParts) []proofs.Signature {
			return append(list, n.unknown("a.example"), n.good, n.unknown("b.example"))
		}),
		accepted("unknown key with the log's name", share, func(n *noteParts) []proofs.Signature {
			return append(list, n.unknown(n.good.Name), n.good)
		}),
		accepted("unknown key with the log's key ID", share, func(n *noteParts) []proofs.Signature {
			sig := n.unknown("other.example")
			sig.KeyID = n.good.KeyID
			return append(list, sig, n.good)
		}),
		accepted("the log's signature twice", ruleGrowth, func(n *noteParts) []proofs.Signature {
			return append(list, n.good, n.good)
		}),
		accepted("unknown key of another length of signature", ruleUnknownKey, func(n *noteParts) []proofs.Signature {
			short := n.unknown("short.example")
			short.Sig = short.Sig[:1]
			return append(list, n.good, short)
		}),
		{"the witness's own cosignatures on the checkpoint", ruleUnknownKey, nil, ownCosignature},
		accepted("16 signatures", ruleSixteen, func(n *noteParts) []proofs.Signature { return n.many(16, 64) }),
		accepted("16 signatures as large as ML-DSA-44 cosignatures (52 KiB)", ruleSixteen, func(n *noteParts) []proofs.Signature { return n.many(16, 8+2420) }),
		{"16 signatures in a body of 64 KiB", should(signedNote, "… MUST accept at least up to 16 signatures. Remember that post-quantum signatures can be up to nearly 5kB in size."), nil, bodyOf64KiB},

		refused("no signature by a known key", &v1Unsigned, func(n *noteParts) []proofs.Signature {
			return append(list, n.unknown("a.example"), n.unknown(n.good.Name))
		}),
		refused("bad signature by the log alone", &v1Unsigned, func(n *noteParts) []proofs.Signature { return append(list, n.bad) }),
		refused("bad signature by the log: one bit", &v1Unsigned, func(n *noteParts) []proofs.Signature {
			sig := n.good
			sig.Sig = slices.Clone(sig.Sig)
			sig.Sig[len(sig.Sig)/2] ^= 1
			return append(list, sig)
		}),
		refused("bad signature by the log after a good one", &v1BesideGood, func(n *noteParts) []proofs.Signature { return append(list, n.good, n.bad) }),
		refused("bad signature by the log before a good one", &v1BesideGood, func(n *noteParts) []proofs.Signature { return append(list, n.bad, n.good) }),
		refused("bad signature by the log between repeated good ones and unknown keys", &v1BesideGood, func(n *noteParts) []proofs.Signature {
			return append(list, n.good, n.unknown("a.example"), n.good, n.bad, n.good, n.unknown("b.example"))
		}),
		{"unknown origin, signed by its own key", ruleOrigin, nil, unknownOrigin},
		{"unknown origin, signed by the log's key", ruleOrigin, nil, otherOrigin},
	}
}

// noteParts are the signatures that cases put together.
type noteParts struct {
	text string
	good proofs.Signature // the log's
	bad  proofs.Signature // the log's, of another text
	err  error
}

// unknown returns a good signature by a key that nobody knows.
func (n *noteParts) unknown(name string) proofs.Signature {
	signer, err := proofs.GenerateSigner(nil, name, proofs.Ed25519)
	if err == nil {
		var sig proofs.Signature
		if sig, err = signer.Sign(n.text, 0); err == nil {
			return sig
		}
	}
	n.err = err
	return proofs.Signature{}
}

// many returns count signatures, all but the log's by unknown keys and of size
// bytes.
func (n *noteParts) many(count, size int) []proofs.Signature {
	list := []proofs.Signature{n.good}
	for i := range count - 1 {
		sig := proofs.Signature{Name: fmt.Sprintf("unknown.example/%d", i), KeyID: uint32(i + 1), Sig: make([]byte, size)}
		for j := range sig.Sig {
			sig.Sig[j] = byte(i + j)
		}
		list = append(list, sig)
	}
	return list
}

// noteRequest returns a request for one entry more, whose note has the
// signatures that a case wants.
func (s *session) noteRequest(sigs func(*noteParts) []proofs.Signature) (body []byte, text string, newer int64, err error) {
	old := max(s.size, 0)
	newer = old + 1
	r, err := s.request(s.tree, old, newer)
	if err != nil {
		return nil, "", 0, err
	}
	n := &noteParts{}
	if n.text, err = s.text(s.tree, newer); err != nil {
		return nil, "", 0, err
	}
	if n.good, err = s.cfg.Log.Sign(n.text, 0); err != nil {
		return nil, "", 0, err
	}
	if n.bad, err = s.cfg.Log.Sign(n.text+"another text\n", 0); err != nil {
		return nil, "", 0, err
	}
	note := proofs.Note{Text: n.text, Signatures: sigs(n)}
	if n.err != nil {
		return nil, "", 0, n.err
	}
	r.Checkpoint = note.Marshal()
	return r.Marshal(), n.text, newer, nil
}

func (s *session) acceptNote(sigs func(*noteParts) []proofs.Signature) error {
	body, text, newer, err := s.noteRequest(sigs)
	if err != nil {
		return err
	}
	_, err = s.accept(body, text, newer)
	return err
}

func (s *session) refuseNote(sigs func(*noteParts) []proofs.Signature) error {
	body, _, _, err := s.noteRequest(sigs)
	if err != nil {
		return err
	}
	return s.refuse(body, http.StatusForbidden)
}

// ownCosignature sends a checkpoint back with its cosignatures, as a client
// does that resubmits what it has published.
func ownCosignature(s *session) error {
	sigs, text, err := s.cosignatures()
	if err != nil {
		return err
	}
	good, err := s.cfg.Log.Sign(text, 0)
	if err != nil {
		return err
	}
	note := proofs.Note{Text: text, Signatures: append([]proofs.Signature{good}, sigs...)}
	r, err := s.request(s.tree, max(s.size, 0), max(s.size, 0))
	if err != nil {
		return err
	}
	r.Checkpoint = note.Marshal()
	_, err = s.accept(r.Marshal(), text, max(s.size, 0))
	return err
}

// bodyOf64KiB fills a body up to its last byte with the largest signatures that
// fit.
func bodyOf64KiB(s *session) error {
	const limit = 64 << 10
	fill := func(size, pad int) func(*noteParts) []proofs.Signature {
		return func(n *noteParts) []proofs.Signature {
			sigs := n.many(16, size)
			sigs[15].Name += strings.Repeat("x", pad)
			return sigs
		}
	}
	size, pad := 8+2420, 0
	for {
		body, text, newer, err := s.noteRequest(fill(size, pad))
		if err != nil {
			return err
		}
		missing := limit - len(body)
		switch {
		case missing == 0:
			_, err := s.accept(body, text, newer)
			return err
		case missing < 0:
			return fmt.Errorf("no body of %d bytes could be made", limit)
		case missing < 15*4:
			pad += missing
		default:
			size += 3 * (missing / (15 * 4))
		}
	}
}

func unknownOrigin(s *session) error {
	signer, err := proofs.GenerateSigner(nil, "unknown.example/"+strings.ToLower(fmt.Sprintf("%x", s.cfg.Log.Key().ID())), proofs.Ed25519)
	if err != nil {
		return err
	}
	at, err := s.tree.at(1)
	if err != nil {
		return err
	}
	text := proofs.Checkpoint{Origin: signer.Key().Name(), Tree: at}.String()
	sig, err := signer.Sign(text, 0)
	if err != nil {
		return err
	}
	return s.refuseOrigin(proofs.Note{Text: text, Signatures: []proofs.Signature{sig}}.Marshal())
}

// refuseOrigin sends a checkpoint of an origin that the witness does not know: so it
// has no signature by a key that is trusted for that either.
func (s *session) refuseOrigin(note []byte) error {
	a, err := s.post(body("old 0", nil, note))
	if err != nil {
		return err
	}
	return s.refuseEither(a, http.StatusNotFound, http.StatusForbidden)
}

func otherOrigin(s *session) error {
	at, err := s.tree.at(1)
	if err != nil {
		return err
	}
	note, err := s.sign(proofs.Checkpoint{Origin: s.cfg.Log.Key().Name() + "/other", Tree: at}.String())
	if err != nil {
		return err
	}
	return s.refuseOrigin(note)
}
