package proofs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

const signaturePrefix = "— " // em dash, space

// A Signature is one signature line of a note. Parsing does not verify it.
type Signature struct {
	Name  string // of the key
	KeyID uint32
	Sig   []byte // the bytes after the key id; at least one
}

// String returns the signature line, its newline included.
func (s Signature) String() string {
	b := binary.BigEndian.AppendUint32(nil, s.KeyID)
	return signaturePrefix + s.Name + " " + strict.EncodeBase64(append(b, s.Sig...)) + "\n"
}

// A Note is a parsed note (c2sp.org/signed-note). Its signatures are not
// verified.
type Note struct {
	Text       string      // ends in a newline
	Signatures []Signature // in the order of the lines; repeated lines are kept
}

// ParseNote reads a note: at most MaxNoteSize bytes and MaxSignatures
// signatures, at least one. Errors name the line.
func ParseNote(b []byte) (Note, error) {
	n, err := parseNote(string(b), 1)
	if err != nil {
		return Note{}, fmt.Errorf("note: %w", err)
	}
	return n, nil
}

// parseNote counts lines from first, for errors.
func parseNote(s string, first int) (Note, error) {
	if len(s) > MaxNoteSize {
		return Note{}, fmt.Errorf("%d bytes, more than %d", len(s), MaxNoteSize)
	}
	if err := checkText(s, first); err != nil {
		return Note{}, err
	}
	// The text may hold empty lines: the last one separates.
	i := -1
	for { // strings.LastIndex is ten times slower than strings.Index
		next := strings.Index(s[i+1:], "\n\n")
		if next < 0 {
			break
		}
		i += 1 + next
	}
	if i < 0 {
		return Note{}, errors.New("no empty line before the signatures")
	}
	sigs, err := parseSignatures(s[i+2:], first+strings.Count(s[:i+2], "\n"))
	if err != nil {
		return Note{}, err
	}
	return Note{Text: s[:i+1], Signatures: sigs}, nil
}

// Marshal prints the note. ParseNote reads it back if the text and the
// signatures are ones that ParseNote, ParseSignatures or Signer.Sign gave.
func (n Note) Marshal() []byte {
	var b strings.Builder
	b.WriteString(n.Text)
	b.WriteByte('\n')
	for _, s := range n.Signatures {
		b.WriteString(s.String())
	}
	return []byte(b.String())
}

// ParseSignatures reads signature lines without a note, as a witness answers
// them: at least one, at most MaxSignatures. Errors name the line.
func ParseSignatures(b []byte) ([]Signature, error) {
	s := string(b)
	if len(s) > MaxNoteSize {
		return nil, fmt.Errorf("signatures: %d bytes, more than %d", len(s), MaxNoteSize)
	}
	err := checkText(s, 1)
	if err != nil {
		return nil, fmt.Errorf("signatures: %w", err)
	}
	sigs, err := parseSignatures(s, 1)
	if err != nil {
		return nil, fmt.Errorf("signatures: %w", err)
	}
	return sigs, nil
}

func parseSignatures(s string, first int) ([]Signature, error) {
	if s == "" {
		return nil, errors.New("no signatures")
	}
	if err := checkEnd(s, first); err != nil {
		return nil, err
	}
	n := strings.Count(s, "\n")
	if n > MaxSignatures {
		return nil, fmt.Errorf("%d signatures, more than %d", n, MaxSignatures)
	}
	sigs := make([]Signature, n)
	for i := range sigs {
		line, rest, _ := strings.Cut(s, "\n")
		var err error
		if sigs[i], err = parseSignature(line); err != nil {
			return nil, fmt.Errorf("line %d: signature %w", first+i, err)
		}
		s = rest
	}
	return sigs, nil
}

func parseSignature(line string) (Signature, error) {
	rest, ok := strings.CutPrefix(line, signaturePrefix)
	if !ok {
		return Signature{}, fmt.Errorf("%s does not begin with an em dash and a space", strict.Quote(line))
	}
	name, encoded, ok := strings.Cut(rest, " ")
	if !ok {
		return Signature{}, fmt.Errorf("%s has no signature after the name", strict.Quote(line))
	}
	if err := checkName(name); err != nil {
		return Signature{}, err
	}
	b, err := strict.DecodeBase64(encoded)
	if err != nil {
		return Signature{}, fmt.Errorf("by %s: %w", strict.Quote(name), err)
	}
	if len(b) < 5 {
		return Signature{}, fmt.Errorf("by %s: %d bytes, too few for a key id and a signature", strict.Quote(name), len(b))
	}
	return Signature{Name: name, KeyID: binary.BigEndian.Uint32(b), Sig: b[4:]}, nil
}

// checkName accepts key names: not empty, valid UTF-8 without Unicode spaces,
// plus signs and control characters.
func checkName(name string) error {
	if name == "" {
		return errors.New("empty key name")
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("key name %s is not valid UTF-8", strict.Quote(name))
	}
	for _, r := range name {
		if r == '+' || r < 0x20 || unicode.IsSpace(r) {
			return fmt.Errorf("key name %s contains %q", strict.Quote(name), r)
		}
	}
	return nil
}

// VerifiedBy verifies every signature that carries the name and id of k and
// returns their times in order: POSIX seconds for a cosignature, 0 for a key
// type without time. The error is ErrNoSignature if the note has none, and
// ErrBadSignature if any of them fails, even when others verify. The content
// that a key vouches for depends on its type: see Key.Verify.
func (n Note) VerifiedBy(k Key) ([]int64, error) {
	times, err := n.appendTimes(nil, &signedText{text: n.Text}, k)
	if err != nil {
		return nil, err
	}
	if len(times) == 0 {
		return nil, fmt.Errorf("key %s (id %08x): %w", strict.Quote(k.name), k.id, ErrNoSignature)
	}
	return times, nil
}

// appendTimes verifies as VerifiedBy does and appends the times to list: none
// if there is no signature. The text is that of the note.
func (n Note) appendTimes(list []int64, text *signedText, k Key) ([]int64, error) {
	type verified struct {
		sig  []byte
		unix int64
	}
	var seen []verified // anybody can repeat a signature, which costs one verification
	for _, s := range n.Signatures {
		if s.KeyID != k.id || s.Name != k.name {
			continue
		}
		if i := slices.IndexFunc(seen, func(v verified) bool { return bytes.Equal(v.sig, s.Sig) }); i >= 0 {
			list = append(list, seen[i].unix)
			continue
		}
		unix, err := k.verify(text, s.Sig)
		if err != nil {
			return nil, err
		}
		seen, list = append(seen, verified{s.Sig, unix}), append(list, unix)
	}
	return list, nil
}
