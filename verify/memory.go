package verify

import (
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/tuflog/tuflog/tuf"
)

// contradicted refuses a file whose version this device has accepted with another
// payload, as long as that payload's signers meet the keys that the role has now.
// What the device has accepted at this very place it may have again.
func (c *Client) contradicted(role, delegator string, m *tuf.Metadata, keys tuf.KeySet) error {
	var other *AcceptedRelease
	for i, a := range c.state.Accepted[role] {
		switch {
		case a.Version != m.Version:
		case a.Payload != m.PayloadDigest:
			if stand(a.Signers, keys) {
				other = &c.state.Accepted[role][i]
			}
		case a.Delegator == delegator:
			return nil
		}
	}
	if other == nil {
		return nil
	}
	return c.unlessLax(refusal(CodeSecondPayload, role, nil, "version %d has payload %v, but this device has accepted a version %d with payload %v",
		m.Version, m.PayloadDigest, other.Version, other.Payload))
}

// unlessLax returns a refusal where the client enforces; where it warns it only notes
// it, and plain TUF knows nothing of it.
func (c *Client) unlessLax(err error) error {
	var r *Refusal
	if c.cfg.Transparency == Enforce || !errors.As(err, &r) {
		return err
	}
	if c.cfg.Transparency == Warn {
		c.warn(r)
	}
	return nil
}

// remember makes a file the one that was accepted last of a role at a place. It
// refuses what there is no room for, so that what must be remembered can be.
func (c *Client) remember(role, delegator string, m *tuf.Metadata, signers []tuf.Digest) error {
	now := AcceptedRelease{Delegator: delegator, Version: m.Version, Payload: m.PayloadDigest, Signers: signers}
	at := slices.IndexFunc(c.state.Accepted[role], func(a AcceptedRelease) bool { return a.Delegator == delegator })
	if at >= 0 && c.state.Accepted[role][at].equal(now) {
		return nil
	}
	more := now.size(role)
	if at >= 0 {
		more -= c.state.Accepted[role][at].size(role)
	}
	if c.acceptedSize+more > maxAcceptedSize {
		c.forgetSuperseded()
		if at = slices.IndexFunc(c.state.Accepted[role], func(a AcceptedRelease) bool { return a.Delegator == delegator }); at < 0 {
			more = now.size(role)
		}
	}
	if c.acceptedSize+more > maxAcceptedSize {
		return c.unlessLax(refusal(CodeBadMetadata, role, nil, "this device remembers the releases of %d roles, and has no room for another of %d bytes", len(c.state.Accepted), more))
	}
	if c.state.Accepted == nil {
		c.state.Accepted = map[string][]AcceptedRelease{}
	}
	c.acceptedSize += more
	if at >= 0 {
		c.state.Accepted[role][at] = now
	} else {
		c.state.Accepted[role] = append(c.state.Accepted[role], now)
	}
	return nil
}

// forgetSuperseded forgets the releases of which the snapshot lists another version
// or none: no file of their version is asked for any more.
func (c *Client) forgetSuperseded() {
	for role, releases := range c.state.Accepted {
		listed, _ := c.snapshot.Snapshot.File(role + ".json")
		releases = slices.DeleteFunc(releases, func(a AcceptedRelease) bool { return a.Version != listed.Version })
		if c.state.Accepted[role] = releases; len(releases) == 0 {
			delete(c.state.Accepted, role)
		}
	}
	c.acceptedSize = acceptedSize(c.state.Accepted)
}

func (a AcceptedRelease) equal(b AcceptedRelease) bool {
	return a.Delegator == b.Delegator && a.Version == b.Version && a.Payload == b.Payload && slices.Equal(a.Signers, b.Signers)
}

// size is at least what the release takes in a printed state.
func (a AcceptedRelease) size(role string) int {
	const fields, signer = 160, 67
	return fields + printedSize(role) + printedSize(a.Delegator) + signer*len(a.Signers)
}

func acceptedSize(accepted map[string][]AcceptedRelease) int {
	size := 0
	for role, releases := range accepted {
		for _, a := range releases {
			size += a.size(role)
		}
	}
	return size
}

// listedSize is at least what a snapshot's list takes in a printed state.
func listedSize(snapshot *tuf.Meta) int {
	const number = 20
	size := 0
	for name := range snapshot.TargetsMetadata() {
		size += printedSize(name) + number
	}
	return size
}

// printedSize is at least the size of s as a JSON string, as encoding/json prints it
// without escapes for HTML.
func printedSize(s string) int {
	size := len(`""`)
	for _, r := range s {
		switch {
		case r < 0x20 || r == '\u2028' || r == '\u2029' || r == utf8.RuneError:
			size += len(`\u2028`)
		case r == '"' || r == '\\':
			size += len(`\"`)
		default:
			size += utf8.RuneLen(r)
		}
	}
	return size
}
