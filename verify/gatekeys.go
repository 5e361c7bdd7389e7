package verify

import (
	"slices"

	"github.com/tuflog/tuflog/tuf"
)

// A gate is a device that signs the timestamp of what it would accept (docs/gate.md): clients
// that know no proofs then need its signature. It looks at a timestamp before the gates have
// signed it, so that it cannot have all its signatures yet. Nothing else is different.

// gatesMet reports whether the signers of a timestamp, and the gates that have still to sign
// it, are as many as the role needs, one of them not a gate: gates sign what a vendor has
// signed, and must not be enough without one, however many there are.
func (cfg Config) gatesMet(signers []tuf.Digest, keys tuf.KeySet) bool {
	own, gates := 0, 0
	for _, id := range keys.Identities() {
		switch {
		case slices.Contains(cfg.GateKeys, id):
			gates++
		case slices.Contains(signers, tuf.Digest(id)):
			own++
		}
	}
	return own > 0 && keys.MetBy(own+gates)
}

// timestampSigners refuses a timestamp that too few keys signed. It returns the identities
// of those that did.
func (c *Client) timestampSigners(m *tuf.Metadata) ([]tuf.Digest, error) {
	keys := c.root.Root.KeySet(tuf.RoleTimestamp)
	if len(c.cfg.GateKeys) == 0 {
		return checkSigned(tuf.RoleTimestamp, m, keys, c.rootKeys())
	}
	var signers []tuf.Digest
	for _, id := range m.Signers(keys) {
		signers = append(signers, tuf.Digest(id))
	}
	if !c.cfg.gatesMet(signers, keys) {
		return nil, refusal(CodeBadMetadata, tuf.RoleTimestamp, tuf.OnDevice(m.Short(keys, len(signers))),
			"version %d is not signed by a key that is not a gate's, or by too few for gates to complete: %s", m.Version, c.rootKeys())
	}
	return signers, nil
}

// timestampStands reports whether the signers of the timestamp that was seen last still
// suffice, as timestampSigners counts.
func (c *Client) timestampStands() bool {
	keys := c.root.Root.KeySet(tuf.RoleTimestamp)
	if len(c.cfg.GateKeys) == 0 {
		return c.state.Timestamp.stands(keys)
	}
	return c.state.Timestamp.Version != 0 && c.cfg.gatesMet(c.state.Timestamp.Signers, keys)
}
