package verify

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// updateTimestamp takes a timestamp (TUF 5.4). It reports false, and keeps what
// it has, when the file has the version that is trusted already: that is normal
// and means that nothing has changed.
func (c *Client) updateTimestamp(file []byte) (updated bool, err error) {
	m, err := readFile(tuf.RoleTimestamp, file)
	if err != nil {
		return false, err
	}
	signers, err := c.timestampSigners(m)
	if err != nil {
		return false, err
	}
	snapshot := m.Timestamp.Snapshot()
	before := c.state.Timestamp
	switch {
	case before.Version == 0:
	case m.Version < before.Version:
		return false, refusal(CodeRollback, tuf.RoleTimestamp, nil, "version %d, but this device has seen version %d", m.Version, before.Version)
	case m.Version == before.Version && c.timestamp != nil:
		return false, nil
	case m.Version == before.Version && m.PayloadDigest != before.Payload && c.stale != nil:
		// TUF 5.4.3.1 has nothing against the file: it is no update.
		return false, refusal(CodeExpired, tuf.RoleTimestamp, nil, "%s; another file of version %d is served, which changes nothing: its vendor has to sign version %d",
			c.stale.Detail, m.Version, m.Version+1)
	case m.Version == before.Version && m.PayloadDigest != before.Payload:
		return false, secondPayload(tuf.RoleTimestamp, m, before)
	case snapshot.Version < before.Listed["snapshot.json"]:
		return false, refusal(CodeRollback, tuf.RoleTimestamp, nil, "version %d goes back to snapshot %d, but this device has seen snapshot %d",
			m.Version, snapshot.Version, before.Listed["snapshot.json"])
	}
	if err := c.fresh(tuf.RoleTimestamp, m); err != nil {
		if m.PayloadDigest == before.Payload {
			errors.As(err, &c.stale)
		}
		return false, err
	}
	c.timestamp = m
	c.state.Timestamp = seenAs(m, signers, m.Timestamp.Files())
	c.accept(tuf.RoleTimestamp, m, Sidecars{}, nil)
	return true, nil
}

// rootKeys names the keys that the newest root gives a role.
func (c *Client) rootKeys() string { return fmt.Sprintf("the keys that root %d names", c.root.Version) }

// updateSnapshot takes the snapshot that the timestamp lists (TUF 5.5).
func (c *Client) updateSnapshot(file []byte) error {
	m, err := readFile(tuf.RoleSnapshot, file)
	if err != nil {
		return err
	}
	listed := c.timestamp.Timestamp.Snapshot()
	signers, err := checkListed(tuf.RoleSnapshot, m, listed, c.timestamp, c.root.Root.KeySet(tuf.RoleSnapshot), c.rootKeys())
	if err != nil {
		return err
	}
	if size := listedSize(m.Snapshot); size > maxListedSize {
		return refusal(CodeBadMetadata, tuf.RoleSnapshot, nil, "version %d lists %d files under names of %d bytes together, more than a device remembers", m.Version, m.Snapshot.Len(), size)
	}
	before := c.state.Snapshot
	if m.Version < before.Version {
		return refusal(CodeRollback, tuf.RoleSnapshot, nil, "version %d, but this device has seen version %d", m.Version, before.Version)
	}
	if m.Version == before.Version && m.PayloadDigest != before.Payload {
		if err := c.unlessLax(secondPayload(tuf.RoleSnapshot, m, before)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(before.Listed)) {
		if !tuf.IsTargetsMetadata(name) {
			continue // a state of version 1 may have them
		}
		now, ok := m.Snapshot.File(name)
		if !ok {
			return refusal(CodeRollback, tuf.RoleSnapshot, nil, "version %d no longer lists %q, which version %d did", m.Version, tuf.Clip(name), before.Version)
		}
		if now.Version < before.Listed[name] {
			return refusal(CodeRollback, tuf.RoleSnapshot, nil, "version %d lists version %d of %q, but this device has seen version %d",
				m.Version, now.Version, tuf.Clip(name), before.Listed[name])
		}
	}
	if err := c.fresh(tuf.RoleSnapshot, m); err != nil {
		return err
	}
	c.snapshot = m
	c.state.Snapshot = seenAs(m, signers, m.Snapshot.TargetsMetadata())
	c.outdated()
	c.accept(tuf.RoleSnapshot, m, Sidecars{}, nil)
	return nil
}

// keysOf names the keys that a delegator, or the root, gives its roles.
func (c *Client) keysOf(delegator string) string {
	if delegator == "" {
		return c.rootKeys()
	}
	return fmt.Sprintf("the keys that %s %d names", delegator, c.targets[delegator].Version)
}

// updateTargets takes the targets of a role that the snapshot lists (TUF 5.6) and that
// delegator, whose targets are trusted, delegates to; an empty delegator is the root.
// before is the release that the device has instead, if it is known.
func (c *Client) updateTargets(role, delegator string, before *tuf.Metadata, file []byte, sidecars Sidecars) error {
	keys := c.root.Root.KeySet(role)
	if delegator != "" {
		var ok bool
		if _, keys, ok = c.targets[delegator].Targets.Delegations.Find(role); !ok {
			return fmt.Errorf("client: %q does not delegate to %q", delegator, role)
		}
	}
	listed, ok := c.snapshot.Snapshot.File(role + ".json")
	if !ok {
		return refusal(CodeBadMetadata, role, nil, "snapshot %d does not list it", c.snapshot.Version)
	}
	m, err := readFile(role, file)
	if err != nil {
		return err
	}
	signers, err := checkListed(role, m, listed, c.snapshot, keys, c.keysOf(delegator))
	if err != nil {
		return err
	}
	if err := c.contradicted(role, delegator, m, keys); err != nil {
		return err
	}
	logged, latest, err := c.gate(role, m, sidecars)
	if err != nil {
		return err
	}
	if err := c.freshWithAllAbove(role, m); err != nil {
		return err
	}
	if err := c.decide(offer{role: role, m: m, proof: logged, latest: latest, before: before, keys: keys}); err != nil {
		if err := c.unlessLax(err); err != nil {
			return err
		}
		logged = nil
	}
	// What was let pass without a proof must not stand against what has one.
	if c.cfg.Transparency == Enforce || logged != nil {
		if err := c.remember(role, delegator, m, signers); err != nil {
			return err
		}
	}
	c.targets[role] = m
	c.accept(role, m, sidecars, logged)
	return nil
}

// secondPayload refuses a file that has the version of what was seen last, and
// another payload.
func secondPayload(role string, m *tuf.Metadata, before Seen) error {
	return refusal(CodeSecondPayload, role, nil, "version %d has payload %v, but this device has seen a version %d with payload %v",
		m.Version, m.PayloadDigest, before.Version, before.Payload)
}

// checkListed refuses a file that is not the one that another lists, or that too few keys
// signed; whose says which keys. It returns the identities of those that did. A file that
// is older is a replay only if it is the role's.
func checkListed(role string, m *tuf.Metadata, listed tuf.MetaFile, by *tuf.Metadata, keys tuf.KeySet, whose string) ([]tuf.Digest, error) {
	if m.Version < listed.Version {
		if _, err := checkSigned(role, m, keys, whose); err != nil {
			return nil, err
		}
		return nil, refusal(CodeRollback, role, nil, "version %d, but %s %d lists version %d", m.Version, by.Type, by.Version, listed.Version)
	}
	if err := listed.Matches(m.File, m.Version); err != nil {
		return nil, refusal(CodeBadMetadata, role, err, "version %d is not what %s %d lists", m.Version, by.Type, by.Version)
	}
	return checkSigned(role, m, keys, whose)
}
