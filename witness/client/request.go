package client

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

const (
	// MaxRequestSize is the largest add-checkpoint body, in bytes, that
	// ParseRequest reads. The specification sets no limit; a proof takes less
	// than 3 KiB and a checkpoint with a dozen large signatures less than 48.
	MaxRequestSize = 64 << 10
	// MaxProofLines is the longest proof a client may send.
	MaxProofLines = 63
	// SizeType is the media type of a 409 that reports a size.
	SizeType = "text/x.tlog.size"
)

// Request is the body of an add-checkpoint call.
type Request struct {
	// OldSize is the size of the tree that the witness cosigned last; 0 if it
	// never did, or the client does not know.
	OldSize int64
	// Proof is the consistency proof from OldSize to the checkpoint.
	Proof []proofs.Hash
	// Checkpoint is the signed note. ParseRequest does not look into it.
	Checkpoint []byte
}

// ParseRequest reads the body of an add-checkpoint call. It accepts exactly the
// bytes that Marshal prints.
func ParseRequest(b []byte) (Request, error) {
	if len(b) > MaxRequestSize {
		return Request{}, fmt.Errorf("request of %d bytes, more than %d", len(b), MaxRequestSize)
	}
	first, rest, ok := cutLine(b)
	if !ok {
		return Request{}, errors.New("the line \"old SIZE\" is missing")
	}
	decimal, ok := strings.CutPrefix(first, "old ")
	if !ok {
		return Request{}, fmt.Errorf("first line is %.80q, want \"old SIZE\"", first)
	}
	size, err := proofs.ParseDecimal(decimal)
	if err != nil {
		return Request{}, fmt.Errorf("old size: %w", err)
	}
	r := Request{OldSize: size}
	for {
		var line string
		line, rest, ok = cutLine(rest)
		if !ok {
			return Request{}, errors.New("no empty line ends the proof")
		}
		if line == "" {
			break
		}
		if len(r.Proof) == MaxProofLines {
			return Request{}, fmt.Errorf("proof has more than %d lines", MaxProofLines)
		}
		h, err := proofs.ParseHash(line)
		if err != nil {
			return Request{}, fmt.Errorf("proof line %d: %w", len(r.Proof)+1, err)
		}
		r.Proof = append(r.Proof, h)
	}
	if len(rest) == 0 {
		return Request{}, errors.New("no checkpoint follows the proof")
	}
	if rest[len(rest)-1] != '\n' {
		return Request{}, errors.New("the last line does not end in a newline")
	}
	r.Checkpoint = rest
	return r, nil
}

// Marshal prints the request. It does not check it: ParseRequest refuses a
// negative OldSize, a longer proof than MaxProofLines, or no checkpoint.
func (r Request) Marshal() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "old %d\n", r.OldSize)
	for _, h := range r.Proof {
		b.WriteString(base64.StdEncoding.EncodeToString(h[:]))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	b.Write(r.Checkpoint)
	return b.Bytes()
}

// cutLine returns the first line of b without its newline, and what follows.
func cutLine(b []byte) (line string, rest []byte, ok bool) {
	before, after, ok := bytes.Cut(b, []byte("\n"))
	return string(before), after, ok
}
