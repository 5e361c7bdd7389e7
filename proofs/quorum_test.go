package proofs

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestSatisfied(t *testing.T) {
	const nested = "witness x1 W1\nwitness x2 W2\nwitness x3 W3\ngroup X 2 x1 x2 x3\n" +
		"witness y1 W4\nwitness y2 W5\ngroup Y any y1 y2\n"
	for _, tt := range []struct {
		policy string
		have   string
		want   string // error, empty if satisfied
	}{
		{"quorum none\n", "", ""},
		{"witness a W1\nquorum none\n", "", ""},
		{"witness a W1\nquorum a\n", "a", ""},
		{"witness a W1\nwitness b W2\nquorum a\n", "b", `quorum "a" short: missing a`},
		{"witness a W1\nwitness b W2\ngroup g all a b\nquorum g\n", "a b", ""},
		{"witness a W1\nwitness b W2\ngroup g all a b\nquorum g\n", "b", `quorum "g" short: group "g" has 1 of 2 (missing a)`},
		{"witness a W1\nwitness b W2\ngroup g any a b\nquorum g\n", "b", ""},
		{"witness a W1\nwitness b W2\ngroup g any a b\nquorum g\n", "", `quorum "g" short: group "g" has 0 of 1 (missing a, b)`},
		{nested + "group both all X Y\nquorum both\n", "x1 x3 y2", ""},
		{nested + "group both all X Y\nquorum both\n", "x1 x2 x3", `quorum "both" short: group "Y" has 0 of 1 (missing y1, y2)`},
		{nested + "group both all X Y\nquorum both\n", "x2 y1", `quorum "both" short: group "X" has 1 of 2 (missing x1, x3)`},
		{nested + "group both all X Y\nquorum both\n", "x2", `quorum "both" short: group "X" has 1 of 2 (missing x1, x3); group "Y" has 0 of 1 (missing y1, y2)`},
		{nested + "group either any X Y\nquorum either\n", "y1", ""},
		{nested + "group either any X Y\nquorum either\n", "x2", `quorum "either" short: group "either" has 0 of 1 (missing X, Y); group "X" has 1 of 2 (missing x1, x3); group "Y" has 0 of 1 (missing y1, y2)`},
		{nested + "witness z W6\ngroup mixed all X z\nquorum mixed\n", "x1", `quorum "mixed" short: group "mixed" has 0 of 2 (missing X, z); group "X" has 1 of 2 (missing x2, x3)`},
		{nested + "quorum X\n", "y1 y2", `quorum "X" short: group "X" has 0 of 2 (missing x1, x2, x3)`},
		{"witness \xff W1\nquorum \xff\n", "", `quorum "\xff" short: missing "\xff"`},
	} {
		p := mustPolicy(t, policyText(t, tt.policy))
		have := strings.Fields(tt.have)
		err := p.Satisfied(func(w string) bool { return slices.Contains(have, w) })
		if tt.want == "" {
			if err != nil {
				t.Errorf("%q by %v: %v", tt.policy, have, err)
			}
			continue
		}
		var quorumErr *QuorumError
		if !errors.As(err, &quorumErr) || err.Error() != tt.want {
			t.Errorf("%q by %v: %v, want %s", tt.policy, have, err, tt.want)
		}
	}
}

func TestQuorumErrorFields(t *testing.T) {
	p := mustPolicy(t, policyText(t, "witness a W1\nwitness b W2\nwitness c W3\ngroup g 2 a b c\nquorum g\n"))
	err := p.Satisfied(func(w string) bool { return w == "b" })
	want := &QuorumError{Quorum: "g", Short: []ShortGroup{{Group: "g", Have: 1, Want: 2, Missing: []string{"a", "c"}}}}
	if !reflect.DeepEqual(err, want) {
		t.Errorf("got %#v", err)
	}
	wantError(t, new(Policy).Satisfied(nil), "without a quorum accepts nothing")
}

// A refQuorum is the slow, obvious policy: a tree of witnesses and groups.
type refQuorum struct {
	name    string
	want    int
	members []*refQuorum // nil for a witness
}

func (q *refQuorum) met(have map[string]bool) bool {
	if q.members == nil {
		return have[q.name]
	}
	n := 0
	for _, m := range q.members {
		if m.met(have) {
			n++
		}
	}
	return n >= q.want
}

// randomPolicy writes a policy of groups within groups and the tree it means.
func randomPolicy(t *testing.T, rng *rand.Rand, vkeys []string) (string, *refQuorum) {
	var b strings.Builder
	var free []*refQuorum
	for i := range 1 + rng.IntN(len(vkeys)) {
		w := &refQuorum{name: fmt.Sprintf("w%d", i)}
		fmt.Fprintf(&b, "witness %s %s\n", w.name, vkeys[i])
		free = append(free, w)
	}
	for i := 0; ; i++ {
		rng.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
		if i == 6 || i > 0 && rng.IntN(6) == 0 {
			break
		}
		n := 1 + rng.IntN(len(free))
		g := &refQuorum{name: fmt.Sprintf("g%d", i), members: slices.Clone(free[:n])}
		threshold := "all"
		switch g.want = n; rng.IntN(3) {
		case 0:
			threshold, g.want = "any", 1
		case 1:
			g.want = 1 + rng.IntN(n)
			threshold = fmt.Sprint(g.want)
		}
		fmt.Fprintf(&b, "group %s %s", g.name, threshold)
		for _, m := range g.members {
			b.WriteString(" " + m.name)
		}
		b.WriteString("\n")
		free = append(free[n:], g)
	}
	fmt.Fprintf(&b, "quorum %s\n", free[0].name)
	return b.String(), free[0]
}

func TestRandomPolicies(t *testing.T) {
	rng := newRand(t)
	var vkeys []string
	for i := range 8 {
		vkeys = append(vkeys, newSigner(t, fmt.Sprintf("w%d.example", i), CosignatureV1).Key().String())
	}
	met := 0
	for range 300 {
		text, ref := randomPolicy(t, rng, vkeys)
		p := mustPolicy(t, text)
		before, auditors := checkBeforeAudit(t, text)
		for range 20 {
			have := make(map[string]bool)
			for _, w := range p.Witnesses {
				have[w.Name] = rng.IntN(2) == 0
			}
			by := func(w string) bool { return have[w] }
			if without := p.CanBeMetWithout(func(w string) bool { return !have[w] }); without != ref.met(have) {
				t.Fatalf("%swithout all but %v: %v", text, have, without)
			}
			if got, want := before.Satisfied(by) == nil, p.Satisfied(func(w string) bool { return have[w] || auditors[w] }) == nil; got != want {
				t.Fatalf("%sbefore its audit by %v: %v, want %v; it is\n%s", text, have, got, want, before.Marshal())
			}
			err := p.Satisfied(by)
			if (err == nil) != ref.met(have) {
				t.Fatalf("%sby %v: %v", text, have, err)
			}
			if err == nil {
				met++
				continue
			}
			// Those named as missing would be enough.
			for _, s := range err.(*QuorumError).Short {
				if s.Have >= s.Want || len(s.Missing) < s.Want-s.Have {
					t.Errorf("%sby %v: %v", text, have, err)
				}
				for _, name := range s.Missing {
					have[name] = true
				}
			}
			if err2 := p.Satisfied(by); err2 != nil {
				t.Errorf("%s%v does not name all that is missing: %v", text, err, err2)
			}
		}
	}
	if met < 500 || met > 5500 {
		t.Errorf("%d of 6000 met: the cases are lopsided", met)
	}
}

// An auditor is known by its group, at any depth, and only where the quorum needs one is
// an auditor's cosignature what is missing.
func TestAuditors(t *testing.T) {
	const witnesses = "witness a W1\nwitness b W2\nwitness c W3\ngroup witnesses 2 a b c\n"
	const auditors = "witness x W4\nwitness y1 W5\nwitness y2 W6\ngroup y any y1 y2\ngroup auditors any x y\n"
	for _, tt := range []struct {
		policy, have string
		auditors     string
		needed       bool
		missing      string // auditors that are all that is missing
	}{
		{witnesses + auditors + "group devices all witnesses auditors\nquorum devices\n", "a b", "x y1 y2", true, "x y1 y2"},
		{witnesses + auditors + "group devices all witnesses auditors\nquorum devices\n", "a", "x y1 y2", true, ""},
		{witnesses + auditors + "group devices all witnesses auditors\nquorum devices\n", "a x", "x y1 y2", true, ""},
		{witnesses + auditors + "group devices all witnesses auditors\nquorum devices\n", "b c y2", "x y1 y2", true, "met"},
		{witnesses + auditors + "group devices any witnesses auditors\nquorum devices\n", "a", "x y1 y2", false, ""},
		{witnesses + auditors + "quorum witnesses\n", "a", "x y1 y2", false, ""},
		{witnesses + auditors + "quorum none\n", "", "x y1 y2", false, "met"},
		{witnesses + "witness x W4\ngroup devices all witnesses x\nquorum devices\n", "a b", "", false, ""},
		{"witness auditors W1\nquorum auditors\n", "", "", false, ""},
	} {
		p := mustPolicy(t, policyText(t, tt.policy))
		names := p.Auditors()
		for _, name := range strings.Fields(tt.auditors) {
			if !names[name] {
				t.Errorf("%q: %s is not an auditor", tt.policy, name)
			}
		}
		if len(names) != len(strings.Fields(tt.auditors)) {
			t.Errorf("%q has the auditors %v", tt.policy, names)
		}
		if p.NeedsAuditor() != tt.needed {
			t.Errorf("%q needs an auditor: %v", tt.policy, !tt.needed)
		}
		err := p.Satisfied(func(name string) bool { return slices.Contains(strings.Fields(tt.have), name) })
		var short *QuorumError
		switch {
		case tt.missing == "met":
			if err != nil {
				t.Errorf("%q by %s: %v", tt.policy, tt.have, err)
			}
		case !errors.As(err, &short) || strings.Join(short.Auditors, " ") != tt.missing || (tt.missing != "") != strings.Contains(err.Error(), "the cosignature of an auditor is missing"):
			t.Errorf("%q by %s: %#v: %v", tt.policy, tt.have, err, err)
		}
	}
	if names := (*Policy)(nil).Auditors(); names != nil {
		t.Error(names)
	}
	if (*Policy)(nil).CanBeMetWithout(func(string) bool { return false }) {
		t.Error("no policy can be met")
	}
}

// checkBeforeAudit calls the group g1 of a policy that of its auditors, if it has one, and
// returns the policy before their audit.
func checkBeforeAudit(t *testing.T, text string) (before *Policy, auditors map[string]bool) {
	t.Helper()
	p := mustPolicy(t, regexp.MustCompile(`\bg1\b`).ReplaceAllString(text, AuditorsGroup))
	before = p.BeforeAudit()
	if again := mustPolicy(t, string(before.Marshal())); !reflect.DeepEqual(again.Groups(), before.Groups()) || again.Quorum() != before.Quorum() {
		t.Errorf("%sbefore its audit is printed as\n%s", text, before.Marshal())
	}
	return before, p.Auditors()
}

// As deep as a file can be.
func TestDeepPolicy(t *testing.T) {
	var b strings.Builder
	b.WriteString(policyText(t, "witness w W1\ngroup 0 any w\n"))
	last := 0
	for b.Len() < MaxPolicySize-100 {
		fmt.Fprintf(&b, "group %d any %d\n", last+1, last)
		last++
	}
	fmt.Fprintf(&b, "quorum %d\n", last)
	p := mustPolicy(t, b.String())
	if err := p.Satisfied(func(string) bool { return true }); err != nil {
		t.Error(err)
	}
	err := p.Satisfied(func(string) bool { return false })
	wantError(t, err, `group "0" has 0 of 1 (missing w)`)
	if n := len(err.Error()); n > 200 {
		t.Errorf("the error has %d bytes", n)
	}
}

func TestSmallestQuorum(t *testing.T) {
	two := "witness a W1\nwitness a2 " + newSigner(t, "w1.example", MLDSA44).Key().String() + "\n" // keys of one witness
	for name, tt := range map[string]struct {
		in   string
		want int
	}{
		"none":                        {"witness a W1\nquorum none\n", 0},
		"one witness":                 {"witness a W1\nquorum a\n", 1},
		"two of three":                {"witness a W1\nwitness b W2\nwitness c W3\ngroup g 2 a b c\nquorum g\n", 2},
		"any":                         {"witness a W1\nwitness b W2\ngroup g any a b\nquorum g\n", 1},
		"the smaller groups":          {"witness a W1\nwitness b W2\nwitness c W3\nwitness d W4\nwitness e W5\ngroup g all a b c\ngroup h 2 g d e\nquorum h\n", 2},
		"all of groups":               {"witness a W1\nwitness b W2\nwitness c W3\ngroup g all a b\ngroup h all g c\nquorum h\n", 3},
		"two keys of one witness":     {two + "group g all a a2\nquorum g\n", 1},
		"two keys of one beside one":  {two + "witness b W2\ngroup g 2 a b a2\nquorum g\n", 1},
		"two keys of one, either":     {two + "witness b W2\ngroup g any a a2\ngroup h all g b\nquorum h\n", 2},
		"members that are not needed": {"witness a W1\nwitness b W2\nquorum b\n", 1},
	} {
		if got := mustPolicy(t, policyText(t, tt.in)).SmallestQuorum(); got != tt.want {
			t.Errorf("%s: %d witnesses, want %d", name, got, tt.want)
		}
	}
	if got := (*Policy)(nil).SmallestQuorum() + new(Policy).SmallestQuorum(); got != 0 {
		t.Errorf("of no policy: %d", got)
	}
}
