package proofs

import (
	"bytes"
	"slices"
	"strconv"
)

// A PolicyGroup is a group of a policy: it counts as one witness when Want of its
// members do.
type PolicyGroup struct {
	Name    string
	Want    int
	Members []string // names of witnesses, and of groups before it
}

// Groups returns the groups of the policy. Members come before the groups they are in.
func (p *Policy) Groups() []PolicyGroup {
	if p == nil {
		return nil
	}
	groups := make([]PolicyGroup, len(p.groups))
	for i, g := range p.groups {
		groups[i] = PolicyGroup{Name: g.name, Want: g.want}
		for _, m := range g.members {
			groups[i].Members = append(groups[i].Members, m.name)
		}
	}
	return groups
}

// Quorum returns the name of the witness or group that is the quorum; empty for
// "quorum none" and for a policy that accepts nothing.
func (p *Policy) Quorum() string {
	if p == nil || p.quorum.kind != quorumMember {
		return ""
	}
	return p.quorum.member.name
}

// Marshal prints the policy without comments and URLs: logs, witnesses, groups and the
// quorum, each in the policy's order. ParsePolicy reads a policy from it that accepts the
// same checkpoints. Policies that accept nothing have no text: nil.
func (p *Policy) Marshal() []byte {
	if p == nil || p.quorum.kind == quorumUndefined {
		return nil
	}
	var b bytes.Buffer
	line := func(items ...string) {
		for i, item := range items {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(item)
		}
		b.WriteByte('\n')
	}
	for _, l := range p.Logs {
		line("log", l.Key.String())
	}
	for _, w := range p.Witnesses {
		line("witness", w.Name, w.Key.String())
	}
	for _, g := range p.Groups() {
		line(slices.Concat([]string{"group", g.Name, strconv.Itoa(g.Want)}, g.Members)...)
	}
	if name := p.Quorum(); name != "" {
		line("quorum", name)
	} else {
		line("quorum", "none")
	}
	return b.Bytes()
}
