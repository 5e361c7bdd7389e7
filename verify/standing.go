package verify

import (
	"context"
	"errors"

	"github.com/tuflog/tuflog/tuf"
)

// While a newer release waits the device goes on with the one that it has accepted, so that
// a target which was lost can be fetched again. Nothing new is taken meanwhile: of each role
// nothing but the very file that was accepted, which must still be signed by the keys in
// force, be proved to be logged and not have expired. That the snapshot lists a newer version
// is why it waits.

// Standing returns why a newer release of the top-level targets, or a root, waits while the
// Client, after an update that was refused for that, finds the targets of the release that
// the device has accepted before; nil: it does not.
func (c *Client) Standing() *Refusal { return c.standing }

// standBy goes on with the release that the device has accepted, if the newer one waits.
func (c *Client) standBy(ctx context.Context, why error) {
	var r *Refusal
	if !errors.As(why, &r) || !waits(r.Code) || c.timestamp == nil {
		return
	}
	if c.snapshot == nil { // a root waits under which the repository's is
		kept, _ := c.kept(ctx, tuf.RoleSnapshot)
		if kept == nil || c.updateSnapshot(kept) != nil {
			return
		}
	}
	if c.targets[tuf.RoleTargets] != nil || c.stand(ctx, tuf.RoleTargets, "") == nil {
		c.standing = r
	}
}

// stand trusts what the device keeps of a role, if it is what was accepted last of it.
func (c *Client) stand(ctx context.Context, role, delegator string) error {
	kept, sidecars := c.kept(ctx, role)
	if kept == nil {
		return refusal(CodeNotListed, role, nil, "the device keeps no release of it")
	}
	m, err := readFile(role, kept)
	if err != nil {
		return err
	}
	if m.Targets == nil || !c.had(role, m.PayloadDigest) {
		return refusal(CodeDevice, role, nil, "version %d, which the device keeps, is not the one that it has accepted", m.Version)
	}
	keys := c.root.Root.KeySet(role)
	if delegator != "" {
		_, keys, _ = c.targets[delegator].Targets.Delegations.Find(role)
	}
	if _, err := checkSigned(role, m, keys, c.keysOf(delegator)); err != nil {
		return err
	}
	var logged *Logged
	if c.needsProof(role) {
		// Not by gate: what waits of this role is the newer release.
		if logged, _, err = c.checkSidecars(role, m, sidecars); err != nil && !c.brokenGlass(role, m.PayloadDigest) {
			return err
		}
	}
	if err := c.freshWithAllAbove(role, m); err != nil {
		return err
	}
	c.targets[role] = m
	// It is no new acceptance: what the policies require from now on does not begin with it.
	c.accepted = append(c.accepted, Accepted{Role: role, Metadata: m, Sidecars: sidecars, Logged: logged})
	return nil
}

// refreshDelegated brings a delegated role up to date. If its newer release waits the error
// says so, and the role may be trusted as it was.
func (c *Client) refreshDelegated(ctx context.Context, r Request) error {
	if c.standing != nil {
		if err := c.stand(ctx, r.Role, r.Delegator); err != nil {
			return c.standing
		}
		return nil
	}
	err := c.refreshTargets(ctx, r)
	var why *Refusal
	if errors.As(err, &why) && waits(why.Code) && c.stand(ctx, r.Role, r.Delegator) == nil {
		if c.stood == nil {
			c.stood = map[string]*Refusal{}
		}
		c.stood[r.Role] = why
	}
	return err
}

// whyStood is the refusal of the first of these roles that waits and is trusted as it was.
func (c *Client) whyStood(roles []string) error {
	for _, role := range roles {
		if why := c.stood[role]; why != nil {
			return why
		}
	}
	return nil
}
