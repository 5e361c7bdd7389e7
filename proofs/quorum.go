package proofs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tuflog/tuflog/proofs/internal/strict"
)

// A group counts as a witness when want of its members do.
type group struct {
	name    string
	want    int
	members []member
}

// A member is a witness, by name, or a group.
type member struct {
	name  string
	group int // index in Policy.groups, -1 for a witness
}

type quorumKind int

const (
	quorumUndefined quorumKind = iota // no policy: nothing suffices
	quorumNone                        // "quorum none": no cosignature is needed
	quorumMember
)

type quorum struct {
	kind   quorumKind
	member member
}

// A QuorumError lists the groups of a policy that lack cosignatures, and the
// members that are missing.
type QuorumError struct {
	Quorum string       // name of the quorum; empty if the policy has none
	Short  []ShortGroup // from the quorum downwards
	// Auditors are those of Policy.Auditors that have not cosigned, by their names in the
	// policy, if there is no quorum without auditors and they are all that is missing.
	Auditors []string
}

// A ShortGroup is a group of a policy with fewer members than it needs.
type ShortGroup struct {
	Group   string // empty if the quorum is a single witness
	Have    int    // members, witnesses or groups, that have cosigned
	Want    int
	Missing []string // members that have not
}

func (e *QuorumError) Error() string {
	if e.Quorum == "" {
		return "policy without a quorum accepts nothing"
	}
	var parts []string
	for _, s := range e.Short {
		names := make([]string, len(s.Missing))
		for i, name := range s.Missing {
			names[i] = strict.Printable(name)
		}
		missing := "missing " + strings.Join(names, ", ")
		if s.Group != "" {
			missing = fmt.Sprintf("group %q has %d of %d (%s)", s.Group, s.Have, s.Want, missing)
		}
		parts = append(parts, missing)
	}
	msg := fmt.Sprintf("quorum %q short: %s", e.Quorum, strings.Join(parts, "; "))
	if len(e.Auditors) > 0 {
		msg += ". Enough witnesses have cosigned it: the cosignature of an auditor is missing"
	}
	return msg
}

// Satisfied reports whether the witnesses for which have returns true are a
// quorum: nil, or a *QuorumError. It calls have with names of the policy, with
// some more than once.
func (p *Policy) Satisfied(have func(witness string) bool) error {
	err := p.satisfied(have)
	if err == nil {
		return nil
	}
	if auditors := p.Auditors(); p.NeedsAuditor() && p.satisfied(func(name string) bool { return have(name) || auditors[name] }) == nil {
		for _, w := range p.Witnesses {
			if auditors[w.Name] && !have(w.Name) {
				err.Auditors = append(err.Auditors, w.Name)
			}
		}
	}
	return err
}

func (p *Policy) satisfied(have func(witness string) bool) *QuorumError {
	if p == nil || p.quorum.kind == quorumUndefined {
		return &QuorumError{}
	}
	if p.quorum.kind == quorumNone {
		return nil
	}
	c := count{policy: p, have: have, members: make([]int, len(p.groups))}
	// Members stand before their groups, so one pass from the front counts
	// nested groups without recursion.
	for i, g := range p.groups {
		for _, m := range g.members {
			if c.met(m) {
				c.members[i]++
			}
		}
	}
	q := p.quorum.member
	if c.met(q) {
		return nil
	}
	if q.group < 0 {
		return &QuorumError{Quorum: q.name, Short: []ShortGroup{{Want: 1, Missing: []string{q.name}}}}
	}
	return &QuorumError{Quorum: q.name, Short: c.short(q.group, nil)}
}

// CanBeMetWithout reports whether the witnesses for which missing returns false, by their
// names in the policy, are a quorum, when all of them cosign.
func (p *Policy) CanBeMetWithout(missing func(witness string) bool) bool {
	return p.satisfied(func(name string) bool { return !missing(name) }) == nil
}

// AuditorsGroup is the name of the group of a policy whose members are auditors: they
// cosign the checkpoints that they have audited, so later than witnesses, and only once a
// checkpoint is published. What a policy accepts does not depend on a name.
const AuditorsGroup = "auditors"

// Auditors returns the names of the witnesses that are in the group AuditorsGroup, or in
// groups of it; none if the policy does not have it.
func (p *Policy) Auditors() map[string]bool {
	if p == nil {
		return nil
	}
	for i, g := range p.groups {
		if g.name == AuditorsGroup {
			names := map[string]bool{}
			p.within(i, names)
			return names
		}
	}
	return nil
}

// NeedsAuditor reports whether the quorum cannot be met without one of the Auditors.
func (p *Policy) NeedsAuditor() bool {
	auditors := p.Auditors()
	return len(auditors) > 0 && !p.CanBeMetWithout(func(name string) bool { return auditors[name] })
}

// within adds the witnesses of a group. Groups have only groups before them as members.
func (p *Policy) within(group int, names map[string]bool) {
	for _, m := range p.groups[group].members {
		if m.group < 0 {
			names[m.name] = true
		} else {
			p.within(m.group, names)
		}
	}
}

// BeforeAudit returns the policy that is met where p will be once all of p's auditors have
// cosigned: for proofs that nobody accepts yet, and that are to be replaced. It is p itself
// without auditors.
func (p *Policy) BeforeAudit() *Policy {
	auditors := p.Auditors()
	if len(auditors) == 0 {
		return p
	}
	before := &Policy{Logs: slices.Clone(p.Logs), Witnesses: slices.Clone(p.Witnesses), quorum: p.quorum}
	met, index := make([]bool, len(p.groups)), make([]int, len(p.groups))
	// without returns what is left of a member; false: nothing, it is met.
	without := func(m member) (member, bool) {
		if m.group < 0 {
			return m, !auditors[m.name]
		}
		return member{name: m.name, group: index[m.group]}, !met[m.group]
	}
	for i, g := range p.groups { // members stand before their groups
		left := group{name: g.name, want: g.want}
		for _, m := range g.members {
			if m, ok := without(m); ok {
				left.members = append(left.members, m)
			} else {
				left.want--
			}
		}
		if met[i] = left.want <= 0; !met[i] {
			index[i] = len(before.groups)
			before.groups = append(before.groups, left)
		}
	}
	if p.quorum.kind == quorumMember {
		m, ok := without(p.quorum.member)
		if before.quorum.member = m; !ok {
			before.quorum = quorum{kind: quorumNone}
		}
	}
	return before
}

// SmallestQuorum returns the smallest number of witnesses that is a quorum.
// Witnesses are distinguished by the names in their keys: keys under one name are
// one witness. It is 0 for "quorum none" and for a policy that accepts nothing.
// Where members of a group share witnesses with each other it may be too large,
// never too small for a policy in which the keys of each witness are in one group.
func (p *Policy) SmallestQuorum() int {
	if p == nil || p.quorum.kind != quorumMember {
		return 0
	}
	names := make(map[string]string, len(p.Witnesses))
	for _, w := range p.Witnesses {
		names[w.Name] = w.Key.name
	}
	smallest := make([]map[string]bool, len(p.groups)) // witnesses that are enough, by group
	of := func(m member) map[string]bool {
		if m.group < 0 {
			return map[string]bool{names[m.name]: true}
		}
		return smallest[m.group]
	}
	for i, g := range p.groups { // members stand before their groups
		left := make([]map[string]bool, len(g.members))
		for j, m := range g.members {
			left[j] = of(m)
		}
		chosen := map[string]bool{}
		for range g.want {
			next := 0 // the member that needs the fewest witnesses beyond those chosen
			for j := range left {
				if missing(left[j], chosen) < missing(left[next], chosen) {
					next = j
				}
			}
			maps.Copy(chosen, left[next])
			left = slices.Delete(left, next, next+1)
		}
		smallest[i] = chosen
	}
	return len(of(p.quorum.member))
}

// missing returns how many of want are not in have.
func missing(want, have map[string]bool) int {
	n := 0
	for name := range want {
		if !have[name] {
			n++
		}
	}
	return n
}

// A count holds who cosigned, for Policy.Satisfied.
type count struct {
	policy  *Policy
	have    func(witness string) bool
	members []int // met, by group
}

func (c *count) met(m member) bool {
	if m.group < 0 {
		return c.have(m.name)
	}
	return c.members[m.group] >= c.policy.groups[m.group].want
}

// short appends the groups that fall short, from the given one downwards. It
// leaves out a group that needs all of its missing members when they are all
// groups, because those say it better.
func (c *count) short(index int, list []ShortGroup) []ShortGroup {
	g := c.policy.groups[index]
	s := ShortGroup{Group: g.name, Have: c.members[index], Want: g.want}
	witnesses := false
	for _, m := range g.members {
		if !c.met(m) {
			s.Missing = append(s.Missing, m.name)
			witnesses = witnesses || m.group < 0
		}
	}
	if witnesses || s.Have+len(s.Missing) > s.Want {
		list = append(list, s)
	}
	for _, m := range g.members {
		if m.group >= 0 && !c.met(m) {
			list = c.short(m.group, list)
		}
	}
	return list
}
