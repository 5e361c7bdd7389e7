package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Requirements are what a release needs before a device accepts it: a trust policy and an
// install policy together. The zero value requires nothing.
type Requirements struct {
	// Policy is the trust policy as [proofs.Policy.Marshal] prints it; nil: no proof is
	// required.
	Policy []byte
	// Install is the install policy, with the number of faulty witnesses and the repository
	// that it stands for.
	Install InstallPolicy
}

// requirementsOf returns what a configuration requires, of a device that follows a
// repository, with so many faulty witnesses.
func requirementsOf(cfg Config, repository tuf.Digest, faulty int) Requirements {
	if cfg.Transparency != Enforce {
		return Requirements{}
	}
	r := Requirements{Policy: cfg.Policy.Marshal(), Install: cfg.Install}
	r.Install.Repository, r.Install.FaultyWitnesses = repository, faulty
	return r
}

// Digest identifies the requirements.
func (r Requirements) Digest() tuf.Digest {
	return tuf.Sum(fmt.Appendf(nil, "%d\n%s%s", len(r.Policy), r.Policy, r.Install.Marshal()))
}

func (r Requirements) equal(s Requirements) bool { return r.Digest() == s.Digest() }

// weakerThan says, in words, in which ways r requires less than before; nil: everything
// that r accepts is accepted under before. What cannot be compared counts as less.
//
// A device's own memory is not compared: of versions, payloads and the time floor.
func (r Requirements) weakerThan(before Requirements) (ways []string) {
	if before.Policy == nil || r.equal(before) {
		return nil
	}
	if r.Policy == nil {
		return []string{"proofs are no longer required"}
	}
	now, err := proofs.ParsePolicy(r.Policy)
	was, err2 := proofs.ParsePolicy(before.Policy)
	if err := errors.Join(err, err2); err != nil {
		return []string{"the trust policies cannot be compared: " + err.Error()}
	}
	ways = weakerTrust(now, was)
	ways = append(ways, weakerTimes(now, was, r.Install, before.Install)...)
	return append(ways, weakerInstall(r.Install, before.Install)...)
}

// weakerTrust compares the checkpoints that two trust policies accept: sets of signatures,
// one of a log and those of a quorum.
func weakerTrust(now, was *proofs.Policy) (ways []string) {
	known := map[string]bool{}
	for _, l := range was.Logs {
		known[l.Key.String()] = true
	}
	for _, l := range now.Logs {
		if key := l.Key.String(); !known[key] {
			ways = append(ways, fmt.Sprintf("log %s is trusted by another key: %s", tuf.Clip(l.Key.Name()), key))
		}
	}
	switch enough, met, err := weakQuorum(now, was); {
	case err != nil:
		ways = append(ways, err.Error())
	case met && len(enough) == 0:
		ways = append(ways, "no witness is required")
	case met:
		ways = append(ways, fmt.Sprintf("witnesses that were not enough are: %s", tuf.Clip(fmt.Sprintf("%q", enough))))
	}
	return ways
}

// maxCompared is how many witnesses a policy may have for all their sets to be looked at.
const maxCompared = 16

// weakQuorum looks for witnesses that are a quorum of the policy now and were none before,
// by their keys. The error says that it cannot tell.
func weakQuorum(now, was *proofs.Policy) (enough []string, found bool, err error) {
	keys := map[string]string{} // of the witnesses before
	for _, w := range was.Witnesses {
		keys[w.Name] = w.Key.String()
	}
	if sameQuorum(now, was) {
		return nil, false, nil
	}
	// A witness that is in no quorum's way changes nothing.
	n := len(now.Witnesses)
	if n > maxCompared {
		return nil, false, fmt.Errorf("the quorums cannot be compared: %d witnesses, more than %d, under another rule", n, maxCompared)
	}
	best := -1
	for set := range 1 << n {
		if best >= 0 && bits.OnesCount(uint(set)) >= bits.OnesCount(uint(best)) {
			continue
		}
		have := func(witness string) bool {
			i := slices.IndexFunc(now.Witnesses, func(w proofs.PolicyWitness) bool { return w.Name == witness })
			return set&(1<<i) != 0
		}
		if now.Satisfied(have) != nil {
			continue
		}
		signed := map[string]bool{}
		for i, w := range now.Witnesses {
			if set&(1<<i) != 0 {
				signed[w.Key.String()] = true
			}
		}
		if was.Satisfied(func(witness string) bool { return signed[keys[witness]] }) != nil {
			best = set
		}
	}
	if best < 0 {
		return nil, false, nil
	}
	for i, w := range now.Witnesses {
		if best&(1<<i) != 0 {
			enough = append(enough, w.Name)
		}
	}
	return enough, true, nil
}

// sameQuorum reports whether two policies have the same witnesses and the same rule.
func sameQuorum(a, b *proofs.Policy) bool {
	rule := func(p *proofs.Policy) []byte {
		text := p.Marshal()
		for bytes.HasPrefix(text, []byte("log ")) {
			text = text[bytes.IndexByte(text, '\n')+1:]
		}
		return text
	}
	return bytes.Equal(rule(a), rule(b))
}

// weakerTimes compares what it takes to make a release look older than it is: more faulty
// witnesses than f. Each witness that has other keys than before might be one; of several
// keys of a witness the latest time counts, so that a key less may change it too.
func weakerTimes(now, was *proofs.Policy, p, before InstallPolicy) []string {
	if before.MinAge == 0 && before.RootQuarantine == 0 && before.Postpone == 0 {
		return nil
	}
	known, other := keysByName(was), 0
	for name, keys := range keysByName(now) {
		if !slices.Equal(keys, known[name]) {
			other++
		}
	}
	if want := before.FaultyWitnesses + other; p.FaultyWitnesses < want {
		if other > 0 {
			return []string{fmt.Sprintf("%s may say how old a release is: \"faulty_witnesses\" is %d, and would have to be %d",
				count(other, "witness with other keys than before", "witnesses with other keys than before"), p.FaultyWitnesses, want)}
		}
		return []string{fmt.Sprintf("%s can make a release look old, and before it took %d", count(p.FaultyWitnesses+1, "witness", "witnesses"), before.FaultyWitnesses+1)}
	}
	return nil
}

// keysByName returns the keys of each witness.
func keysByName(p *proofs.Policy) map[string][]string {
	keys := map[string][]string{}
	for _, w := range p.Witnesses {
		keys[w.Key.Name()] = append(keys[w.Key.Name()], w.Key.String())
	}
	for _, list := range keys {
		slices.Sort(list)
	}
	return keys
}

// weakerInstall compares install policies, except for the number of faulty witnesses.
func weakerInstall(p, before InstallPolicy) (ways []string) {
	weaker := func(format string, args ...any) { ways = append(ways, fmt.Sprintf(format, args...)) }
	if p.Repository != before.Repository {
		weaker("proofs are about repository %v, and were about %v", p.Repository, before.Repository)
	}
	for _, class := range []struct{ name, role string }{{requireRoot, tuf.RoleRoot}, {requireTargets, tuf.RoleTargets}, {requireDelegated, ""}} {
		if before.requires(class.role) && !p.requires(class.role) {
			weaker("no proof is required of %s", class.name)
		}
		// Without a proof they had no age, and waited for their owner forever.
		if class.role != tuf.RoleRoot && !before.requires(class.role) && p.requires(class.role) &&
			before.Approval != ApproveAuto && p.Approval != ApproveAuto && p.Postpone > 0 {
			weaker("the owner's approval of %s is required only for %s", class.name, printDuration(p.Postpone))
		}
	}
	shorter := func(field string, now, was time.Duration) {
		if now < was {
			weaker("%q is %s, and was %s", field, orNone(now), orNone(was))
		}
	}
	shorter("min_age", p.MinAge, before.MinAge)
	shorter("root_quarantine", p.RootQuarantine, before.RootQuarantine)
	if before.SnapshotHashes && !p.SnapshotHashes {
		weaker("hashes in snapshots are no longer required")
	}
	if before.Approval != ApproveAuto {
		if p.Approval == ApproveAuto {
			weaker("the owner's approval is no longer required")
		}
		shorter("postpone", orForever(p.Postpone), orForever(before.Postpone))
		shorter("postpone_security", orForever(p.security()), orForever(before.security()))
	}
	if p.NextPolicy != "" && p.NextPolicy != before.NextPolicy {
		weaker("target %q may be the next trust policy", tuf.Clip(p.NextPolicy))
	}
	return ways
}

// security is how long a release that is marked may wait for its owner; 0: forever.
func (p InstallPolicy) security() time.Duration {
	if p.PostponeSecurity > 0 {
		return min(p.Postpone, p.PostponeSecurity)
	}
	return p.Postpone
}

const forever = time.Duration(1<<63 - 1)

// orForever makes of a zero that stands for no end a duration that is longer than others.
func orForever(d time.Duration) time.Duration {
	if d == 0 {
		return forever
	}
	return d
}

func orNone(d time.Duration) string {
	switch d {
	case 0:
		return "none"
	case forever:
		return "without end"
	}
	return printDuration(d)
}

// Less says, in words, in which ways a configuration requires less than what the device has
// accepted releases under: an update by it needs the owner's approval. Empty: it does not, or
// has it.
func (s State) Less(cfg Config) (string, error) {
	c := &Client{cfg: cfg, state: s}
	if err := c.configure(); err != nil || s.Required == nil || c.approved("", c.requirements.Digest()) {
		return "", err
	}
	return joinWays(c.requirements.weakerThan(*s.Required)), nil
}

// checkDowngrade refuses policies that require less than those under which releases were
// accepted, unless the owner has approved of them.
func (c *Client) checkDowngrade() error {
	if c.state.Required == nil {
		return nil
	}
	ways := c.requirements.weakerThan(*c.state.Required)
	id := c.requirements.Digest()
	if len(ways) == 0 {
		return nil
	}
	if c.approved("", id) {
		c.requires()
		return nil
	}
	w := Waiting{Payload: id, Code: CodeDowngrade, Detail: joinWays(ways)}
	c.noteWaiting(w)
	return refusal(CodeDowngrade, "", nil, "the policies require less than those under which this device has accepted releases: %s; policy %s", joinWays(ways), w.ID())
}

// requires makes the present policies those that others are compared with, unless others
// have been adopted. Approval of others ends.
func (c *Client) requires() {
	if c.adopted {
		return
	}
	if c.state.Adopted != nil && c.state.Adopted.For != c.configured {
		c.state.Adopted = nil
	}
	s := &c.state
	s.Waiting = slices.DeleteFunc(s.Waiting, func(w Waiting) bool { return w.Role == "" && w.Code == CodeDowngrade })
	s.Approved = slices.DeleteFunc(s.Approved, func(a Approved) bool {
		return a.Role == "" && !slices.ContainsFunc(s.Waiting, func(w Waiting) bool { return w.Role == "" && w.Payload == a.Payload })
	})
	s.Required = nil
	if c.requirements.Policy != nil {
		r := c.requirements
		s.Required = &r
	}
}

func joinWays(ways []string) string {
	const most = 5
	text := ""
	for i, way := range ways {
		if i == most {
			return text + fmt.Sprintf("; and %d more", len(ways)-most)
		}
		if i > 0 {
			text += "; "
		}
		text += way
	}
	return text
}

// The JSON form of requirements, in a state.
type requirementsJSON struct {
	Policy  []byte          `json:"policy"` // base64: names in it are bytes
	Install json.RawMessage `json:"install"`
}

func (r Requirements) json() *requirementsJSON {
	return &requirementsJSON{Policy: r.Policy, Install: r.Install.Marshal()}
}

func readRequirements(value []byte) (*Requirements, error) {
	r := new(Requirements)
	err := readObject(value, func(name string, value []byte) (err error) {
		switch name {
		case "policy":
			r.Policy, err = readPolicy(value)
		case "install":
			r.Install, err = readInstallPolicy(value) // an earlier version may have let more pass
		default:
			err = errors.New("unknown field")
		}
		return err
	})
	if err == nil && (r.Policy == nil || r.Install.Repository.IsZero() || r.Install.FaultyWitnesses < 0) {
		err = errors.New("no policy, no repository or no number of faulty witnesses")
	}
	return r, err
}

// readPolicy reads a trust policy in its one spelling.
func readPolicy(value []byte) ([]byte, error) {
	var text []byte
	if len(value) == 0 || value[0] != '"' || json.Unmarshal(value, &text) != nil {
		return nil, errors.New("want a trust policy in base64")
	}
	p, err := proofs.ParsePolicy(text)
	if err == nil && !bytes.Equal(p.Marshal(), text) {
		err = errors.New("not as it is printed")
	}
	return text, err
}
