package verify

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Promise is what a trust policy and an install policy promise together, in sentences, for
// the owner of a device.
type Promise struct {
	Needs    []string `json:"needs"`    // what has to be so before a release is installed
	Against  []string `json:"against"`  // what each attacker can do, and what not
	Warnings []string `json:"warnings"` // what is weak
}

// Explain says what the policies of a configuration promise. The error is that with which
// Refresh would not begin.
func Explain(cfg Config) (Promise, error) {
	if cfg.Policy == nil {
		return Promise{}, errors.New("client: a trust policy is needed: without one nothing is promised")
	}
	cfg.Transparency = Enforce
	faulty, err := cfg.check()
	if err != nil {
		return Promise{}, err
	}
	e := explainer{policy: cfg.Policy, install: cfg.Install, faulty: faulty}
	e.parties()
	e.needs()
	e.against()
	e.warnings()
	return e.promise, nil
}

type explainer struct {
	policy  *proofs.Policy
	install InstallPolicy
	faulty  int

	witnesses []string          // by the names in their keys: keys under one name are one witness
	quorum    int               // how many make the smallest quorum
	known     bool              // whether the numbers below are
	split     int               // how many have to lie for two histories
	blocking  int               // how many have to be away for no quorum
	of        map[string]string // names of witnesses by those in the policy
	audited   bool              // no quorum is met without an auditor
	promise   Promise
}

func (e *explainer) need(format string, args ...any) {
	e.promise.Needs = append(e.promise.Needs, fmt.Sprintf(format, args...))
}

func (e *explainer) threat(format string, args ...any) {
	e.promise.Against = append(e.promise.Against, fmt.Sprintf(format, args...))
}

func (e *explainer) warn(format string, args ...any) {
	e.promise.Warnings = append(e.promise.Warnings, fmt.Sprintf(format, args...))
}

// parties counts witnesses. Two histories can be shown if the witnesses that two quorums
// have in common all lie; and there is no quorum if the others are none.
func (e *explainer) parties() {
	e.audited = e.policy.NeedsAuditor()
	e.of = map[string]string{}
	for _, w := range e.policy.Witnesses {
		e.of[w.Name] = w.Key.Name()
		if !slices.Contains(e.witnesses, w.Key.Name()) {
			e.witnesses = append(e.witnesses, w.Key.Name())
		}
	}
	e.quorum = e.policy.SmallestQuorum()
	n := len(e.witnesses)
	if e.quorum == 0 || n > maxCompared {
		return
	}
	met := func(set int) bool {
		return e.policy.Satisfied(func(witness string) bool {
			return set&(1<<slices.Index(e.witnesses, e.of[witness])) != 0
		}) == nil
	}
	var smallest []int // quorums that are none without any of their members
	e.blocking = n
	for set := range 1 << n {
		if !met(set) {
			e.blocking = min(e.blocking, n-bits.OnesCount(uint(set)))
			continue
		}
		minimal := true
		for i := range n {
			minimal = minimal && (set&(1<<i) == 0 || !met(set&^(1<<i)))
		}
		if minimal {
			smallest = append(smallest, set)
		}
	}
	const most = 4096 // of 16 witnesses any 8 are 12,870
	if len(smallest) > most {
		return
	}
	e.known, e.split = true, n
	for i, a := range smallest {
		for _, b := range smallest[:i+1] {
			e.split = min(e.split, bits.OnesCount(uint(a&b)))
		}
	}
}

func (e *explainer) needs() {
	logs := make([]string, 0, len(e.policy.Logs))
	for _, l := range e.policy.Logs {
		if name := tuf.Clip(l.Key.Name()); !slices.Contains(logs, name) {
			logs = append(logs, name)
		}
	}
	where := "in a log, of which the trust policy lists none, so that nothing can be installed"
	switch len(logs) {
	case 0:
	case 1:
		where = "in log " + logs[0]
	default:
		where = "in one of the logs " + strings.Join(logs, ", ") + ", and then always in that one"
	}
	cosigned := "; no witness has to have seen it there"
	if e.quorum > 0 {
		cosigned = ", and that these witnesses have seen it there: " + e.rule(e.policy.Quorum())
	}
	var classes []string
	for _, class := range []struct{ role, text string }{{tuf.RoleRoot, "the newest root"}, {tuf.RoleTargets, "targets"}, {"", "delegated targets"}} {
		if e.install.requires(class.role) {
			classes = append(classes, class.text)
		}
	}
	e.need("Proofs are needed of %s: that the release is %s%s.", join(classes), where, cosigned)
	if e.audited {
		e.need("An auditor has to have judged every entry of the log, up to the release, and to hold every file: %s. It does so once the release is public, so its proof comes after that of the witnesses. Below, it counts as one of them.", e.rule(proofs.AuditorsGroup))
	}
	if e.install.Repository.IsZero() {
		e.need("The release has to be of the repository of the root that the device was given.")
	} else {
		e.need("The release has to be of repository %v.", e.install.Repository)
	}
	if p := e.install.MinAge; p > 0 {
		e.need("A release of targets has to have been public for %s.", words(p))
	}
	if p := e.install.RootQuarantine; p > 0 {
		e.need("A root that gives somebody new power has to have been public for %s; the device goes on with its own until then.", words(p))
	}
	if e.install.SnapshotHashes {
		e.need("The log has to have been shown a snapshot with the release's hash.")
	}
	e.owner()
	if e.install.NextPolicy != "" {
		e.need("The vendor can replace the trust policy by target %q; one that requires less has to have been public for %s%s.", tuf.Clip(e.install.NextPolicy), words(e.install.RootQuarantine),
			map[bool]string{true: ", and needs its owner's approval"}[e.install.Approval != ApproveAuto])
	}
}

func (e *explainer) owner() {
	p := e.install
	switch p.Approval {
	case ApproveAuto:
		e.need("Nobody is asked.")
		return
	case ApproveAsk:
		e.need("Nothing is installed before its owner has said yes, on the terminal or with updater approve.")
	case ApproveManual:
		e.need("Nothing is installed before its owner has approved of it with updater approve.")
	}
	if p.Postpone > 0 {
		also := ""
		if limit := p.security(); limit < p.Postpone {
			also = fmt.Sprintf("; %s are enough if its vendor calls it urgent", words(limit))
		}
		e.need("An owner who does not answer decides too: a release that has been public for %s is installed without an approval%s. New roots wait on.", words(p.Postpone), also)
	}
}

func (e *explainer) against() {
	p := e.install
	e.threat("A mirror, or whoever controls the network, can keep updates away, and cannot make the device install anything of its own or anything older than it has seen.")
	secret := "cannot have it installed in secret: everyone can see it in the log"
	if p.MinAge > 0 {
		secret += fmt.Sprintf(", for %s before this device installs it", words(p.MinAge))
	}
	if !p.requires(tuf.RoleTargets) || !p.requires("") {
		secret = "can have it installed in secret where no proof is required"
	}
	e.threat("A thief of the vendor's keys, or a vendor who is forced, can have something else signed, and %s.", secret)
	switch {
	case p.RootQuarantine > 0 && p.Approval != ApproveAuto:
		e.threat("A thief of the root's keys can take over the repository after %s, in public, and if the owner approves of the new root.", words(p.RootQuarantine))
	case p.RootQuarantine > 0:
		e.threat("A thief of the root's keys can take over the repository after %s, in public.", words(p.RootQuarantine))
	case p.Approval != ApproveAuto:
		e.threat("A thief of the root's keys can take over the repository if the owner approves of the new root.")
	default:
		e.threat("A thief of the root's keys can take over the repository at once, in public.")
	}
	switch {
	case e.quorum == 0:
		e.threat("The log and the vendor together can show this device a history that nobody else sees.")
	case !e.known:
		e.threat("The log and the vendor together need witnesses that lie to show this device another history; how many is not known: there are too many.")
	case e.split == 0:
		e.threat("The log and the vendor together can show this device a history that others do not see, without one witness that lies: two quorums need have none in common.")
	case e.split == 1:
		e.threat("The log and the vendor together can show this device a history that others do not see, if one witness lies with them.")
	default:
		e.threat("The log and the vendor together can show this device a history that others do not see only if %d witnesses lie with them; with %d they cannot.", e.split, e.split-1)
	}
	if e.audited {
		e.threat("The log cannot have this device accept an entry that breaks the rules of logging, or one whose file it keeps to itself, unless an auditor lies with it.")
	}
	if p.MinAge > 0 || p.RootQuarantine > 0 || p.Postpone > 0 {
		e.threat("About times %s may lie; %s can make a release look older than it is.", count(e.faulty, "witness", "witnesses"), count(e.faulty+1, "witness that lies", "witnesses that lie"))
	}
	if e.known {
		e.threat("Updates go on while %s away; %s can keep them away.", count(e.blocking-1, "witness is", "witnesses are"), count(e.blocking, "witness", "witnesses"))
	}
	e.threat("Nothing here keeps away what everyone can see and nobody objects to.")
}

func (e *explainer) warnings() {
	p, n := e.install, len(e.witnesses)
	switch {
	case len(e.policy.Logs) == 0:
		e.warn("The trust policy lists no log.")
	case len(e.policy.Logs) > 1 && slices.ContainsFunc(e.policy.Logs, func(l proofs.PolicyLog) bool { return l.Key.Name() != e.policy.Logs[0].Key.Name() }):
		e.warn("It lists several logs, which do not know each other's releases: two devices may get different releases of one version. List one.")
	}
	switch {
	case e.quorum == 0:
		e.warn("No witness is required (quorum none): the log alone can show this device anything.")
	case e.known && e.split <= max(1, e.faulty):
		e.warn("%s enough for the log and the vendor to show two histories. Of %d witnesses require more than (%d+f)/2, where f may lie: 4 of 5 or 5 of 7.", count(e.split, "lying witness is", "lying witnesses are"), n, n)
	}
	e.warnAway()
	if e.quorum > 0 && e.faulty == 0 && (p.MinAge > 0 || p.RootQuarantine > 0 || p.Postpone > 0) {
		e.warn("One witness that lies about the time can make a release look old (faulty_witnesses is 0).")
	}
	e.warnOperators()
	for _, class := range []struct{ role, text string }{{tuf.RoleRoot, "roots"}, {tuf.RoleTargets, "targets"}, {"", "delegated roles"}} {
		if !p.requires(class.role) {
			e.warn("No proof is required of %s: who has their keys can have this device install something in secret.", class.text)
		}
	}
	if p.Approval == ApproveAuto && p.MinAge == 0 {
		e.warn("A release is installed as soon as it is public (no min_age): nobody has time to notice a stolen key.")
	}
	if p.Approval == ApproveAuto && p.RootQuarantine == 0 {
		e.warn("A stolen root takes over at once (no root_quarantine).")
	}
	if p.Approval != ApproveAuto && p.Postpone == 0 {
		e.warn("An owner who does not answer keeps urgent releases away without end (no postpone).")
	}
	if p.Postpone > 0 && p.security() <= p.MinAge {
		e.warn("min_age is as long as an owner may wait, or longer: a release is installed as soon as it is old enough, and its owner is never asked in time.")
	}
	if !p.SnapshotHashes {
		e.warn("A vendor whose snapshots do not list hashes, and whose roles share keys, may have two releases of one version (no snapshot_hashes).")
	}
}

// warnAway warns of one witness, and of one auditor, without whom there is no quorum.
func (e *explainer) warnAway() {
	if e.quorum == 0 {
		return
	}
	auditors := e.policy.Auditors()
	var witness, auditor bool
	for _, w := range e.policy.Witnesses {
		name := w.Key.Name()
		if e.policy.CanBeMetWithout(func(other string) bool { return e.of[other] == name }) {
			continue
		}
		if auditors[w.Name] && !auditor {
			auditor = true
			e.warn("No update gets here while auditor %s is away, or has stopped at what it has found. List another one in the group %s, and any.", tuf.Clip(name), proofs.AuditorsGroup)
		}
		if !auditors[w.Name] && !witness {
			witness = true
			e.warn("One witness that is away ends all updates.")
		}
	}
}

// warnOperators warns of witnesses that seem to be one operator's, by their names.
func (e *explainer) warnOperators() {
	host := func(name string) string {
		name, _, _ = strings.Cut(name, "/")
		return strings.ToLower(name)
	}
	by := map[string]int{}
	for _, w := range e.witnesses {
		by[host(w)]++
	}
	for _, l := range e.policy.Logs {
		if n := by[host(l.Key.Name())]; n > 0 {
			e.warn("%s named like the log (%s): a log that is its own witness is none.", count(n, "witness is", "witnesses are"), tuf.Clip(host(l.Key.Name())))
			break
		}
	}
	hosts := make([]string, 0, len(by))
	for h, n := range by {
		if n > 1 {
			hosts = append(hosts, h)
		}
	}
	slices.SortFunc(hosts, func(a, b string) int { return cmp.Or(by[b]-by[a], strings.Compare(a, b)) })
	for _, h := range hosts {
		e.warn("%d witnesses are named %s: are they operated by different people? If not, put them into a group with any.", by[h], tuf.Clip(h))
		break
	}
}

// rule says which members of a group have to cosign.
func (e *explainer) rule(name string) string {
	for _, g := range e.policy.Groups() {
		if g.Name != name {
			continue
		}
		members := make([]string, len(g.Members))
		for i, m := range g.Members {
			members[i] = e.rule(m)
		}
		list := strings.Join(members, ", ")
		switch {
		case len(g.Members) == 1:
			return members[0]
		case g.Want == len(g.Members):
			return fmt.Sprintf("all %d of them (%s)", g.Want, list)
		}
		return fmt.Sprintf("%d of %d (%s)", g.Want, len(g.Members), list)
	}
	return tuf.Clip(name)
}

// count says a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func join(list []string) string {
	if len(list) < 2 {
		return strings.Join(list, "")
	}
	return strings.Join(list[:len(list)-1], ", ") + " and " + list[len(list)-1]
}

// words says a duration: "7 days", "36 hours", "1 day and 30 minutes".
func words(d time.Duration) string {
	var parts []string
	for i, name := range []string{"day", "hour", "minute", "second"} {
		unit := durationUnits[i].value
		if n := int(d / unit); n > 0 && (i > 0 || d%unit == 0 && n > 1 || n > 2) {
			parts = append(parts, count(n, name, name+"s"))
			d %= unit
		}
	}
	return join(parts)
}
