package verify_test

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tuflog/tuflog/bench/testlog"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// world has the keys that policies of tests are made of.
type world struct {
	logs, witnesses []*proofs.Signer
	nameless        []*proofs.Signer // other keys under the names of witnesses
}

func newWorld(t testing.TB) *world {
	w := new(world)
	for i := range 2 {
		w.logs = append(w.logs, testlog.NewSigner(t, fmt.Sprintf("log%d.example", i), proofs.Ed25519))
	}
	for i := range 5 {
		w.witnesses = append(w.witnesses, testlog.NewSigner(t, fmt.Sprintf("w%d.example", i), proofs.CosignatureV1))
	}
	w.nameless = append(w.nameless, testlog.NewSigner(t, "w0.example", proofs.CosignatureV1))
	return w
}

var keyWord = regexp.MustCompile(`\b[LWN][0-9]\b`)

// text writes a policy: lines with L0, W1 and N0 for keys.
func (w *world) text(rule string) []byte {
	signers := map[byte][]*proofs.Signer{'L': w.logs, 'W': w.witnesses, 'N': w.nameless}
	return []byte(keyWord.ReplaceAllStringFunc(rule, func(word string) string {
		return signers[word[0]][word[1]-'0'].Key().String()
	}))
}

func (w *world) policy(t testing.TB, rule string) *proofs.Policy {
	t.Helper()
	p, err := proofs.ParsePolicy(w.text(rule))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	twoOfThree  = "log L0\nwitness a W0\nwitness b W1\nwitness c W2\ngroup g 2 a b c\nquorum g\n"
	allOfThree  = "log L0\nwitness a W0\nwitness b W1\nwitness c W2\ngroup g all a b c\nquorum g\n"
	threeOfFive = "log L0\nwitness a W0\nwitness b W1\nwitness c W2\nwitness d W3\nwitness e W4\ngroup g 3 a b c d e\nquorum g\n"
	fourOfFive  = "log L0\nwitness a W0\nwitness b W1\nwitness c W2\nwitness d W3\nwitness e W4\ngroup g 4 a b c d e\nquorum g\n"
)

func TestWeaker(t *testing.T) {
	w := newWorld(t)
	of := func(rule string, p verify.InstallPolicy) verify.Requirements {
		return verify.Requirements{Policy: w.policy(t, rule).Marshal(), Install: p}
	}
	some := tuf.Sum([]byte("repository"))
	install := func(change func(*verify.InstallPolicy)) verify.InstallPolicy {
		p := verify.InstallPolicy{
			Repository: some, FaultyWitnesses: 1, MinAge: 48 * time.Hour, RootQuarantine: 7 * day, SnapshotHashes: true,
			Approval: verify.ApproveAsk, Postpone: 30 * day, PostponeSecurity: 3 * day,
		}
		if change != nil {
			change(&p)
		}
		return p
	}
	ages, none := install(nil), verify.InstallPolicy{Repository: some, FaultyWitnesses: 1}
	for name, tt := range map[string]struct {
		before, now verify.Requirements
		want        string // "": not weaker
	}{
		"the same":                         {of(twoOfThree, ages), of(twoOfThree, ages), ""},
		"names, comments and order":        {of(twoOfThree, ages), of("log L0 https://x/\nwitness z W2\nwitness y W1\nwitness x W0\ngroup h 2 y x z\nquorum h\n", ages), ""},
		"all of them":                      {of(twoOfThree, ages), of(allOfThree, ages), ""},
		"two of all":                       {of(allOfThree, ages), of(twoOfThree, ages), "witnesses that were not enough are: [\"a\" \"b\"]"},
		"no quorum":                        {of(twoOfThree, none), of("log L0\nquorum none\n", none), "no witness is required"},
		"a quorum at last":                 {of("log L0\nquorum none\n", none), of(twoOfThree, none), ""},
		"one witness":                      {of(twoOfThree, none), of("log L0\nwitness a W0\nquorum a\n", none), "not enough are: [\"a\"]"},
		"four of five for two of three":    {of(twoOfThree, none), of(fourOfFive, none), ""},
		"three of five for two of three":   {of(twoOfThree, none), of(threeOfFive, none), "not enough are: "},
		"four of five, and ages":           {of(twoOfThree, ages), of(fourOfFive, ages), "2 witnesses with other keys than before"},
		"four of five, three faulty":       {of(twoOfThree, ages), of(fourOfFive, install(func(p *verify.InstallPolicy) { p.FaultyWitnesses = 3 })), ""},
		"another witness":                  {of(twoOfThree, none), of("log L0\nwitness a W0\nwitness b W1\nwitness c W3\ngroup g 2 a b c\nquorum g\n", none), "[\"a\" \"c\"]"},
		"another key of a witness":         {of(twoOfThree, none), of("log L0\nwitness a N0\nwitness b W1\nwitness c W2\ngroup g 2 a b c\nquorum g\n", none), "[\"a\" \"b\"]"},
		"a second key of a witness":        {of(allOfThree, ages), of("log L0\nwitness a W0\nwitness a2 N0\nwitness b W1\nwitness c W2\ngroup g all a a2 b c\nquorum g\n", ages), "1 witness with other keys than before"},
		"a witness less":                   {of("log L0\nwitness a W0\nwitness b W1\nwitness c W2\ngroup g 2 a b c\nquorum g\n", ages), of("log L0\nwitness a W0\nwitness b W1\ngroup g 2 a b\nquorum g\n", ages), ""},
		"another log":                      {of(twoOfThree, none), of(strings.Replace(twoOfThree, "L0", "L1", 1), none), "log log1.example"},
		"a log more":                       {of(twoOfThree, none), of("log L1\n"+twoOfThree, none), "log log1.example"},
		"a log less":                       {of("log L1\n"+twoOfThree, none), of(twoOfThree, none), ""},
		"groups for numbers":               {of(twoOfThree, none), of("log L0\nwitness a W0\nwitness b W1\nwitness c W2\ngroup g any b c\ngroup h all a g\nquorum h\n", none), ""},
		"numbers for groups":               {of("log L0\nwitness a W0\nwitness b W1\nwitness c W2\ngroup g any b c\ngroup h all a g\nquorum h\n", none), of(twoOfThree, none), "[\"b\" \"c\"]"},
		"no proofs":                        {of(twoOfThree, none), verify.Requirements{}, "proofs are no longer required"},
		"proofs at last":                   {verify.Requirements{}, of(twoOfThree, none), ""},
		"nothing, and nothing":             {verify.Requirements{}, verify.Requirements{}, ""},
		"a shorter age":                    {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.MinAge-- })), `"min_age" is`},
		"a longer age":                     {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.MinAge *= 2 })), ""},
		"a shorter quarantine":             {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.RootQuarantine = 0 })), `"root_quarantine" is none, and was 7d`},
		"no faulty witness":                {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.FaultyWitnesses = 0 })), "1 witness can make a release look old, and before it took 2"},
		"no faulty witness, no ages":       {of(twoOfThree, none), of(twoOfThree, verify.InstallPolicy{Repository: some}), ""},
		"no hashes":                        {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.SnapshotHashes = false })), "hashes in snapshots"},
		"roots need no proof":              {of(twoOfThree, none), of(twoOfThree, verify.InstallPolicy{Repository: some, FaultyWitnesses: 1, Require: []string{"targets", "delegated"}}), "no proof is required of root"},
		"another repository":               {of(twoOfThree, none), of(twoOfThree, verify.InstallPolicy{Repository: tuf.Sum([]byte("other")), FaultyWitnesses: 1}), "proofs are about repository"},
		"no approval":                      {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.Approval, p.Postpone, p.PostponeSecurity = 0, 0, 0 })), "the owner's approval"},
		"manual approval":                  {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.Approval = verify.ApproveManual })), ""},
		"an owner may wait forever":        {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.Postpone, p.PostponeSecurity = 0, 0 })), ""},
		"an owner may no longer":           {of(twoOfThree, install(func(p *verify.InstallPolicy) { p.Postpone, p.PostponeSecurity = 0, 0 })), of(twoOfThree, ages), `"postpone" is 30d, and was without end`},
		"an owner may wait less":           {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.PostponeSecurity = 2 * day })), `"postpone_security" is 2d, and was 3d`},
		"security releases wait as others": {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.PostponeSecurity = 0 })), ""},
		"a next policy":                    {of(twoOfThree, ages), of(twoOfThree, install(func(p *verify.InstallPolicy) { p.NextPolicy = "next" })), `"next" may be the next`},
		"no next policy":                   {of(twoOfThree, install(func(p *verify.InstallPolicy) { p.NextPolicy = "next" })), of(twoOfThree, ages), ""},
		"cannot be read":                   {of(twoOfThree, ages), verify.Requirements{Policy: []byte("quorum\n"), Install: ages}, "cannot be compared"},
	} {
		ways := tt.now.WeakerThan(tt.before)
		if got := strings.Join(ways, "; "); (tt.want == "") != (len(ways) == 0) || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// Where too many witnesses are to be looked at the policies count as not comparable.
func TestWeakerManyWitnesses(t *testing.T) {
	var signers []*proofs.Signer
	for i := range 20 {
		signers = append(signers, testlog.NewSigner(t, fmt.Sprintf("w%d.example", i), proofs.CosignatureV1))
	}
	of := func(n, quorum int) verify.Requirements {
		var b, names strings.Builder
		for i, s := range signers[:n] {
			fmt.Fprintf(&b, "witness w%d %v\n", i, s.Key())
			fmt.Fprintf(&names, " w%d", i)
		}
		p, err := proofs.ParsePolicy(fmt.Appendf(nil, "%sgroup g %d%s\nquorum g\n", b.String(), quorum, names.String()))
		wantOK(t, err)
		return verify.Requirements{Policy: p.Marshal()}
	}
	if ways := of(20, 15).WeakerThan(of(20, 15)); ways != nil {
		t.Errorf("itself: %q", ways)
	}
	if ways := of(16, 12).WeakerThan(of(20, 12)); ways != nil {
		t.Errorf("16 witnesses: %q", ways)
	}
	for _, quorum := range []int{14, 16} {
		if ways := of(20, quorum).WeakerThan(of(20, 15)); len(ways) != 1 || !strings.Contains(ways[0], "cannot be compared") {
			t.Errorf("20 witnesses, quorum %d: %q", quorum, ways)
		}
	}
}

// randomRule writes a policy with some of the keys, in groups within groups.
func randomRule(r *rand.Rand) string {
	var b strings.Builder
	for i := range 2 {
		if r.IntN(3) > 0 {
			fmt.Fprintf(&b, "log L%d\n", i)
		}
	}
	var free []string
	for _, key := range []string{"W0", "W1", "W2", "W3", "N0"} {
		if r.IntN(4) > 0 {
			fmt.Fprintf(&b, "witness %s %s\n", strings.ToLower(key), key)
			free = append(free, strings.ToLower(key))
		}
	}
	for i := 0; len(free) > 1 && r.IntN(4) > 0; i++ {
		r.Shuffle(len(free), func(i, j int) { free[i], free[j] = free[j], free[i] })
		n := 1 + r.IntN(len(free))
		name := fmt.Sprint("g", i)
		fmt.Fprintf(&b, "group %s %d %s\n", name, 1+r.IntN(n), strings.Join(free[:n], " "))
		free = append(free[n:], name)
	}
	quorum := "none"
	if len(free) > 0 && r.IntN(8) > 0 {
		quorum = free[r.IntN(len(free))]
	}
	return b.String() + "quorum " + quorum + "\n"
}

// One trust policy is weaker than another exactly if it accepts a set of signatures that
// the other does not. All sets of the keys that there are are looked at.
func TestWeakerProperty(t *testing.T) {
	w := newWorld(t)
	r := rand.New(rand.NewPCG(1, 2))
	signers := slices.Concat(w.logs, w.witnesses[:4], w.nameless)
	// accepted lists the sets of signatures that a policy accepts.
	accepted := func(p *proofs.Policy) map[int]bool {
		sets := map[int]bool{}
		for set := range 1 << len(signers) {
			signed := map[string]bool{}
			for i, s := range signers {
				signed[s.Key().String()] = set&(1<<i) != 0
			}
			log := slices.ContainsFunc(p.Logs, func(l proofs.PolicyLog) bool { return signed[l.Key.String()] })
			keys := map[string]string{}
			for _, w := range p.Witnesses {
				keys[w.Name] = w.Key.String()
			}
			if log && p.Satisfied(func(witness string) bool { return signed[keys[witness]] }) == nil {
				sets[set] = true
			}
		}
		return sets
	}
	type policy struct {
		rule string
		sets map[int]bool
		req  verify.Requirements
	}
	var policies []policy
	for len(policies) < 60 {
		rule := randomRule(r)
		p := w.policy(t, rule)
		policies = append(policies, policy{rule, accepted(p), verify.Requirements{Policy: p.Marshal()}})
	}
	weaker, not := 0, 0
	for _, now := range policies {
		for _, before := range policies {
			subset := true
			for set := range now.sets {
				subset = subset && before.sets[set]
			}
			ways := now.req.WeakerThan(before.req)
			if len(now.sets) > 0 && subset != (len(ways) == 0) || !subset && len(ways) == 0 {
				t.Fatalf("%snow, before\n%s: %q, and a subset: %v", now.rule, before.rule, ways, subset)
			}
			if subset {
				not++
			} else {
				weaker++
			}
		}
	}
	if weaker < 500 || not < 500 {
		t.Errorf("%d weaker, %d not", weaker, not)
	}
}

// A device remembers under what it has accepted releases, and refuses to do so under less.
func TestDowngradeIsRefused(t *testing.T) {
	r := newFakeRepo(t)
	r.publish("root", "targets", "snapshot", "timestamp")
	d := newFakeDevice(t, r.served["root"][0])
	strong, weak := r.config(), r.config()
	r.log.Quorum = "1"
	weak.Policy = r.log.Policy()
	r.log.Quorum = "2"

	// Before a release was accepted nothing was in force: a mistake can be mended.
	r.instead = map[string][]byte{"2.root.json": nil, "2.targets.json": nil}
	wantRefused(t, d.refresh(r, strong), verify.CodeNetwork, "targets")
	r.instead = nil
	if d.state.Required != nil {
		t.Errorf("required %+v", d.state.Required)
	}
	wantOK(t, d.refresh(r, strong))
	if d.state.Required == nil || d.state.Required.Install.FaultyWitnesses != 1 || d.state.Required.Install.Repository != r.genesis {
		t.Fatalf("required %+v", d.state.Required)
	}
	r.requests = nil
	err := d.refresh(r, weak)
	wantRefused(t, err, verify.CodeDowngrade, "")
	if len(r.requests) != 0 || !strings.Contains(err.Error(), `["w1"]`) {
		t.Errorf("requests %q; %v", r.requests, err)
	}
	for name, change := range map[string]func(*verify.Config){
		"warn":    func(cfg *verify.Config) { cfg.Transparency = verify.Warn },
		"off":     func(cfg *verify.Config) { cfg.Transparency = verify.Off },
		"require": func(cfg *verify.Config) { cfg.Install.Require = []string{"root"} },
	} {
		cfg := r.config()
		change(&cfg)
		t.Log(name)
		other := *d
		wantRefused(t, other.refresh(r, cfg), verify.CodeDowngrade, "")
		other.approve("")
		wantOK(t, other.refresh(r, cfg))
	}
	// A stronger one is in force as soon as a release is accepted under it.
	older := strong
	strong.Install.MinAge = time.Hour
	wantOK(t, d.refresh(r, strong))

	// A run that is refused everything accepts nothing under its policies, though its root is
	// looked at again: other policies are compared with those of before.
	vain := strong
	vain.Install.MinAge, vain.Install.Approval = 3*day, verify.ApproveManual
	r.publish("targets", "snapshot", "timestamp")
	before := d.state.Required.Digest()
	wantRefused(t, d.refresh(r, vain), verify.CodeTooYoung, "targets")
	if d.version("root") != 2 || d.state.Required.Digest() != before {
		t.Errorf("root %d, required %+v", d.version("root"), d.state.Required)
	}
	r.refreshed("targets", epoch.Add(2*time.Hour))
	wantOK(t, d.refresh(r, strong))
	// One that looks at roots alone, and finds all in order, counts.
	other := *d
	other.state.Required = nil
	roots := r.config()
	roots.Install.Require, roots.Install.RootQuarantine = []string{"root"}, day
	wantOK(t, other.refresh(r, roots))
	if other.state.Required == nil || other.state.Required.Install.RootQuarantine != day {
		t.Errorf("required %+v", other.state.Required)
	}
	wantRefused(t, d.refresh(r, older), verify.CodeDowngrade, "")

	// The owner approves of one policy, not of any.
	d.approve("")
	if wait := d.wait(""); wait.Code != verify.CodeDowngrade {
		t.Errorf("waiting %+v", wait)
	}
	wantRefused(t, d.refresh(r, weak), verify.CodeDowngrade, "")
	if len(d.state.Approved) != 0 {
		t.Errorf("approved %+v", d.state.Approved)
	}
	d.approve("")
	wantOK(t, d.refresh(r, weak))
	wantOK(t, d.refresh(r, weak))
	wantOK(t, d.refresh(r, strong))

	// A witness that is away is no downgrade: more than the quorum is never required.
	r.cosignAll = true
	r.publish("targets", "snapshot", "timestamp")
	d = newFakeDevice(t, r.served["root"][0])
	wantOK(t, d.refresh(r, r.config()))
	r.cosignAll = false
	r.publish("targets", "snapshot", "timestamp")
	wantOK(t, d.refresh(r, r.config()))
}
