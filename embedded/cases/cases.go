// Package cases says what the verifier in embedded/ must answer: it judges sidecars with the
// project's Go code and writes them, with the verdicts, in a form that C reads without a parser.
//
//	b = cases.Append(b, cases.New("name", policy, claim, sidecar))
//
// A case is a record, of little-endian numbers:
//
//	u32 bytes that follow
//	u8 length, name of the case
//	u8 code, u8 reason (enum tuflog_code and tuflog_reason), u8 1 if it may be too large instead
//	u8 logs, u8 witnesses, u8 groups
//	of each key: u8 length, name, u8 0, u32 id, 32 bytes of key
//	of each group: u16 keys, u16 groups, u8 want
//	u8 0, repository, u16 length, role, u8 0, u64 version, payload, u8 1 if Pigweed;
//	  or u8 1, hash of the entry
//	u32 length, sidecar
//	u64 index, u64 size, 32 bytes of root, u16 keys that have signed: after TUFLOG_OK, else 0
package cases

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/embedded/compile"
	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// A Code is an enum tuflog_code.
type Code byte

// The codes, in the order of tuflog.h.
const (
	OK Code = iota
	NotLogged
	BadProof
	WrongLog
	WrongRepository
	Evidence
	QuorumShort
	TooLarge
	Broken
)

// A Reason is an enum tuflog_reason.
type Reason byte

// The reasons, in the order of tuflog.h.
const (
	Fine Reason = iota
	Empty
	Malformed
	MalformedLeaf
	BadSignature
	UnknownLog
	NotIncluded
	TooFew
	OtherRepository
	OtherRole
	OtherVersion
	OtherPayload
	OtherEncoding
	IsEvidence
	Limit
	Misuse
)

// A Claim is a struct tuflog_claim.
type Claim struct {
	verify.Claim
	Leaf *proofs.Hash // if set, an entry's hash, and the rest is ignored
}

// A Case is one sidecar and what the verifier must say of it.
type Case struct {
	Name     string
	Policy   *compile.Compiled
	Trust    *proofs.Policy // that Policy was compiled of
	Claim    Claim
	Sidecar  []byte
	Code     Code
	Reason   Reason
	Shows    Shown
	MayLarge bool // malformed, and beyond the verifier's limits, which it may meet before that
}

// Shown is what a struct tuflog holds after TUFLOG_OK.
type Shown struct {
	Index    int64
	Tree     proofs.Tree
	Cosigned uint16 // bit i: the policy's key i has signed
}

func shown(policy *compile.Compiled, p proofs.Proof) (Shown, error) {
	note, err := proofs.ParseNote(p.Checkpoint)
	if err != nil {
		return Shown{}, err
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	s := Shown{Index: p.Index, Tree: c.Tree}
	for i, k := range policy.Keys {
		if _, err := note.VerifiedBy(k); err == nil {
			s.Cosigned |= 1 << i
		}
	}
	return s, err
}

// New judges a sidecar.
func New(name string, policy *proofs.Policy, claim Claim, sidecar []byte) (Case, error) {
	compiled, err := compile.Policy(policy)
	if err != nil {
		return Case{}, err
	}
	c := Case{Name: name, Policy: compiled, Trust: policy, Claim: claim, Sidecar: sidecar}
	c.Code, c.Reason, err = Judge(policy, claim, sidecar)
	if err != nil {
		return c, err
	}
	proof, bad := proofs.ParseProof(sidecar)
	switch {
	case bad != nil:
		c.MayLarge = large(sidecar)
	case beyond(compiled, proof):
		c.Code, c.Reason = TooLarge, Limit
	case c.Code == OK:
		c.Shows, err = shown(compiled, proof)
	}
	return c, err
}

// Judge returns what the verifier must say. The error is a difference between two judgements of
// the Go code.
func Judge(policy *proofs.Policy, claim Claim, sidecar []byte) (Code, Reason, error) {
	reason := judge(policy, claim, sidecar)
	code := codeOf(reason)
	if claim.Leaf == nil {
		var refusal *verify.Refusal
		_, err := verify.CheckSidecar(sidecar, claim.Claim, policy)
		name := verify.Code("ok")
		if errors.As(err, &refusal) {
			name = refusal.Code
		}
		if string(name) != code.String() {
			return 0, 0, fmt.Errorf("a device says %s, its parts say %s", name, code)
		}
	}
	return code, reason, nil
}

func judge(policy *proofs.Policy, claim Claim, sidecar []byte) Reason {
	if len(sidecar) == 0 {
		return Empty
	}
	proof, err := proofs.ParseProof(sidecar)
	if err != nil {
		return Malformed
	}
	var entry leaf.Leaf
	var hash proofs.Hash
	if claim.Leaf != nil {
		hash = *claim.Leaf
	} else {
		if entry, err = leaf.Parse(proof.Extra); err != nil {
			return MalformedLeaf
		}
		hash = proofs.LeafHash(proof.Extra)
	}
	checkpoint, err := policy.OpenCheckpoint(proof.Checkpoint)
	if checkpoint == nil {
		if errors.Is(err, proofs.ErrUnknownLog) {
			return UnknownLog
		}
		return BadSignature
	}
	if proofs.VerifyInclusion(checkpoint.Tree, proof.Index, hash, proof.Hashes) != nil {
		return NotIncluded
	}
	switch {
	case err != nil:
		return TooFew
	case claim.Leaf != nil:
		return Fine
	case entry.Repository != claim.Repository:
		return OtherRepository
	case entry.Role != claim.Role:
		return OtherRole
	case entry.Version != claim.Version:
		return OtherVersion
	case entry.Payload != claim.Payload:
		return OtherPayload
	case entry.Encoding != claim.Encoding:
		return OtherEncoding
	case entry.Kind != leaf.Release:
		return IsEvidence
	}
	return Fine
}

func codeOf(r Reason) Code {
	switch r {
	case Fine:
		return OK
	case Empty:
		return NotLogged
	case UnknownLog:
		return WrongLog
	case TooFew:
		return QuorumShort
	case OtherRepository:
		return WrongRepository
	case IsEvidence:
		return Evidence
	case Limit:
		return TooLarge
	case Misuse:
		return Broken
	}
	return BadProof
}

var codeNames = []string{"ok", "not-logged", "bad-proof", "wrong-log", "wrong-repository", "evidence", "quorum-short", "too-large", "broken"}

// String returns the code as docs/refusals.md spells it.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return fmt.Sprintf("code %d", byte(c))
}

// beyond reports whether a sidecar of good form is beyond the verifier's limits, which it meets
// before it verifies anything.
func beyond(policy *compile.Compiled, p proofs.Proof) bool {
	note, err := proofs.ParseNote(p.Checkpoint)
	if err != nil {
		return false // it is part of the proof that was read
	}
	c, err := proofs.ParseCheckpoint(note.Text)
	checked := 0
	for _, s := range note.Signatures {
		for _, k := range policy.Keys {
			if k.Name() == s.Name && k.ID() == s.KeyID {
				checked++
			}
		}
	}
	return err == nil && (len(p.Hashes) > compile.MaxHashes || len(note.Text) > compile.MaxText || c.Tree.N > 1<<compile.MaxHashes || checked > compile.MaxChecked)
}

// large reports whether the verifier's limits may stop it. Every line is looked at, since a
// sidecar of no good form has no parts.
func large(sidecar []byte) bool {
	head, text, _ := strings.Cut(string(sidecar), "\n\n")
	text, signatures, _ := strings.Cut(text, "\n\n")
	if strings.Count(head, "\n") > compile.MaxHashes || len(text) >= compile.MaxText || strings.Count(signatures, "\n") > compile.MaxChecked {
		return true
	}
	_, rest, _ := strings.Cut(text, "\n")
	size, _, _ := strings.Cut(rest, "\n")
	n, err := proofs.ParseDecimal(size)
	return err == nil && n > 1<<compile.MaxHashes
}

// Accepts reports whether an answer of the verifier is right.
func (c Case) Accepts(code Code, reason Reason) bool {
	return code == c.Code && reason == c.Reason || c.MayLarge && code == TooLarge && reason == Limit
}

// Append appends the record of a case.
func Append(b []byte, c Case) []byte {
	at := len(b)
	b = append(b, 0, 0, 0, 0)
	b = append(append(b, byte(len(c.Name))), c.Name...)
	b = append(b, byte(c.Code), byte(c.Reason), bit(c.MayLarge))
	b = append(b, byte(c.Policy.Logs), byte(len(c.Policy.Keys)-c.Policy.Logs), byte(len(c.Policy.Groups)))
	for _, k := range c.Policy.Keys {
		b = append(append(append(b, byte(len(k.Name()))), k.Name()...), 0)
		b = binary.LittleEndian.AppendUint32(b, k.ID())
		b = append(b, k.PublicKey()...)
	}
	for _, g := range c.Policy.Groups {
		b = binary.LittleEndian.AppendUint16(b, g.Keys)
		b = binary.LittleEndian.AppendUint16(b, g.Groups)
		b = append(b, byte(g.Want))
	}
	if c.Claim.Leaf != nil {
		b = append(append(b, 1), c.Claim.Leaf[:]...)
	} else {
		b = append(append(b, 0), c.Claim.Repository[:]...)
		b = binary.LittleEndian.AppendUint16(b, uint16(len(c.Claim.Role)))
		b = append(append(b, c.Claim.Role...), 0)
		b = binary.LittleEndian.AppendUint64(b, uint64(c.Claim.Version))
		b = append(append(b, c.Claim.Payload[:]...), bit(c.Claim.Encoding == tuf.Pigweed))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(c.Sidecar)))
	b = append(b, c.Sidecar...)
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Shows.Index))
	b = binary.LittleEndian.AppendUint64(b, uint64(c.Shows.Tree.N))
	b = append(b, c.Shows.Tree.Hash[:]...)
	b = binary.LittleEndian.AppendUint16(b, c.Shows.Cosigned)
	binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

func bit(v bool) byte {
	if v {
		return 1
	}
	return 0
}
