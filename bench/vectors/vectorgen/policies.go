package main

import (
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// Policies are written with words for keys: LOG1 and W1 stand for verifier
// keys of log1.example and w1.example, each word for one key.
var keyWord = regexp.MustCompile(`\b(LOG|W)([0-9]+)\b`)

func logKey(i string) key     { return newKey("log"+i+".example", algEd25519) }
func witnessKey(i string) key { return newKey("w"+i+".example", algCosignature) }

func expand(policy string) string {
	return keyWord.ReplaceAllStringFunc(policy, func(word string) string {
		if i, ok := strings.CutPrefix(word, "LOG"); ok {
			return logKey(i).vkey()
		}
		return witnessKey(strings.TrimPrefix(word, "W")).vkey()
	})
}

type goodPolicy struct {
	name, desc string
	rule       rule
	in         string
	logs       string // "1 https://log.example/, 2"
	witnesses  string // "name 1 https://w.example/, b 2"
	choice     string
}

func (s *suite) policies() {
	for _, c := range goodPolicies() {
		s.add("policy", c.name, policyCase{
			meta: about(c.desc, c.rule).choosing(c.choice), Policy: data(expand(c.in)), verdict: valid,
			Result: &policyResult{Logs: c.logList(), Witnesses: c.witnessList()},
		})
	}
	s.largePolicies()
	for _, list := range [][]textCase{badPolicyLines(), badPolicyKeys(), badPolicyNames(), badPolicyGroups()} {
		for _, c := range list {
			s.add("policy", c.name, policyCase{meta: c.meta(), Policy: data(expand(c.in)), verdict: malformed(c.reason)})
		}
	}
}

func items(list string) [][]string {
	var all [][]string
	for item := range strings.SplitSeq(list, ",") {
		if words := strings.Fields(item); len(words) > 0 {
			all = append(all, words)
		}
	}
	return all
}

func (c goodPolicy) logList() []policyLog {
	logs := []policyLog{}
	for _, words := range items(c.logs) {
		l := policyLog{Vkey: logKey(words[0]).vkey()}
		if len(words) > 1 {
			l.URL = data(words[1])
		}
		logs = append(logs, l)
	}
	return logs
}

func (c goodPolicy) witnessList() []policyWitness {
	witnesses := []policyWitness{}
	for _, words := range items(c.witnesses) {
		w := policyWitness{Name: data(words[0]), Vkey: witnessKey(words[1]).vkey()}
		if len(words) > 2 {
			w.URL = data(words[2])
		}
		witnesses = append(witnesses, w)
	}
	return witnesses
}

func goodPolicies() []goodPolicy {
	return []goodPolicy{
		{"no-witnesses", "A log and no cosignatures.", rulePolQNone, "log LOG1\nquorum none\n", "1", "", ""},
		{"quorum-alone", "Nothing but a quorum.", rulePolEmpty, "quorum none\n", "", "", "A policy without logs may be accepted, and is here: it accepts no checkpoint until its user adds a log."},
		{"quorum-witness", "The quorum is a witness.", rulePolQWitness, "log LOG1\nwitness a W1 https://a.example/\nquorum a\n", "1", "a 1 https://a.example/", ""},
		{"two-levels", "The example of the specification.", rulePolGroup,
			"log LOG1\n\nwitness X1 W1 https://1/\nwitness X2 W2 https://2/\nwitness X3 W3 https://3/\ngroup X-witnesses 2 X1 X2 X3\n\n" +
				"witness Y1 W4 https://4/\nwitness Y2 W5 https://5/\nwitness Y3 W6 https://6/\ngroup Y-witnesses any Y1 Y2 Y3\n\n" +
				"group X-and-Y all X-witnesses Y-witnesses\nquorum X-and-Y\n",
			"1", "X1 1 https://1/, X2 2 https://2/, X3 3 https://3/, Y1 4 https://4/, Y2 5 https://5/, Y3 6 https://6/", ""},
		{"two-logs", "Two logs.", rulePolAllLogs, "log LOG1 https://log1.example/\nlog LOG2\nquorum none\n", "1 https://log1.example/, 2", "", ""},
		{"after-the-quorum", "Logs, witnesses and groups may follow the quorum line.", rulePolOrder, "quorum none\nlog LOG1\nwitness a W1 https://a/\ngroup g any a\n", "1", "a 1 https://a/", ""},
		{"witness-before-log", "Witnesses may stand before logs.", rulePolOrder, "witness a W1 https://a/\nquorum a\nlog LOG1\n", "1", "a 1 https://a/", ""},
		{"no-url", "A witness needs no URL.", rulePolURL, "log LOG1\nwitness a W1\nquorum a\n", "1", "a 1", ""},
		{"url-is-opaque", "What a URL means is up to the application: any item will do.", rulePolURL, "log LOG1 x\nwitness a W1 a:b#c?d\nquorum a\n", "1 x", "a 1 a:b#c?d", ""},
		{"url-beyond-ascii", "A URL may hold octets beyond ASCII, in UTF-8 or not.", rulePolOctets, "log LOG1 https://ex\xc3\xa4mple/\xff\nquorum none\n", "1 https://ex\xc3\xa4mple/\xff", "", ""},
		{"white-space", "Spaces and tabs between items, before and after.", rulePolTrim, " \t log \t LOG1\t\t \n\tquorum\tnone \n", "1", "", ""},
		{"comments", "Comment lines, also after white space.", rulePolComment, "# quorum x\n \t# log y\n#\nlog LOG1\nquorum none\n##\n", "1", "", ""},
		{"comment-beyond-ascii", "A comment may hold any octets beyond ASCII.", rulePolOctets, "# \xff\xfe \xe2\x80\xa8 log\nquorum none\n", "", "", ""},
		{"empty-lines", "Empty lines and lines of white space.", rulePolComment, "\n \n\t\nlog LOG1\n\n\nquorum none\n\n", "1", "", ""},
		{"threshold-of-all", "k may be n.", rulePolK, "witness a W1 https://a/\nwitness b W2 https://b/\ngroup g 2 a b\nquorum g\n", "", "a 1 https://a/, b 2 https://b/", ""},
		{"threshold-1", "k may be 1.", rulePolK, "witness a W1 https://a/\ngroup g 1 a\nquorum g\n", "", "a 1 https://a/", ""},
		{"group-of-one", "A group of one member.", rulePolMembers, "witness a W1 https://a/\ngroup g all a\nquorum g\n", "", "a 1 https://a/", ""},
		{"group-in-group", "Groups within groups, five deep.", rulePolGroup, "witness a W1 https://a/\ngroup g any a\ngroup h all g\ngroup i 1 h\ngroup j any i\ngroup k any j\nquorum k\n", "", "a 1 https://a/", ""},
		{"unused-group", "A group that the quorum does not use.", rulePolGroup, "witness a W1 https://a/\nwitness b W2 https://b/\ngroup g all a\nquorum b\n", "", "a 1 https://a/, b 2 https://b/", ""},
		{"quorum-is-a-member-too", "The quorum may be a witness that a group lists.", rulePolOnce, "witness a W1 https://a/\ngroup g any a\nquorum a\n", "", "a 1 https://a/", ""},
		{"keywords-as-names", "Keywords are names like any other, except none.", rulePolSpace, "witness log W1 https://1/\nwitness any W2 https://2/\nwitness 2 W3 https://3/\ngroup all 2 log any 2\ngroup quorum all all\nquorum quorum\n", "", "log 1 https://1/, any 2 https://2/, 2 3 https://3/", ""},
		{"names-differ-in-case", "Names that differ in the case of a letter are different.", rulePolOpaque, "witness a W1 https://1/\nwitness A W2 https://2/\nwitness None W3 https://3/\ngroup g all a A None\nquorum g\n", "", "a 1 https://1/, A 2 https://2/, None 3 https://3/", ""},
		{"name-kelvin-sign", "K and the Kelvin sign are different names.", rulePolOpaque, "witness K W1 https://1/\nwitness \u212a W2 https://2/\ngroup g all K \u212a\nquorum g\n", "", "K 1 https://1/, \u212a 2 https://2/", ""},
		{"name-composed-or-not", "ä in one code point and in two are different names.", rulePolOpaque, "witness \u00e4 W1 https://1/\nwitness a\u0308 W2 https://2/\nquorum a\u0308\n", "", "\u00e4 1 https://1/, a\u0308 2 https://2/", ""},
		{"name-not-utf8", "Names are octets, not UTF-8.", rulePolOpaque, "witness \xff W1 https://1/\nwitness \xc0\xaf W2 https://2/\ngroup \xfe all \xff \xc0\xaf\nquorum \xfe\n", "", "\xff 1 https://1/, \xc0\xaf 2 https://2/", ""},
		{"name-with-hash", "A # within a name does not begin a comment.", rulePolComment, "witness a#b W1 https://1/\nquorum a#b\n", "", "a#b 1 https://1/", ""},
		{"name-begins-with-hash", "A # begins a comment only at the start of a line.", rulePolComment, "witness #a W1 https://1/\nquorum #a\n", "", "#a 1 https://1/", ""},
		{"name-plus", "A plus sign in a name, which only key names forbid.", rulePolOpaque, "witness a+b W1 https://1/\nquorum a+b\n", "", "a+b 1 https://1/", ""},
		{"name-of-its-key", "A witness named like its key.", rulePolSpace, "witness w1.example W1 https://1/\nquorum w1.example\n", "", "w1.example 1 https://1/", ""},
		{"witness-without-use", "A witness that no group lists.", rulePolGroup, "log LOG1\nwitness a W1 https://1/\nquorum none\n", "1", "a 1 https://1/", ""},
	}
}

// manyLogs has 40 logs, and manyWitnesses 40 witnesses and a group for each, of
// which 21 are needed.
func manyLogs() string {
	var b strings.Builder
	for i := range 40 {
		fmt.Fprintf(&b, "log LOG%d\n", i)
	}
	return b.String()
}

func manyWitnesses() string {
	var b strings.Builder
	groups := ""
	for i := range 40 {
		fmt.Fprintf(&b, "witness w%d W%d https://w%d.example/\ngroup g%d all w%d\n", i, i, i, i, i)
		groups += fmt.Sprintf(" g%d", i)
	}
	return b.String() + "group most 21" + groups + "\nquorum most\n"
}

// largePolicies covers what a list in one line of the table cannot say.
func (s *suite) largePolicies() {
	result := policyResult{}
	for i := range 40 {
		n := fmt.Sprint(i)
		result.Logs = append(result.Logs, policyLog{Vkey: logKey(n).vkey()})
		result.Witnesses = append(result.Witnesses, policyWitness{Name: data("w" + n), Vkey: witnessKey(n).vkey(), URL: data("https://w" + n + ".example/")})
	}
	s.add("policy", "40-of-each", policyCase{
		meta: about("More than 32 logs, 32 witnesses and 32 groups.", rulePolLimits), Policy: data(expand(manyLogs() + manyWitnesses())), verdict: valid, Result: &result,
	})
	s.add("policy", "space-like-octets-in-names", policyCase{
		meta:   about("Octets beyond ASCII do not separate items, not even where UTF-8 makes them a Unicode space (U+00A0, U+2028, U+3000) or where Latin-1 does (0x85, 0xa0).", rulePolOpaque),
		Policy: data(expand("witness a\u00a0b W1 https://1/\nwitness \u2028 W2 https://2/\nwitness \u3000 W3 https://3/\nwitness \x85 W4 https://4/\nwitness \xa0 W5 https://5/\ngroup g all a\u00a0b \u2028 \u3000 \x85 \xa0\nquorum g\n")), verdict: valid,
		Result: &policyResult{Logs: []policyLog{}, Witnesses: []policyWitness{
			{"a\u00a0b", witnessKey("1").vkey(), "https://1/"}, {"\u2028", witnessKey("2").vkey(), "https://2/"}, {"\u3000", witnessKey("3").vkey(), "https://3/"},
			{"\x85", witnessKey("4").vkey(), "https://4/"}, {"\xa0", witnessKey("5").vkey(), "https://5/"},
		}},
	})
	log, rotated := logKey("1"), logKey("1").rotated()
	for _, c := range []struct {
		name, desc string
		rule       rule
		in         string
		logs       []policyLog
		witnesses  []policyWitness
	}{
		{"one-log-two-keys", "Two keys of one log: the name may repeat, the public key may not.", rulePolDupLog, "log " + log.vkey() + "\nlog " + rotated.vkey() + "\nquorum none\n",
			[]policyLog{{log.vkey(), ""}, {rotated.vkey(), ""}}, nil},
		{"two-witnesses-one-key-name", "Two witnesses whose keys bear one name.", rulePolDupWit, "witness a W1 https://1/\nwitness b " + witnessKey("1").rotated().vkey() + " https://2/\nquorum a\n",
			nil, []policyWitness{{"a", witnessKey("1").vkey(), "https://1/"}, {"b", witnessKey("1").rotated().vkey(), "https://2/"}}},
	} {
		s.add("policy", c.name, policyCase{meta: about(c.desc, c.rule), Policy: data(expand(c.in)), verdict: valid, Result: &policyResult{
			Logs: append([]policyLog{}, c.logs...), Witnesses: append([]policyWitness{}, c.witnesses...),
		}})
	}
}

const choiceComment = "The specification knows comment lines only; a URL that begins with # is taken for a comment behind an item, which would be lost, and refused."

func badPolicyLines() []textCase {
	cases := []textCase{
		{"nothing", "No bytes at all.", rulePolOne, "", "no-quorum", ""},
		{"no-quorum", "No quorum line.", rulePolOne, "log LOG1\n", "no-quorum", ""},
		{"quorum-in-comment", "A quorum line that is commented out.", rulePolOne, "log LOG1\n#quorum none\n", "no-quorum", ""},
		{"two-quorums", "Two quorum lines.", rulePolOne, "quorum none\nwitness a W1 https://1/\nquorum a\n", "two-quorums", ""},
		{"same-quorum-twice", "The same quorum line twice.", rulePolOne, "quorum none\nquorum none\n", "two-quorums", ""},
		{"not-ended", "The last line lacks its newline.", rulePolLine, "log LOG1\nquorum none", "not-ended", ""},
		{"crlf", "Lines that end in CR LF.", rulePolControl, "log LOG1\r\nquorum none\r\n", "control", ""},
		{"cr-in-comment", "A CR in a comment.", rulePolControl, "# a\rb\nquorum none\n", "control", ""},
		{"nul-in-comment", "A NUL in a comment.", rulePolControl, "# \x00\nquorum none\n", "control", ""},
		{"delete", "0x7F in a comment.", rulePolControl, "# \x7f\nquorum none\n", "control", ""},
		{"vertical-tab", "A vertical tab does not separate items.", rulePolControl, "quorum\vnone\n", "control", ""},
		{"form-feed", "A form feed does not separate items.", rulePolControl, "quorum none\f\n", "control", ""},
		{"escape-in-url", "U+001B in a URL.", rulePolControl, "log LOG1 \x1b[2J\nquorum none\n", "control", ""},
		{"no-break-space", "U+00A0 does not separate items.", rulePolLine, "quorum\u00a0none\n", "keyword", ""},
		{"byte-order-mark", "U+FEFF at the start belongs to the first item.", rulePolLine, "\ufeffquorum none\n", "keyword", ""},
		{"keyword-unknown", "A keyword that does not exist.", rulePolLine, "logs LOG1\nquorum none\n", "keyword", ""},
		{"keyword-upper-case", "A keyword in upper case.", rulePolLine, "Quorum none\n", "keyword", ""},
		{"comment-after-quorum", "A comment behind a quorum.", rulePolComment, "quorum none # none\n", "usage", ""},
		{"comment-after-log", "A comment behind a log.", rulePolComment, "log LOG1 #comment\nquorum none\n", "comment", choiceComment},
		{"comment-after-log-url", "A comment behind the URL of a log.", rulePolComment, "log LOG1 https://1/ #comment\nquorum none\n", "usage", ""},
		{"comment-after-witness", "A comment behind a witness.", rulePolComment, "witness a W1 #comment\nquorum a\n", "comment", choiceComment},
		{"comment-after-witness-url", "A comment behind the URL of a witness.", rulePolComment, "witness a W1 https://1/ #comment\nquorum a\n", "usage", ""},
		{"comment-after-group", "A comment behind a group: # is taken for a member.", rulePolComment, "witness a W1 https://1/\ngroup g any a # comment\nquorum g\n", "undefined", ""},
		{"log-too-short", "A log without a key.", rulePolLog, "log\nquorum none\n", "usage", ""},
		{"log-too-long", "A log with two URLs.", rulePolLog, "log LOG1 https://1/ https://2/\nquorum none\n", "usage", ""},
		{"witness-too-short", "A witness without a key.", rulePolWitness, "witness a\nquorum none\n", "usage", ""},
		{"witness-without-name", "A witness without a name.", rulePolWitness, "witness W1\nquorum none\n", "usage", ""},
		{"witness-too-long", "A witness with two URLs.", rulePolWitness, "witness a W1 https://1/ https://2/\nquorum a\n", "usage", ""},
		{"quorum-too-short", "A quorum without a name.", rulePolQuorum, "quorum\n", "usage", ""},
		{"quorum-too-long", "A quorum of two names.", rulePolQuorum, "witness a W1 https://1/\nwitness b W2 https://2/\nquorum a b\n", "usage", ""},
	}
	return cases
}

func badPolicyKeys() []textCase {
	log, witness := logKey("1"), witnessKey("1")
	sum := log.as("x", algEd25519)
	return []textCase{
		{"log-key-malformed", "A log whose key is none.", rulePolVkey, "log x\nquorum none\n", "key", ""},
		{"log-key-id-wrong", "A log whose key has a wrong id.", ruleVkeyType, "log " + strings.Replace(log.vkey(), fmt.Sprintf("%08x", log.id()), "00000000", 1) + "\nquorum none\n", "key-id", ""},
		{"log-key-hex", "A log whose key is a raw public key in hex, as in Sigsum policies.", rulePolVkey, "log " + fmt.Sprintf("%x", log.public()) + "\nquorum none\n", "key", ""},
		{"log-with-witness-key", "A log with a key of type 0x04.", rulePolType, "log W1\nquorum none\n", "key-type", ""},
		{"witness-with-log-key", "A witness with a key of type 0x01.", rulePolType, "witness a LOG1 https://1/\nquorum a\n", "key-type", ""},
		{"witness-key-malformed", "A witness whose key is none.", rulePolVkey, "witness a x https://1/\nquorum a\n", "key", ""},
		{"key-type-unknown", "A log with a key of type 0x05.", rulePolType, "log " + vkey("x", algTreeHead, log.public()) + "\nquorum none\n", "key-type", "This project has no use for type 0x05 and refuses it."},
		{"log-twice", "The same log twice.", rulePolDupLog, "log LOG1\nlog LOG1\nquorum none\n", "duplicate-key", ""},
		{"log-twice-two-urls", "The same log twice with two URLs.", rulePolDupLog, "log LOG1 https://1/\nlog LOG1 https://2/\nquorum none\n", "duplicate-key", ""},
		{"log-twice-other-name", "One public key as two logs of different names.", rulePolDup, "log LOG1\nlog " + sum.vkey() + "\nquorum none\n", "duplicate-key", ""},
		{"witness-twice", "One key as two witnesses.", rulePolDupWit, "witness a W1 https://1/\nwitness b W1 https://2/\ngroup g all a b\nquorum g\n", "duplicate-key", ""},
		{"witness-twice-other-key-name", "One public key as two witnesses whose keys bear different names.", rulePolDup, "witness a W1 https://1/\nwitness b " + witness.as("x", algCosignature).vkey() + " https://2/\ngroup g all a b\nquorum g\n", "duplicate-key", ""},
		{"witness-twice-apart", "The same witness again after other lines.", rulePolDupWit, "witness a W1 https://1/\nwitness b W2 https://2/\nlog LOG1\ngroup g any a b\nquorum g\nwitness c W1 https://1/\n", "duplicate-key", ""},
		{"log-and-witness-share-a-key", "One public key as a log and as a witness.", rulePolDupWit, "log LOG1\nwitness a " + log.as("w.example", algCosignature).vkey() + " https://1/\nquorum a\n", "duplicate-key",
			"The specification compares logs among themselves and witnesses among themselves. Here a log cannot be its own witness: with ML-DSA-44 one signature would be both."},
	}
}

func badPolicyNames() []textCase {
	return []textCase{
		{"name-twice", "Two witnesses of one name.", rulePolSpace, "witness a W1 https://1/\nwitness a W2 https://2/\nquorum a\n", "duplicate-name", ""},
		{"group-named-like-witness", "A group with the name of a witness.", rulePolSpace, "witness a W1 https://1/\ngroup a any a\nquorum a\n", "duplicate-name", ""},
		{"witness-named-like-group", "A witness with the name of a group.", rulePolSpace, "witness a W1 https://1/\ngroup g any a\nwitness g W2 https://2/\nquorum g\n", "duplicate-name", ""},
		{"group-twice", "Two groups of one name.", rulePolSpace, "witness a W1 https://1/\nwitness b W2 https://2/\ngroup g any a\ngroup g any b\nquorum g\n", "duplicate-name", ""},
		{"witness-none", "A witness named none.", rulePolNone, "witness none W1 https://1/\nquorum none\n", "reserved", ""},
		{"group-none", "A group named none.", rulePolNone, "witness a W1 https://1/\ngroup none any a\nquorum none\n", "reserved", ""},
		{"member-none", "none as a member of a group.", rulePolNone, "witness a W1 https://1/\ngroup g any a none\nquorum g\n", "undefined", ""},
		{"quorum-undefined", "A quorum that is not defined.", rulePolQBefore, "witness a W1 https://1/\nquorum b\n", "undefined", ""},
		{"quorum-defined-below", "A quorum that is defined on a later line.", rulePolQBefore, "quorum a\nwitness a W1 https://1/\n", "undefined", ""},
		{"quorum-none-upper-case", "None is not none.", rulePolQNone, "quorum None\n", "undefined", ""},
		{"quorum-is-a-log", "A quorum that names a log's key.", rulePolQBefore, "log LOG1\nquorum log1.example\n", "undefined", ""},
		{"quorum-is-a-key-name", "A quorum that names a witness's key instead of the witness.", rulePolQBefore, "witness a W1 https://1/\nquorum w1.example\n", "undefined", ""},
		{"quorum-kelvin-sign", "A quorum that differs from a witness as the Kelvin sign from K.", rulePolOpaque, "witness K W1 https://1/\nquorum \u212a\n", "undefined", ""},
		{"quorum-other-case", "A quorum that differs from a witness in the case of a letter.", rulePolOpaque, "witness a W1 https://1/\nquorum A\n", "undefined", ""},
	}
}

func badPolicyGroups() []textCase {
	const abc = "witness a W1 https://1/\nwitness b W2 https://2/\nwitness c W3 https://3/\n"
	big64 := new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 64), big.NewInt(1)).String()
	cases := []textCase{
		{"member-undefined", "A member that is not defined.", rulePolBefore, abc + "group g any a d\nquorum g\n", "undefined", ""},
		{"member-defined-below", "A member that is defined on a later line.", rulePolBefore, "group g any a\nwitness a W1 https://1/\nquorum g\n", "undefined", ""},
		{"member-of-itself", "A group that lists itself.", rulePolBefore, abc + "group g any a g\nquorum g\n", "undefined", ""},
		{"members-of-each-other", "Two groups that list each other.", rulePolBefore, abc + "group g any a h\ngroup h any b g\nquorum h\n", "undefined", ""},
		{"member-twice", "A member listed twice in one group.", rulePolOnce, abc + "group g 2 a a\nquorum g\n", "two-groups", ""},
		{"member-of-two-groups", "A witness in two groups.", rulePolOnce, abc + "group g any a b\ngroup h any a c\ngroup i all g h\nquorum i\n", "two-groups", ""},
		{"group-in-two-groups", "A group in two groups.", rulePolOnce, abc + "group g any a\ngroup h any g b\ngroup i any g c\nquorum i\n", "two-groups", ""},
		{"no-members-all", "all of no members.", rulePolMembers, abc + "group g all\nquorum g\n", "usage", ""},
		{"no-members-any", "any of no members.", rulePolMembers, abc + "group g any\nquorum g\n", "usage", ""},
		{"no-members-0", "0 of no members.", rulePolMembers, abc + "group g 0\nquorum g\n", "usage", ""},
		{"no-threshold", "A group with a name and nothing else.", rulePolGroup, abc + "group g\nquorum a\n", "usage", ""},
		{"threshold-missing", "A group without a threshold: its first member stands in the place.", rulePolGroup, abc + "group g a b\nquorum g\n", "threshold", ""},
	}
	for _, c := range []struct{ name, desc, k, choice string }{
		{"0", "A threshold of 0, which nobody needs to meet.", "0", ""},
		{"4-of-3", "A threshold above the number of members.", "4", ""},
		{"256-plus-1", "A threshold that 8 bits would take for 1.", "257", ""},
		{"2-64-plus-1", "A threshold that 64 bits would take for 1.", big64, ""},
		{"plus", "A threshold with a plus sign.", "+1", ""},
		{"minus", "A threshold below zero.", "-1", ""},
		{"leading-zero", "A threshold with a leading zero.", "01", "The specification says decimal; here a number has one spelling."},
		{"hex", "A threshold in hex.", "0x1", ""},
		{"upper-case", "ALL instead of all.", "ALL", ""},
		{"fraction", "A threshold with a fraction.", "1.0", ""},
		{"arabic-digit", "A threshold in Arabic-Indic digits.", "١", ""},
		{"none", "none as a threshold.", "none", ""},
		{"percent", "A threshold in percent.", "50%", ""},
	} {
		cases = append(cases, textCase{"threshold-bad-" + c.name, c.desc, rulePolK, abc + "group g " + c.k + " a b c\nquorum g\n", "threshold", c.choice})
	}
	return cases
}
