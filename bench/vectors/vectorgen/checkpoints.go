package main

import (
	"encoding/hex"
	"fmt"
	"math"
	"strings"
)

// aRoot is the root of no tree in particular; base64 ends in "U=".
var aRoot = leafHash("a root")

func (s *suite) checkpoints() {
	s.goodCheckpoints()
	for _, c := range badCheckpoints() {
		s.add("checkpoint", c.name, checkpointCase{meta: c.meta(), Text: data(c.in), verdict: malformed(c.reason)})
	}
	s.badSizes()
	s.badRoots()
	s.openCheckpoints()
}

func (s *suite) goodCheckpoints() {
	const origin = "example.com/log"
	for _, n := range []uint64{0, 1, 2, 3, 255, 256, 257, 65536, 1<<32 + 3, math.MaxInt64} {
		t := uniform(n, "entry", nil)
		m := about(fmt.Sprintf("A tree of size %d, all entries %q.", n, "entry"), ruleCpSize)
		if n == 0 {
			m = about("The empty tree, whose root is the hash of nothing.", ruleMTHEmpty)
		}
		s.goodCheckpoint(fmt.Sprintf("size-%d", n), m, origin, n, t.root())
	}
	for _, c := range []struct{ name, desc, origin string }{
		{"origin-of-sumdb", "The origin of sum.golang.org holds spaces.", "go.sum database tree"},
		{"origin-space", "An origin that is a space.", " "},
		{"origin-plus", "An origin with a plus sign.", "example.com+log"},
		{"origin-line-separator", "U+2028 and U+2029 in an origin do not end the line.", "a\u2028b\u2029c"},
		{"origin-next-line", "U+0085 in an origin does not end the line.", "a\u0085b"},
		{"origin-no-break-space", "U+00A0 in an origin.", "a\u00a0b"},
		{"origin-delete", "U+007F in an origin, which is not below U+0020.", "a\u007fb"},
		{"origin-beyond-ascii", "An origin beyond ASCII.", "exämple☃𝄞"},
		{"origin-number", "An origin that looks like a size.", "12"},
		{"origin-like-signature", "An origin that looks like a signature line.", "— example.com/a AAAAAQI="},
		{"origin-with-scheme", "An origin with a scheme.", "https://example.com/log?a=b#c"},
		{"origin-of-1000-bytes", "The specification sets no limit to the length of an origin.", strings.Repeat("o", 1000)},
	} {
		s.goodCheckpoint(c.name, about(c.desc, ruleCpAny), c.origin, 3, aRoot)
	}
	for _, c := range []struct {
		name, desc string
		extensions []string
	}{
		{"extension", "One extension line.", []string{"extension"}},
		{"extensions", "Several extension lines, in order.", []string{"b", "a", "b"}},
		{"extension-space", "An extension line that is a space is not empty.", []string{" "}},
		{"extension-like-signature", "An extension line that looks like a signature line.", []string{"— example.com/a AAAAAQI="}},
		{"extension-like-root", "An extension line that looks like a root hash.", []string{aRoot.String()}},
		{"extension-line-separator", "U+2028 in an extension line.", []string{"a\u2028b"}},
	} {
		s.goodCheckpoint(c.name, about(c.desc, ruleCpExt), origin, 3, aRoot, c.extensions...)
	}
}

func (s *suite) goodCheckpoint(name string, m meta, origin string, size uint64, root hash, extensions ...string) {
	s.add("checkpoint", name, checkpointCase{
		meta: m, Text: data(checkpointText(origin, size, root, extensions...)), verdict: valid,
		Result: resultOf(origin, size, root, extensions...),
	})
}

func resultOf(origin string, size uint64, root hash, extensions ...string) *checkpointResult {
	return &checkpointResult{Origin: origin, Size: number(size), Root: root.String(), Extensions: append([]string{}, extensions...)}
}

func badCheckpoints() []textCase {
	root := aRoot.String()
	good := "example.com/log\n3\n" + root + "\n"
	return []textCase{
		{"nothing", "No bytes at all.", ruleCpLines, "", "newline", ""},
		{"newline-alone", "A single newline.", ruleCpLines, "\n", "lines", ""},
		{"one-line", "Only an origin.", ruleCpLines, "example.com/log\n", "lines", ""},
		{"two-lines", "Origin and size without a root hash.", ruleCpLines, "example.com/log\n3\n", "lines", ""},
		{"not-ended", "The last line lacks its newline.", ruleCpLines, strings.TrimSuffix(good, "\n"), "newline", ""},
		{"origin-empty", "The origin is empty.", ruleCpOrigin, "\n3\n" + root + "\n", "empty-line", ""},
		{"size-missing", "Origin and root hash without a size.", ruleCpLines, "example.com/log\n" + root + "\n", "lines", ""},
		{"size-empty", "The line of the size is empty.", ruleCpLines, "example.com/log\n\n" + root + "\n", "empty-line", ""},
		{"root-empty", "The line of the root hash is empty.", ruleCpLines, "example.com/log\n3\n\n", "empty-line", ""},
		{"size-and-root-swapped", "Root hash before size.", ruleCpSize, "example.com/log\n" + root + "\n3\n", "decimal", ""},
		{"origin-and-size-swapped", "Size before origin.", ruleCpSize, "3\nexample.com/log\n" + root + "\n", "decimal", ""},
		{"extension-empty", "An empty line at the end.", ruleCpExt, good + "\n", "empty-line", ""},
		{"extension-empty-between", "An empty line before an extension line.", ruleCpExt, good + "\nextension\n", "empty-line", ""},
		{"extension-empty-after", "An empty line after an extension line.", ruleCpExt, good + "extension\n\n", "empty-line", ""},
		{"extension-not-ended", "The last extension line lacks its newline.", ruleCpLines, good + "extension", "newline", ""},
		{"extension-cr", "A CR in an extension line.", ruleNoteChars, good + "extension\r\n", "control", ""},
		{"line-before-origin", "An empty line before the origin.", ruleCpLines, "\n" + good, "empty-line", ""},
		{"crlf", "Lines that end in CR LF.", ruleNoteChars, strings.ReplaceAll(good, "\n", "\r\n"), "control", ""},
		{"origin-cr", "A CR at the end of the origin.", ruleNoteChars, "example.com/log\r\n3\n" + root + "\n", "control", ""},
		{"origin-nul", "A NUL in the origin.", ruleNoteChars, "example.com\x00/log\n3\n" + root + "\n", "control", ""},
		{"origin-tab", "A tab in the origin.", ruleNoteChars, "example.com\t/log\n3\n" + root + "\n", "control", ""},
		{"origin-escape", "U+001B in the origin.", ruleNoteChars, "\x1b[2Jlog\n3\n" + root + "\n", "control", ""},
		{"origin-not-utf8", "An origin that is not valid UTF-8.", ruleNoteChars, "example.com/\xff\n3\n" + root + "\n", "utf-8", ""},
		{"whole-note", "A signed checkpoint where only its text is expected.", ruleCpLines, note(good, short("example.com/log")), "empty-line", ""},
	}
}

func (s *suite) badSizes() {
	for _, c := range []struct{ name, desc, size, reason, choice string }{
		{"leading-zero", "A leading zero.", "03", "decimal", ""},
		{"two-zeros", "Two zeros.", "00", "decimal", ""},
		{"plus", "A plus sign.", "+3", "decimal", ""},
		{"plus-zero", "Zero with a plus sign.", "+0", "decimal", ""},
		{"minus", "A minus sign.", "-3", "decimal", ""},
		{"minus-zero", "Zero with a minus sign.", "-0", "decimal", ""},
		{"space-before", "A space before the size.", " 3", "decimal", ""},
		{"space-after", "A space after the size.", "3 ", "decimal", ""},
		{"underscore", "Digits grouped by an underscore.", "1_000", "decimal", ""},
		{"comma", "Digits grouped by a comma.", "1,000", "decimal", ""},
		{"hex", "A hexadecimal number.", "0x3", "decimal", ""},
		{"exponent", "A number with an exponent.", "1e3", "decimal", ""},
		{"fraction", "A number with a fraction.", "3.0", "decimal", ""},
		{"arabic-digits", "Arabic-Indic digits.", "٣", "decimal", ""},
		{"fullwidth-digits", "Fullwidth digits.", "３", "decimal", ""},
		{"letters", "No number at all.", "three", "decimal", ""},
		{"2-63", "2^63.", "9223372036854775808", "range", choiceRange},
		{"2-64", "2^64, which must not wrap to 0.", "18446744073709551616", "range", choiceRange},
		{"2-64-plus-1", "2^64+1, which must not wrap to 1.", "18446744073709551617", "range", choiceRange},
		{"1000-digits", "A number of a thousand digits.", strings.Repeat("9", 1000), "range", choiceRange},
	} {
		s.add("checkpoint", "size-bad-"+c.name, checkpointCase{
			meta: about("A size: "+lower(c.desc), ruleCpSize).choosing(c.choice),
			Text: data("example.com/log\n" + c.size + "\n" + aRoot.String() + "\n"), verdict: malformed(c.reason),
		})
	}
}

func lower(s string) string { return strings.ToLower(s[:1]) + s[1:] }

func (s *suite) badRoots() {
	root := aRoot.String() // 43 characters and one =
	last := root[42]
	spare := root[:42] + string(rune(last+1)) + "="
	if last == 'Z' || last == 'z' || last == '9' || (strings.IndexByte(base64Alphabet, last)&3) != 0 {
		panic("another root, please")
	}
	empty := uniform(0, "", nil).root()
	for _, c := range []struct {
		name, desc, size, root string
		rule                   rule
		reason, choice         string
	}{
		{"31-bytes", "31 bytes.", "3", b64(aRoot[:31]), ruleCpRoot, "hash-size", ""},
		{"33-bytes", "33 bytes.", "3", b64(append(aRoot[:], 0)), ruleCpRoot, "hash-size", ""},
		{"64-bytes", "Two hashes in one.", "3", b64(append(aRoot[:], aRoot[:]...)), ruleCpRoot, "hash-size", ""},
		{"3-bytes", "Three bytes.", "3", "AAAA", ruleCpRoot, "hash-size", ""},
		{"hex", "Hex, which also is base64, of 48 bytes.", "3", hex.EncodeToString(aRoot[:]), ruleCpRoot, "hash-size", ""},
		{"not-padded", "The = is missing.", "3", root[:43], rulePadding, "base64", ""},
		{"padded-too-much", "One = too many.", "3", root + "=", ruleBase64, "base64", ""},
		{"spare-bits", "The two bits before the = are not zero.", "3", spare, ruleSpare, "base64", choiceSpare},
		{"url-alphabet", "The alphabet for URLs.", "3", strings.Repeat("_", 42) + "8=", ruleAlphabet, "base64", ""},
		{"space-before", "A space before it.", "3", " " + root, ruleAlphabet, "base64", ""},
		{"space-after", "A space after it.", "3", root + " ", ruleAlphabet, "base64", ""},
		{"then-more", "A second item on the line.", "3", root + " AAAA", ruleAlphabet, "base64", ""},
		{"overlong", "More base64 after the padding.", "3", root + "AAAA", ruleBase64, "base64", ""},
		{"of-empty-tree", "The empty tree with another root than the hash of nothing.", "0", root, ruleMTHEmpty, "empty-tree", choiceEmpty},
		{"of-empty-tree-zero", "The empty tree with 32 zero bytes.", "0", b64(make([]byte, 32)), ruleMTHEmpty, "empty-tree", choiceEmpty},
		{"of-empty-tree-as-leaf", "The empty tree with the hash of an empty entry.", "0", leafHash("").String(), ruleMTHEmpty, "empty-tree", choiceEmpty},
		{"of-empty-tree-not-padded", "The right root of the empty tree without its =.", "0", strings.TrimSuffix(empty.String(), "="), rulePadding, "base64", ""},
	} {
		s.add("checkpoint", "root-"+c.name, checkpointCase{
			meta: about("A root hash: "+lower(c.desc), c.rule).choosing(c.choice),
			Text: data("example.com/log\n" + c.size + "\n" + c.root + "\n"), verdict: malformed(c.reason),
		})
	}
}

const choiceEmpty = "A parser need not check what a log claims; this claim is false on its face, and refused."

const base64Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

// openCheckpoints covers signed checkpoints against the keys of logs.
func (s *suite) openCheckpoints() {
	log := newKey("example.com/log", algEd25519)
	rotated, other := log.rotated(), newKey("example.com/other", algEd25519)
	witness := newKey("witness.example/w1", algCosignature)
	sameName := log.as(log.name, algCosignature)
	text := checkpointText(log.name, 3, aRoot)
	otherText := checkpointText(other.name, 3, aRoot)
	extended := checkpointText(log.name, 3, aRoot, "extension")
	sign := func(k key) sigLine { return k.sign(text, 1700000000) }
	ls := sign(log)
	keys := func(list ...key) []string {
		vkeys := []string{}
		for _, k := range list {
			vkeys = append(vkeys, k.vkey())
		}
		return vkeys
	}
	ok, unknown, bad := valid, refused("unknown-log"), refused("bad-signature")
	for _, c := range []struct {
		name, desc string
		rule       rule
		signed     string
		logs       []string
		verdict    verdict
	}{
		{"one-key", "Signed by the one key known.", ruleSigVerify, note(text, ls), keys(log), ok},
		{"cosigned", "Cosignatures beside the log's signature are left alone.", ruleCpIgnore, note(text, ls, sign(witness), sign(sameName)), keys(log), ok},
		{"log-signature-last", "The log's signature need not be the first.", ruleCpIgnore, note(text, sign(other), sign(witness), ls), keys(log), ok},
		{"rotation-old-key", "Two keys of one log are known, one has signed.", ruleSigNone, note(text, ls), keys(rotated, log), ok},
		{"rotation-both-keys", "Two keys of one log are known, both have signed.", ruleSigVerify, note(text, ls, sign(rotated)), keys(rotated, log), ok},
		{"rotation-unknown-key", "Signed by two keys of the log, one of them unknown.", ruleSigUnknown, note(text, ls, sign(rotated)), keys(log), ok},
		{"signed-twice", "The same signature line twice.", ruleSigVerify, note(text, ls, ls), keys(log), ok},
		{"two-logs", "Two logs are known; the one named by the origin has signed, and so has the other.", ruleCpName, note(text, sign(other), ls), keys(other, log), ok},
		{"extension-signed", "The log's signature covers extension lines.", ruleEd25519, note(extended, log.sign(extended, 0)), keys(log), ok},
		{"unknown-bad", "A bad signature by an unknown key is ignored.", ruleSigUnknown, note(text, ls, sign(other).spoiled()), keys(log), ok},
		{"no-keys", "No key is known.", ruleSigNone, note(text, ls), keys(), unknown},
		{"another-key-of-the-log", "Signed by a key of the same name that is not known.", ruleSigUnknown, note(text, ls), keys(rotated), unknown},
		{"witness-alone", "Cosigned but not signed.", ruleSigNone, note(text, sign(witness)), keys(log), unknown},
		{"cosignature-by-the-log", "The log's own key signed as a cosignature, which is another key.", ruleVkeyType, note(text, sign(sameName)), keys(log), unknown},
		{"another-log", "Signed by a known log whose name is not the origin.", rulePolOrigin, note(text, sign(other)), keys(other), unknown},
		{"another-origin", "A known log signed a checkpoint of another origin.", rulePolOrigin, note(otherText, log.sign(otherText, 0)), keys(log), unknown},
		{"bad", "The signature does not verify.", ruleSigFails, note(text, ls.spoiled()), keys(log), bad},
		{"bad-then-good", "A bad signature by the known key before a good one.", ruleSigFails, note(text, ls.spoiled(), ls), keys(log), bad},
		{"good-then-bad", "A bad signature by the known key after a good one.", ruleSigFails, note(text, ls, ls.spoiled()), keys(log), bad},
		{"bad-among-strangers", "A bad signature between others.", ruleSigFails, note(text, sign(other), ls.spoiled(), sign(witness)), keys(log), bad},
		{"rotation-one-bad", "Both keys of a log are known and one of the two signatures is bad.", ruleSigFails, note(text, ls, sign(rotated).spoiled()), keys(log, rotated), bad},
		{"two-logs-other-bad", "The signature of another known log is bad.", ruleSigFails, note(text, ls, sign(other).spoiled()), keys(log, other), bad},
		{"extension-not-signed", "An extension line added after signing.", ruleEd25519, note(extended, ls), keys(log), bad},
		{"size-changed", "The size changed after signing.", ruleEd25519, note(checkpointText(log.name, 4, aRoot), ls), keys(log), bad},
		{"root-changed", "The root changed after signing.", ruleEd25519, note(checkpointText(log.name, 3, leafHash("b")), ls), keys(log), bad},
		{"not-signed", "The text of a checkpoint without signatures.", ruleNoteForm, text, keys(log), malformed("blank-line")},
		{"not-a-checkpoint", "A well signed note that is no checkpoint.", ruleCpLines, note("hello\n", log.sign("hello\n", 0)), keys(log), malformed("lines")},
		{"empty-line-in-text", "A well signed note whose text has an empty line.", ruleCpExt, note(text+"\nmore\n", log.sign(text+"\nmore\n", 0)), keys(log), malformed("empty-line")},
		{"size-with-leading-zero", "A well signed checkpoint whose size has a leading zero.", ruleCpSize, badSize(log), keys(log), malformed("decimal")},
	} {
		oc := openCase{meta: about(c.desc, c.rule), Checkpoint: data(c.signed), Logs: c.logs, verdict: c.verdict}
		if c.verdict.Valid {
			oc.Result = resultOf(log.name, 3, aRoot)
			if strings.HasPrefix(c.signed, extended) {
				oc.Result = resultOf(log.name, 3, aRoot, "extension")
			}
		}
		if c.rule == rulePolOrigin {
			oc.meta = oc.meta.choosing("c2sp.org/tlog-checkpoint says that key name and origin SHOULD match; a policy's log MUST.")
		}
		s.add("open", c.name, oc)
	}
}

func badSize(log key) string {
	text := log.name + "\n03\n" + aRoot.String() + "\n"
	return note(text, log.sign(text, 0))
}
