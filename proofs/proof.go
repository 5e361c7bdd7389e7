package proofs

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

const proofHeader = "c2sp.org/tlog-proof@v1\n"

// A Proof shows offline that an entry is in a log (c2sp.org/tlog-proof@v1).
type Proof struct {
	Extra      []byte // opaque and not authenticated; empty means none
	Index      int64  // of the entry in the log, from 0
	Hashes     []Hash // inclusion proof, from the leaf's sibling to the root's child
	Checkpoint []byte // the signed checkpoint, verbatim
}

// ParseProof reads a proof and checks its form, that of the checkpoint
// included. It does not verify the proof: see Proof.Verify. Errors name the
// line.
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
		return Proof{}, fmt.Errorf("line 1: the first line is not %q", strings.TrimSpace(proofHeader))
	}
	head, signed, ok := strings.Cut(rest, "\n\n")
	if !ok {
		return Proof{}, errors.New("no empty line before the checkpoint")
	}
	var p Proof
	n := 2 // the line that comes next
	line, head, more := strings.Cut(head, "\n")
	if extra, ok := strings.CutPrefix(line, "extra "); ok {
		var err error
		if p.Extra, err = strict.DecodeBase64(extra); err != nil {
			return Proof{}, fmt.Errorf("line %d: extra: %w", n, err)
		}
		if len(p.Extra) == 0 {
			return Proof{}, fmt.Errorf("line %d: extra line without data", n)
		}
		n++
		if !more {
			return Proof{}, fmt.Errorf("line %d: no index line", n)
		}
		line, head, more = strings.Cut(head, "\n")
	}
	index, ok := strings.CutPrefix(line, "index ")
	if !ok {
		return Proof{}, fmt.Errorf("line %d: %s where the index line should be", n, strict.Quote(line))
	}
	var err error
	if p.Index, err = ParseDecimal(index); err != nil {
		return Proof{}, fmt.Errorf("line %d: index: %w", n, err)
	}
	n++
	if more {
		if p.Hashes, err = parseHashes(head, n); err != nil {
			return Proof{}, err
		}
		n += len(p.Hashes)
	}
	if _, _, err := parseSigned(signed, n+1); err != nil {
		return Proof{}, err
	}
	p.Checkpoint = []byte(signed)
	return p, nil
}

// parseHashes reads lines of one hash each, the last without its newline. It
// counts them from first, for errors.
func parseHashes(lines string, first int) ([]Hash, error) {
	n := strings.Count(lines, "\n") + 1
	if n > MaxProofHashes {
		return nil, fmt.Errorf("line %d: %d hashes, more than any tree needs", first+MaxProofHashes, n)
	}
	hashes := make([]Hash, n)
	for i := range hashes {
		line, rest, _ := strings.Cut(lines, "\n")
		var err error
		if hashes[i], err = ParseHash(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", first+i, err)
		}
		lines = rest
	}
	return hashes, nil
}

// Marshal prints the proof, usually into a file named *.tlog-proof. ParseProof
// reads it back if the checkpoint is well formed, the index is not negative
// and the limits are kept.
func (p Proof) Marshal() []byte {
	const hashLine = 45
	b := make([]byte, 0, 64+2*len(p.Extra)+hashLine*len(p.Hashes)+len(p.Checkpoint))
	b = append(b, proofHeader...)
	if len(p.Extra) > 0 {
		b = append(b, "extra "...)
		b = base64.StdEncoding.AppendEncode(b, p.Extra)
		b = append(b, '\n')
	}
	b = append(b, "index "...)
	b = strconv.AppendInt(b, p.Index, 10)
	b = append(b, '\n')
	for _, h := range p.Hashes {
		b = base64.StdEncoding.AppendEncode(b, h[:])
		b = append(b, '\n')
	}
	b = append(b, '\n')
	return append(b, p.Checkpoint...)
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
