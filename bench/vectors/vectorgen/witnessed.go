package main

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

const (
	aTime          = 1700000000
	threePolicy    = "log LOG1\nwitness a W1 https://1/\nwitness b W2 https://2/\nwitness c W3 https://3/\ngroup g 2 a b c\nquorum g\n"
	twoLogPolicy   = "log LOG2\n" + threePolicy
	choiceUnneeded = "All witnesses listed are known here, also those whose cosignatures no quorum needs."
	futureChoice   = "Verifiers MAY reject times in the future; this project has no clock here and does not."
)

// A world is a log, another known log, three witnesses and strangers, and what
// they sign.
type world struct {
	log, log2, log3     key
	a, b, c, stranger   key
	text                string
	ls, as, bs, cs, xs  sigLine
	otherLog, strangers sigLine
}

func newWorld(text string) world {
	w := world{
		log: logKey("1"), log2: logKey("2"), log3: logKey("3"), text: text,
		a: witnessKey("1"), b: witnessKey("2"), c: witnessKey("3"), stranger: witnessKey("9"),
	}
	w.ls, w.otherLog, w.strangers = w.log.sign(text, 0), w.log2.sign(text, 0), w.log3.sign(text, 0)
	w.as, w.bs, w.cs, w.xs = w.a.sign(text, aTime+1), w.b.sign(text, aTime+2), w.c.sign(text, aTime+3), w.stranger.sign(text, aTime)
	return w
}

type witnessedSpec struct {
	name, desc   string
	rule         rule
	signed       string
	verdict      verdict
	cosignatures []cosignature
	missing      string
	choice       string
}

func (s *suite) addWitnessed(policy string, origin key, cases []witnessedSpec) {
	for _, c := range cases {
		wc := witnessedCase{
			meta: about(c.desc, c.rule).choosing(c.choice), Policy: data(expand(policy)), Checkpoint: data(c.signed), verdict: c.verdict,
		}
		if c.missing != "" {
			wc.Missing = names(c.missing)
		}
		// With a quorum that is short the checkpoint is known as well.
		if c.verdict.Valid || c.verdict.Error == "quorum-short" {
			wc.Result = &witnessedResult{
				Log: origin.vkey(), Origin: origin.name, Size: 3, Root: aRoot.String(), Cosignatures: append([]cosignature{}, c.cosignatures...),
			}
		}
		s.add("witnessed", c.name, wc)
	}
}

func (s *suite) witnessed() {
	s.witnessedQuorum()
	s.witnessedPositions()
	s.witnessedTimes()
	s.witnessedLogs()
}

func (s *suite) witnessedQuorum() {
	w := newWorld(checkpointText("log1.example", 3, aRoot))
	n := func(lines ...sigLine) string { return note(w.text, lines...) }
	a, b, c := cosignature{"a", aTime + 1}, cosignature{"b", aTime + 2}, cosignature{"c", aTime + 3}
	list := func(l ...cosignature) []cosignature { return l }
	short := refused("quorum-short")
	extended := newWorld(checkpointText("log1.example", 3, aRoot, "extension"))
	s.addWitnessed(threePolicy, w.log, []witnessedSpec{
		{"everybody", "The log and all three witnesses.", rulePolAnyLog, n(w.ls, w.as, w.bs, w.cs), valid, list(a, b, c), "", ""},
		{"quorum-exactly", "The log and two of three witnesses.", rulePolAnyLog, n(w.ls, w.as, w.cs), valid, list(a, c), "", ""},
		{"any-order", "Cosignatures stand in any order, the log's signature last.", rulePolAnyLog, n(w.cs, w.as, w.ls), valid, list(a, c), "", ""},
		{"strangers", "Signatures of strangers are ignored.", ruleSigUnknown, n(w.xs, w.ls, w.strangers, w.bs, w.xs, w.as), valid, list(a, b), "", ""},
		{"strangers-bad", "Bad signatures of strangers are ignored too.", ruleSigUnknown, n(w.xs.spoiled(), w.ls, w.strangers.spoiled(), w.bs, w.as), valid, list(a, b), "", ""},
		{"sixteen-signatures", "A log, three witnesses and twelve strangers.", ruleNoteLimit, n(append([]sigLine{w.ls, w.as, w.bs, w.cs}, strangers(w.text, 12)...)...), valid, list(a, b, c), "", ""},
		{"one-short", "One of three witnesses.", rulePolGroup, n(w.ls, w.bs), short, list(b), "a c", ""},
		{"log-alone", "No cosignature at all.", rulePolGroup, n(w.ls), short, nil, "a b c", ""},
		{"strangers-do-not-count", "One witness and three strangers.", ruleSigUnknown, n(append([]sigLine{w.ls, w.cs}, strangers(w.text, 3)...)...), short, list(c), "a b", ""},
		{"twice-is-once", "One witness cosigned twice, which counts once.", rulePolGroup, n(w.ls, w.as, w.a.sign(w.text, aTime+9)), short, list(cosignature{"a", aTime + 9}), "b c", ""},
		{"repeated-is-once", "One cosignature line repeated three times, which counts once.", rulePolGroup, n(w.ls, w.as, w.as, w.as), short, list(a), "b c", ""},
		{"log-does-not-cosign", "A second signature by the log does not replace a cosignature.", rulePolGroup, n(w.ls, w.ls, w.as), short, list(a), "b c", ""},
		{"plain-signature-of-a-witness", "A witness signed as type 0x01, which is no cosignature.", ruleVkeyType, n(w.ls, w.as, w.b.as(w.b.name, algEd25519).sign(w.text, 0)), short, list(a), "b c", ""},
		{"cosignature-of-another-name", "A witness's key cosigned under another name, which makes it another key.", ruleSigUnknown, n(w.ls, w.as, w.b.as("other.example", algCosignature).sign(w.text, aTime)), short, list(a), "b c", ""},
		{"rotated-witness", "A witness cosigned with a key that the policy does not list.", ruleSigUnknown, n(w.ls, w.as, w.b.rotated().sign(w.text, aTime)), short, list(a), "b c", ""},
	})
	e := extended
	for _, c := range []struct {
		name, desc string
		note       string
		verdict    verdict
	}{
		{"extension", "Log and witnesses signed an extension line.", note(e.text, e.ls, e.as, e.bs), valid},
		{"extension-not-cosigned", "The log signed an extension line that the witnesses did not see.", note(e.text, e.ls, w.as, w.bs), refused("bad-signature")},
	} {
		s.addWitnessed(threePolicy, w.log, []witnessedSpec{{c.name, c.desc, ruleCosExt, c.note, c.verdict, list(a, b), "", ""}})
	}
	s.addWitnessed("log LOG1\nquorum none\n", w.log, []witnessedSpec{
		{"quorum-none", "No cosignature is needed.", rulePolQNone, n(w.ls), valid, nil, "", ""},
		{"quorum-none-cosigned", "No cosignature is needed; those of strangers are not listed.", rulePolQNone, n(w.ls, w.as), valid, nil, "", ""},
	})
	s.addWitnessed("log LOG1\nwitness a W1\nquorum none\n", w.log, []witnessedSpec{
		{"quorum-none-known-witness", "No cosignature is needed; that of a known witness is listed.", rulePolQNone, n(w.ls, w.as), valid, list(a), "", choiceUnneeded},
		{"quorum-none-known-witness-bad", "No cosignature is needed, but a bad one by a known witness spoils the note.", ruleSigFails, n(w.ls, w.as.spoiled()), refused("bad-signature"), nil, "", choiceUnneeded},
	})
	s.addWitnessed("log LOG1\nwitness a W1\nwitness b W2\nquorum a\n", w.log, []witnessedSpec{
		{"quorum-witness", "The quorum is one witness.", rulePolQWitness, n(w.ls, w.as), valid, list(a), "", ""},
		{"quorum-witness-missing", "The quorum is one witness, and another has cosigned.", rulePolQWitness, n(w.ls, w.bs), short, list(b), "a", ""},
	})
}

func strangers(text string, n int) []sigLine {
	lines := make([]sigLine, n)
	for i := range lines {
		lines[i] = witnessKey(strconv.Itoa(100+i)).sign(text, aTime)
	}
	return lines
}

// witnessedPositions puts one bad signature by a known key at each place among
// good ones.
func (s *suite) witnessedPositions() {
	w := newWorld(checkpointText("log1.example", 3, aRoot))
	good := []sigLine{w.ls, w.as, w.xs, w.bs, w.cs}
	at := func(i int, l sigLine) string {
		return note(w.text, append(append(append([]sigLine{}, good[:i]...), l), good[i:]...)...)
	}
	for _, c := range []struct {
		name, who, policy string
		line              sigLine
	}{
		{"log", "the log", threePolicy, w.ls}, {"other-log", "another known log", twoLogPolicy, w.otherLog},
		{"witness", "a witness that is needed", threePolicy, w.as}, {"spare-witness", "a witness that is not needed", threePolicy, w.cs},
	} {
		for i := range len(good) + 1 {
			s.addWitnessed(c.policy, w.log, []witnessedSpec{{
				fmt.Sprintf("bad-%s-at-%d", c.name, i), fmt.Sprintf("A bad signature by %s as line %d, all others are good.", c.who, i+1),
				ruleSigFails, at(i, c.line.spoiled()), refused("bad-signature"), nil, "", "",
			}})
		}
	}
	truncated := w.a.line(w.as.sig[:71])
	s.addWitnessed(threePolicy, w.log, []witnessedSpec{
		{"bad-instead-of-good-log", "The log's only signature is bad.", ruleSigFails, note(w.text, w.ls.spoiled(), w.as, w.bs, w.cs), refused("bad-signature"), nil, "", ""},
		{"bad-instead-of-good-witness", "A witness's only cosignature is bad, and the others would be a quorum.", ruleSigFails, note(w.text, w.ls, w.as.spoiled(), w.bs, w.cs), refused("bad-signature"), nil, "", ""},
		{"bad-length-of-known-witness", "A cosignature by a known witness is cut short.", ruleCosStruct, at(5, truncated), refused("bad-signature"), nil, "", ""},
		{"bad-and-quorum-short", "A bad cosignature by a known witness counts before the quorum.", ruleSigFails, note(w.text, w.ls, w.as.spoiled()), refused("bad-signature"), nil, "", "Which of two errors is reported is for this project to say."},
		{"bad-witness-and-unknown-log", "An unknown log counts before a bad cosignature.", ruleSigNone, note(w.text, w.strangers, w.as.spoiled()), refused("unknown-log"), nil, "", "Which of two errors is reported is for this project to say."},
	})
}

func (s *suite) witnessedTimes() {
	w := newWorld(checkpointText("log1.example", 3, aRoot))
	n := func(times ...uint64) string {
		lines := []sigLine{w.ls, w.bs}
		for _, t := range times {
			lines = append(lines, w.a.sign(w.text, t))
		}
		return note(w.text, lines...)
	}
	list := func(t uint64) []cosignature { return []cosignature{{"a", number(t)}, {"b", aTime + 2}} }
	bad := refused("bad-signature")
	negative := w.a.cosign(1<<63, "cosignature/v1\ntime -9223372036854775808\n"+w.text)
	changed := w.a.line(append(bytes.Clone(w.bs.sig[:8]), w.as.sig[8:]...))
	s.addWitnessed(threePolicy, w.log, []witnessedSpec{
		{"time-0", "A cosignature at time 0 counts for the quorum.", ruleCosStruct, n(0), valid, list(0), "", ""},
		{"time-1", "A cosignature at time 1.", ruleCosTime, n(1), valid, list(1), "", ""},
		{"time-future", "A cosignature from the year 9999.", ruleCosRange, n(253402300799), valid, list(253402300799), "", futureChoice},
		{"time-largest", "A cosignature at the largest time, 2^63-1.", ruleCosRange, n(math.MaxInt64), valid, list(math.MaxInt64), "", futureChoice},
		{"time-two-of-one-witness", "One witness cosigned at two times: the later one is reported.", ruleSigVerify, n(aTime+9, aTime+7), valid, list(aTime + 9), "", "Which of two times is reported is for this project to say."},
		{"time-three-of-one-witness", "One witness cosigned at three times, the latest in the middle.", ruleSigVerify, n(5, aTime+9, 0), valid, list(aTime + 9), "", "Which of two times is reported is for this project to say."},
		{"time-2-63", "A time of 2^63, well signed as an unsigned number.", ruleCosRange, n(1 << 63), bad, nil, "", ""},
		{"time-2-63-negative", "A time of 2^63, well signed as a negative number.", ruleCosRange, note(w.text, w.ls, w.bs, negative), bad, nil, "", ""},
		{"time-2-64-minus-1", "A time of 2^64-1, well signed as an unsigned number.", ruleCosRange, n(math.MaxUint64), bad, nil, "", ""},
		{"time-2-63-not-needed", "A time of 2^63 spoils the note though the quorum does not need it.", ruleCosRange, note(w.text, w.ls, w.bs, w.cs, w.a.sign(w.text, 1<<63)), bad, nil, "", ""},
		{"time-of-another-witness", "A cosignature with the time of another.", ruleCosTime, note(w.text, w.ls, w.bs, changed), bad, nil, "", ""},
	})
}

func (s *suite) witnessedLogs() {
	w := newWorld(checkpointText("log1.example", 3, aRoot))
	w2 := newWorld(checkpointText("log2.example", 3, aRoot))
	w3 := newWorld(checkpointText("log3.example", 3, aRoot))
	a, b := cosignature{"a", aTime + 1}, cosignature{"b", aTime + 2}
	list := []cosignature{a, b}
	unknown := refused("unknown-log")
	s.addWitnessed(twoLogPolicy, w2.log2, []witnessedSpec{
		{"second-log", "Any one of the logs listed is accepted.", rulePolAllLogs, note(w2.text, w2.otherLog, w2.as, w2.bs), valid, list, "", ""},
		{"second-log-and-first", "Two listed logs signed; the one named by the origin is reported.", rulePolOrigin, note(w2.text, w2.ls, w2.otherLog, w2.as, w2.bs), valid, list, "", ""},
	})
	s.addWitnessed(threePolicy, w.log, []witnessedSpec{
		{"unknown-log", "A log that is not listed, well cosigned.", ruleSigNone, note(w3.text, w3.strangers, w3.as, w3.bs), unknown, nil, "", ""},
		{"unknown-origin", "A listed log signed for an origin that is not listed.", rulePolOrigin, note(w3.text, w3.ls, w3.as, w3.bs), unknown, nil, "", ""},
		{"witnesses-alone", "Cosigned but not signed by the log.", rulePolAnyLog, note(w.text, w.as, w.bs, w.cs), unknown, nil, "", ""},
		{"log-of-another-key", "Signed under the log's name with a key that is not listed.", ruleSigUnknown, note(w.text, w.log.rotated().sign(w.text, 0), w.as, w.bs), unknown, nil, "", ""},
		{"log-cosigned", "The log's key cosigned instead of signing.", ruleVkeyType, note(w.text, w.log.as(w.log.name, algCosignature).sign(w.text, aTime), w.as, w.bs), unknown, nil, "", ""},
		{"origin-in-other-case", "The origin differs from the log's name in the case of a letter.", rulePolOrigin, caseOrigin(w), unknown, nil, "", ""},
		{"not-a-checkpoint", "A note signed by everybody that is no checkpoint.", ruleCpLines, plainNote(w), malformed("lines"), nil, "", "Which of two errors is reported is for this project to say."},
		{"not-a-note", "The text of a checkpoint without signatures.", ruleNoteForm, w.text, malformed("blank-line"), nil, "", ""},
		{"cr-in-checkpoint", "A checkpoint with a CR, signed by the log.", ruleNoteChars, crNote(w), malformed("control"), nil, "", ""},
	})
	s.addWitnessed(twoLogPolicy, w.log, []witnessedSpec{
		{"other-origin", "A listed log signed for the origin of another listed log.", rulePolOrigin, note(w2.text, w2.ls, w2.as, w2.bs), unknown, nil, "", ""},
		{"first-log-of-two", "Two logs are listed, the one named by the origin has signed.", rulePolAllLogs, note(w.text, w.ls, w.as, w.bs), valid, list, "", ""},
	})
	s.addWitnessed("witness a W1\nwitness b W2\ngroup g all a b\nquorum g\n", w.log, []witnessedSpec{
		{"policy-without-logs", "A policy without logs accepts the checkpoint of none.", rulePolEmpty, note(w.text, w.ls, w.as, w.bs), unknown, nil, "", "A policy without logs may be accepted, and is here: it accepts no checkpoint until its user adds a log."},
	})
	rotated := w.log.rotated()
	s.addWitnessed("log "+rotated.vkey()+"\n"+threePolicy, w.log, []witnessedSpec{
		{"rotation-new-key-silent", "Two keys of the log are listed, the second has signed.", rulePolAllLogs, note(w.text, w.ls, w.as, w.bs), valid, list, "", ""},
	})
	s.addWitnessed("log "+rotated.vkey()+"\n"+threePolicy, rotated, []witnessedSpec{
		{"rotation-both-keys", "Two keys of the log are listed and both have signed: the first listed is reported.", rulePolAllLogs, note(w.text, w.ls, rotated.sign(w.text, 0), w.as, w.bs), valid, list, "", "Which of two keys is reported is for this project to say."},
	})
	s.addWitnessed("log "+rotated.vkey()+"\n"+threePolicy, w.log, []witnessedSpec{
		{"rotation-one-bad", "Two keys of the log are listed and one signature is bad.", ruleSigFails, note(w.text, w.ls, rotated.sign(w.text, 0).spoiled(), w.as, w.bs), refused("bad-signature"), nil, "", ""},
	})
}

func caseOrigin(w world) string {
	c := newWorld(checkpointText("Log1.example", 3, aRoot))
	return note(c.text, w.log.sign(c.text, 0), c.as, c.bs)
}

func plainNote(w world) string {
	const text = "hello\n"
	return note(text, w.log.sign(text, 0), w.a.sign(text, aTime), w.b.sign(text, aTime))
}

func crNote(w world) string {
	text := "log1.example\r\n3\n" + aRoot.String() + "\n"
	return note(text, w.log.sign(text, 0), w.a.sign(text, aTime), w.b.sign(text, aTime))
}
