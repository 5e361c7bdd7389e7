package admit

import (
	"context"
	"slices"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/tuf"
)

// Limits on what one role and version may have in the log.
const (
	// MaxUnbound limits the payloads of one role and version that are released
	// without being bound, and not also as another role's: this many that list
	// or delegate, and this many that do not.
	MaxUnbound = 64

	// MaxSignedAgain is how often one payload of a role may be released again
	// because it was signed again.
	MaxSignedAgain = 64
)

// lookedAtPerJudgement says over how many times the signatures that may be looked
// at for one place they may be looked at for all places together.
const lookedAtPerJudgement = 4

// judgement is one file of a role other than root on its way to a verdict. In what
// follows a place of the role is one that the walk reaches; the file meets it if
// enough of its keys have signed, and fits it if moreover the file is bound or all
// delegations on the way cover what it lists. Rivals are releases of the role and
// version with another payload.
type judgement struct {
	r     *Repository
	m     *tuf.Metadata
	leaf  leaf.Leaf
	lists *listing

	signers    map[tuf.Digest][]tuf.KeyIdentity // of the file, by the fingerprint of keys
	outOfLooks map[tuf.Digest]bool              // there may be more of these keys
	looked     int                              // at signatures so far
	cost       int64                            // of explaining rivals so far
	released   []int                            // releases of this payload for this role, the last first

	extra *tuf.Delegations // what the file delegates, once it is needed

	rival      tuf.Digest // the payload of the rival that was read last
	rivalLists *listing   // what it lists
}

// decide comes to a verdict. What is refused and logged already is logged.
func (j *judgement) decide(ctx context.Context, snapshots []*tuf.Metadata) (Decision, error) {
	meets, err := j.meeting(ctx)
	if err != nil {
		return Decision{}, err
	}
	if why := j.m.UnsignedFor(keysOf(meets)...); why != "" {
		return Decision{}, refused(RefusedMalformed, "%s %d: %s", j.leaf.Role, j.m.Version, why)
	}
	if NeedsSnapshot(j.leaf.Role, j.m) {
		if err := j.vouched(ctx, snapshots); err != nil {
			return Decision{}, err
		}
	}
	fits, err := j.fitting(ctx, meets)
	if err != nil {
		return Decision{}, err
	}
	if done, err := j.isSettled(ctx, fits); err != nil || done {
		return j.r.already(j.released[0]), err
	}
	bound, certain, err := j.boundRival(ctx, meets)
	switch {
	case err != nil:
		return Decision{}, err
	case bound != none && !certain:
		return Decision{}, j.second(bound, "whether this file contradicts it cannot be said, it has too many signatures")
	case bound != none && j.leaf.Bound() && len(j.released) == 0:
		return j.r.contradiction(j.leaf, bound), nil
	case bound != none:
		return Decision{}, j.second(bound, "the payload there is bound by its hash")
	}
	if err := j.explained(ctx, fits); err != nil {
		return Decision{}, err
	}
	if err := j.hasRoom(ctx); err != nil {
		return Decision{}, err
	}
	return Decision{Leaf: j.leaf}, nil
}

// settled returns the record that a file whose payload is logged leads to, given
// the last one with its payload: the last release, if there is any.
func (j *judgement) settled(last int) int {
	if len(j.releases()) > 0 {
		return j.released[0]
	}
	return last
}

// releases returns the releases of the payload for the role, the last first.
func (j *judgement) releases() []int {
	if j.released != nil {
		return j.released
	}
	position := lastOf(j.r.byPayload, rolePayload{j.leaf.Role, j.leaf.Payload})
	for ; position != none; position = j.r.links[position].payload {
		if j.r.records[position].Leaf.Kind == leaf.Release {
			j.released = append(j.released, position)
		}
	}
	return j.released
}

// signedBy returns the keys of a place that signed the file.
func (j *judgement) signedBy(p place) []tuf.KeyIdentity {
	if ids, ok := j.signers[p.keys.Fingerprint()]; ok {
		return ids
	}
	s := j.r.signed.file(j.m)
	left := lookedAtPerJudgement*s.looks - j.looked
	ids, looked, _ := s.signers(p.keys, j.m, left)
	j.looked += looked
	if j.signers == nil {
		j.signers, j.outOfLooks = map[tuf.Digest][]tuf.KeyIdentity{}, map[tuf.Digest]bool{}
	}
	j.outOfLooks[p.keys.Fingerprint()] = looked == left && left < s.looks
	j.signers[p.keys.Fingerprint()] = ids
	return ids
}

// meeting returns the places that the file meets.
func (j *judgement) meeting(ctx context.Context) ([]place, error) {
	role := j.leaf.Role
	all, err := j.r.places(ctx, role, j.lists)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, refused(RefusedNotDelegated, "no current targets metadata delegates to %q", role)
	}
	meets := j.met(all)
	if len(meets) == 0 {
		return nil, j.r.tooFew(ctx, role, j.m, j.m.Meets(all[0].keys))
	}
	return meets, nil
}

func (j *judgement) met(all []place) (met []place) {
	for _, p := range all {
		if p.keys.MetBy(len(j.signedBy(p))) {
			met = append(met, p)
		}
	}
	return met
}

// fitting returns the places that the file fits, given those that it meets.
func (j *judgement) fitting(ctx context.Context, meets []place) ([]place, error) {
	if j.leaf.Bound() {
		return meets, nil
	}
	covering, err := j.r.covering(ctx, j.leaf.Role, j.lists)
	if err != nil {
		return nil, err
	}
	fits := j.met(covering)
	if len(fits) == 0 {
		return nil, refused(RefusedNotCovered, "%s %d lists paths that are not delegated to the role by keys that have signed it, and no snapshot beside it lists its hash",
			j.leaf.Role, j.m.Version)
	}
	return fits, nil
}

// isSettled reports whether the payload is released and is not to be released
// again: neither has it been signed again, nor is it bound now for the first time.
func (j *judgement) isSettled(ctx context.Context, fits []place) (bool, error) {
	released := j.releases()
	if len(released) == 0 {
		return false, nil
	}
	bound := !j.leaf.Bound()
	for _, position := range released {
		bound = bound || j.r.records[position].Leaf.Bound()
	}
	if !bound {
		return false, nil
	}
	// The very same file is not signed again, even if it is withheld meanwhile.
	same := func(position int) bool { return j.r.records[position].Leaf.Metadata == j.leaf.Metadata }
	if len(released) > MaxSignedAgain || slices.ContainsFunc(released, same) {
		return true, nil
	}
	for _, p := range fits {
		if again, err := j.signedAgain(ctx, p); err != nil || again {
			return false, err
		}
	}
	return true, nil
}

// signedAgain reports whether the file is to be released although its payload is:
// a key of the place signed it that signed none of the released files, because the
// role's keys were rotated and the release signed again; or it meets the place, and
// none of the released files does any more, because it has the signatures of several
// of them.
func (j *judgement) signedAgain(ctx context.Context, p place) (bool, error) {
	fresh := map[tuf.KeyIdentity]bool{}
	for _, id := range j.signedBy(p) {
		fresh[id] = true
	}
	stands := false
	for _, position := range j.released {
		ids, err := j.r.signers(ctx, position, p.keys)
		if err != nil {
			return false, err
		}
		stands = stands || p.keys.MetBy(len(ids))
		for _, id := range ids {
			delete(fresh, id)
		}
	}
	return !stands || len(fresh) > 0, nil
}

// hasRoom returns nil if one more release of the role and version may be logged.
func (j *judgement) hasRoom(ctx context.Context) error {
	if j.leaf.Bound() || len(j.released) > 0 {
		return nil
	}
	empty := j.m.Targets == nil || j.m.Targets.Len() == 0 && j.m.Targets.Delegations == nil
	alike := map[tuf.Digest]bool{}
	for _, rival := range j.r.rivals(j.leaf) {
		leaf := j.r.records[rival].Leaf
		if leaf.Bound() || alike[leaf.Payload] || j.r.releasedElsewhere(leaf.Role, leaf.Payload) != "" {
			continue
		}
		s, err := j.r.summary(ctx, rival)
		if err != nil {
			return err
		}
		if empty == (s.lists == 0 && !s.delegates) {
			alike[leaf.Payload] = true
		}
	}
	if len(alike) >= MaxUnbound {
		return refused(RefusedSecondPayload, "%d payloads of %s %d are released without a hash, and not as another role's: publish version %d, and list hashes in the snapshot from then on",
			len(alike), j.leaf.Role, j.leaf.Version, j.leaf.Version+1)
	}
	return nil
}
