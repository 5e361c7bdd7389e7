package proofs

import (
	"fmt"
	"strings"
	"testing"
)

// Errors name the line, counted in the file that was given.
func TestErrorsNameTheLine(t *testing.T) {
	w := newWorld(t)
	signed := string(w.checkpoint(t, Tree{N: 7, Hash: LeafHash(nil)}))
	signedLines := strings.Count(signed, "\n")
	h := LeafHash(nil).String() + "\n"
	proof := "c2sp.org/tlog-proof@v1\nextra AA==\nindex 1\n" + h + h + "\n" + signed
	edge := "7\n" + h + h + h
	signatures := signed[strings.Index(signed, "\n\n")+2:]
	parsers := map[string]struct {
		in    string
		parse func(string) error
	}{
		"note":       {signed, func(s string) error { _, err := ParseNote([]byte(s)); return err }},
		"signatures": {signatures, func(s string) error { _, err := ParseSignatures([]byte(s)); return err }},
		"checkpoint": {"a\n1\n" + h + "extension\n", func(s string) error { _, err := ParseCheckpoint(s); return err }},
		"proof":      {proof, func(s string) error { _, err := ParseProof([]byte(s)); return err }},
		"edge":       {edge, func(s string) error { return new(Edge).UnmarshalText([]byte(s)) }},
		"policy":     {w.policyText, func(s string) error { _, err := ParsePolicy([]byte(s)); return err }},
	}
	for name, p := range parsers {
		if err := p.parse(p.in); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		lines := strings.SplitAfter(strings.TrimSuffix(p.in, "\n"), "\n")
		for i := range lines {
			// A control character is refused everywhere.
			spoiled := strings.Join(lines[:i], "") + "\x01" + strings.Join(lines[i:], "") + "\n"
			wantError(t, p.parse(spoiled), fmt.Sprintf("line %d", i+1))
		}
		wantError(t, p.parse(strings.TrimSuffix(p.in, "\n")), fmt.Sprintf("line %d", len(lines)))
	}

	// Each kind of error, deep inside.
	note := func(s string) error { _, err := ParseNote([]byte(s)); return err }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{note("a\nb\n\n— a AAAAAQI=\n— a AAAAAQJ=\n"), `note: line 5: signature by "a": illegal base64`},
		{note("a\nb\n\n— a AAAAAQI=\n- a AAAAAQI=\n"), `note: line 5: signature "- a AAAAAQI=" does not begin`},
		{note("a\nb\xff\n\n— a AAAAAQI=\n"), "note: line 2: not valid UTF-8 at byte 2 of the line"},
		{note("a\nbc\x00\n\n— a AAAAAQI=\n"), "note: line 2: control character 0x00 at byte 3 of the line"},
		{parsers["proof"].parse(strings.Replace(proof, "\n7\n", "\n07\n", 1)), `tlog-proof: checkpoint: line 8: tree size: "07"`},
		{parsers["proof"].parse(strings.Replace(proof, "AA==", "AB==", 1)), "tlog-proof: line 2: extra: illegal base64"},
		{parsers["proof"].parse(strings.Replace(proof, "index 1", "index 01", 1)), `tlog-proof: line 3: index: "01"`},
		{parsers["proof"].parse(strings.Replace(proof, h+"\n", h[1:]+"\n", 1)), "tlog-proof: line 5: hash"},
		{parsers["proof"].parse(strings.Replace(proof, "— w3", "— w+3", 1)), fmt.Sprintf("tlog-proof: note: line %d: signature ", 6+signedLines)},
		{parsers["edge"].parse("7\n" + h + h + h[1:]), "edge: line 4: hash"},
		{parsers["edge"].parse("7\n" + h + h), "edge: ends at line 3: 2 hashes for size 7, want 3"},
	} {
		wantError(t, tt.err, tt.want)
	}
}
