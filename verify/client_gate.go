package verify

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/tuflog/tuflog/proofs"
)

// gate is where nothing passes that is not proved to be logged. It returns what
// was proved, nil where no proof is needed or where a missing one is only noted.
// Cosignature times that it verifies raise the time floor.
func (c *Client) gate(role string, m *Metadata, sidecars Sidecars) (*Logged, error) {
	if !c.NeedsProof(role) {
		return nil, nil
	}
	logged, err := c.checkSidecars(role, m, sidecars)
	var r *Refusal
	if c.cfg.Transparency == Warn && errors.As(err, &r) {
		c.warnings = append(c.warnings, r)
		return nil, nil
	}
	return logged, err
}

func (c *Client) checkSidecars(role string, m *Metadata, sidecars Sidecars) (*Logged, error) {
	claim := ClaimFor(c.repository, role, m)
	logged, err := CheckSidecar(sidecars.Proof, claim, c.cfg.Policy)
	if err != nil {
		return nil, err
	}
	c.learn(logged)
	latest := logged
	if len(sidecars.Latest) > 0 && c.NeedsLatest(role) {
		if latest, err = CheckSidecar(sidecars.Latest, claim, c.cfg.Policy); err != nil {
			return nil, err
		}
		if latest.Index != logged.Index || latest.Checkpoint.Origin != logged.Checkpoint.Origin {
			return nil, refusal(CodeBadProof, role, nil, "the newer proof of version %d is about entry %d of %s, the older about entry %d of %s",
				m.Version, latest.Index, latest.Checkpoint.Origin, logged.Index, logged.Checkpoint.Origin)
		}
		c.learn(latest)
	}
	if want := c.cfg.Install.MinAge; c.NeedsLatest(role) {
		if age := provenAge(logged, latest, c.cfg.Install.FaultyWitnesses); age < want {
			return nil, refusal(CodeTooYoung, role, nil, "version %d is proved to have been in the log for %v, want %v", m.Version, age, want)
		}
	}
	return logged, nil
}

// provenAge is how old an entry is at least, if at most faulty witnesses lie:
// among the faulty+1 largest times of the newer proof one is honest, so now is
// not before the smallest of them; among the faulty+1 smallest of the older proof
// one is honest, so the entry was logged by the largest of them.
func provenAge(older, newer *Logged, faulty int) time.Duration {
	from := sortedTimes(timesOf(older.Checkpoint))
	to := sortedTimes(timesOf(newer.Checkpoint))
	if len(from) <= faulty || len(to) <= faulty {
		return 0
	}
	seconds := to[len(to)-1-faulty] - from[faulty]
	const most = int64(1<<63-1) / int64(time.Second)
	return time.Duration(min(max(seconds, 0), most)) * time.Second
}

// timesOf returns the time of each witness: keys under one name are one witness,
// and a time of zero says nothing. Of several times the largest is taken; that
// can only make an entry look younger.
func timesOf(c *proofs.SignedCheckpoint) map[string]int64 {
	times := map[string]int64{}
	for _, cosignature := range c.Cosignatures {
		if cosignature.Time > 0 {
			name := cosignature.Key.Name()
			times[name] = max(times[name], cosignature.Time)
		}
	}
	return times
}

func sortedTimes(times map[string]int64) []int64 {
	return slices.Sorted(maps.Values(times))
}

// learn remembers the cosignature times of a verified proof.
func (c *Client) learn(logged *Logged) {
	for name, unix := range timesOf(logged.Checkpoint) {
		if c.state.Witnesses == nil {
			c.state.Witnesses = map[string]int64{}
		}
		c.state.Witnesses[name] = max(c.state.Witnesses[name], unix)
	}
}

// Floor is a time that has certainly passed if at most FaultyWitnesses witnesses
// of the policy lie: the largest but that many of the times they put into
// cosignatures that this device ever verified. It is the zero time where there
// are too few.
func (c *Client) Floor() time.Time {
	times := c.state.Witnesses
	if c.cfg.Policy != nil {
		// A witness that the policy no longer names no longer counts.
		times = map[string]int64{}
		for _, w := range c.cfg.Policy.Witnesses {
			if unix, ok := c.state.Witnesses[w.Key.Name()]; ok {
				times[w.Key.Name()] = unix
			}
		}
	}
	sorted := sortedTimes(times)
	if faulty := c.cfg.Install.FaultyWitnesses; len(sorted) > faulty {
		return time.Unix(sorted[len(sorted)-1-faulty], 0).UTC()
	}
	return time.Time{}
}

// fresh refuses metadata that has expired by the clock, if there is one, or by
// the time floor.
func (c *Client) fresh(role string, m *Metadata) error {
	expires := m.Expires.UTC().Format(time.RFC3339)
	if now := c.cfg.Now; !now.IsZero() && !now.Before(m.Expires) {
		return refusal(CodeExpired, role, nil, "version %d expired at %s, and it is %s", m.Version, expires, now.UTC().Format(time.RFC3339))
	}
	if floor := c.Floor(); !floor.IsZero() && !floor.Before(m.Expires) {
		return refusal(CodeExpired, role, nil, "version %d expired at %s, and witnesses have cosigned at %s", m.Version, expires, floor.Format(time.RFC3339))
	}
	return nil
}
