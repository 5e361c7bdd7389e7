package verify

import (
	"errors"
	"slices"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// gate is where nothing passes that is not proved to be logged. It returns what
// was proved, by the proof and by the newer one or again by the proof: nil where no proof
// is needed, where a missing one is only noted, and where the owner has approved of that.
// Cosignature times that it verifies raise the time floor.
func (c *Client) gate(role string, m *tuf.Metadata, sidecars Sidecars) (logged, latest *Logged, err error) {
	if !c.needsProof(role) {
		return nil, nil, nil
	}
	logged, latest, err = c.checkSidecars(role, m, sidecars)
	var r *Refusal
	switch {
	case err == nil:
		return logged, latest, nil
	case !errors.As(err, &r) || !lacksProof(r.Code):
	case c.brokenGlass(role, m.PayloadDigest):
		return nil, nil, nil
	default:
		err = c.await(Waiting{Role: role, Version: m.Version, Payload: m.PayloadDigest, Code: r.Code}, m, err)
	}
	return nil, nil, c.unlessLax(err)
}

// warn notes what Enforce would have refused, once.
func (c *Client) warn(r *Refusal) {
	if !slices.ContainsFunc(c.warnings, func(w *Refusal) bool { return w.Code == r.Code && w.Role == r.Role && w.Detail == r.Detail }) {
		c.warnings = append(c.warnings, r)
	}
}

func (c *Client) checkSidecars(role string, m *tuf.Metadata, sidecars Sidecars) (logged, latest *Logged, err error) {
	claim := ClaimFor(c.repository, role, m)
	logged, err = CheckSidecar(sidecars.Proof, claim, c.cfg.Policy)
	if err != nil {
		return nil, nil, err
	}
	if err := c.learn(role, logged); err != nil {
		return nil, nil, err
	}
	if origin := logged.Checkpoint.Origin; c.pinsOther(origin) {
		return nil, nil, refusal(CodeWrongLog, role, nil, "the proof of version %d is of log %s, but this device has the repository's releases from log %s, which the trust policy lists as well",
			m.Version, tuf.Clip(origin), tuf.Clip(c.state.Log))
	}
	if c.cfg.Install.SnapshotHashes && !logged.Leaf.Bound() {
		return nil, nil, refusal(CodeUnbound, role, nil, "version %d was logged as entry %d beside a snapshot that lists its version and not its hash", m.Version, logged.Index)
	}
	latest = logged
	if len(sidecars.Latest) > 0 && c.needsLatest(role) {
		if latest, err = CheckSidecar(sidecars.Latest, claim, c.cfg.Policy); err != nil {
			return nil, nil, err
		}
		if latest.Index != logged.Index || latest.Checkpoint.Origin != logged.Checkpoint.Origin {
			return nil, nil, refusal(CodeBadProof, role, nil, "the newer proof of version %d is about entry %d of %s, the older about entry %d of %s",
				m.Version, latest.Index, latest.Checkpoint.Origin, logged.Index, logged.Checkpoint.Origin)
		}
		if err := c.learn(role, latest); err != nil {
			return nil, nil, err
		}
	}
	return logged, latest, nil
}

// pinsOther reports whether the device has this repository's releases from another
// log than one of this origin. A log that the trust policy no longer lists has no say.
func (c *Client) pinsOther(origin string) bool {
	return c.state.Log != "" && c.state.Log != origin &&
		slices.ContainsFunc(c.cfg.Policy.Logs, func(l proofs.PolicyLog) bool { return l.Key.Name() == c.state.Log })
}

// learn remembers the tree and the cosignature times of a verified proof, and what the
// device's own clock showed then. It refuses a tree that contradicts the one remembered.
func (c *Client) learn(role string, logged *Logged) error {
	s, tree, origin := &c.state, logged.Checkpoint.Tree, logged.Checkpoint.Origin
	switch {
	case s.TreeOf != origin:
		if !c.pinsOther(origin) {
			s.TreeOf, s.Tree = origin, tree
		}
	case s.Tree.N == tree.N && s.Tree != tree:
		return refusal(CodeForked, role, nil, "log %s has shown this device two histories: of %d entries with root %v, and with root %v",
			tuf.Clip(origin), tree.N, s.Tree.Hash, tree.Hash)
	case s.Tree.N < tree.N:
		s.Tree = tree
	}
	raised := false
	for _, cosignature := range logged.Checkpoint.Cosignatures {
		key := keyDigest(cosignature.Key)
		if cosignature.Time <= c.state.Witnesses[key] {
			continue
		}
		if c.state.Witnesses == nil {
			c.state.Witnesses = map[tuf.Digest]int64{}
		}
		c.state.Witnesses[key], raised = cosignature.Time, true
	}
	if now := c.cfg.Now; raised && !now.IsZero() {
		c.state.Clock = max(c.state.Clock, now.Unix())
	}
	if len(c.state.Witnesses) > maxWitnessTimes {
		known := map[tuf.Digest]int64{}
		for _, w := range c.cfg.Policy.Witnesses {
			if key := keyDigest(w.Key); c.state.Witnesses[key] != 0 {
				known[key] = c.state.Witnesses[key]
			}
		}
		c.state.Witnesses = known
	}
	return nil
}

// keyDigest tells keys of witnesses apart.
func keyDigest(key proofs.Key) tuf.Digest { return tuf.Sum([]byte(key.String())) }

// floor is a time that has certainly passed if at most FaultyWitnesses witnesses of
// the policy lie: the largest time in cosignatures that this device ever verified,
// after leaving out that many larger ones. It is never later than the latest time
// that the device's own clock has shown, if it has one: a time that a witness signs
// with a wrong clock cannot be taken back. It is the zero time if there are too few.
func (c *Client) floor() time.Time { return c.state.floor(c.cfg.Policy, c.faulty, c.cfg.Now) }

// Floor is a time that has certainly passed, under the policies under which the device
// accepted releases, if no more witnesses lie than may: the largest time in cosignatures
// that it ever verified, after leaving out that many larger ones. It is never later than
// the latest time that the device's own clock has shown, if it has one: now, unless that
// is zero. It is the zero time if the device has accepted no release with a proof.
func (s State) Floor(now time.Time) time.Time {
	if s.Required == nil {
		return time.Time{}
	}
	policy, err := proofs.ParsePolicy(s.Required.Policy)
	if err != nil {
		return time.Time{}
	}
	return s.floor(policy, s.Required.Install.FaultyWitnesses, now)
}

func (s State) floor(policy *proofs.Policy, faulty int, now time.Time) time.Time {
	if policy == nil {
		return time.Time{}
	}
	// A key that the policy no longer names no longer counts.
	times := map[string]int64{}
	for _, w := range policy.Witnesses {
		if unix, ok := s.Witnesses[keyDigest(w.Key)]; ok {
			times[w.Key.Name()] = max(times[w.Key.Name()], unix)
		}
	}
	sorted := sortedTimes(times)
	if len(sorted) <= faulty {
		return time.Time{}
	}
	floor := sorted[len(sorted)-1-faulty]
	if !now.IsZero() {
		floor = min(floor, max(now.Unix(), s.Clock))
	}
	return time.Unix(floor, 0).UTC()
}

// Age is how long what waits has been in a log at least, as the device knows it now: 0 if
// it does not.
func (s State) Age(w Waiting, now time.Time) time.Duration {
	age := time.Duration(w.Age) * time.Second
	if floor := s.Floor(now); !floor.IsZero() && s.Required.Digest() == w.Under {
		age = max(age, ageBetween(w.Since, floor.Unix()))
	}
	return age
}

// fresh refuses metadata that has expired by the clock, if there is one, or by the
// time floor. The floor is the witnesses' word: it refuses nothing where that is only
// to be noted or not to be asked for.
func (c *Client) fresh(role string, m *tuf.Metadata) error {
	expires := m.Expires.UTC().Format(time.RFC3339)
	if now := c.cfg.Now; !now.IsZero() && !now.Before(m.Expires) {
		return refusal(CodeExpired, role, nil, "version %d expired at %s, and it is %s", m.Version, expires, now.UTC().Format(time.RFC3339))
	}
	if floor := c.floor(); !floor.IsZero() && !floor.Before(m.Expires) {
		return c.unlessLax(refusal(CodeExpired, role, nil, "version %d expired at %s, and by the times of cosignatures it is past %s", m.Version, expires, floor.Format(time.RFC3339)))
	}
	return nil
}

// freshWithAllAbove is fresh of a file and of all that it is trusted by: a proof may have moved
// the time floor past what was checked before it.
func (c *Client) freshWithAllAbove(role string, m *tuf.Metadata) error {
	for _, above := range []*tuf.Metadata{c.root, c.timestamp, c.snapshot} {
		if err := c.fresh(above.Type, above); err != nil {
			return err
		}
	}
	return c.fresh(role, m)
}
