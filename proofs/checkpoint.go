package proofs

import (
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// A Checkpoint is the text of a log's signed tree head
// (c2sp.org/tlog-checkpoint).
type Checkpoint struct {
	Origin     string // identity of the log
	Tree       Tree
	Extensions []string // opaque lines, without newlines; usually none
}

// ParseCheckpoint reads the text of a checkpoint, without signatures. It
// verifies only the form, and that a tree of size 0 has the root of the empty
// tree. Errors name the line.
func ParseCheckpoint(text string) (Checkpoint, error) {
	err := checkText(text, 1)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := parseCheckpoint(text, 1)
	if err != nil {
		return c, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

// parseCheckpoint reads a text that checkText accepts, and counts lines from
// first, for errors.
func parseCheckpoint(text string, first int) (Checkpoint, error) {
	if err := checkEnd(text, first); err != nil {
		return Checkpoint{}, err
	}
	count := strings.Count(text, "\n")
	if count < 3 {
		return Checkpoint{}, fmt.Errorf("ends at line %d: %d lines, want at least 3", first+count-1, count)
	}
	var c Checkpoint
	if count > 3 {
		c.Extensions = make([]string, 0, count-3)
	}
	for i := range count {
		line, rest, _ := strings.Cut(text, "\n")
		if line == "" {
			return Checkpoint{}, fmt.Errorf("line %d is empty", first+i)
		}
		var err error
		switch i {
		case 0:
			c.Origin = line
		case 1:
			if c.Tree.N, err = ParseDecimal(line); err != nil {
				return Checkpoint{}, fmt.Errorf("line %d: tree size: %w", first+i, err)
			}
		case 2:
			if c.Tree.Hash, err = ParseHash(line); err != nil {
				return Checkpoint{}, fmt.Errorf("line %d: root %w", first+i, err)
			}
		default:
			c.Extensions = append(c.Extensions, line)
		}
		text = rest
	}
	if c.Tree.N == 0 && c.Tree != EmptyTree {
		return c, fmt.Errorf("line %d: %w: %v, want %v", first+2, ErrEmptyRoot, c.Tree.Hash, EmptyTree.Hash)
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
// logs (types Ed25519, ECDSA, MLDSA44). It needs a signature by at least one key
// whose name is the checkpoint's origin: ErrUnknownLog. If the checkpoint has
// extension lines, one of a type that covers them is needed: ErrExtensions. A
// signature by any of the keys that fails is ErrBadSignature. Cosignatures are
// left unverified.
func OpenCheckpoint(signed []byte, logKeys ...Key) (Checkpoint, Note, error) {
	note, c, err := parseSignedCheckpoint(signed)
	if err != nil {
		return Checkpoint{}, Note{}, err
	}
	if _, err := findLog(note, &c, &signedText{text: note.Text, cp: &c}, slices.Values(logKeys)); err != nil {
		return Checkpoint{}, Note{}, err
	}
	return c, note, nil
}

func parseSignedCheckpoint(signed []byte) (Note, Checkpoint, error) {
	return parseSigned(string(signed), 1)
}

// parseSigned counts lines from first, for errors.
func parseSigned(signed string, first int) (Note, Checkpoint, error) {
	note, err := parseNote(signed, first)
	if err != nil {
		return Note{}, Checkpoint{}, fmt.Errorf("note: %w", err)
	}
	c, err := parseCheckpoint(note.Text, first)
	if err != nil {
		return Note{}, Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	return note, c, nil
}

// findLog returns the first of the keys that signed the note, is named like the
// origin and vouches for all of the checkpoint.
func findLog(note Note, c *Checkpoint, text *signedText, keys iter.Seq[Key]) (Key, error) {
	var named, found Key
	var times [4]int64
	for k := range keys {
		if !k.alg.ForLogs() {
			return Key{}, fmt.Errorf("key %s has type %v, a log needs %v, %v or %v", strict.Quote(k.name), k.alg, Ed25519, ECDSA, MLDSA44)
		}
		signed, err := note.appendTimes(times[:0], text, k)
		if err != nil {
			return Key{}, err
		}
		if len(signed) == 0 || k.name != c.Origin {
			continue
		}
		named = k
		if found == (Key{}) && (len(c.Extensions) == 0 || k.alg.coversExtensions()) {
			found = k
		}
	}
	switch {
	case named == (Key{}):
		return Key{}, fmt.Errorf("checkpoint of origin %s: %w", strict.Quote(c.Origin), ErrUnknownLog)
	case found == (Key{}):
		return Key{}, fmt.Errorf("checkpoint of origin %s: %w", strict.Quote(c.Origin), ErrExtensions)
	}
	return found, nil
}
