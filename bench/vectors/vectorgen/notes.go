package main

import (
	"fmt"
	"strings"
)

// A textCase is a text that a parser refuses, or one whose result follows from
// elsewhere.
type textCase struct {
	name   string
	desc   string
	rule   rule
	in     string
	reason string
	choice string
}

func (c textCase) meta() meta { return about(c.desc, c.rule).choosing(c.choice) }

// short is a signature of one byte, which is enough for a parser.
func short(name string) sigLine { return sigLine{name, 1, []byte{2}} }

const shortLine = "— example.com/a AAAAAQI=\n" // short("example.com/a")

func sigResults(lines []sigLine) []sigResult {
	list := make([]sigResult, len(lines))
	for i, l := range lines {
		list[i] = sigResult{l.name, fmt.Sprintf("%08x", l.id), b64(l.sig)}
	}
	return list
}

func repeat(l sigLine, n int) []sigLine {
	lines := make([]sigLine, n)
	for i := range lines {
		lines[i] = l
	}
	return lines
}

func (s *suite) notes() {
	s.goodNotes()
	for _, c := range badNotes() {
		s.add("note", c.name, noteCase{meta: c.meta(), Note: data(c.in), verdict: malformed(c.reason)})
	}
	for _, c := range badNames() {
		in := "text\n\n— " + c.in + " AAAAAQI=\n"
		s.add("note", c.name, noteCase{meta: c.meta(), Note: data(in), verdict: malformed(c.reason)})
	}
	for _, c := range badSignatureData() {
		in := "text\n\n— example.com/a " + c.in + "\n"
		s.add("note", c.name, noteCase{meta: c.meta(), Note: data(in), verdict: malformed(c.reason)})
	}
	s.signatures()
}

func (s *suite) goodNotes() {
	a := short("example.com/a")
	long := func(id uint32) sigLine {
		return sigLine{"example.com/pq", id, []byte(strings.Repeat("x", 4900))}
	}
	var sixteen []sigLine
	for i := range uint32(16) {
		sixteen = append(sixteen, long(i))
	}
	for _, c := range []struct {
		name, desc string
		rule       rule
		text       string
		lines      []sigLine
		choice     string
	}{
		{"plain", "One line of text and one signature.", ruleNoteForm, "hello\n", []sigLine{a}, ""},
		{"two-signatures", "Two signatures by two keys.", ruleNoteForm, "hello\n", []sigLine{a, short("b")}, ""},
		{"repeated-line", "The same signature line twice: a parser keeps both, in order.", ruleNoteForm, "hello\n", []sigLine{a, a}, "A parser might drop what repeats; here it keeps all lines, so that what it prints is what it read."},
		{"one-name-two-ids", "Two signatures of one name and different key ids.", ruleSigUnknown, "hello\n", []sigLine{a, {a.name, 2, a.sig}}, ""},
		{"sixteen-long-signatures", "Sixteen signatures of nearly 5 kB, as post-quantum ones are, must be accepted.", ruleNoteLimit, "hello\n", sixteen, ""},
		{"128-signatures", "As many signatures as this project accepts.", ruleNoteLimit, "hello\n", repeat(a, 128), "The specification wants a limit of at least 16; here it is 128."},
		{"empty-line-in-text", "The text may hold empty lines; the last one in the note separates.", ruleNoteSplit, "a\n\nb\n", []sigLine{a}, ""},
		{"empty-lines-at-end-of-text", "All empty lines but the last belong to the text.", ruleNoteSplit, "a\n\n\n\n", []sigLine{a}, ""},
		{"text-of-one-empty-line", "The text may be nothing but an empty line.", ruleNoteSplit, "\n", []sigLine{a}, ""},
		{"signature-line-in-text", "What looks like a signature line is text when a later empty line separates.", ruleNoteSplit, "a\n\n" + a.String(), []sigLine{a}, ""},
		{"text-beyond-ascii", "Text may be any UTF-8.", ruleNoteChars, "trafitto è ☃ 𝄞\n", []sigLine{a}, ""},
		{"line-separator-in-text", "U+2028 and U+2029 are not newlines and not control characters below U+0020.", ruleNoteChars, "a\u2028b\u2029c\n", []sigLine{a}, ""},
		{"next-line-in-text", "U+0085 is a control character, but not one below U+0020.", ruleNoteChars, "a\u0085b\n", []sigLine{a}, ""},
		{"delete-in-text", "U+007F is a control character, but not one below U+0020.", ruleNoteChars, "a\u007fb\n", []sigLine{a}, ""},
		{"replacement-character-in-text", "U+FFFD in valid UTF-8 is a character like any other.", ruleNoteChars, "a\ufffdb\n", []sigLine{a}, ""},
		{"byte-order-mark", "U+FEFF at the start is part of the text.", ruleNoteChars, "\ufeffhello\n", []sigLine{a}, ""},
		{"trailing-spaces-in-text", "Spaces at the end of a line belong to the text, and a line of spaces is not empty.", ruleNoteSplit, "a  \n \n", []sigLine{a}, ""},
		{"name-beyond-ascii", "A key name may be any UTF-8 without spaces and plus signs.", ruleNoteName, "hello\n", []sigLine{short("exämple☃𝄞")}, ""},
		{"name-with-em-dash", "A key name may hold the em dash that begins the line.", ruleNoteName, "hello\n", []sigLine{short("—a—")}, ""},
		{"name-with-zero-width-space", "U+200B is no Unicode space (White_Space), whatever it is called.", ruleNoteName, "hello\n", []sigLine{short("a\u200bb")}, ""},
		{"name-with-byte-order-mark", "U+FEFF is no Unicode space.", ruleNoteName, "hello\n", []sigLine{short("\ufeffa")}, ""},
		{"name-with-mongolian-vowel-separator", "U+180E has not been a Unicode space since Unicode 6.3.", ruleNoteName, "hello\n", []sigLine{short("a\u180eb")}, ""},
		{"name-with-delete", "U+007F in a key name is neither a space nor below U+0020.", ruleNoteName, "hello\n", []sigLine{short("a\u007fb")}, ""},
		{"name-with-replacement-character", "U+FFFD in valid UTF-8 may stand in a key name.", ruleNoteName, "hello\n", []sigLine{short("a\ufffdb")}, ""},
		{"name-of-1000-bytes", "The specification sets no limit to the length of a key name.", ruleNoteName, "hello\n", []sigLine{short(strings.Repeat("n", 1000))}, ""},
		{"name-oid", "A cosigner may be named by an OID.", ruleNoteName, "hello\n", []sigLine{short("oid/1.3.6.1.4.1.32473")}, ""},
		{"key-id-zero", "A key id of zero is one like any other.", ruleNoteKeyID, "hello\n", []sigLine{{"a", 0, []byte{0}}}, ""},
		{"key-id-largest", "A key id has 32 bits, all of them.", ruleNoteKeyID, "hello\n", []sigLine{{"a", 0xffffffff, []byte{0xff}}}, ""},
		{"key-id-is-big-endian", "The key id is stored in big-endian order.", ruleNoteKeyID, "hello\n", []sigLine{{"a", 0x01020304, []byte{5, 6}}}, ""},
		{"base64-without-padding", "Six bytes need no padding.", ruleBase64, "hello\n", []sigLine{{"a", 1, []byte{2, 3}}}, ""},
		{"base64-one-pad", "Five bytes end in one =.", ruleBase64, "hello\n", []sigLine{{"a", 1, []byte{2}}}, ""},
		{"base64-two-pads", "Seven bytes end in two =.", ruleBase64, "hello\n", []sigLine{{"a", 1, []byte{2, 3, 4}}}, ""},
		{"base64-plus-and-slash", "The alphabet is the one with + and /.", ruleBase64, "hello\n", []sigLine{{"a", 0xfbefbefb, []byte("\xff\xff\xfe\xfb")}}, ""},
	} {
		s.add("note", c.name, noteCase{
			meta: about(c.desc, c.rule).choosing(c.choice), Note: data(note(c.text, c.lines...)), verdict: valid,
			Result: &noteResult{Text: data(c.text), Sigs: sigResults(c.lines)},
		})
	}
}

func badNotes() []textCase {
	const sig = shortLine
	cases := []textCase{
		{"nothing", "No bytes at all.", ruleNoteForm, "", "blank-line", ""},
		{"newline-alone", "A single newline.", ruleNoteForm, "\n", "blank-line", ""},
		{"text-alone", "A text without a signature block.", ruleNoteForm, "hello\n", "blank-line", ""},
		{"no-signatures", "The empty line is there, but no signature.", ruleNoteForm, "hello\n\n", "no-signatures", ""},
		{"signatures-alone", "A signature line without a text.", ruleNoteForm, sig, "blank-line", ""},
		{"no-text", "An empty line and a signature, but the text, which must end in a newline, is missing.", ruleNoteForm, "\n" + sig, "blank-line", ""},
		{"no-blank-line", "No empty line between text and signatures.", ruleNoteForm, "hello\n" + sig, "blank-line", ""},
		{"not-ended", "The last line lacks its newline.", ruleNoteForm, strings.TrimSuffix("a\n\n"+sig, "\n"), "newline", ""},
		{"blank-line-after", "An empty line after the signatures is the last one, and no signatures follow it.", ruleNoteSplit, "a\n\n" + sig + "\n", "no-signatures", ""},
		{"text-after-signatures", "The last empty line is the one after the signatures, and text follows it.", ruleNoteSplit, "a\n\n" + sig + "\nmore text\n", "prefix", ""},
		{"line-that-is-no-signature", "Each line after the empty one must be a signature.", ruleNoteForm, "a\n\n" + sig + "comment\n", "prefix", ""},
		{"line-that-is-no-signature-first", "Each line after the empty one must be a signature, the first one too.", ruleNoteForm, "a\n\ncomment\n" + sig, "prefix", ""},
		{"hyphen", "A hyphen instead of the em dash.", ruleNoteForm, "a\n\n- a AAAAAQI=\n", "prefix", ""},
		{"en-dash", "U+2013 instead of the em dash U+2014.", ruleNoteForm, "a\n\n– a AAAAAQI=\n", "prefix", ""},
		{"horizontal-bar", "U+2015 instead of the em dash U+2014.", ruleNoteForm, "a\n\n― a AAAAAQI=\n", "prefix", ""},
		{"no-space-after-dash", "No space after the em dash.", ruleNoteForm, "a\n\n—a AAAAAQI=\n", "prefix", ""},
		{"no-break-space-after-dash", "U+00A0 after the em dash instead of a space.", ruleNoteForm, "a\n\n—\u00a0a AAAAAQI=\n", "prefix", ""},
		{"two-spaces-after-dash", "Two spaces after the em dash: the key name between them is empty.", ruleNoteName, "a\n\n—  a AAAAAQI=\n", "name", ""},
		{"space-before-dash", "A space before the em dash.", ruleNoteForm, "a\n\n — a AAAAAQI=\n", "prefix", ""},
		{"no-base64", "A signature line that ends after the key name.", ruleNoteForm, "a\n\n— a\n", "no-base64", ""},
		{"dash-alone", "A signature line with neither name nor signature.", ruleNoteForm, "a\n\n— \n", "no-base64", ""},
		{"crlf", "Lines that end in CR LF.", ruleNoteChars, strings.ReplaceAll("a\n\n"+sig, "\n", "\r\n"), "control", ""},
		{"cr-at-end-of-signature", "A CR before the newline of a signature line.", ruleNoteChars, "a\n\n— example.com/a AAAAAQI=\r\n", "control", ""},
		{"cr-in-base64", "A CR within the base64 of a signature.", ruleNoteChars, "a\n\n— a AAAA\rAQI=\n", "control", ""},
		{"tab-after-dash", "A tab after the em dash.", ruleNoteChars, "a\n\n—\ta AAAAAQI=\n", "control", ""},
		{"129-signatures", "One signature more than this project accepts.", ruleNoteLimit, "a\n\n" + strings.Repeat(sig, 129), "too-many", "The specification wants a limit of at least 16; here it is 128."},
		{"control-in-name", "U+0001 in a key name.", ruleNoteChars, "a\n\n— a\x01b AAAAAQI=\n", "control", ""},
		{"not-utf8-in-name", "A key name that is not valid UTF-8.", ruleNoteChars, "a\n\n— a\xff AAAAAQI=\n", "utf-8", ""},
	}
	for _, c := range []struct{ name, what, bytes string }{
		{"nul", "U+0000", "\x00"}, {"tab", "U+0009", "\t"}, {"vertical-tab", "U+000B", "\v"}, {"form-feed", "U+000C", "\f"},
		{"cr", "U+000D", "\r"}, {"escape", "U+001B", "\x1b"}, {"unit-separator", "U+001F", "\x1f"},
	} {
		cases = append(cases, textCase{"control-" + c.name, c.what + " in the text.", ruleNoteChars, "a" + c.bytes + "b\n\n" + sig, "control", ""})
	}
	for _, c := range []struct{ name, what, bytes string }{
		{"ff", "The byte 0xff", "\xff"}, {"continuation", "A continuation byte alone", "\x80"}, {"cut", "A character cut short", "\xe2\x80"},
		{"overlong", "An overlong encoding of a slash", "\xc0\xaf"}, {"overlong-newline", "An overlong encoding of a newline", "\xc0\x8a"},
		{"surrogate", "An encoded surrogate", "\xed\xa0\x80"}, {"beyond-unicode", "A code point above U+10FFFF", "\xf4\x90\x80\x80"},
	} {
		cases = append(cases, textCase{"not-utf8-" + c.name, c.what + " in the text.", ruleNoteChars, "a" + c.bytes + "b\n\n" + sig, "utf-8", ""})
	}
	return cases
}

func badNames() []textCase {
	cases := []textCase{
		{"name-with-plus", "A plus sign in a key name.", ruleNoteName, "a+b", "name", ""},
		{"name-plus-alone", "A key name that is a plus sign.", ruleNoteName, "+", "name", ""},
	}
	for _, r := range []rune{0x85, 0xa0, 0x1680, 0x2000, 0x2009, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000} {
		cases = append(cases, textCase{
			fmt.Sprintf("name-with-space-%04x", r), fmt.Sprintf("The Unicode space U+%04X in a key name.", r), ruleNoteName, "a" + string(r) + "b", "name", "",
		})
	}
	return cases
}

// badSignatureData lists what must not stand where base64 of a key id and a
// signature should.
func badSignatureData() []textCase {
	return []textCase{
		{"base64-empty", "Nothing after the space.", ruleNoteSig, "", "short-signature", ""},
		{"base64-three-bytes", "Three bytes are too few for a key id.", ruleNoteSig, "AAAB", "short-signature", ""},
		{"base64-key-id-alone", "A key id without a signature.", ruleNoteSig, "AAAAAQ==", "short-signature", "The specification says 4+n bytes; an n of zero signs nothing and is refused here."},
		{"base64-not-padded", "The padding is missing.", rulePadding, "AAAAAQI", "base64", ""},
		{"base64-padded-too-much", "One = too many.", ruleBase64, "AAAAAQI==", "base64", ""},
		{"base64-padding-alone", "Four = after complete base64.", ruleBase64, "AAAAAQID====", "base64", ""},
		{"base64-padding-inside", "Padding before the end.", ruleBase64, "AAAAAQI=AAAA", "base64", ""},
		{"base64-spare-bits-one-pad", "The two bits before one = are not zero.", ruleSpare, "AAAAAQJ=", "base64", choiceSpare},
		{"base64-spare-bits-two-pads", "The four bits before two = are not zero.", ruleSpare, "AAAAAQIDBB==", "base64", choiceSpare},
		{"base64-of-urls", "The alphabet for URLs, with - and _.", ruleAlphabet, "--__AQI=", "base64", ""},
		{"base64-foreign-character", "A character that no base64 has.", ruleAlphabet, "AAAA*QI=", "base64", ""},
		{"base64-with-space", "A space within the base64.", ruleAlphabet, "AAAA AQI=", "base64", ""},
		{"base64-space-before", "Two spaces before the base64.", ruleNoteForm, " AAAAAQI=", "base64", ""},
		{"base64-space-after", "A space at the end of the line.", ruleNoteForm, "AAAAAQI= ", "base64", ""},
		{"base64-then-more", "A fourth item on the line.", ruleNoteForm, "AAAAAQI= AAAA", "base64", ""},
		{"base64-line-separator-after", "U+2028 at the end of the line.", ruleAlphabet, "AAAAAQI=\u2028", "base64", ""},
		{"base64-one-character", "A single character of base64.", ruleBase64, "A", "base64", ""},
	}
}

func (s *suite) signatures() {
	a, b := short("example.com/a"), sigLine{"b", 2, []byte{3}}
	for _, c := range []struct {
		name, desc string
		lines      []sigLine
	}{
		{"one", "One signature line, as a witness answers.", []sigLine{a}},
		{"two", "Two signature lines.", []sigLine{a, b}},
		{"repeated", "The same line twice.", []sigLine{b, b}},
		{"most", "As many lines as this project accepts.", repeat(a, 128)},
	} {
		var in strings.Builder
		for _, l := range c.lines {
			in.WriteString(l.String())
		}
		s.add("signatures", c.name, signaturesCase{
			meta: about(c.desc, ruleNoteForm), Lines: data(in.String()), verdict: valid,
			Result: &signaturesResult{sigResults(c.lines)},
		})
	}
	good := a.String() + b.String()
	for _, c := range []textCase{
		{"nothing", "No line at all.", ruleNoteForm, "", "no-signatures", ""},
		{"empty-line", "An empty line instead of signatures.", ruleNoteForm, "\n", "prefix", ""},
		{"empty-line-after", "An empty line after the signatures.", ruleNoteForm, good + "\n", "prefix", ""},
		{"empty-line-before", "An empty line before the signatures.", ruleNoteForm, "\n" + good, "prefix", ""},
		{"not-ended", "The last line lacks its newline.", ruleNoteForm, strings.TrimSuffix(good, "\n"), "newline", ""},
		{"whole-note", "A note where only signature lines are expected.", ruleNoteForm, "text\n\n" + good, "prefix", ""},
		{"crlf", "A line that ends in CR LF.", ruleNoteChars, strings.ReplaceAll(good, "\n", "\r\n"), "control", ""},
		{"not-utf8", "A name that is not valid UTF-8.", ruleNoteChars, "— \xff AAAAAQI=\n", "utf-8", ""},
		{"one-bad-of-two", "A good line before a malformed one.", ruleNoteForm, a.String() + "— b\n", "no-base64", ""},
		{"spare-bits", "Base64 whose spare bits are not zero.", ruleSpare, "— a AAAAAQJ=\n", "base64", choiceSpare},
		{"too-many", "One line more than this project accepts.", ruleNoteLimit, strings.Repeat(shortLine, 129), "too-many", "The specification wants a limit of at least 16; here it is 128."},
	} {
		s.add("signatures", c.name, signaturesCase{meta: c.meta(), Lines: data(c.in), verdict: malformed(c.reason)})
	}
}
