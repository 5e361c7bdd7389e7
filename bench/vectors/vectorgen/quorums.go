package main

import (
	"fmt"
	"strings"
)

// manyQuorums asks for 21 of 40 groups of one witness each.
func (s *suite) manyQuorums() {
	for _, n := range []int{40, 21, 20} {
		qc := quorumCase{
			meta:   about(fmt.Sprintf("%d of 40 witnesses, 21 are needed.", n), rulePolLimits),
			Policy: data(expand(manyWitnesses())), Cosigned: []data{}, verdict: valid,
		}
		for i := range 40 {
			if name := fmt.Sprint(i); i >= 40-n {
				qc.Cosigned = append(qc.Cosigned, data("w"+name))
			} else if n < 21 {
				qc.Missing = append(qc.Missing, data("w"+name))
				qc.Short = append(qc.Short, shortGroup{data("g" + name), 0, 1})
			}
		}
		if n < 21 {
			qc.verdict = refused("quorum-short")
			qc.Short = append([]shortGroup{{"most", n, 21}}, qc.Short...)
		}
		s.add("quorum", fmt.Sprintf("%d-of-40", n), qc)
	}
}

// quorums says for policies and sets of witnesses who is missing. Groups and
// witnesses that fall short are listed by hand.
func (s *suite) quorums() {
	const abc = "log LOG1\nwitness a W1\nwitness b W2\nwitness c W3\n"
	const xy = "log LOG1\nwitness x1 W1\nwitness x2 W2\nwitness x3 W3\ngroup X 2 x1 x2 x3\n" +
		"witness y1 W4\nwitness y2 W5\nwitness y3 W6\ngroup Y any y1 y2 y3\n"
	const both, either = xy + "group both all X Y\nquorum both\n", xy + "group either any X Y\nquorum either\n"
	const kelvin = "witness K W1\nwitness \u212a W2\ngroup g all K \u212a\nquorum g\n"
	for _, c := range []struct {
		name, desc string
		rule       rule
		policy     string
		cosigned   string
		short      []shortGroup // empty: the quorum is met, or is a witness that is missing
		missing    string
	}{
		{"none", "No cosignature is needed.", rulePolQNone, abc + "quorum none\n", "", nil, ""},
		{"none-cosigned", "No cosignature is needed, and one does no harm.", rulePolQNone, abc + "quorum none\n", "a", nil, ""},
		{"witness", "The quorum is a witness, which has cosigned.", rulePolQWitness, abc + "quorum a\n", "a", nil, ""},
		{"witness-missing", "The quorum is a witness, which has not cosigned.", rulePolQWitness, abc + "quorum a\n", "", nil, "a"},
		{"witness-others", "The quorum is a witness; all the others do not replace it.", rulePolQWitness, abc + "quorum a\n", "b c", nil, "a"},
		{"all-met", "All of three.", rulePolAnyAll, abc + "group g all a b c\nquorum g\n", "a b c", nil, ""},
		{"all-one-missing", "All of three, one missing.", rulePolAnyAll, abc + "group g all a b c\nquorum g\n", "a c", []shortGroup{{"g", 2, 3}}, "b"},
		{"all-none", "All of three, nobody has cosigned.", rulePolAnyAll, abc + "group g all a b c\nquorum g\n", "", []shortGroup{{"g", 0, 3}}, "a b c"},
		{"any-one", "Any of three, one has cosigned.", rulePolAnyAll, abc + "group g any a b c\nquorum g\n", "b", nil, ""},
		{"any-all", "Any of three, all have cosigned.", rulePolAnyAll, abc + "group g any a b c\nquorum g\n", "a b c", nil, ""},
		{"any-none", "Any of three, nobody has cosigned.", rulePolAnyAll, abc + "group g any a b c\nquorum g\n", "", []shortGroup{{"g", 0, 1}}, "a b c"},
		{"any-stranger", "Any of two, only a witness outside the group has cosigned.", rulePolGroup, abc + "group g any a b\nquorum g\n", "c", []shortGroup{{"g", 0, 1}}, "a b"},
		{"two-of-three", "Two of three, met exactly.", rulePolGroup, abc + "group g 2 a b c\nquorum g\n", "a c", nil, ""},
		{"two-of-three-more", "Two of three, and the third as well.", rulePolGroup, abc + "group g 2 a b c\nquorum g\n", "a b c", nil, ""},
		{"two-of-three-one-short", "Two of three, one short.", rulePolGroup, abc + "group g 2 a b c\nquorum g\n", "b", []shortGroup{{"g", 1, 2}}, "a c"},
		{"two-of-three-none", "Two of three, nobody has cosigned.", rulePolGroup, abc + "group g 2 a b c\nquorum g\n", "", []shortGroup{{"g", 0, 2}}, "a b c"},
		{"three-of-three", "k written as n is the same as all.", rulePolK, abc + "group g 3 a b c\nquorum g\n", "a b", []shortGroup{{"g", 2, 3}}, "c"},
		{"one-of-three", "k written as 1 is the same as any.", rulePolK, abc + "group g 1 a b c\nquorum g\n", "c", nil, ""},
		{"unused-group-short", "A group that the quorum does not use may fall short.", rulePolGroup, abc + "group g all a b\nquorum c\n", "c", nil, ""},
		{"both-met", "The example of the specification: two of X and one of Y.", rulePolGroup, both, "x1 x3 y2", nil, ""},
		{"both-everybody", "The example of the specification, cosigned by all.", rulePolGroup, both, "x1 x2 x3 y1 y2 y3", nil, ""},
		{"both-y-short", "Three of X do not replace one of Y.", rulePolGroup, both, "x1 x2 x3", []shortGroup{{"both", 1, 2}, {"Y", 0, 1}}, "y1 y2 y3"},
		{"both-x-short", "One of X is one too few, however many of Y.", rulePolGroup, both, "x2 y1 y2 y3", []shortGroup{{"both", 1, 2}, {"X", 1, 2}}, "x1 x3"},
		{"both-short", "One of X and nobody of Y.", rulePolGroup, both, "x2", []shortGroup{{"both", 0, 2}, {"X", 1, 2}, {"Y", 0, 1}}, "x1 x3 y1 y2 y3"},
		{"either-y", "One of Y is enough.", rulePolGroup, either, "y1", nil, ""},
		{"either-x", "Two of X are enough.", rulePolGroup, either, "x1 x2", nil, ""},
		{"either-short", "One of X is not enough.", rulePolGroup, either, "x3", []shortGroup{{"either", 0, 1}, {"X", 1, 2}, {"Y", 0, 1}}, "x1 x2 y1 y2 y3"},
		{"mixed-met", "A witness and a group in one group.", rulePolGroup, xy + "witness z W7\ngroup mixed 2 X z Y\nquorum mixed\n", "z y3", nil, ""},
		{"mixed-short", "A witness and a group in one group, both missing.", rulePolGroup, xy + "witness z W7\ngroup mixed all X z\nquorum mixed\n", "x1", []shortGroup{{"mixed", 0, 2}, {"X", 1, 2}}, "x2 x3 z"},
		{"mixed-group-short", "A witness and a group in one group, the group missing.", rulePolGroup, xy + "witness z W7\ngroup mixed all X z\nquorum mixed\n", "x1 z", []shortGroup{{"mixed", 1, 2}, {"X", 1, 2}}, "x2 x3"},
		{"mixed-witness-short", "A witness and a group in one group, the witness missing.", rulePolGroup, xy + "witness z W7\ngroup mixed all X z\nquorum mixed\n", "x1 x2", []shortGroup{{"mixed", 1, 2}}, "z"},
		{"chain-met", "Groups within groups, five deep.", rulePolGroup, "witness a W1\ngroup g any a\ngroup h all g\ngroup i 1 h\ngroup j any i\nquorum j\n", "a", nil, ""},
		{"chain-short", "Groups within groups, five deep, nobody has cosigned.", rulePolGroup, "witness a W1\ngroup g any a\ngroup h all g\ngroup i 1 h\ngroup j any i\nquorum j\n", "", []shortGroup{{"j", 0, 1}, {"i", 0, 1}, {"h", 0, 1}, {"g", 0, 1}}, "a"},
		{"met-group-not-listed", "A group that is met counts once, whatever it lacks inside.", rulePolGroup, xy + "witness z W7\ngroup three all X Y z\nquorum three\n", "x1 x2 y1", []shortGroup{{"three", 2, 3}}, "z"},
		{"group-counts-once", "A group of three that all cosigned counts as one member.", rulePolGroup, xy + "witness z W7\ngroup two 2 X z\nquorum two\n", "x1 x2 x3", []shortGroup{{"two", 1, 2}}, "z"},
		{"names-of-keywords", "Witnesses named all and any.", rulePolSpace, "witness all W1\nwitness any W2\ngroup 2 all all any\nquorum 2\n", "all", []shortGroup{{"2", 1, 2}}, "any"},
		{"kelvin-sign-met", "K and the Kelvin sign, both have cosigned.", rulePolOpaque, kelvin, "K \u212a", nil, ""},
		{"kelvin-sign-missing", "K has cosigned, the Kelvin sign has not.", rulePolOpaque, kelvin, "K", []shortGroup{{"g", 1, 2}}, "\u212a"},
		{"octets-missing", "A witness whose name is not UTF-8 is missing.", rulePolOpaque, "witness \xff W1\nwitness \xfe W2\ngroup g all \xff \xfe\nquorum g\n", "\xff", []shortGroup{{"g", 1, 2}}, "\xfe"},
		{"definitions-after-quorum", "What is defined after the quorum does not count.", rulePolQBefore, "witness a W1\nquorum a\nwitness b W2\ngroup g any b\n", "b", nil, "a"},
		{"quorum-within-a-group", "The quorum is a group that a later group lists.", rulePolOnce, abc + "group g any a b\nquorum g\ngroup h all g c\n", "b", nil, ""},
		{"three-of-four-groups", "Three of four operators with two witnesses each.", rulePolGroup, operators, "a1 b2 d1", nil, ""},
		{"two-of-four-groups", "Two of four operators, however many witnesses they have.", rulePolGroup, operators, "a1 a2 b1 b2", []shortGroup{{"three", 2, 3}, {"C", 0, 1}, {"D", 0, 1}}, "c1 c2 d1 d2"},
	} {
		qc := quorumCase{
			meta: about(c.desc, c.rule), Policy: data(expand(c.policy)), Cosigned: names(c.cosigned),
			verdict: valid, Short: c.short,
		}
		if c.missing != "" {
			qc.verdict, qc.Missing = refused("quorum-short"), names(c.missing)
		}
		s.add("quorum", c.name, qc)
	}
}

const operators = "witness a1 W1\nwitness a2 W2\ngroup A any a1 a2\nwitness b1 W3\nwitness b2 W4\ngroup B any b1 b2\n" +
	"witness c1 W5\nwitness c2 W6\ngroup C any c1 c2\nwitness d1 W7\nwitness d2 W8\ngroup D any d1 d2\ngroup three 3 A B C D\nquorum three\n"

func names(list string) []data {
	all := []data{}
	for _, name := range strings.Fields(list) {
		all = append(all, data(name))
	}
	return all
}
