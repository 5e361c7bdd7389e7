package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"

	"filippo.io/mldsa"
)

// Type 0x06, ML-DSA-44 cosignatures, which logs and witnesses make.

func (s *suite) mldsaCases() {
	s.mldsaVkeys()
	s.mldsaSigning()
	s.mldsaGood()
	s.mldsaBad()
	s.mldsaLogs()
	s.mldsaPolicies()
}

const mldsaName = "witness.example/pq"

func name255() string { return strings.Repeat("n", 255) }
func name256() string { return strings.Repeat("n", 256) }

func (s *suite) mldsaVkeys() {
	k := newKey(mldsaName, algMLDSA)
	for _, c := range []struct {
		name, desc string
		rule       rule
		key        key
	}{
		{"mldsa", "An ML-DSA-44 key.", ruleMLDSAKeyID, k},
		{"mldsa-name-1-byte", "An ML-DSA-44 key whose name is one byte.", ruleMLDSAName, newKey("a", algMLDSA)},
		{"mldsa-name-255-bytes", "An ML-DSA-44 key with the longest name there is room for.", ruleMLDSAName, newKey(name255(), algMLDSA)},
		{"mldsa-name-oid", "A cosigner named by an OID.", ruleMLDSAKeyID, newKey("oid/1.3.6.1.4.1.32473.1", algMLDSA)},
	} {
		s.goodVkey(c.name, about(c.desc, c.rule), c.key.name, c.key.alg, c.key.public())
	}
	public := k.public()
	material := func(b []byte) string { return vkey(k.name, algMLDSA, b) }
	v := k.vkey()
	last := strings.IndexByte(base64Alphabet, v[len(v)-2])
	if last&3 != 0 {
		panic("spare bits are not where they should be")
	}
	spare := v[:len(v)-2] + string(rune(base64Alphabet[last|1])) + "="
	for _, c := range []textCase{
		{"mldsa-name-256-bytes", "A name for which the signed message has no room.", ruleMLDSAName, newKey(name256(), algMLDSA).vkey(), "key-name-long", ""},
		{"mldsa-1311-bytes", "An ML-DSA-44 key that is cut short.", ruleMLDSAVkey, material(public[:1311]), "key-size", ""},
		{"mldsa-1313-bytes", "An ML-DSA-44 key and one byte more.", ruleMLDSAVkey, material(append(bytes.Clone(public), 0)), "key-size", ""},
		{"mldsa-32-bytes", "An Ed25519 key under type 0x06.", ruleMLDSAVkey, material(public[:32]), "key-size", ""},
		{"mldsa-65", "A key as long as one of ML-DSA-65.", ruleMLDSAVkey, material(make([]byte, 1952)), "key-size", ""},
		{"mldsa-id-of-another-type", "The id that the key would have as type 0x04.", ruleMLDSAKeyID, strings.Replace(v, hexID(k.id()), hexID(keyID(k.name, algCosignature, public)), 1), "key-id", ""},
		{"mldsa-id-of-another-name", "The id that the key has under another name.", ruleMLDSAKeyID, strings.Replace(v, hexID(k.id()), hexID(k.as("x", algMLDSA).id()), 1), "key-id", ""},
		{"mldsa-spare-bits", "Base64 whose spare bits are not zero.", ruleSpare, spare, "base64", choiceSpare},
		{"mldsa-not-padded", "Base64 without its padding.", rulePadding, strings.TrimSuffix(v, "="), "base64", ""},
	} {
		s.add("vkey", c.name, vkeyCase{meta: c.meta(), Vkey: data(c.in), verdict: malformed(c.reason)})
	}
}

// mldsaSigning: signatures that are the same for everybody, since FIPS 204
// has a deterministic variant, and what cannot be signed.
func (s *suite) mldsaSigning() {
	text := checkpointText("example.com/log", 3, aRoot)
	k := newKey(mldsaName, algMLDSA)
	const choice = "Signatures that differ each time verify as well: this is the deterministic variant of FIPS 204."
	for _, c := range []struct {
		name, desc string
		rule       rule
		text       string
		unix       uint64
	}{
		{"mldsa", "An ML-DSA-44 cosignature.", ruleMLDSAMessage, text, aTime},
		{"mldsa-time-0", "An ML-DSA-44 cosignature that says nothing about the time.", ruleMLDSATime, text, 0},
		{"mldsa-extension", "Extension lines are not covered: the signature is that of the case mldsa.", ruleMLDSAExt, text + "extension\n", aTime},
	} {
		s.add("sign", c.name, signCase{
			meta: about(c.desc, c.rule).choosing(choice), Skey: data(k.skey()), Text: data(c.text), Time: number(c.unix).text(), verdict: valid,
			Result: &signResult{Vkey: k.vkey(), Line: k.sign(c.text, c.unix).String()},
		})
	}
	e := newKey("rekor.example", algECDSA)
	s.add("sign", "ecdsa", signCase{
		meta: about("An ECDSA signature.", ruleECDSAKeyID).choosing("Signatures that differ each time verify as well: this is the deterministic variant of RFC 6979."),
		Skey: data(e.skey2()), Text: data(text), Time: "0", verdict: valid, Result: &signResult{Vkey: e.vkey(), Line: e.sign(text, 0).String()},
	})
	for _, c := range []struct{ name, desc, text, time, reason string }{
		{"mldsa-not-a-checkpoint", "ML-DSA-44 signs checkpoints only.", "hello\n", "0", "lines"},
		{"mldsa-origin-256-bytes", "An origin for which the signed message has no room.", checkpointText(name256(), 3, aRoot), "0", "origin-long"},
		{"mldsa-time-negative", "A time below zero.", text, "-1", "time"},
	} {
		s.add("sign", c.name, signCase{meta: about(c.desc, ruleMLDSAMessage), Skey: data(k.skey()), Text: data(c.text), Time: c.time, verdict: malformed(c.reason)})
	}
}

// skey2 is the private form of an ECDSA key, which holds the scalar.
func (k key) skey2() string {
	scalar, err := k.ecdsaKey().Bytes()
	if err != nil {
		panic(err)
	}
	return "PRIVATE+KEY+" + k.name + "+" + hexID(k.id()) + "+" + b64(append([]byte{k.alg}, scalar...))
}

func (s *suite) mldsaGood() {
	k := newKey(mldsaName, algMLDSA)
	ed := k.as(k.name, algCosignature)
	text := checkpointText("example.com/log", 3, aRoot)
	extended := checkpointText("example.com/log", 3, aRoot, "extension")
	at := func(unix uint64) sigLine { return k.sign(text, unix) }
	one, long := newKey("a", algMLDSA), newKey(name255(), algMLDSA)
	oneText, longText := checkpointText("o", 3, aRoot), checkpointText(name255(), 3, aRoot)
	emptyText, largeText := checkpointText("example.com/log", 0, uniform(0, "", nil).root()), checkpointText("example.com/log", math.MaxInt64, aRoot)
	s.addVerify("cosignature", []verifySpec{
		{"mldsa", "One good ML-DSA-44 cosignature.", ruleMLDSAMessage, note(text, at(aTime)), k, valid, []number{aTime}, ""},
		{"mldsa-time-0", "A time of 0 makes no statement about the time.", ruleMLDSATime, note(text, at(0)), k, valid, []number{0}, ""},
		{"mldsa-time-largest", "The largest time there is, 2^63-1.", ruleCosRange, note(text, at(math.MaxInt64)), k, valid, []number{math.MaxInt64}, futureChoice},
		{"mldsa-empty-tree", "A cosignature over the empty tree.", ruleMLDSAMessage, note(emptyText, k.sign(emptyText, 5)), k, valid, []number{5}, ""},
		{"mldsa-largest-tree", "A cosignature over a tree of 2^63-1 entries.", ruleMLDSAMessage, note(largeText, k.sign(largeText, 5)), k, valid, []number{5}, ""},
		{"mldsa-name-and-origin-1-byte", "The shortest name and the shortest origin.", ruleMLDSAOrigin, note(oneText, one.sign(oneText, 5)), one, valid, []number{5}, ""},
		{"mldsa-name-and-origin-255-bytes", "The longest name and the longest origin that the message has room for.", ruleMLDSAOrigin, note(longText, long.sign(longText, 5)), long, valid, []number{5}, ""},
		{"mldsa-extension-not-covered", "An extension line added after cosigning: the signature does not cover it and verifies.", ruleMLDSAExt, note(extended, at(5)), k, valid, []number{5}, ""},
		{"mldsa-twice", "Two cosignatures at two times, in the order of the lines.", ruleSigVerify, note(text, at(9), at(7)), k, valid, []number{9, 7}, choiceAll},
		{"mldsa-beside-ed25519", "The same cosigner with both types.", ruleSigUnknown, note(text, ed.sign(text, 3), at(7)), k, valid, []number{7}, ""},
		{"ed25519-beside-mldsa", "The same cosigner with both types; the Ed25519 key is asked for.", ruleSigUnknown, note(text, at(7).spoiled(), ed.sign(text, 3)), ed, valid, []number{3}, ""},
	})
}

func (s *suite) mldsaBad() {
	k := newKey(mldsaName, algMLDSA)
	other := newKey("witness.example/other", algMLDSA)
	text := checkpointText("example.com/log", 3, aRoot)
	longText := checkpointText(name256(), 3, aRoot)
	good := k.sign(text, aTime)
	with := func(f func(m *message)) string {
		m := cosigned(k.name, aTime, text)
		f(&m)
		return note(text, k.signMLDSA(aTime, m))
	}
	bare := func(msg string, opts *mldsa.Options) string {
		sig, err := k.mldsa().SignDeterministic([]byte(msg), opts)
		if err != nil {
			panic(err)
		}
		return note(text, k.line(append(binary.BigEndian.AppendUint64(nil, aTime), sig...)))
	}
	genuine := string(cosigned(k.name, aTime, text).bytes())
	later := k.line(append(binary.BigEndian.AppendUint64(nil, aTime+1), good.sig[8:]...))
	subtree := cosigned(k.name, 0, text)
	subtree.start = 1
	bad := refused("bad-signature")
	s.addVerify("cosignature", []verifySpec{
		{"mldsa-absent", "Only another cosigner has signed.", ruleSigNone, note(text, other.sign(text, aTime)), k, refused("no-signature"), nil, ""},
		{"mldsa-bad", "One bit of the signature is wrong.", ruleSigFails, note(text, good.spoiled()), k, bad, nil, ""},
		{"mldsa-bad-then-good", "A bad cosignature before a good one.", ruleSigFails, note(text, good.spoiled(), good), k, bad, nil, ""},
		{"mldsa-good-then-bad", "A bad cosignature after a good one.", ruleSigFails, note(text, good, good.spoiled()), k, bad, nil, ""},
		{"mldsa-time-changed", "The time in the structure is not the one signed.", ruleMLDSAMessage, note(text, later), k, bad, nil, ""},
		{"mldsa-time-2-63", "A time of 2^63, well signed.", ruleCosRange, note(text, k.sign(text, 1<<63)), k, bad, nil, ""},
		{"mldsa-time-2-64-minus-1", "A time of 2^64-1, well signed.", ruleCosRange, note(text, k.sign(text, math.MaxUint64)), k, bad, nil, ""},
		{"mldsa-name-not-covered", "The signed message names another cosigner.", ruleMLDSAMessage, with(func(m *message) { m.cosigner = other.name }), k, bad, nil, ""},
		{"mldsa-same-key-other-name", "The same public key signed under another name, which the signature covers.", ruleMLDSAMessage, note(text, sigLine{k.name, k.id(), k.as(other.name, algMLDSA).sign(text, aTime).sig}), k, bad, nil, ""},
		{"mldsa-name-empty", "The signed message names no cosigner.", ruleMLDSAName, with(func(m *message) { m.cosigner = "" }), k, bad, nil, ""},
		{"mldsa-other-origin", "The signed message has another origin.", ruleMLDSAMessage, with(func(m *message) { m.origin = "example.com/other" }), k, bad, nil, ""},
		{"mldsa-origin-with-newline", "The signed message has the origin with its newline.", ruleMLDSAMessage, with(func(m *message) { m.origin += "\n" }), k, bad, nil, ""},
		{"mldsa-name-and-origin-shifted", "The border between cosigner and origin is elsewhere.", ruleMLDSAMessage, with(func(m *message) { m.cosigner, m.origin = m.origin, m.cosigner }), k, bad, nil, ""},
		{"mldsa-origin-256-bytes", "An origin of 256 bytes, whose length does not fit, signed with the length byte 0.", ruleMLDSAOrigin, note(longText, k.sign(longText, aTime)), k, bad, nil, ""},
		{"mldsa-other-label", "The signed message has another label.", ruleMLDSAMessage, with(func(m *message) { m.label = "subtree/v2\n\x00" }), k, bad, nil, ""},
		{"mldsa-label-without-nul", "The label of the signed message lacks its NUL.", ruleMLDSAMessage, with(func(m *message) { m.label = "subtree/v1\n" }), k, bad, nil, ""},
		{"mldsa-label-of-cosignature-v1", "The signed message is that of a cosignature/v1.", ruleMLDSAMessage, bare("cosignature/v1\ntime 1700000000\n"+text, nil), k, bad, nil, ""},
		{"mldsa-start-1", "A cosignature of the subtree that begins at 1.", ruleMLDSAStart, with(func(m *message) { m.start = 1 }), k, bad, nil, ""},
		{"mldsa-start-1-time-0", "A cosignature of the subtree that begins at 1, at time 0 as it must be.", ruleMLDSAStart, note(text, k.signMLDSA(0, subtree)), k, bad, nil, ""},
		{"mldsa-other-end", "A cosignature of a tree of another size with the same root.", ruleMLDSAMessage, with(func(m *message) { m.end++ }), k, bad, nil, ""},
		{"mldsa-other-root", "A cosignature of another root.", ruleMLDSAMessage, with(func(m *message) { m.hash = bytes.Repeat([]byte{1}, 32) }), k, bad, nil, ""},
		{"mldsa-over-the-text", "The signed message is the text of the note.", ruleMLDSAMessage, bare(text, nil), k, bad, nil, ""},
		{"mldsa-with-context", "The right message, signed with a context string.", ruleMLDSAMessage, bare(genuine, &mldsa.Options{Context: "subtree/v1"}), k, bad, nil, ""},
		{"mldsa-trailing-byte-in-message", "The signed message and one byte more.", ruleMLDSAMessage, bare(genuine+"\x00", nil), k, bad, nil, ""},
		{"mldsa-without-time", "The bare signature without the time.", ruleCosStruct, note(text, k.line(good.sig[8:])), k, bad, nil, ""},
		{"mldsa-cut", "A structure that is cut short.", ruleCosStruct, note(text, k.line(good.sig[:len(good.sig)-1])), k, bad, nil, ""},
		{"mldsa-trailing-byte", "A structure and one byte more.", ruleCosStruct, note(text, k.line(append(bytes.Clone(good.sig), 0))), k, bad, nil, ""},
		{"mldsa-ed25519-under-this-id", "An Ed25519 cosignature under the id of the ML-DSA-44 key.", ruleCosStruct, note(text, k.line(k.as(k.name, algCosignature).sign(text, aTime).sig)), k, bad, nil, ""},
		{"mldsa-by-another-key", "Another cosigner's signature under this one's name and id.", ruleSigFails, note(text, k.line(other.sign(text, aTime).sig)), k, bad, nil, ""},
	})
}

// mldsaLogs: logs that sign with ML-DSA-44, and who vouches for extensions.
func (s *suite) mldsaLogs() {
	log := newKey("example.com/log", algMLDSA)
	ed, ec := log.as(log.name, algEd25519), log.as(log.name, algECDSA)
	text, extended := checkpointText(log.name, 3, aRoot), checkpointText(log.name, 3, aRoot, "extension")
	keys := func(list ...key) []string {
		vkeys := []string{}
		for _, k := range list {
			vkeys = append(vkeys, k.vkey())
		}
		return vkeys
	}
	const choice = "The specification says that no statement is made about extension lines; here somebody of the log must have made one."
	for _, c := range []struct {
		name, desc string
		rule       rule
		signed     string
		logs       []string
		verdict    verdict
		choice     string
	}{
		{"mldsa", "A log that signs with ML-DSA-44.", ruleMLDSAMessage, note(text, log.sign(text, aTime)), keys(log), valid, ""},
		{"mldsa-and-ed25519", "A log that signs with both; both keys are known.", ruleSigVerify, note(text, ed.sign(text, 0), log.sign(text, aTime)), keys(log, ed), valid, ""},
		{"mldsa-bad-beside-ed25519", "A bad ML-DSA-44 signature beside a good Ed25519 one, both keys known.", ruleSigFails, note(text, ed.sign(text, 0), log.sign(text, aTime).spoiled()), keys(log, ed), refused("bad-signature"), ""},
		{"mldsa-extension-alone", "An extension line that ML-DSA-44 alone does not cover.", ruleMLDSAExt, note(extended, log.sign(extended, aTime)), keys(log), refused("extensions"), choice},
		{"mldsa-extension-other-key-unknown", "An extension line covered by a key that is not known.", ruleMLDSAExt, note(extended, ed.sign(extended, 0), log.sign(extended, aTime)), keys(log), refused("extensions"), choice},
		{"mldsa-extension-with-ed25519", "An extension line that the log's Ed25519 signature covers.", ruleMLDSAExt, note(extended, log.sign(extended, aTime), ed.sign(extended, 0)), keys(log, ed), valid, choice},
		{"mldsa-extension-with-ecdsa", "An extension line that the log's ECDSA signature covers.", ruleMLDSAExt, note(extended, log.sign(extended, aTime), ec.sign(extended, 0)), keys(log, ec), valid, choice},
		{"mldsa-extension-changed", "An extension line that the Ed25519 signature was not made over.", ruleMLDSAExt, note(extended, log.sign(extended, aTime), ed.sign(text, 0)), keys(log, ed), refused("bad-signature"), ""},
		{"ecdsa", "A log that signs with ECDSA.", ruleSigVerify, note(text, ec.sign(text, 0)), keys(ec), valid, ""},
		{"ecdsa-extension", "An ECDSA signature covers extension lines.", ruleECDSACurve, note(extended, ec.sign(extended, 0)), keys(ec), valid, ""},
	} {
		oc := openCase{meta: about(c.desc, c.rule).choosing(c.choice), Checkpoint: data(c.signed), Logs: c.logs, verdict: c.verdict}
		if c.verdict.Valid {
			oc.Result = resultOf(log.name, 3, aRoot)
			if strings.HasPrefix(c.signed, extended) {
				oc.Result = resultOf(log.name, 3, aRoot, "extension")
			}
		}
		s.add("open", c.name, oc)
	}
}

func (s *suite) mldsaPolicies() {
	log, ec := newKey("log1.example", algMLDSA), newKey("log1.example", algECDSA)
	w := newKey("w1.example", algMLDSA)
	policy := "log " + log.vkey() + "\nlog LOG1\nwitness a " + w.vkey() + " https://1/\nwitness b W2 https://2/\ngroup g all a b\nquorum g\n"
	s.add("policy", "mldsa", policyCase{
		meta: about("A log and a witness with ML-DSA-44 keys beside others.", rulePolType), Policy: data(expand(policy)), verdict: valid,
		Result: &policyResult{
			Logs:      []policyLog{{log.vkey(), ""}, {logKey("1").vkey(), ""}},
			Witnesses: []policyWitness{{"a", w.vkey(), "https://1/"}, {"b", witnessKey("2").vkey(), "https://2/"}},
		},
	})
	s.add("policy", "ecdsa-log", policyCase{
		meta: about("A log with an ECDSA key.", rulePolType), Policy: data("log " + ec.vkey() + "\nquorum none\n"), verdict: valid,
		Result: &policyResult{Logs: []policyLog{{ec.vkey(), ""}}, Witnesses: []policyWitness{}},
	})
	for _, c := range []textCase{
		{"ecdsa-witness", "A witness with an ECDSA key, which is no type of cosignature.", rulePolType, "witness a " + ec.vkey() + " https://1/\nquorum a\n", "key-type", ""},
		{"mldsa-log-twice-other-name", "One ML-DSA-44 key as two logs.", rulePolDup, "log " + log.vkey() + "\nlog " + log.as("x", algMLDSA).vkey() + "\nquorum none\n", "duplicate-key", ""},
		{"ecdsa-log-twice-other-name", "One ECDSA key as two logs, whose ids are equal too.", rulePolDup, "log " + ec.vkey() + "\nlog " + vkey("x", algECDSA, ec.public()) + "\nquorum none\n", "duplicate-key", ""},
		{"mldsa-witness-twice-other-name", "One ML-DSA-44 key as two witnesses.", rulePolDup, "witness a " + w.vkey() + " https://1/\nwitness b " + w.as("x", algMLDSA).vkey() + " https://2/\ngroup g all a b\nquorum g\n", "duplicate-key", ""},
	} {
		s.add("policy", c.name, policyCase{meta: c.meta(), Policy: data(expand(c.in)), verdict: malformed(c.reason)})
	}
	s.mldsaWitnessed(policy, log, w)
	s.mldsaProof(policy, log, w)
}

// mldsaProof is a whole proof with ML-DSA-44 signatures.
func (s *suite) mldsaProof(policy string, log, pq key) {
	t, b := distinct(257), witnessKey("2")
	text := checkpointText("log1.example", t.n, t.root())
	signed := note(text, log.sign(text, aTime), pq.sign(text, aTime), b.sign(text, aTime+2))
	for _, c := range []struct {
		name, desc, entry string
		v                 verdict
	}{
		{"mldsa", "A log and a witness with ML-DSA-44, another witness with Ed25519.", "entry 256", valid},
		{"mldsa-other-entry", "Another entry in a proof with ML-DSA-44 signatures.", "entry 255", refused("inclusion")},
	} {
		pc := proveCase{
			meta: about(c.desc, ruleMLDSAMessage), Policy: data(expand(policy)), Entry: data(c.entry), verdict: c.v,
			Proof: data(printProof(nil, 256, t.path(256), signed)),
		}
		if c.v.Valid {
			pc.Result = &witnessedResult{log.vkey(), log.name, number(t.n), t.root().String(), []cosignature{{"a", aTime}, {"b", aTime + 2}}}
		}
		s.add("verify", c.name, pc)
	}
}

func (s *suite) mldsaWitnessed(policy string, log, pq key) {
	ed, b := logKey("1"), witnessKey("2")
	text, extended := checkpointText("log1.example", 3, aRoot), checkpointText("log1.example", 3, aRoot, "extension")
	both := []cosignature{{"a", aTime}, {"b", aTime + 2}}
	n := func(text string, keys ...key) string {
		var lines []sigLine
		for _, k := range keys {
			unix := uint64(aTime)
			if k.alg == algCosignature {
				unix += 2
			}
			lines = append(lines, k.sign(text, unix))
		}
		return note(text, lines...)
	}
	spoiled := note(text, log.sign(text, aTime), pq.sign(text, aTime).spoiled(), b.sign(text, aTime))
	s.addWitnessed(policy, log, []witnessedSpec{
		{"mldsa-log-and-witness", "A log and a witness with ML-DSA-44, another witness with Ed25519.", ruleMLDSAMessage, n(text, log, pq, b), valid, both, "", ""},
		{"mldsa-witness-missing", "The witness with ML-DSA-44 is missing.", rulePolGroup, n(text, log, b), refused("quorum-short"), both[1:], "a", ""},
		{"mldsa-witness-with-ed25519", "The witness cosigned with an Ed25519 key that is not listed.", ruleSigUnknown, n(text, log, pq.as(pq.name, algCosignature), b), refused("quorum-short"), both[1:], "a", ""},
		{"mldsa-witness-bad", "The cosignature with ML-DSA-44 is bad.", ruleSigFails, spoiled, refused("bad-signature"), nil, "", ""},
		{"mldsa-log-alone-extension", "An extension line, and the log signed with ML-DSA-44 alone: who cosigned makes no difference.", ruleMLDSAExt, n(extended, log, pq, b), refused("extensions"), nil, "", "The specification says that no statement is made about extension lines; here somebody of the log must have made one."},
	})
	s.addWitnessed(policy, ed, []witnessedSpec{
		{"mldsa-witness-extension", "An extension line that the log covers and a witness with ML-DSA-44 does not.", ruleMLDSAExt, n(extended, ed, pq, b), valid, both, "", "Witnesses vouch for the tree; no consensus on extension lines is assumed, so the cosignature counts."},
		{"mldsa-log-and-ed25519-extension", "An extension line, the log signed with both: the key that covers it is reported.", ruleMLDSAExt, n(extended, log, ed, pq, b), valid, both, "", "Which of two keys is reported is for this project to say."},
		{"mldsa-log-silent", "Two keys of the log are listed, only the Ed25519 one has signed.", rulePolAllLogs, n(text, ed, pq, b), valid, both, "", ""},
	})
}
