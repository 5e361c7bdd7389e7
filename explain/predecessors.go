package explain

import (
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/tuf"
)

// Release is one release of a role.
type Release struct {
	Metadata *tuf.Metadata
	// Keys are the keys that could sign the role when it was released.
	Keys tuf.KeySet
	// Time is when the release was first seen, such as the time of its first cosignature;
	// zero: not known, and then nothing is said about how long it is valid.
	Time time.Time
}

// Unlike is the kind of a Discontinuity. New kinds may be added; these keep their names and
// meanings.
type Unlike string

// The kinds of discontinuity, in the order in which they are listed.
const (
	NewSigner     Unlike = "new-signer"     // a key that could not sign any release before
	FirstUse      Unlike = "first-use"      // a key that could sign before and never did
	AbsentSigner  Unlike = "absent-signer"  // a key that signed all releases before, at least two
	NewDelegation Unlike = "new-delegation" // to a role to which none before delegated
	ExpiryBack    Unlike = "expiry-back"    // it expires before the release before it
	ExpiryHabit   Unlike = "expiry-habit"   // it is valid for longer, or shorter, than all before
	SizeHabit     Unlike = "size"           // it is larger, or smaller, than all before
)

// Discontinuity is one way in which a release is unlike all releases of its role before.
type Discontinuity struct {
	Kind Unlike `json:"kind"`
	Name string `json:"name,omitempty"` // of a key or a role
	Text string `json:"text"`           // a sentence
}

// Habits: a release is out of line if there are this many before it and it exceeds the
// largest of them, or falls below the smallest, by this factor.
const (
	habit      = 3
	sizeFactor = 2
	lifeFactor = 1.25
)

// MaxNames is how many keys and delegated roles of a history Predecessors keeps, each; later
// ones are not called new.
const MaxNames = 100_000

// maxDiscontinuities is how many of one kind a release is given.
const maxDiscontinuities = 100

// Predecessors keeps what all releases of a role so far had. The zero value has none.
type Predecessors struct {
	releases int
	last     *tuf.Metadata
	known    map[tuf.KeyIdentity]bool // keys that could sign; true: and did
	always   map[tuf.KeyIdentity]string
	roles    map[string]bool
	sizes    span
	lives    span
}

// span is the smallest and the largest of some numbers.
type span struct {
	n        int
	min, max int64
}

func (s *span) add(v int64) {
	if s.n == 0 {
		s.min, s.max = v, v
	}
	s.n++
	s.min, s.max = min(s.min, v), max(s.max, v)
}

// out reports whether a number is above or below all so far by a factor.
func (s span) out(v int64, factor float64) (how string) {
	switch {
	case s.n < habit:
	case float64(v) > float64(s.max)*factor:
		return "more"
	case float64(v)*factor < float64(s.min):
		return "less"
	}
	return ""
}

// Next returns what is unlike all releases given before, and adds the release to them. The
// first release is unlike nothing. Signatures are checked: a key is a signer if its
// signature is valid.
func (p *Predecessors) Next(r Release) []Discontinuity {
	if p.known == nil {
		p.known, p.roles = map[tuf.KeyIdentity]bool{}, map[string]bool{}
	}
	found := p.signers(r)
	found = append(found, p.delegations(r.Metadata)...)
	found = append(found, p.expiry(r)...)
	size := int64(len(r.Metadata.File))
	if how := p.sizes.out(size, sizeFactor); how != "" {
		found = append(found, Discontinuity{Kind: SizeHabit, Text: fmt.Sprintf("The file has %d bytes; the %d before it had %s.", size, p.releases, between(p.sizes))})
	}
	p.sizes.add(size)
	p.releases++
	p.last = r.Metadata
	return found
}

func between(s span) string {
	if s.min == s.max {
		return fmt.Sprint(s.min)
	}
	return fmt.Sprintf("%d to %d", s.min, s.max)
}

func (p *Predecessors) signers(r Release) (found []Discontinuity) {
	signers := r.Metadata.Signers(r.Keys)
	var ids []string
	for _, key := range r.Keys.Identities() {
		ids = append(ids, r.Keys.IDs(key)...)
	}
	short := keyNames(ids)
	count := map[Unlike]int{}
	add := func(kind Unlike, id, format string, args ...any) {
		if count[kind]++; count[kind] <= maxDiscontinuities {
			found = append(found, Discontinuity{kind, id, fmt.Sprintf(format, args...)})
		}
	}
	for _, key := range signers {
		id := r.Keys.IDs(key)[0]
		used, known := p.known[key]
		switch {
		case p.releases == 0 || used || len(p.known) >= MaxNames:
		case known:
			add(FirstUse, id, "Key %s signed for the first time; it could before.", short(id))
		default:
			add(NewSigner, id, "Key %s signed, which could not sign any release before.", short(id))
		}
	}
	slices.SortStableFunc(found, func(a, b Discontinuity) int { // new-signer before first-use
		return order(a.Kind) - order(b.Kind)
	})
	p.absent(r.Keys, signers, add)
	p.remember(r.Keys, signers)
	return found
}

func order(kind Unlike) int {
	if kind == NewSigner {
		return 0
	}
	return 1
}

// absent adds the keys that signed all releases until now.
func (p *Predecessors) absent(ks tuf.KeySet, signers []tuf.KeyIdentity, add func(Unlike, string, string, ...any)) {
	if p.releases == 0 {
		p.always = map[tuf.KeyIdentity]string{}
		for _, key := range signers {
			p.always[key] = ks.IDs(key)[0]
		}
		return
	}
	var gone []tuf.KeyIdentity
	for key := range p.always {
		if !slices.Contains(signers, key) {
			gone = append(gone, key)
		}
	}
	slices.SortFunc(gone, func(a, b tuf.KeyIdentity) int { return slices.Compare(a[:], b[:]) })
	for _, key := range gone {
		id := p.always[key]
		delete(p.always, key)
		if p.releases < 2 {
			continue
		}
		may := "It no longer could."
		if ids := ks.IDs(key); len(ids) > 0 {
			id, may = ids[0], "It still could."
		}
		add(AbsentSigner, id, "Key %s, which signed all %d releases before, did not. %s", keyName(id), p.releases, may)
	}
}

func (p *Predecessors) remember(ks tuf.KeySet, signers []tuf.KeyIdentity) {
	for _, key := range ks.Identities() {
		if _, ok := p.known[key]; !ok && len(p.known) < MaxNames {
			p.known[key] = false
		}
	}
	for _, key := range signers {
		if _, ok := p.known[key]; ok {
			p.known[key] = true
		}
	}
}

func (p *Predecessors) delegations(m *tuf.Metadata) (found []Discontinuity) {
	if m.Targets == nil || m.Targets.Delegations == nil {
		return nil
	}
	names, bins := []string{}, m.Targets.Delegations.Succinct
	for _, role := range m.Targets.Delegations.Roles {
		names = append(names, role.Name)
	}
	if bins != nil {
		names = append(names, bins.NamePrefix+"-*")
	}
	for _, role := range names {
		if p.roles[role] || len(p.roles) >= MaxNames {
			continue
		}
		p.roles[role] = true
		if p.releases > 0 && len(found) < maxDiscontinuities {
			found = append(found, Discontinuity{NewDelegation, role, fmt.Sprintf("It delegates to %s, to which no release before it did.", tuf.Word(role))})
		}
	}
	return found
}

func (p *Predecessors) expiry(r Release) (found []Discontinuity) {
	if r.Metadata.Expiry() == 0 {
		return nil
	}
	if p.last != nil && r.Metadata.Expires.Before(p.last.Expires) {
		found = append(found, Discontinuity{Kind: ExpiryBack, Text: fmt.Sprintf("It expires %s than the release before it.", moved(p.last.Expires, r.Metadata.Expires))})
	}
	if r.Time.IsZero() {
		return found
	}
	life := int64(r.Metadata.Expires.Sub(r.Time) / time.Hour)
	if how := p.lives.out(life, lifeFactor); how != "" {
		found = append(found, Discontinuity{Kind: ExpiryHabit, Text: fmt.Sprintf("It is valid for %d hours; the %d before it were valid for %s.", life, p.lives.n, between(p.lives))})
	}
	p.lives.add(life)
	return found
}
