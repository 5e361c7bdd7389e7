package fraud

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/proofs/internal/strict"
)

const accusationHeader = "tuflog accusation v1\n"

// An Accusation is what proves that a party misbehaved, in one file: signed checkpoints,
// entries with proofs that the first checkpoint's tree holds them, and other files. The
// kind says how they prove it; this package knows the container, and package audit/evidence
// the kinds. Two checkpoints that contradict each other are a Conflict instead.
//
// As a file it is a header and a line with the kind and, for most kinds, its subject. For
// each span follow a line with the index of its first entry, a line for each entry, and one
// for each hash; then a line for each file. Each note, verbatim, follows an empty line.
// Entries and files are in base64:
//
//	tuflog accusation v1
//	kind bad-leaf 1
//	from 1
//	entry aGVsbG8=
//	oa8DAjHKL9IOzzDFKUuvj2kyHQm7FqxTiFzNF6OFKA0=
//	file e30=
//
//	example.com/log
//	2
//	…
type Accusation struct {
	Kind    string   // lower-case letters and hyphens
	Subject string   // what it is about: letters, digits and -._~%; empty for some kinds
	Spans   []Span   // of the first note's tree, in order, with other entries in between
	Files   [][]byte // none of them empty
	Notes   [][]byte // signed checkpoints, verbatim; at most 2
}

// ParseAccusation reads an accusation and checks its form, that of its notes included. It
// verifies neither proofs nor signatures.
func ParseAccusation(b []byte) (Accusation, error) {
	a, err := parseAccusation(b)
	if err != nil {
		return Accusation{}, fmt.Errorf("accusation: %w", err)
	}
	return a, nil
}

func parseAccusation(b []byte) (Accusation, error) {
	var a Accusation
	if len(b) > MaxAccusationSize {
		return a, fmt.Errorf("%d bytes, more than %d", len(b), MaxAccusationSize)
	}
	rest, ok := bytes.CutPrefix(b, []byte(accusationHeader))
	if !ok {
		return a, fmt.Errorf("first line is not %q", strings.TrimSpace(accusationHeader))
	}
	head, signed, noted := bytes.Cut(rest, []byte("\n\n"))
	if noted {
		head = rest[:len(head)+1]
	}
	p := accusationLines{rest: head, n: 2}
	p.kind(&a)
	p.spans(&a)
	p.files(&a)
	if p.err == nil && len(p.rest) > 0 {
		p.fail("%s is out of place", strict.Quote(firstLine(p.rest)))
	}
	if p.err != nil {
		return a, p.err
	}
	if noted {
		var err error
		if a.Notes, err = splitNotes(signed); err != nil {
			return a, err
		}
	}
	if len(a.Notes) == 0 && len(a.Spans) > 0 {
		return a, errors.New("entries without a checkpoint")
	}
	return a, nil
}

// splitNotes takes apart notes of checkpoints, with an empty line between them. Neither a
// checkpoint's text nor its signatures hold empty lines.
func splitNotes(b []byte) ([][]byte, error) {
	if len(b) > maxAccusedNotes*(proofs.MaxNoteSize+1) {
		return nil, fmt.Errorf("%d bytes of notes, more than %d of them need", len(b), maxAccusedNotes)
	}
	parts := strings.Split(string(b), "\n\n")
	if len(parts)%2 != 0 || len(parts) > 2*maxAccusedNotes {
		return nil, fmt.Errorf("the notes have %d empty lines", len(parts)-1)
	}
	var notes [][]byte
	for i := 0; i < len(parts); i += 2 {
		note := parts[i] + "\n\n" + parts[i+1]
		if i+2 < len(parts) {
			note += "\n"
		}
		if _, _, err := parseSigned([]byte(note)); err != nil {
			return nil, fmt.Errorf("note %d: %w", i/2+1, err)
		}
		notes = append(notes, []byte(note))
	}
	return notes, nil
}

// accusationLines takes the lines before the notes apart and keeps the first error.
type accusationLines struct {
	rest []byte
	n    int // number of the next line
	err  error
}

func (p *accusationLines) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("line %d: "+format, append([]any{p.n}, args...)...)
	}
}

func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return string(line)
}

// line takes the next line if it begins with the prefix.
func (p *accusationLines) line(prefix string) (string, bool) {
	if p.err != nil || !bytes.HasPrefix(p.rest, []byte(prefix)) {
		return "", false
	}
	line, rest, ok := bytes.Cut(p.rest, []byte("\n"))
	if !ok {
		p.fail("does not end in a newline")
		return "", false
	}
	p.rest = rest
	p.n++
	return string(line[len(prefix):]), true
}

func (p *accusationLines) kind(a *Accusation) {
	line, ok := p.line("kind ")
	if !ok {
		p.fail("%s where the kind should be", strict.Quote(firstLine(p.rest)))
		return
	}
	kind, subject, has := strings.Cut(line, " ")
	if !isWord(kind, false) || has && !isWord(subject, true) {
		p.n--
		p.fail("kind %s", strict.Quote(line))
		return
	}
	a.Kind, a.Subject = kind, subject
}

// isWord reports whether s is a kind or a subject.
func isWord(s string, subject bool) bool {
	if s == "" || len(s) > maxSubject {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', c == '-':
		case subject && ('A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("._~%", c) >= 0):
		default:
			return false
		}
	}
	return true
}

// data decodes the rest of a line.
func (p *accusationLines) data(what, encoded string) []byte {
	b, err := strict.DecodeBase64(encoded)
	if err != nil {
		p.n--
		p.fail("%s: %w", what, err)
	}
	return b
}

func (p *accusationLines) spans(a *Accusation) {
	count, end := 0, int64(-1)
	for p.err == nil {
		from, ok := p.line("from ")
		if !ok {
			return
		}
		first, err := proofs.ParseDecimal(from)
		if err != nil || first <= end {
			p.n--
			p.fail("from %s: not an index behind those before it", strict.Quote(from))
			return
		}
		s := Span{First: first}
		for {
			encoded, ok := p.line("entry ")
			if !ok {
				break
			}
			if count++; count > MaxAccusedEntries {
				p.fail("more than %d entries", MaxAccusedEntries)
				return
			}
			entry := p.data("entry", encoded)
			if len(entry) > proofs.MaxEntrySize {
				p.fail("entry of %d bytes, more than %d", len(entry), proofs.MaxEntrySize)
				return
			}
			s.Entries = append(s.Entries, entry)
		}
		if end = s.End(); len(s.Entries) == 0 || end < first {
			p.fail("no entries from %d on", first)
			return
		}
		p.hashes(&s)
		a.Spans = append(a.Spans, s)
	}
}

// maxSpanHashes is more than the subtrees that there can be beside a span.
const maxSpanHashes = 2 * 64

func (p *accusationLines) hashes(s *Span) {
	for p.err == nil && len(p.rest) > 0 && !bytes.HasPrefix(p.rest, []byte("from ")) && !bytes.HasPrefix(p.rest, []byte("file ")) {
		if len(s.Hashes) == maxSpanHashes {
			p.fail("more than %d hashes", maxSpanHashes)
			return
		}
		line, _ := p.line("")
		if p.err != nil {
			return
		}
		h, err := proofs.ParseHash(line)
		if err != nil {
			p.n--
			p.fail("%w", err)
		}
		s.Hashes = append(s.Hashes, h)
	}
}

func (p *accusationLines) files(a *Accusation) {
	for p.err == nil {
		encoded, ok := p.line("file ")
		if !ok {
			return
		}
		if len(a.Files) == maxAccusedFiles {
			p.fail("more than %d files", maxAccusedFiles)
			return
		}
		file := p.data("file", encoded)
		if len(file) == 0 {
			p.fail("an empty file")
		}
		a.Files = append(a.Files, file)
	}
}

// Marshal prints the accusation. ParseAccusation reads it back if the limits are kept.
func (a Accusation) Marshal() []byte {
	var b bytes.Buffer
	b.WriteString(accusationHeader + "kind " + a.Kind)
	if a.Subject != "" {
		b.WriteString(" " + a.Subject)
	}
	b.WriteString("\n")
	for _, s := range a.Spans {
		fmt.Fprintf(&b, "from %d\n", s.First)
		for _, e := range s.Entries {
			b.WriteString("entry " + strict.EncodeBase64(e) + "\n")
		}
		for _, h := range s.Hashes {
			b.WriteString(h.String() + "\n")
		}
	}
	for _, f := range a.Files {
		b.WriteString("file " + strict.EncodeBase64(f) + "\n")
	}
	for _, n := range a.Notes {
		b.WriteString("\n")
		b.Write(n)
	}
	return b.Bytes()
}
