package drop

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/verify"
)

// release judges metadata with the proof beside it.
func (j *judge) release(m *dropped) {
	item := Item{Name: m.Name, What: "release"}
	switch kind := m.metadata.Type; {
	case m.proof != nil:
	case kind == tuf.RoleSnapshot || kind == tuf.RoleTimestamp:
		item.What, item.Outcome = kind, Unproved
		item.Text = fmt.Sprintf("%s version %d: files of this kind have no proof of their own, and are checked together with all others of a repository", kind, m.metadata.Version)
		j.add(item)
		return
	case j.newerHasProof(m):
		item.Outcome, item.Aside = Unproved, true
		item.Text = fmt.Sprintf("version %d of role %s comes without a proof, and a newer one is here that has one", m.metadata.Version, tuf.Word(roleOfName(m)))
		j.add(item)
		return
	case m.metadata.PayloadDigest == j.repository && kind == tuf.RoleRoot:
		item.Outcome = Proved
		item.Text = fmt.Sprintf("the first root of repository %s, which is named by it", j.repository)
		j.add(item)
		return
	default:
		// A device knows the role; here a file without a proof has only its name.
		m.fault = &verify.Refusal{Code: verify.CodeNotLogged, Detail: fmt.Sprintf("%s version %d comes without a proof that it is logged: the file %s belongs beside it", kind, m.metadata.Version, m.Name+verify.SidecarSuffix)}
		j.doubtful = append(j.doubtful, m)
		return
	}
	logged, err := j.check(m, m.proof)
	if err == nil && m.latest != nil {
		var newer *verify.Logged
		if newer, err = j.check(m, m.latest); err == nil && !logged.SameEntry(newer) {
			err = &verify.Refusal{Code: verify.CodeBadProof, Detail: "the newer proof beside it is of another entry"}
		} else if err == nil && newer.Newer(logged) {
			logged = newer
		}
	}
	if err != nil {
		j.add(refusedItem(m.Name, "release", err))
		return
	}
	m.logged = logged
	item.Outcome, item.Release = Proved, j.shown(logged)
	item.Text = logText(logged)
	item.Signed = j.signed(logged.Leaf, m.metadata)
	if named := roleOfName(m); named != logged.Leaf.Role {
		item.Notes = append(item.Notes, fmt.Sprintf("The file's name says role %s, the log says %s.", tuf.Word(named), tuf.Word(logged.Leaf.Role)))
	}
	switch {
	case j.now.Before(m.metadata.Expires):
		item.Notes = append(item.Notes, fmt.Sprintf("It expires at %s.", stamp(m.metadata.Expires)))
	case j.folder != nil || j.newerHasProof(m):
		// A device judges the ones that count, and older ones have all expired some day.
		item.Notes = append(item.Notes, fmt.Sprintf("It expired at %s.", stamp(m.metadata.Expires)))
	default:
		item.Outcome, item.Code = Refused, string(verify.CodeExpired)
		item.Text = fmt.Sprintf("it expired at %s, so that a device installs nothing from it; %s", stamp(m.metadata.Expires), item.Text)
	}
	j.add(item)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// newerHasProof reports whether a newer file of the role lies there with a proof: a vendor's
// older ones may have come before the log.
func (j *judge) newerHasProof(m *dropped) bool {
	return slices.ContainsFunc(j.metadata, func(o *dropped) bool {
		return o.proof != nil && o.metadata.Type == m.metadata.Type && o.metadata.Version > m.metadata.Version && roleOfName(o) == roleOfName(m)
	})
}

// roleOfName returns the role that a file's name states: N.ROLE.json or ROLE.json.
func roleOfName(m *dropped) string {
	name := strings.TrimSuffix(m.base(), ".json")
	if digits, rest, ok := strings.Cut(name, "."); ok {
		if _, err := proofs.ParseDecimal(digits); err == nil {
			name = rest
		}
	}
	if role, ok := tuf.UnescapeRole(name); ok {
		return role
	}
	return name
}

// check checks a proof beside metadata. Which role it is of is known from the leaf alone,
// which the log has signed, and the repository too where none must be; all else must be as the
// metadata has it.
func (j *judge) check(m, proof *dropped) (*verify.Logged, error) {
	claim := verify.ClaimFor(j.repository, m.metadata.Type, m.metadata)
	if parsed, err := proofs.ParseProof(proof.Content); err == nil {
		if entry, err := leaf.Parse(parsed.Extra); err == nil {
			claim.Role = entry.Role
			if j.repository.IsZero() {
				claim.Repository = entry.Repository
			}
		}
	}
	if kind := m.metadata.Type; kind != tuf.TypeOf(claim.Role) {
		return nil, &verify.Refusal{Code: verify.CodeBadProof, Detail: fmt.Sprintf("the proof is about role %s, and the file is %s metadata", tuf.Word(claim.Role), kind)}
	}
	return verify.CheckSidecar(proof.Content, claim, j.policy)
}

// lone judges a proof without the file that it is about.
func (j *judge) lone(p *dropped) {
	parsed, err := proofs.ParseProof(p.Content)
	var entry leaf.Leaf
	if err == nil {
		entry, err = leaf.Parse(parsed.Extra)
	}
	if err != nil {
		p.fault = &verify.Refusal{Code: verify.CodeBadProof, Detail: "the proof cannot be read", Err: err}
		j.doubtful = append(j.doubtful, p)
		return
	}
	repository := j.repository
	if repository.IsZero() {
		repository = entry.Repository
	}
	logged, err := verify.CheckSidecar(p.Content, verify.Claim{Repository: repository, Role: entry.Role, Version: entry.Version, Payload: entry.Payload, Encoding: entry.Encoding}, j.policy)
	if err != nil {
		j.add(refusedItem(p.Name, "proof", err))
		return
	}
	j.add(Item{Name: p.Name, What: "proof", Outcome: Unproved, Release: j.shown(logged), Aside: j.client != nil,
		Text: fmt.Sprintf("the proof is right, and the file that it is about is not here: %s", logText(logged))})
}

// logText says what a proof has shown.
func logText(l *verify.Logged) string {
	return fmt.Sprintf("version %d of role %s of repository %s is entry %d of log %s, and %s", l.Leaf.Version, tuf.Word(l.Leaf.Role), l.Leaf.Repository, l.Index, tuf.Word(l.Checkpoint.Origin), seenBy(len(l.Checkpoint.Cosignatures)))
}

func seenBy(witnesses int) string {
	switch witnesses {
	case 0:
		return "no witness of the policy has cosigned that"
	case 1:
		return "1 witness has cosigned that"
	}
	return fmt.Sprintf("%d witnesses have cosigned that", witnesses)
}

func (j *judge) shown(l *verify.Logged) *Logged {
	shown := &Logged{
		Repository: l.Leaf.Repository.String(), Role: l.Leaf.Role, Version: l.Leaf.Version,
		Log: l.Checkpoint.Origin, Index: l.Index, Size: l.Checkpoint.Tree.N, Witnesses: []Witness{}, Quorum: j.policy.SmallestQuorum(),
	}
	if at := l.Cosigned(); !at.IsZero() {
		shown.Cosigned = stamp(at)
	}
	for _, c := range l.Checkpoint.Cosignatures {
		w := Witness{Name: c.Witness, Key: c.Key.Name()}
		if c.Time > 0 {
			w.Time = stamp(time.Unix(c.Time, 0))
		}
		shown.Witnesses = append(shown.Witnesses, w)
	}
	return shown
}

// signed says who signed a release: by the roots that are here and are proved to be of its
// repository, the newest one first whose keys suffice.
func (j *judge) signed(l leaf.Leaf, m *tuf.Metadata) string {
	var roots []*tuf.Metadata
	for _, r := range j.metadata {
		// The first root of a repository is known by the repository's name.
		if r.metadata.Root != nil && (r.logged != nil && r.logged.Leaf.Repository == l.Repository || r.metadata.PayloadDigest == l.Repository) {
			roots = append(roots, r.metadata)
		}
	}
	if m.Root != nil {
		roots = append(roots, m)
	}
	slices.SortFunc(roots, func(a, b *tuf.Metadata) int { return cmp.Compare(b.Version, a.Version) })
	if tuf.IsTopLevel(l.Role) {
		for _, r := range roots {
			keys := r.Root.KeySet(l.Role)
			if signers := m.Signers(keys); keys.MetBy(len(signers)) {
				return fmt.Sprintf("checked: by %d of the keys that root version %d names for role %s, of which %d must: %s", len(signers), r.Version, l.Role, keys.Threshold(), short(signers))
			}
		}
	}
	ids := make([]string, 0, len(m.Signatures))
	for _, s := range m.Signatures {
		ids = append(ids, s.KeyID[:min(len(s.KeyID), 16)])
	}
	return fmt.Sprintf("not checked here, for want of the keys: the file has signatures under the key ids %s. A log admits only what the role's keys have signed", words(ids))
}

// short names keys by the beginnings of their identities.
func short(keys []tuf.KeyIdentity) string {
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.String()[:16]
	}
	return words(names)
}
