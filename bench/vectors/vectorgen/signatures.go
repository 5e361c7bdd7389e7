package main

import (
	"bytes"
	"crypto/elliptic"
	"encoding/asn1"
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
)

// verifyCases fills the folders signature and cosignature.
func (s *suite) verifyCases() {
	s.ed25519Signatures()
	s.goodCosignatures()
	s.badCosignatures()
}

const choiceAll = "All signatures of the key are reported here; one is enough to know that it signed."

type verifySpec struct {
	name, desc string
	rule       rule
	note       string
	key        key
	verdict    verdict
	times      []number
	choice     string
}

func (s *suite) addVerify(folder string, cases []verifySpec) {
	for _, c := range cases {
		vc := verifyCase{meta: about(c.desc, c.rule).choosing(c.choice), Note: data(c.note), Vkey: c.key.vkey(), verdict: c.verdict}
		if c.verdict.Valid {
			vc.Result = &verifyResult{Times: c.times}
		}
		s.add(folder, c.name, vc)
	}
}

// largeS adds the order of the group to the S of an Ed25519 signature.
func largeS(sig []byte) []byte {
	l, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	little := bytes.Clone(sig[32:])
	reverse(little)
	sum := new(big.Int).Add(new(big.Int).SetBytes(little), l).FillBytes(make([]byte, 32))
	reverse(sum)
	return append(bytes.Clone(sig[:32]), sum...)
}

func reverse(b []byte) {
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
}

// The two numbers of an ECDSA signature.
type rs struct{ R, S *big.Int }

func parseRS(sig []byte) rs {
	var v rs
	if rest, err := asn1.Unmarshal(sig, &v); err != nil || len(rest) > 0 {
		panic("not an ECDSA signature")
	}
	return v
}

func otherS(sig []byte, curve elliptic.Curve) []byte {
	v := parseRS(sig)
	v.S.Sub(curve.Params().N, v.S)
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func rawRS(sig []byte) []byte {
	v := parseRS(sig)
	return append(v.R.FillBytes(make([]byte, 32)), v.S.FillBytes(make([]byte, 32))...)
}

func (s *suite) ed25519Signatures() {
	log := newKey("example.com/log", algEd25519)
	rotated, other := log.rotated(), newKey("example.com/other", algEd25519)
	text := checkpointText(log.name, 3, aRoot)
	good, stranger := log.sign(text, 0), other.sign(text, 0)
	zero := []number{0}
	sameID := sigLine{other.name, good.id, good.sig}
	sameName := sigLine{good.name, good.id ^ 1, good.sig}
	ok, bad, none := valid, refused("bad-signature"), refused("no-signature")
	upper := sigLine{"Example.com/log", good.id, good.sig}
	s.addVerify("signature", []verifySpec{
		{"good", "One good signature.", ruleSigVerify, note(text, good), log, ok, zero, ""},
		{"any-text", "A note need not be a checkpoint.", ruleEd25519, note("a\n\nb\n", log.sign("a\n\nb\n", 0)), log, ok, zero, ""},
		{"text-with-empty-lines-at-end", "Empty lines at the end of the text are signed.", ruleNoteSplit, note("a\n\n", log.sign("a\n\n", 0)), log, ok, zero, ""},
		{"first-of-two", "The signature stands before a stranger's.", ruleSigUnknown, note(text, good, stranger), log, ok, zero, ""},
		{"last-of-two", "The signature stands after a stranger's.", ruleSigUnknown, note(text, stranger, good), log, ok, zero, ""},
		{"repeated", "The same line twice.", ruleSigVerify, note(text, good, good), log, ok, []number{0, 0}, choiceAll},
		{"rotated-key-too", "Another key of the same name has signed too.", ruleSigUnknown, note(text, rotated.sign(text, 0), good), log, ok, zero, ""},
		{"stranger-bad", "A bad signature by an unknown key is ignored.", ruleSigUnknown, note(text, stranger.spoiled(), good), log, ok, zero, ""},
		{"id-of-the-key-by-a-stranger", "A line that shares only the id is ignored, however bad.", ruleSigUnknown, note(text, sameID.spoiled(), good), log, ok, zero, ""},
		{"name-of-the-key-by-a-stranger", "A line that shares only the name is ignored, however bad.", ruleSigUnknown, note(text, sameName.spoiled(), good), log, ok, zero, ""},
		{"absent", "Only a stranger has signed.", ruleSigNone, note(text, stranger), log, none, nil, ""},
		{"absent-same-name", "A good signature under the key's name and another id.", ruleSigUnknown, note(text, sameName), log, none, nil, ""},
		{"absent-same-id", "A good signature under the key's id and another name.", ruleSigUnknown, note(text, sameID), log, none, nil, ""},
		{"absent-name-in-other-case", "Key names differ when the case of a letter differs.", ruleSigUnknown, note(text, upper), log, none, nil, ""},
		{"bad", "One bit of the signature is wrong.", ruleSigFails, note(text, good.spoiled()), log, bad, nil, ""},
		{"bad-then-good", "A bad signature before a good one by the same key.", ruleSigFails, note(text, good.spoiled(), good), log, bad, nil, ""},
		{"good-then-bad", "A bad signature after a good one by the same key.", ruleSigFails, note(text, good, good.spoiled()), log, bad, nil, ""},
		{"good-stranger-bad", "A bad signature after a good one and a stranger's.", ruleSigFails, note(text, good, stranger, good.spoiled()), log, bad, nil, ""},
		{"good-good-bad", "A bad signature after the same good one twice.", ruleSigFails, note(text, good, good, good.spoiled()), log, bad, nil, ""},
		{"bad-stranger-good", "A bad signature, a stranger's, and a good one.", ruleSigFails, note(text, good.spoiled(), stranger, good), log, bad, nil, ""},
		{"bad-repeated", "The same bad line twice.", ruleSigFails, note(text, good.spoiled(), good.spoiled()), log, bad, nil, ""},
		{"other-text", "A signature over another text.", ruleSigFails, note(text, log.sign(checkpointText(log.name, 4, aRoot), 0)), log, bad, nil, ""},
		{"text-without-final-newline", "A signature over the text without its final newline.", ruleEd25519, note(text, log.sign(text[:len(text)-1], 0)), log, bad, nil, ""},
		{"text-with-blank-line", "A signature over the text and the separating empty line.", ruleEd25519, note(text, log.sign(text+"\n", 0)), log, bad, nil, ""},
		{"by-another-key", "A signature by another key under this key's name and id.", ruleSigFails, note(text, log.line(rotated.sign(text, 0).sig)), log, bad, nil, ""},
		{"63-bytes", "A signature that is cut short.", ruleEd25519, note(text, log.line(good.sig[:63])), log, bad, nil, ""},
		{"65-bytes", "A signature and one byte more.", ruleEd25519, note(text, log.line(append(bytes.Clone(good.sig), 0))), log, bad, nil, ""},
		{"1-byte", "A signature of one byte.", ruleEd25519, note(text, log.line([]byte{0})), log, bad, nil, ""},
		{"zeros", "A signature of zeros.", ruleEd25519, note(text, log.line(make([]byte, 64))), log, bad, nil, ""},
		{"s-plus-l", "The S of the signature is out of range by the order of the group.", ruleEd25519S, note(text, log.line(largeS(good.sig))), log, bad, nil, ""},
		{"cosignature-under-this-id", "A cosignature where a plain signature belongs.", ruleVkeyType, note(text, log.line(log.as(log.name, algCosignature).sign(text, 5).sig)), log, bad, nil, ""},
	})
}

func (s *suite) goodCosignatures() {
	w := newKey("witness.example/w1", algCosignature)
	plain, other := w.as(w.name, algEd25519), newKey("witness.example/w2", algCosignature)
	text := checkpointText("example.com/log", 3, aRoot)
	extended := checkpointText("example.com/log", 3, aRoot, "extension 1", "extension 2")
	at := func(unix uint64) sigLine { return w.sign(text, unix) }
	s.addVerify("cosignature", []verifySpec{
		{"good", "One good cosignature.", ruleCosMessage, note(text, at(1700000000)), w, valid, []number{1700000000}, ""},
		{"time-0", "A cosignature at time 0 verifies; what a caller makes of the time is another matter.", ruleCosStruct, note(text, at(0)), w, valid, []number{0}, ""},
		{"time-1", "A cosignature at time 1.", ruleCosTime, note(text, at(1)), w, valid, []number{1}, ""},
		{"time-2-31", "A time beyond signed 32 bits.", ruleCosStruct, note(text, at(1<<31)), w, valid, []number{1 << 31}, ""},
		{"time-2-32", "A time beyond unsigned 32 bits.", ruleCosStruct, note(text, at(1<<32)), w, valid, []number{1 << 32}, ""},
		{"time-year-9999", "A cosignature from the far future.", ruleCosRange, note(text, at(253402300799)), w, valid, []number{253402300799}, "Verifiers MAY reject times in the future; this project has no clock here and does not."},
		{"time-largest", "The largest time there is, 2^63-1.", ruleCosRange, note(text, at(math.MaxInt64)), w, valid, []number{math.MaxInt64}, "Verifiers MAY reject times in the future; this project has no clock here and does not."},
		{"extensions", "The cosignature covers extension lines.", ruleCosExt, note(extended, w.sign(extended, 9)), w, valid, []number{9}, ""},
		{"empty-tree", "A cosignature over the empty tree.", ruleCosMessage, emptyCosigned(w), w, valid, []number{9}, ""},
		{"twice", "Two cosignatures by one witness at two times, in the order of the lines.", ruleSigVerify, note(text, at(9), at(7)), w, valid, []number{9, 7}, choiceAll},
		{"repeated", "The same line twice.", ruleSigVerify, note(text, at(7), at(7)), w, valid, []number{7, 7}, choiceAll},
		{"among-others", "Between a stranger's cosignature and a log's signature.", ruleSigUnknown, note(text, other.sign(text, 5), at(7), newKey("example.com/log", algEd25519).sign(text, 0)), w, valid, []number{7}, ""},
		{"stranger-bad", "A bad cosignature by an unknown witness is ignored.", ruleSigUnknown, note(text, other.sign(text, 5).spoiled(), at(7)), w, valid, []number{7}, ""},
		{"same-key-plain-signature", "The same key also signed as type 0x01, which has another id.", ruleSigUnknown, note(text, plain.sign(text, 0), at(7)), w, valid, []number{7}, ""},
	})
}

func emptyCosigned(w key) string {
	text := checkpointText("example.com/log", 0, uniform(0, "", nil).root())
	return note(text, w.sign(text, 9))
}

func (s *suite) badCosignatures() {
	w := newKey("witness.example/w1", algCosignature)
	plain, other := w.as(w.name, algEd25519), newKey("witness.example/w2", algCosignature)
	text := checkpointText("example.com/log", 3, aRoot)
	extended := checkpointText("example.com/log", 3, aRoot, "extension")
	const unix = 1700000000
	good := w.sign(text, unix)
	cosign := func(message string) string { return note(text, w.cosign(unix, message)) }
	header := "cosignature/v1\ntime " + strconv.Itoa(unix) + "\n"
	later := append(binary.BigEndian.AppendUint64(nil, unix+1), good.sig[8:]...)
	little := append(binary.LittleEndian.AppendUint64(nil, unix), good.sig[8:]...)
	timeLast := append(bytes.Clone(good.sig[8:]), good.sig[:8]...)
	const minInt = "-9223372036854775808"
	bad, none := refused("bad-signature"), refused("no-signature")
	s.addVerify("cosignature", []verifySpec{
		{"absent", "Only another witness has cosigned.", ruleSigNone, note(text, other.sign(text, unix)), w, none, nil, ""},
		{"absent-plain-signature", "The same key and name signed as type 0x01, which is another key.", ruleVkeyType, note(text, plain.sign(text, 0)), w, none, nil, ""},
		{"bad", "One bit of the signature is wrong.", ruleSigFails, note(text, good.spoiled()), w, bad, nil, ""},
		{"bad-then-good", "A bad cosignature before a good one.", ruleSigFails, note(text, good.spoiled(), good), w, bad, nil, ""},
		{"good-then-bad", "A bad cosignature after a good one.", ruleSigFails, note(text, good, good.spoiled()), w, bad, nil, ""},
		{"good-then-bad-at-another-time", "A bad cosignature of a later time after a good one.", ruleSigFails, note(text, good, w.sign(text, unix+1).spoiled()), w, bad, nil, ""},
		{"time-changed", "The time in the structure is not the one signed.", ruleCosTime, note(text, w.line(later)), w, bad, nil, ""},
		{"time-little-endian", "The time in little-endian order.", ruleCosBig, note(text, w.line(little)), w, bad, nil, ""},
		{"time-after-signature", "The time after the signature instead of before it.", ruleCosStruct, note(text, w.line(timeLast)), w, bad, nil, ""},
		{"time-2-63", "A time of 2^63, well signed as an unsigned number.", ruleCosRange, note(text, w.sign(text, 1<<63)), w, bad, nil, ""},
		{"time-2-63-signed", "A time of 2^63, well signed as a negative number.", ruleCosRange, note(text, w.cosign(1<<63, "cosignature/v1\ntime "+minInt+"\n"+text)), w, bad, nil, ""},
		{"time-2-64-minus-1", "A time of 2^64-1, well signed as an unsigned number.", ruleCosRange, note(text, w.sign(text, math.MaxUint64)), w, bad, nil, ""},
		{"time-minus-1", "A time of 2^64-1, well signed as -1.", ruleCosRange, note(text, w.cosign(math.MaxUint64, "cosignature/v1\ntime -1\n"+text)), w, bad, nil, ""},
		{"time-2-63-beside-good", "A time beyond the range beside a good cosignature.", ruleCosRange, note(text, good, w.sign(text, 1<<63)), w, bad, nil, ""},
		{"message-time-leading-zero", "The signed message has a leading zero in its time.", ruleCosTime, cosign("cosignature/v1\ntime 0" + strconv.Itoa(unix) + "\n" + text), w, bad, nil, ""},
		{"message-without-time", "The signed message has no line for the time.", ruleCosMessage, cosign("cosignature/v1\n" + text), w, bad, nil, ""},
		{"message-without-header", "The signed message is the text alone.", ruleCosHeader, cosign(text), w, bad, nil, ""},
		{"message-other-header", "The signed message begins with another version.", ruleCosHeader, cosign("cosignature/v2\ntime " + strconv.Itoa(unix) + "\n" + text), w, bad, nil, ""},
		{"message-without-final-newline", "The signed message lacks the final newline.", ruleCosMessage, cosign(header + text[:len(text)-1]), w, bad, nil, ""},
		{"message-with-blank-line", "The signed message has an empty line at its end.", ruleCosMessage, cosign(header + text + "\n"), w, bad, nil, ""},
		{"message-of-whole-note", "The signed message includes signature lines.", ruleCosMessage, cosign(header + note(text, other.sign(text, unix))), w, bad, nil, ""},
		{"other-checkpoint", "A cosignature of another size.", ruleSigFails, note(text, w.sign(checkpointText("example.com/log", 4, aRoot), unix)), w, bad, nil, ""},
		{"extension-not-signed", "An extension line added after cosigning.", ruleCosExt, note(extended, good), w, bad, nil, ""},
		{"extension-removed", "An extension line removed after cosigning.", ruleCosExt, note(text, w.sign(extended, unix)), w, bad, nil, ""},
		{"plain-signature-under-this-id", "A plain Ed25519 signature of 64 bytes under the witness's id.", ruleCosStruct, note(text, w.line(plain.sign(text, 0).sig)), w, bad, nil, ""},
		{"71-bytes", "A structure that is cut short.", ruleCosStruct, note(text, w.line(good.sig[:71])), w, bad, nil, ""},
		{"73-bytes", "A structure and one byte more.", ruleCosStruct, note(text, w.line(append(bytes.Clone(good.sig), 0))), w, bad, nil, ""},
		{"8-bytes", "A time without a signature.", ruleCosStruct, note(text, w.line(good.sig[:8])), w, bad, nil, ""},
		{"by-another-witness", "Another witness's cosignature under this one's name and id.", ruleSigFails, note(text, w.line(other.sign(text, unix).sig)), w, bad, nil, ""},
		{"s-plus-l", "The S of the signature is out of range by the order of the group.", ruleEd25519S, note(text, w.line(append(bytes.Clone(good.sig[:8]), largeS(good.sig[8:])...))), w, bad, nil, ""},
	})
}

// ecdsaSignatures covers type 0x02.
func (s *suite) ecdsaSignatures() {
	k, ed := newKey("rekor.example", algECDSA), newKey("rekor.example", algEd25519)
	text := checkpointText(k.name, 3, aRoot)
	good := k.sign(text, 0)
	ok, bad := valid, refused("bad-signature")
	trailing := k.line(append(bytes.Clone(good.sig), 0))
	for _, c := range []struct {
		name, desc string
		rule       rule
		note       string
		key        key
		verdict    verdict
	}{
		{"ecdsa", "A good ECDSA signature over SHA-256.", ruleSigVerify, note(text, good), k, ok},
		{"ecdsa-beside-ed25519", "A log signs with both.", ruleSigUnknown, note(text, ed.sign(text, 0), good), k, ok},
		{"ecdsa-large-s", "The other S that fits the same R: ECDSA does not tell them apart.", ruleSigVerify, note(text, k.line(otherS(good.sig, elliptic.P256()))), k, ok},
		{"ecdsa-bad", "One bit of the signature is wrong.", ruleSigFails, note(text, good.spoiled()), k, bad},
		{"ecdsa-bad-beside-good", "A bad one before a good one.", ruleSigFails, note(text, good.spoiled(), good), k, bad},
		{"ecdsa-trailing-byte", "A byte after the DER of the signature.", ruleSigFails, note(text, trailing), k, bad},
		{"ecdsa-raw", "R and S as 64 bytes instead of DER.", ruleSigFails, note(text, k.line(rawRS(good.sig))), k, bad},
		{"ecdsa-other-text", "A signature over another text.", ruleSigFails, note(text, k.sign(text+"x\n", 0)), k, bad},
		{"ecdsa-zero", "R and S are zero.", ruleSigFails, note(text, k.line([]byte("\x30\x06\x02\x01\x00\x02\x01\x00"))), k, bad},
		{"ecdsa-absent", "Only the Ed25519 key of the same name signed.", ruleSigNone, note(text, ed.sign(text, 0)), k, refused("no-signature")},
	} {
		vc := verifyCase{meta: about(c.desc, c.rule), Note: data(c.note), Vkey: c.key.vkey(), verdict: c.verdict}
		if c.verdict.Valid {
			vc.Result = &verifyResult{Times: []number{0}}
		}
		s.add("signature", c.name, vc)
	}
}
