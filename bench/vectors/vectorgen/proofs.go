package main

import (
	"fmt"
	"strings"
)

const proofHeader = "c2sp.org/tlog-proof@v1\n"

// printProof prints a proof. Extra data is left out when it is nil.
func printProof(extra []byte, index uint64, hashes []hash, checkpoint string) string {
	var b strings.Builder
	b.WriteString(proofHeader)
	if extra != nil {
		b.WriteString("extra " + b64(extra) + "\n")
	}
	b.WriteString("index " + number(index).text() + "\n")
	for _, h := range hashes {
		b.WriteString(h.String() + "\n")
	}
	return b.String() + "\n" + checkpoint
}

func manyHashes(n int) []hash {
	hashes := make([]hash, n)
	for i := range hashes {
		hashes[i] = leafHash(fmt.Sprint(i))
	}
	return hashes
}

func (s *suite) proofs() {
	cp := newWorld(checkpointText("log1.example", 3, aRoot))
	signed := note(cp.text, cp.ls)
	for _, c := range []struct {
		name, desc string
		rule       rule
		extra      []byte
		index      uint64
		hashes     []hash
		checkpoint string
		choice     string
	}{
		{"no-hashes", "No hashes and no extra data.", ruleProofHashes, nil, 0, nil, signed, ""},
		{"one-hash", "One hash.", ruleProofHashes, nil, 1, manyHashes(1), signed, ""},
		{"five-hashes", "Five hashes.", ruleProofHashes, nil, 73894, manyHashes(5), signed, ""},
		{"63-hashes", "As many hashes as the largest tree needs.", ruleProofLong, nil, 1 << 62, manyHashes(63), signed, ""},
		{"cosigned", "A checkpoint with cosignatures.", ruleProofCp, nil, 1, manyHashes(1), note(cp.text, cp.ls, cp.as, cp.bs, cp.cs), ""},
		{"extra", "Extra data.", ruleProofExtra, []byte("extra data"), 1, manyHashes(1), signed, ""},
		{"extra-binary", "Extra data of any bytes.", ruleProofExtra, []byte("\x00\xff\r\n\n"), 1, manyHashes(1), signed, ""},
		{"extra-one-byte", "Extra data of one byte.", ruleProofExtra, []byte{0}, 0, nil, signed, ""},
		{"extra-60-kb", "Extra data of 60,000 bytes makes a line of 80,000.", ruleProofExtra, []byte(strings.Repeat("x", 60000)), 0, nil, signed, ""},
		{"index-2-32", "An index beyond 32 bits.", ruleProofIndex, nil, 1<<32 + 2, manyHashes(2), signed, ""},
		{"index-largest", "The largest index there is.", ruleProofIndex, nil, 1<<63 - 2, manyHashes(2), signed, ""},
		{"index-beyond-size", "An index that the tree does not have: a parser does not compare.", ruleProofIndex, nil, 3, manyHashes(1), signed, ""},
		{"extension", "A checkpoint with an extension line.", ruleProofCp, nil, 0, nil, note(cp.text+"extension\n", cp.log.sign(cp.text+"extension\n", 0)), ""},
		{"signature-of-a-stranger", "A parser does not verify signatures.", ruleProofCp, nil, 0, nil, note(cp.text, cp.ls.spoiled()), ""},
	} {
		s.add("proof", c.name, proofCase{
			meta: about(c.desc, c.rule).choosing(c.choice), Proof: data(printProof(c.extra, c.index, c.hashes, c.checkpoint)), verdict: valid,
			Result: &proofResult{Extra: data(c.extra), Index: number(c.index), Hashes: texts(c.hashes), Checkpoint: data(c.checkpoint)},
		})
	}
	for _, list := range [][]textCase{badProofForms(signed), badProofIndices(signed), badProofHashes(signed), badProofExtras(signed)} {
		for _, c := range list {
			s.add("proof", c.name, proofCase{meta: c.meta(), Proof: data(c.in), verdict: malformed(c.reason)})
		}
	}
}

func badProofForms(signed string) []textCase {
	h := manyHashes(2)
	good := printProof([]byte("extra data"), 1, h, signed)
	body := strings.TrimPrefix(good, proofHeader)
	middle := "index 1\n" + h[0].String() + "\n" + h[1].String() + "\n"
	return []textCase{
		{"nothing", "No bytes at all.", ruleProofHeader, "", "header", ""},
		{"header-alone", "The first line and nothing else.", ruleProofIndex, proofHeader, "blank-line", ""},
		{"header-missing", "The first line is missing.", ruleProofHeader, body, "header", ""},
		{"header-v2", "Another version.", ruleProofHeader, "c2sp.org/tlog-proof@v2\n" + body, "header", ""},
		{"header-v1-0-0", "A longer version.", ruleProofHeader, "c2sp.org/tlog-proof@v1.0.0\n" + body, "header", ""},
		{"header-with-scheme", "A scheme before the first line.", ruleProofHeader, "https://" + good, "header", ""},
		{"header-upper-case", "The first line in upper case.", ruleProofHeader, "C2SP.ORG/TLOG-PROOF@V1\n" + body, "header", ""},
		{"header-space-before", "A space before the first line.", ruleProofHeader, " " + good, "header", ""},
		{"header-space-after", "A space at the end of the first line.", ruleProofHeader, strings.Replace(good, "\n", " \n", 1), "header", ""},
		{"header-newline-before", "An empty line before the first line.", ruleProofHeader, "\n" + good, "header", ""},
		{"header-byte-order-mark", "U+FEFF before the first line.", ruleProofHeader, "\ufeff" + good, "header", ""},
		{"header-cr", "A CR at the end of the first line.", ruleProofLines, strings.Replace(good, "\n", "\r\n", 1), "header", ""},
		{"crlf", "Lines that end in CR LF.", ruleProofLines, strings.ReplaceAll(good, "\n", "\r\n"), "header", ""},
		{"crlf-before-the-checkpoint", "Lines that end in CR LF, down to the checkpoint.", ruleProofLines, strings.ReplaceAll(strings.TrimSuffix(good, signed), "\n", "\r\n") + signed, "header", ""},
		{"line-after-header", "An empty line after the first line.", ruleProofHeader, strings.Replace(good, "\n", "\n\n", 1), "index", ""},
		{"blank-line-missing", "No empty line before the checkpoint: its origin is taken for a hash.", ruleProofCp, proofHeader + middle + signed, "base64", ""},
		{"blank-lines-two", "Two empty lines before the checkpoint.", ruleProofCp, proofHeader + middle + "\n\n" + signed, "empty-line", ""},
		{"blank-line-with-cr", "The empty line holds a CR.", ruleProofLines, proofHeader + middle + "\r\n" + signed, "base64", ""},
		{"blank-line-with-space", "The empty line holds a space.", ruleProofCp, proofHeader + middle + " \n" + signed, "base64", ""},
		{"checkpoint-missing", "Nothing after the empty line.", ruleProofCp, proofHeader + middle + "\n", "blank-line", ""},
		{"checkpoint-not-signed", "A checkpoint without signatures.", ruleProofCp, proofHeader + middle + "\n" + "log1.example\n3\n" + aRoot.String() + "\n", "blank-line", ""},
		{"checkpoint-not-ended", "The last signature line lacks its newline.", ruleNoteForm, strings.TrimSuffix(good, "\n"), "newline", ""},
		{"checkpoint-cr", "A CR at the end of the signature line.", ruleNoteChars, strings.TrimSuffix(good, "\n") + "\r\n", "control", ""},
		{"checkpoint-crlf", "A checkpoint whose lines end in CR LF.", ruleNoteChars, strings.TrimSuffix(good, signed) + strings.ReplaceAll(signed, "\n", "\r\n"), "control", ""},
		{"checkpoint-size-leading-zero", "A checkpoint whose size has a leading zero.", ruleCpSize, strings.Replace(good, "\n3\n", "\n03\n", 1), "decimal", ""},
		{"checkpoint-then-newline", "An empty line after the checkpoint.", ruleProofCp, good + "\n", "no-signatures", ""},
		{"checkpoint-then-text", "Text after the checkpoint.", ruleProofCp, good + "more\n", "prefix", ""},
		{"checkpoint-is-another-note", "A note that is no checkpoint.", ruleProofCp, proofHeader + middle + "\n" + "hello\n\n" + shortLine, "lines", ""},
		{"not-utf8-in-checkpoint", "A checkpoint that is not valid UTF-8.", ruleNoteChars, strings.Replace(good, "\nlog1", "\n\xff", 1), "utf-8", ""},
	}
}

func badProofIndices(signed string) []textCase {
	h := manyHashes(1)[0].String() + "\n\n"
	cases := []textCase{
		{"index-missing", "The line of the index is missing.", ruleProofIndex, proofHeader + h + signed, "index", ""},
		{"index-twice", "The line of the index is there twice.", ruleProofIndex, proofHeader + "index 1\nindex 1\n" + h + signed, "base64", ""},
		{"index-after-hashes", "The index after the hash.", ruleProofIndex, proofHeader + strings.TrimSuffix(h, "\n") + "index 1\n\n" + signed, "index", ""},
		{"index-upper-case", "Index instead of index.", ruleProofIndex, proofHeader + "Index 1\n" + h + signed, "index", ""},
		{"index-with-colon", "A colon after index.", ruleProofIndex, proofHeader + "index: 1\n" + h + signed, "index", ""},
		{"index-with-tab", "A tab after index.", ruleProofIndex, proofHeader + "index\t1\n" + h + signed, "index", ""},
		{"index-without-space", "No space after index.", ruleProofIndex, proofHeader + "index1\n" + h + signed, "index", ""},
		{"index-word-alone", "index without a number.", ruleProofIndex, proofHeader + "index\n" + h + signed, "index", ""},
		{"index-unknown-line", "A line of another kind before the index.", ruleProofIndex, proofHeader + "size 3\nindex 1\n" + h + signed, "index", ""},
	}
	for _, c := range []struct{ name, desc, index, reason, choice string }{
		{"empty", "Nothing after the space.", "", "decimal", ""},
		{"leading-zero", "A leading zero.", "01", "decimal", ""},
		{"leading-zeros", "Leading zeros.", "007", "decimal", ""},
		{"two-zeros", "Two zeros.", "00", "decimal", ""},
		{"plus-zero", "Zero with a plus sign.", "+0", "decimal", ""},
		{"plus", "A plus sign.", "+1", "decimal", ""},
		{"minus", "A minus sign.", "-1", "decimal", ""},
		{"minus-zero", "Zero with a minus sign.", "-0", "decimal", ""},
		{"two-spaces", "Two spaces after index.", " 1", "decimal", ""},
		{"space-after", "A space after the number.", "1 ", "decimal", ""},
		{"cr-after", "A CR after the number.", "1\r", "decimal", ""},
		{"hex", "A hexadecimal number.", "0x1", "decimal", ""},
		{"underscore", "Digits grouped by an underscore.", "1_0", "decimal", ""},
		{"exponent", "A number with an exponent.", "1e0", "decimal", ""},
		{"arabic-digit", "An Arabic-Indic digit.", "١", "decimal", ""},
		{"2-63", "2^63.", "9223372036854775808", "range", choiceRange},
		{"2-64", "2^64, which must not wrap to 0.", "18446744073709551616", "range", choiceRange},
	} {
		cases = append(cases, textCase{"index-bad-" + c.name, "An index: " + lower(c.desc), ruleProofIndex, proofHeader + "index " + c.index + "\n" + h + signed, c.reason, c.choice})
	}
	return cases
}

func badProofHashes(signed string) []textCase {
	h := leafHash("0")
	text := h.String()
	with := func(lines string) string { return proofHeader + "index 1\n" + lines + "\n\n" + signed }
	last := strings.IndexByte(base64Alphabet, text[42])
	spare := text[:42] + string(rune(base64Alphabet[last|1])) + "="
	return []textCase{
		{"64-hashes", "One hash more than the largest tree needs.", ruleProofLong, printProof(nil, 1, manyHashes(64), signed), "too-many", choiceRange},
		{"hash-31-bytes", "A hash of 31 bytes.", ruleProofHashes, with(b64(h[:31])), "hash-size", ""},
		{"hash-33-bytes", "A hash of 33 bytes.", ruleProofHashes, with(b64(append(h[:], 0))), "hash-size", ""},
		{"hash-two-in-one", "Two hashes in one line.", ruleProofHashes, with(b64(append(h[:], h[:]...))), "hash-size", ""},
		{"hash-hex", "A hash in hex, which also is base64.", ruleProofHashes, with(fmt.Sprintf("%x", h[:])), "hash-size", ""},
		{"hash-not-padded", "A hash without its =.", rulePadding, with(text[:43]), "base64", ""},
		{"hash-padded-too-much", "One = too many.", ruleBase64, with(text + "="), "base64", ""},
		{"hash-overlong", "More base64 after the padding.", ruleBase64, with(text + "AAAA"), "base64", ""},
		{"hash-spare-bits", "The two bits before the = are not zero.", ruleSpare, with(spare), "base64", choiceSpare},
		{"hash-space-after", "A space after a hash.", ruleAlphabet, with(text + " "), "base64", ""},
		{"hash-space-before", "A space before a hash.", ruleAlphabet, with(" " + text), "base64", ""},
		{"hash-cr-after", "A CR after a hash.", ruleAlphabet, with(text + "\r"), "base64", ""},
		{"hash-cr-within", "A CR within a hash.", ruleAlphabet, with(text[:20] + "\r" + text[20:]), "base64", ""},
		{"hash-comment", "A line that is no hash.", ruleProofHashes, with("# hash\n" + text), "base64", ""},
		{"hash-line-separator", "Two hashes separated by U+2028.", ruleProofLines, with(text + "\u2028" + text), "base64", ""},
		{"hash-url-alphabet", "The alphabet for URLs.", ruleAlphabet, with(strings.Repeat("_", 42) + "8="), "base64", ""},
	}
}

func badProofExtras(signed string) []textCase {
	rest := "index 0\n\n" + signed
	with := func(line string) string { return proofHeader + line + "\n" + rest }
	return []textCase{
		{"extra-empty", "An extra line without data.", ruleProofOmit, with("extra "), "extra", ""},
		{"extra-word-alone", "extra without a space.", ruleProofExtra, with("extra"), "index", ""},
		{"extra-twice", "Two extra lines.", ruleProofExtra, with("extra AAAA\nextra AAAA"), "index", ""},
		{"extra-after-index", "The extra line after the index.", ruleProofExtra, proofHeader + "index 0\nextra AAAA\n\n" + signed, "base64", ""},
		{"extra-upper-case", "Extra instead of extra.", ruleProofExtra, with("Extra AAAA"), "index", ""},
		{"extra-with-tab", "A tab after extra.", ruleProofExtra, with("extra\tAAAA"), "index", ""},
		{"extra-two-spaces", "Two spaces after extra.", ruleAlphabet, with("extra  AAAA"), "base64", ""},
		{"extra-space-after", "A space after the data.", ruleAlphabet, with("extra AAAA "), "base64", ""},
		{"extra-cr-after", "A CR after the data.", ruleAlphabet, with("extra AAAA\r"), "base64", ""},
		{"extra-cr-within", "A CR within the data.", ruleAlphabet, with("extra AA\rAA"), "base64", ""},
		{"extra-not-padded", "The padding is missing.", rulePadding, with("extra AAA"), "base64", ""},
		{"extra-padding-alone", "Data that is nothing but padding.", ruleBase64, with("extra ===="), "base64", ""},
		{"extra-spare-bits", "The spare bits are not zero.", ruleSpare, with("extra AAB="), "base64", choiceSpare},
		{"extra-url-alphabet", "The alphabet for URLs.", ruleAlphabet, with("extra __-_"), "base64", ""},
		{"extra-overlong", "More base64 after the padding.", ruleBase64, with("extra AAA=AAAA"), "base64", ""},
	}
}
