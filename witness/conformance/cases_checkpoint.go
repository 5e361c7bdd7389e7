package conformance

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/proofs"
)

// checkpointCases are about checkpoints that the log has signed and that are
// none, and about notes that are none.
func checkpointCases() []definition {
	empty := form(tlogCheckpoint, "Any following lines are extension lines, opaque and OPTIONAL. Extension lines, if any, MUST be non-empty.")
	lines := form(tlogCheckpoint, "The note text is a sequence of at least three non-empty lines, separated by newlines (U+000A).")
	text := func(name string, rule Rule, format func(origin string, at proofs.Tree) string) definition {
		return definition{name, rule, nil, func(s *session) error {
			return s.malformedText(rule, func(at proofs.Tree) string { return format(s.cfg.Log.Key().Name(), at) })
		}}
	}
	line := func(name string, rule Rule, change func(l string) string) definition {
		return malformed(name, rule, func(p parts) []byte {
			// The signature line is the last.
			note := string(p.checkpoint)
			i := strings.LastIndex(note, "\n\n") + 2
			return body(p.oldLine(), p.proof, []byte(note[:i]+change(note[i:])))
		})
	}
	return []definition{
		text("checkpoint: two lines", ruleProof, func(o string, at proofs.Tree) string { return fmt.Sprintf("%s\n%d\n", o, at.N) }),
		text("checkpoint: empty line before the root", lines, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n%d\n\n%s\n", o, at.N, at.Hash)
		}),
		text("checkpoint: leading zero in the size", ruleSizeLine, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n0%d\n%s\n", o, at.N, at.Hash)
		}),
		text("checkpoint: sign before the size", ruleSizeLine, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n+%d\n%s\n", o, at.N, at.Hash)
		}),
		text("checkpoint: space after the size", ruleSizeLine, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n%d \n%s\n", o, at.N, at.Hash)
		}),
		text("checkpoint: negative size", ruleOldAbove, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n-%d\n%s\n", o, at.N, at.Hash)
		}),
		text("checkpoint: root of 31 bytes", ruleProof, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n%d\n%s\n", o, at.N, base64.StdEncoding.EncodeToString(at.Hash[:31]))
		}),
		text("checkpoint: spare bits of the root's base64 not 0", rulePadBits, func(o string, at proofs.Tree) string {
			root := []byte(at.Hash.String())
			root[42]++ // 32 bytes leave two bits unused in this digit; in ASCII the next one follows
			return fmt.Sprintf("%s\n%d\n%s\n", o, at.N, root)
		}),
		text("checkpoint: root in hexadecimal", ruleRootLine, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n%d\n%x\n", o, at.N, at.Hash[:])
		}),
		text("checkpoint: empty extension line", empty, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n%d\n%s\n\nextension\n", o, at.N, at.Hash)
		}),
		text("note: tab in its text", ruleControl, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n%d\n%s\nextension\tline\n", o, at.N, at.Hash)
		}),
		text("note: NUL in its text", ruleControl, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n%d\n%s\nextension\x00line\n", o, at.N, at.Hash)
		}),
		text("note: text that is not UTF-8", ruleControl, func(o string, at proofs.Tree) string {
			return fmt.Sprintf("%s\n%d\n%s\nextension \xff\n", o, at.N, at.Hash)
		}),
		line("note: no signature", ruleBadSig, func(string) string { return "" }),
		malformed("note: no empty line before the signatures", ruleSigLine, func(p parts) []byte {
			return body(p.oldLine(), p.proof, []byte(strings.Replace(string(p.checkpoint), "\n\n", "\n", 1)))
		}),
		line("signature line: hyphen for the em dash", ruleSigLine, func(l string) string { return strings.Replace(l, "—", "-", 1) }),
		line("signature line: not base64", ruleBadSig, func(l string) string { return l[:len(l)-8] + "!!!!!!!\n" }),
		line("signature line: no key name", ruleBadSig, func(l string) string {
			return "—  " + l[strings.LastIndexByte(l, ' ')+1:]
		}),
		line("signature line: space at its end", ruleSigLine, func(l string) string { return strings.TrimSuffix(l, "\n") + " \n" }),
		line("signature line: less than a key ID", form(signedNote, "Signatures are the base64 encoding of 4+n bytes."), func(l string) string {
			return l + "— short.example AAA=\n"
		}),
	}
}

// malformedText signs what a case makes of the next checkpoint. The note is put
// together by hand: the log's signer signs no malformed text.
func (s *session) malformedText(rule Rule, format func(at proofs.Tree) string) error {
	if err := s.room(1); err != nil {
		return err
	}
	at, err := s.tree.at(s.size + 1)
	if err != nil {
		return err
	}
	proof, err := s.tree.proof(s.size, s.size+1)
	if err != nil {
		return err
	}
	text := format(at)
	note, err := s.signRaw(text)
	if err != nil {
		return err
	}
	return s.malformed(rule, body(fmt.Sprintf("old %d", s.size), encode(proof), note))
}

// signRaw signs any bytes as the text of a note.
func (s *session) signRaw(text string) ([]byte, error) {
	// PRIVATE+KEY+name+id+base64 of the type and the seed.
	fields := strings.SplitN(s.cfg.Log.PrivateKey(), "+", 5)
	seed, err := base64.StdEncoding.DecodeString(fields[len(fields)-1])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return nil, errors.New("the log's key is not in the form that was expected")
	}
	sig := ed25519.Sign(ed25519.NewKeyFromSeed(seed[1:]), []byte(text))
	id := binary.BigEndian.AppendUint32(nil, s.cfg.Log.Key().ID())
	line := "— " + s.cfg.Log.Key().Name() + " " + base64.StdEncoding.EncodeToString(slices.Concat(id, sig)) + "\n"
	return []byte(text + "\n" + line), nil
}
