package conformance

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// body puts a request together from its parts, well-formed or not.
func body(oldLine string, proof []string, checkpoint []byte) []byte {
	lines := append([]string{oldLine}, proof...)
	return append([]byte(strings.Join(lines, "\n")+"\n\n"), checkpoint...)
}

func encode(hashes []proofs.Hash) []string {
	list := make([]string, len(hashes))
	for i, h := range hashes {
		list[i] = base64.StdEncoding.EncodeToString(h[:])
	}
	return list
}

// parts are those of a request that would be granted, so that a witness which
// overlooks what is wrong with it shows.
type parts struct {
	old        int64
	proof      []string
	checkpoint []byte
}

func (p parts) oldLine() string { return fmt.Sprintf("old %d", p.old) }

func (s *session) parts() (parts, error) {
	if err := s.room(1); err != nil {
		return parts{}, err
	}
	r, err := s.request(s.tree, s.size, s.size+1)
	return parts{r.OldSize, encode(r.Proof), r.Checkpoint}, err
}

// malformed is a case whose request is one that would be granted, spoilt.
func malformed(name string, rule Rule, spoil func(p parts) []byte) definition {
	var v1 *Rule
	if rule == ruleBadSig {
		v1 = &v1Unsigned
	}
	return definition{name, rule, v1, func(s *session) error {
		p, err := s.parts()
		if err != nil {
			return err
		}
		b := spoil(p)
		if b == nil {
			return skipped{"no suitable request to change in this way"}
		}
		return s.malformed(rule, b)
	}}
}

// oldLineCases are about the first line.
func oldLineCases() []definition {
	var list []definition
	for _, c := range []struct {
		name, format string
	}{
		{"old line: sign", "old +%d"},
		{"old line: leading zero", "old 0%d"},
		{"old line: two spaces", "old  %d"},
		{"old line: tab for the space", "old\t%d"},
		{"old line: space at its end", "old %d "},
		{"old line: carriage return at its end", "old %d\r"},
		{"old line: something after the size", "old %d x"},
		{"old line: space before it", " old %d"},
		{"old line: upper case", "Old %d"},
		{"old line: without the word", "%d"},
		{"old line: decimal point", "old %d.0"},
		{"old line: digit separator", "old 0_%d"},
		{"old line: beyond 64 bits", "old 1844674407370955161600%d"},
		{"old line: negative size", "old -%d"},
	} {
		list = append(list, malformed(c.name, ruleOldLine, func(p parts) []byte {
			return body(fmt.Sprintf(c.format, p.old), p.proof, p.checkpoint)
		}))
	}
	return append(list,
		malformed("old line: hexadecimal", ruleOldLine, func(p parts) []byte {
			return body(fmt.Sprintf("old 0x%x", p.old), p.proof, p.checkpoint)
		}),
		malformed("old line: no size", ruleOldLine, func(p parts) []byte { return body("old ", p.proof, p.checkpoint) }),
		malformed("old line: none", ruleBody, func(p parts) []byte {
			return append([]byte(strings.Join(p.proof, "\n")+"\n\n"), p.checkpoint...)
		}),
		malformed("old line: twice", ruleBody, func(p parts) []byte {
			return body(p.oldLine()+"\n"+p.oldLine(), p.proof, p.checkpoint)
		}),
	)
}

// bodyCases are about the lines and their ends.
func bodyCases() []definition {
	return []definition{
		malformed("body: empty", ruleBody, func(parts) []byte { return []byte{} }),
		malformed("body: no checkpoint", ruleBody, func(p parts) []byte { return body(p.oldLine(), p.proof, nil) }),
		malformed("body: ends in the proof", ruleBody, func(p parts) []byte {
			return []byte(p.oldLine() + "\n" + strings.Join(p.proof, "\n") + "\n")
		}),
		malformed("body: no empty line", ruleBody, func(p parts) []byte {
			return append([]byte(p.oldLine()+"\n"+strings.Join(p.proof, "\n")+"\n"), p.checkpoint...)
		}),
		malformed("body: two empty lines", ruleBody, func(p parts) []byte {
			return body(p.oldLine(), p.proof, append([]byte("\n"), p.checkpoint...))
		}),
		malformed("body: lines end in CR LF", ruleNewline, func(p parts) []byte {
			return []byte(strings.ReplaceAll(string(body(p.oldLine(), p.proof, p.checkpoint)), "\n", "\r\n"))
		}),
		malformed("body: the lines before the checkpoint end in CR LF", ruleNewline, func(p parts) []byte {
			head := strings.ReplaceAll(string(body(p.oldLine(), p.proof, nil)), "\n", "\r\n")
			return append([]byte(head), p.checkpoint...)
		}),
		malformed("body: no newline at the end", ruleNewline, func(p parts) []byte {
			return body(p.oldLine(), p.proof, p.checkpoint[:len(p.checkpoint)-1])
		}),
		malformed("body: a line after the checkpoint", ruleSigLine, func(p parts) []byte {
			return body(p.oldLine(), p.proof, append(slices.Clone(p.checkpoint), "trailing data\n"...))
		}),
		malformed("body: an empty line after the checkpoint", ruleSigLine, func(p parts) []byte {
			return body(p.oldLine(), p.proof, append(slices.Clone(p.checkpoint), '\n'))
		}),
		malformed("body: bytes after the last newline", ruleNewline, func(p parts) []byte {
			return body(p.oldLine(), p.proof, append(slices.Clone(p.checkpoint), "x"...))
		}),
		malformed("body: the request twice", ruleBody, func(p parts) []byte {
			b := body(p.oldLine(), p.proof, p.checkpoint)
			return append(b, b...)
		}),
	}
}

// proofLineCases are about proof lines that are none.
func proofLineCases() []definition {
	proof := func(name string, rule Rule, change func(proof []string) []string) definition {
		return malformed(name, rule, func(p parts) []byte {
			changed := change(slices.Clone(p.proof))
			if changed == nil {
				return nil
			}
			return body(p.oldLine(), changed, p.checkpoint)
		})
	}
	first := func(change func(line string) string) func([]string) []string {
		return func(proof []string) []string {
			proof[0] = change(proof[0])
			return proof
		}
	}
	return []definition{
		proof("proof: 64 lines", ruleProof, func(proof []string) []string {
			for len(proof) < 64 {
				proof = append(proof, proof[0])
			}
			return proof
		}),
		proof("proof line: not base64", ruleAlphabet, first(func(string) string { return strings.Repeat("!", 44) })),
		proof("proof line: no padding", ruleProofLine, first(func(l string) string { return strings.TrimRight(l, "=") })),
		proof("proof line: spare bits of the base64 not 0", rulePadBits, first(func(l string) string {
			// 32 bytes leave two bits unused in the last digit.
			const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
			last := strings.IndexByte(digits, l[42])
			return l[:42] + digits[last+1:last+2] + l[43:]
		})),
		{"proof line: base64url", ruleAlphabet, nil, urlAlphabet},
		proof("proof line: space at its end", ruleAlphabet, first(func(l string) string { return l + " " })),
		proof("proof line: carriage return at its end", ruleAlphabet, first(func(l string) string { return l + "\r" })),
		proof("proof line: space before it", ruleAlphabet, first(func(l string) string { return " " + l })),
		proof("proof line: 31 bytes", ruleProof, first(func(l string) string { return base64.StdEncoding.EncodeToString(make([]byte, 31)) })),
		proof("proof line: 33 bytes", ruleProof, first(func(l string) string { return base64.StdEncoding.EncodeToString(make([]byte, 33)) })),
		{"proof line: two hashes on one line", ruleProofLine, nil, func(s *session) error {
			if err := s.uneven(); err != nil {
				return err
			}
			r, err := s.pair(0, 2)
			if err != nil {
				return err
			}
			lines := encode(r.Proof)
			both := append(slices.Clone(r.Proof[0][:]), r.Proof[1][:]...)
			lines = append([]string{base64.StdEncoding.EncodeToString(both)}, lines[2:]...)
			return s.malformed(ruleProofLine, body(fmt.Sprintf("old %d", r.OldSize), lines, r.Checkpoint))
		}},
	}
}

// urlAlphabet looks for a proof whose base64 has one of the two digits in which
// the alphabets differ.
func urlAlphabet(s *session) error {
	if err := s.room(1); err != nil {
		return err
	}
	for k := int64(1); k < 64; k++ {
		r, err := s.pair(0, k)
		if err != nil {
			return err
		}
		lines := encode(r.Proof)
		for i, l := range lines {
			if strings.ContainsAny(l, "+/") {
				lines[i] = strings.NewReplacer("+", "-", "/", "_").Replace(l)
				return s.malformed(ruleAlphabet, body(fmt.Sprintf("old %d", r.OldSize), lines, r.Checkpoint))
			}
		}
	}
	return skipped{"no proof at hand whose base64 has a + or a /"}
}
