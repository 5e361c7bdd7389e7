package proofs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrUnknownLog means that a checkpoint carries no signature by a known log
// key whose name is the checkpoint's origin.
var ErrUnknownLog = errors.New("not signed by a known log")

// A Checkpoint is the text of a log's signed tree head
// (c2sp.org/tlog-checkpoint).
type Checkpoint struct {
	Origin     string // identity of the log
	Tree       Tree
	Extensions []string // opaque lines, without newlines; usually none
}

// ParseCheckpoint reads the text of a checkpoint, without signatures. It
// verifies nothing but form, and that a tree of size 0 has the root of the
// empty tree.
func ParseCheckpoint(text string) (Checkpoint, error) {
	c, err := parseCheckpoint(text)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

func parseCheckpoint(text string) (Checkpoint, error) {
	if err := checkText(text); err != nil {
		return Checkpoint{}, err
	}
	lines, err := splitLines(text)
	if err != nil {
		return Checkpoint{}, err
	}
	if len(lines) < 3 {
		return Checkpoint{}, fmt.Errorf("%d lines, want at least 3", len(lines))
	}
	for i, line := range lines {
		if line == "" {
			return Checkpoint{}, fmt.Errorf("line %d is empty", i+1)
		}
	}
	c := Checkpoint{Origin: lines[0]}
	if c.Tree.N, err = parseDecimal(lines[1]); err != nil {
		return Checkpoint{}, fmt.Errorf("tree size: %w", err)
	}
	if c.Tree.Hash, err = parseHash(lines[2]); err != nil {
		return Checkpoint{}, fmt.Errorf("root %w", err)
	}
	if c.Tree.N == 0 && c.Tree != EmptyTree {
		return Checkpoint{}, fmt.Errorf("root hash %v for an empty tree, want %v", c.Tree.Hash, EmptyTree.Hash)
	}
	if len(lines) > 3 {
		c.Extensions = lines[3:]
	}
	return c, nil
}

// String returns the text of the checkpoint, which a Signer signs.
func (c Checkpoint) String() string {
	var b strings.Builder
	b.WriteString(c.Origin + "\n" + strconv.FormatInt(c.Tree.N, 10) + "\n" + c.Tree.Hash.String() + "\n")
	for _, e := range c.Extensions {
		b.WriteString(e + "\n")
	}
	return b.String()
}

// OpenCheckpoint reads a signed checkpoint and verifies it with the keys of
// logs (of type Ed25519). It needs a signature by at least one key whose name
// is the checkpoint's origin: ErrUnknownLog. A signature by any of the keys
// that fails is ErrBadSignature. Cosignatures are left unverified.
func OpenCheckpoint(signed []byte, logKeys ...Key) (Checkpoint, Note, error) {
	note, c, err := parseSignedCheckpoint(signed)
	if err != nil {
		return Checkpoint{}, Note{}, err
	}
	if _, err := findLog(note, c.Origin, logKeys); err != nil {
		return Checkpoint{}, Note{}, err
	}
	return c, note, nil
}

func parseSignedCheckpoint(signed []byte) (Note, Checkpoint, error) {
	note, err := ParseNote(signed)
	if err != nil {
		return Note{}, Checkpoint{}, err
	}
	c, err := ParseCheckpoint(note.Text)
	if err != nil {
		return Note{}, Checkpoint{}, err
	}
	return note, c, nil
}

// findLog returns the first of the keys that signed the note and is named like
// the origin.
func findLog(note Note, origin string, keys []Key) (Key, error) {
	var found Key
	for _, k := range keys {
		if k.alg != Ed25519 {
			return Key{}, fmt.Errorf("key %s has type %v, a log needs %v", quoteShort(k.name), k.alg, Ed25519)
		}
		_, err := note.VerifiedBy(k)
		if errors.Is(err, ErrNoSignature) {
			continue
		}
		if err != nil {
			return Key{}, err
		}
		if k.name == origin && found == (Key{}) {
			found = k
		}
	}
	if found == (Key{}) {
		return Key{}, fmt.Errorf("checkpoint of origin %s: %w", quoteShort(origin), ErrUnknownLog)
	}
	return found, nil
}
