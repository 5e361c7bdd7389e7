package proofs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MaxProofSize is the limit of the proof parser in bytes: a note of full size,
// and as much again for extra data and hashes.
const MaxProofSize = 2 * MaxNoteSize

// maxPath is the length of the longest inclusion proof in a tree of up to
// 2^63-1 entries.
const maxPath = 63

const proofHeader = "c2sp.org/tlog-proof@v1\n"

// A Proof shows offline that an entry is in a log (c2sp.org/tlog-proof@v1).
type Proof struct {
	Extra      []byte // opaque and not authenticated; empty means none
	Index      int64  // of the entry in the log, from 0
	Hashes     []Hash // inclusion proof, from the leaf's sibling to the root's child
	Checkpoint []byte // the signed checkpoint, verbatim
}

// ParseProof reads a proof and checks its form, that of the checkpoint
// included. It verifies nothing: see Proof.Verify.
func ParseProof(b []byte) (Proof, error) {
	p, err := parseProof(b)
	if err != nil {
		return Proof{}, fmt.Errorf("tlog-proof: %w", err)
	}
	return p, nil
}

func parseProof(b []byte) (Proof, error) {
	if len(b) > MaxProofSize {
		return Proof{}, fmt.Errorf("%d bytes, more than %d", len(b), MaxProofSize)
	}
	rest, ok := strings.CutPrefix(string(b), proofHeader)
	if !ok {
		return Proof{}, fmt.Errorf("first line is not %q", strings.TrimSpace(proofHeader))
	}
	head, signed, ok := strings.Cut(rest, "\n\n")
	if !ok {
		return Proof{}, errors.New("no empty line before the checkpoint")
	}
	lines := strings.Split(head, "\n")
	var p Proof
	if extra, ok := strings.CutPrefix(lines[0], "extra "); ok {
		var err error
		if p.Extra, err = decodeBase64(extra); err != nil {
			return Proof{}, fmt.Errorf("extra: %w", err)
		}
		if len(p.Extra) == 0 {
			return Proof{}, errors.New("extra line without data")
		}
		lines = lines[1:]
	}
	if len(lines) == 0 {
		return Proof{}, errors.New("no index line")
	}
	index, ok := strings.CutPrefix(lines[0], "index ")
	if !ok {
		return Proof{}, fmt.Errorf("%s where the index line should be", quoteShort(lines[0]))
	}
	var err error
	if p.Index, err = parseDecimal(index); err != nil {
		return Proof{}, fmt.Errorf("index: %w", err)
	}
	lines = lines[1:]
	if len(lines) > maxPath {
		return Proof{}, fmt.Errorf("%d hashes, more than any tree needs", len(lines))
	}
	for _, line := range lines {
		h, err := parseHash(line)
		if err != nil {
			return Proof{}, err
		}
		p.Hashes = append(p.Hashes, h)
	}
	if _, _, err := parseSignedCheckpoint([]byte(signed)); err != nil {
		return Proof{}, err
	}
	p.Checkpoint = []byte(signed)
	return p, nil
}

// Marshal prints the proof, usually into a file named *.tlog-proof. ParseProof
// reads it back if the checkpoint is well formed, the index is not negative
// and the limits are kept.
func (p Proof) Marshal() []byte {
	var b strings.Builder
	b.WriteString(proofHeader)
	if len(p.Extra) > 0 {
		b.WriteString("extra " + encodeBase64(p.Extra) + "\n")
	}
	b.WriteString("index " + strconv.FormatInt(p.Index, 10) + "\n")
	for _, h := range p.Hashes {
		b.WriteString(h.String() + "\n")
	}
	b.WriteString("\n")
	b.Write(p.Checkpoint)
	return []byte(b.String())
}

// Verify checks that the checkpoint satisfies the policy and that it includes
// the entry at the proof's index. Errors are those of Policy.OpenCheckpoint
// and ErrInclusion. With a *QuorumError the checkpoint is returned too, and
// then the log's signature and the inclusion have been verified.
func (p Proof) Verify(policy *Policy, entry []byte) (*SignedCheckpoint, error) {
	c, err := policy.OpenCheckpoint(p.Checkpoint)
	if c == nil {
		return nil, err
	}
	if err := VerifyInclusion(c.Tree, p.Index, LeafHash(entry), p.Hashes); err != nil {
		return nil, err
	}
	return c, err
}
