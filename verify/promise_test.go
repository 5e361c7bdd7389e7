package verify_test

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/verify"
)

// kOfN is a trust policy of one log and so many witnesses, of which k are a quorum.
func kOfN(t testing.TB, k, n int) *proofs.Policy {
	t.Helper()
	rule := fmt.Sprintf("log %v\n", testlog.NewSigner(t, "log.example", proofs.Ed25519).Key())
	names := ""
	for i := range n {
		name := []string{"ada", "bea", "cyd", "dan", "eva", "fay", "gus"}[i]
		rule += fmt.Sprintf("witness %s %v\n", name, testlog.NewSigner(t, name+".example", proofs.CosignatureV1).Key())
		names += " " + name
	}
	quorum := "none"
	if k > 0 {
		rule += fmt.Sprintf("group them %d%s\n", k, names)
		quorum = "them"
	}
	return parsePolicy(t, rule+"quorum "+quorum+"\n")
}

func explained(t testing.TB, policy *proofs.Policy, install string) (verify.Promise, string) {
	t.Helper()
	p, err := verify.ParseInstallPolicy([]byte(install))
	wantOK(t, err)
	e, err := verify.Explain(verify.Config{Policy: policy, Install: p})
	wantOK(t, err)
	return e, strings.Join(append(append(append([]string{}, e.Needs...), e.Against...), e.Warnings...), "\n")
}

const careful = `{"min_age":"48h","root_quarantine":"7d","snapshot_hashes":"required"}`

func TestExplain(t *testing.T) {
	e, text := explained(t, kOfN(t, 4, 5), careful)
	for _, want := range []string{
		"that the release is in log log.example, and that these witnesses have seen it there: 4 of 5 (ada, bea, cyd, dan, eva).",
		"public for 2 days", "public for 7 days", "Nobody is asked.",
		"only if 3 witnesses lie with them; with 2 they cannot",
		"About times 1 witness may lie; 2 witnesses that lie can make",
		"Updates go on while 1 witness is away; 2 witnesses can keep them away.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if len(e.Warnings) != 0 {
		t.Errorf("warnings %q", e.Warnings)
	}
	w := newWorld(t)
	one := func(rule string) *proofs.Policy { return w.policy(t, rule) }
	for _, tt := range []struct {
		name    string
		policy  *proofs.Policy
		install string
		want    string
	}{
		{"no witness", kOfN(t, 0, 3), `{}`, "No witness is required"},
		{"no witness", kOfN(t, 0, 3), `{}`, "a history that nobody else sees"},
		{"two of three", kOfN(t, 2, 3), careful, "1 lying witness is enough"},
		{"two of four", kOfN(t, 2, 4), careful, "without one witness that lies"},
		{"all of three", kOfN(t, 3, 3), careful, "One witness that is away ends all updates."},
		{"one witness", one("log L0\nwitness a W0\nquorum a\n"), careful, "One witness that lies about the time"},
		{"two logs", one("log L0\nlog L1\nwitness a W0\nquorum a\n"), careful, "It lists several logs"},
		{"no log", one("witness a W0\nquorum a\n"), careful, "The trust policy lists no log."},
		{"groups", one("log L0\nwitness a W0\nwitness b W1\nwitness c W2\ngroup g any b c\ngroup h all a g\nquorum h\n"), careful, "all 2 of them (a, 1 of 2 (b, c))"},
		{"groups", one("log L0\nwitness a W0\nwitness b W1\nwitness c W2\ngroup g any b c\ngroup h all a g\nquorum h\n"), careful, "if one witness lies with them"},
		{"keys of one witness", one("log L0\nwitness a W0\nwitness b N0\nwitness c W2\ngroup g all a b c\nquorum g\n"), careful, "only if 2 witnesses lie with them"},
		{"one host", testlog.New(t, "log.example", 5, "4").Policy(), careful, "5 witnesses are named witness.example"},
		{"its own witness", testlog.New(t, "witness.example/log", 5, "4").Policy(), careful, "named like the log (witness.example)"},
		{"no age", kOfN(t, 4, 5), `{}`, "no min_age"},
		{"no quarantine", kOfN(t, 4, 5), `{}`, "no root_quarantine"},
		{"no hashes", kOfN(t, 4, 5), `{}`, "no snapshot_hashes"},
		{"roots", kOfN(t, 4, 5), `{"require":["targets","delegated"]}`, "No proof is required of roots"},
		{"targets", kOfN(t, 4, 5), `{"require":["root"]}`, "can have it installed in secret where no proof is required"},
		{"forever", kOfN(t, 4, 5), `{"approval":"manual"}`, "no postpone"},
		{"never asked", kOfN(t, 4, 5), `{"approval":"ask","postpone":"30d","postpone_security":"1d","min_age":"24h"}`, "its owner is never asked in time"},
		{"urgent", kOfN(t, 4, 5), `{"approval":"ask","postpone":"30d","postpone_security":"3d"}`, "public for 30 days is installed without an approval; 3 days are enough if its vendor calls it urgent"},
		{"root and owner", kOfN(t, 4, 5), `{"approval":"ask","root_quarantine":"36h"}`, "after 36 hours, in public, and if the owner approves"},
		{"next", kOfN(t, 4, 5), `{"next_policy":"p","root_quarantine":"7d","approval":"ask"}`, `by target "p"; one that requires less has to have been public for 7 days, and needs its owner's approval`},
	} {
		if _, text := explained(t, tt.policy, tt.install); !strings.Contains(text, tt.want) {
			t.Errorf("%s: %q is missing in\n%s", tt.name, tt.want, text)
		}
	}
	for _, cfg := range []verify.Config{{}, {Policy: kOfN(t, 2, 3), Install: verify.InstallPolicy{FaultyWitnesses: 2}}} {
		if _, err := verify.Explain(cfg); err == nil {
			t.Error("a policy that cannot be used is explained")
		}
	}
}

// An auditor is called one, in the example of the docs too.
func TestExplainAuditors(t *testing.T) {
	b, err := os.ReadFile("../docs/policies/audited.txt")
	wantOK(t, err)
	policy := parsePolicy(t, string(b))
	e, text := explained(t, policy, careful)
	for _, want := range []string{
		"have seen it there: all 2 of them (2 of 3 (alice, bob, carol), dave).",
		"An auditor has to have judged every entry of the log, up to the release, and to hold every file: dave.",
		"unless an auditor lies with it.",
		"only if 2 witnesses lie with them; with 1 they cannot",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if want := "No update gets here while auditor audit.dave.example is away"; !strings.Contains(strings.Join(e.Warnings, "\n"), want) {
		t.Errorf("%q is missing in %q", want, e.Warnings)
	}
	if strings.Contains(text, "One witness that is away") {
		t.Errorf("any two of the three are enough:\n%s", text)
	}
	_, text = explained(t, kOfN(t, 4, 5), careful)
	if strings.Contains(text, "auditor") {
		t.Errorf("an auditor is in\n%s", text)
	}
}

// The numbers are those of all ways in which witnesses can lie or be away.
func TestExplainCounts(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		rule := randomRule(r)
		p := w.policy(t, rule)
		if p.Quorum() == "" || len(p.Logs) == 0 {
			continue
		}
		var parties []string
		of := map[string]int{}
		for _, witness := range p.Witnesses {
			name := witness.Key.Name()
			at := len(parties)
			for i, known := range parties {
				if known == name {
					at = i
				}
			}
			if at == len(parties) {
				parties = append(parties, name)
			}
			of[witness.Name] = at
		}
		all := 1<<len(parties) - 1
		met := func(set int) bool {
			return p.Satisfied(func(name string) bool { return set&(1<<of[name]) != 0 }) == nil
		}
		split, blocking := len(parties), len(parties)
		for liars := range all + 1 {
			if !met(all &^ liars) {
				blocking = min(blocking, bits.OnesCount(uint(liars)))
			}
			for one := range all + 1 { // the honest witnesses that see one history; the others see the other
				if one&liars == 0 && met(one|liars) && met(all&^one) {
					split = min(split, bits.OnesCount(uint(liars)))
				}
			}
		}
		_, text := explained(t, p, `{}`)
		want := []string{fmt.Sprintf("; %d witness", blocking)}
		switch split {
		case 0:
			want = append(want, "without one witness that lies")
		case 1:
			want = append(want, "if one witness lies with them")
		default:
			want = append(want, fmt.Sprintf("only if %d witnesses lie with them", split))
		}
		for _, want := range want {
			if !strings.Contains(text, want) {
				t.Fatalf("%s%q is missing in\n%s", rule, want, text)
			}
		}
	}
}

// Each sample is explained, and the page shows what it says of one.
func TestExplainSamples(t *testing.T) {
	policy := kOfN(t, 4, 5)
	warned := map[string]int{}
	files, err := filepath.Glob("../docs/policies/*.json")
	wantOK(t, err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		wantOK(t, err)
		e, _ := explained(t, policy, string(b))
		warned[filepath.Base(name)] = len(e.Warnings)
	}
	if want := fmt.Sprint(map[string]int{"auto.json": 3, "fleet.json": 0, "ask.json": 1, "manual.json": 1}); fmt.Sprint(warned) != want {
		t.Errorf("warnings %v, want %s", warned, want)
	}
	page, err := os.ReadFile("../docs/devices.md")
	wantOK(t, err)
	shown := regexp.MustCompile("(?s)explain --policy policy.txt --install-policy docs/policies/ask.json\n```\n\n```text\n(.*?)```").FindSubmatch(page)
	if len(shown) == 0 {
		t.Fatal("the page shows no explanation")
	}
	b, err := os.ReadFile("../docs/policies/ask.json")
	wantOK(t, err)
	e, _ := explained(t, policy, string(b))
	var want strings.Builder
	for _, part := range []struct {
		title     string
		sentences []string
	}{{"What a release needs:", e.Needs}, {"Who can do what:", e.Against}, {"Weak:", e.Warnings}} {
		fmt.Fprintf(&want, "%s\n", part.title)
		for _, s := range part.sentences {
			fmt.Fprintf(&want, "  - %s\n", s)
		}
	}
	folded := regexp.MustCompile(`\n {4}(\S)`).ReplaceAllString(string(shown[1]), " $1") // the page folds lines
	if folded != want.String() {
		t.Errorf("the page shows\n%s\nwant\n%s", folded, want.String())
	}
}
