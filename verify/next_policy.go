package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// Adopted is a trust policy that came as a target and is in force.
type Adopted struct {
	Policy []byte // as [proofs.Policy.Marshal] prints it
	// For identifies the trust policy of the configuration in whose place it is: once
	// another is configured, that is in force.
	For tuf.Digest
}

// useAdopted puts the adopted trust policy in the place of the configured one, if it is
// still in that one's place.
func (c *Client) useAdopted() error {
	if c.cfg.Policy == nil {
		return nil
	}
	c.configured = tuf.Sum(c.cfg.Policy.Marshal())
	a := c.state.Adopted
	if a == nil || a.For != c.configured {
		return nil
	}
	policy, err := proofs.ParsePolicy(a.Policy)
	if err != nil {
		return fmt.Errorf("client: the adopted trust policy: %w", err)
	}
	c.cfg.Policy = policy
	return nil
}

// Adopt takes the content of the target that NextPolicy of the install policy names, as
// Locate found it, and reports whether that is the trust policy from the next update on.
// A policy that may not be adopted yet is a *Refusal with CodeQuarantined or
// CodeNeedsApproval; one that cannot be, one with CodeBadMetadata.
//
// One under which no more is accepted than under the present one is adopted at once.
// Another has to have been in the log for the root quarantine, counted from the first
// release that listed it, and waits for the owner's approval, if releases do. A Lookup
// without a target says that none is listed any more: one that comes back waits anew.
func (c *Client) Adopt(ctx context.Context, found Lookup, content []byte) (adopted bool, err error) {
	if c.cfg.Transparency != Enforce || c.cfg.Install.NextPolicy == "" {
		return false, nil
	}
	if found.Target == nil {
		c.policySettled(tuf.Digest{})
		return false, nil
	}
	check, err := NewTargetCheck(*found.Target)
	if err != nil {
		return false, err
	}
	if _, err := check.Write(content); err != nil {
		return false, err
	}
	if err := check.Done(); err != nil {
		return false, err
	}
	policy, err := proofs.ParsePolicy(content)
	if err != nil {
		return false, refusal(CodeBadMetadata, "", err, "the next trust policy cannot be read")
	}
	if bytes.Equal(policy.Marshal(), c.cfg.Policy.Marshal()) {
		c.policySettled(tuf.Digest{})
		return false, nil
	}
	at := slices.IndexFunc(c.accepted, func(a Accepted) bool { return a.Metadata == c.targets[found.Role] })
	if at < 0 || c.accepted[at].Logged == nil {
		return false, refusal(CodeBadMetadata, "", nil, "the next trust policy is listed by %s, which has no proof", tuf.EscapeRole(found.Role))
	}
	next, err := c.under(ctx, policy, c.accepted[at])
	if err != nil {
		return false, err
	}
	ways := next.weakerThan(c.requirements)
	id := next.Digest()
	if len(ways) > 0 && !c.approved("", id) {
		if err := c.policyWaits(id, ways, c.accepted[at].Logged); err != nil {
			return false, err
		}
	}
	c.policySettled(id)
	c.state.Adopted = &Adopted{Policy: next.Policy, For: c.configured}
	c.state.Required, c.adopted = &next, true
	return true, nil
}

// under returns what is required under another trust policy. It refuses one that the
// install policy cannot bear, and one that the release which lists it does not meet, or
// another file that is in force: it would end all updates. So the log of that release stays:
// a device leaves its log by hand.
func (c *Client) under(ctx context.Context, policy *proofs.Policy, a Accepted) (Requirements, error) {
	cfg := c.cfg
	cfg.Policy = policy
	faulty, err := cfg.check()
	if err != nil {
		return Requirements{}, refusal(CodeBadMetadata, "", err, "the next trust policy does not fit the install policy")
	}
	for i, b := range c.accepted {
		if b.Logged == nil || b.Role != a.Role && b.Metadata != c.Metadata(b.Role) {
			continue
		}
		claim := ClaimFor(c.repository, b.Role, b.Metadata)
		_, err := CheckSidecar(b.Sidecars.Proof, claim, policy)
		if err == nil && len(b.Sidecars.Latest) > 0 && c.needsLatest(b.Role) {
			_, err = CheckSidecar(b.Sidecars.Latest, claim, policy)
		}
		if err != nil && b.Role == tuf.RoleRoot {
			err = c.proveRootAgain(ctx, policy, i, err)
		}
		if err == nil {
			continue
		}
		what := "the release that lists it"
		if b.Role != a.Role {
			what = fmt.Sprintf("%s %d, which is in force", tuf.EscapeRole(b.Role), b.Metadata.Version)
		}
		return Requirements{}, refusal(CodeBadMetadata, "", err, "the next trust policy is not met by %s", what)
	}
	return requirementsOf(cfg, c.repository, faulty), nil
}

// proveRootAgain asks the repository for the proof of a root that was accepted with another
// one, which the next trust policy is not met by for this reason, and keeps it if both
// policies are: a root may be years old when the witnesses change.
func (c *Client) proveRootAgain(ctx context.Context, policy *proofs.Policy, accepted int, why error) error {
	a := c.accepted[accepted]
	proof, err := c.fetchSidecar(ctx, c.rootRequest(a.Metadata.Version), SidecarSuffix)
	if err != nil {
		return err
	}
	claim := ClaimFor(c.repository, a.Role, a.Metadata)
	if _, err := CheckSidecar(proof, claim, policy); err != nil {
		return why
	}
	logged, err := CheckSidecar(proof, claim, c.cfg.Policy)
	if err != nil || !logged.SameEntry(a.Logged) {
		return why
	}
	a.Sidecars.Proof = proof
	c.accepted[accepted] = a
	return c.source.Keep(ctx, a)
}

// policyWaits refuses a trust policy that has to wait.
func (c *Client) policyWaits(id tuf.Digest, ways []string, proof *Logged) error {
	w := Waiting{Payload: id, Code: CodeQuarantined, Since: loggedBy(proof, c.faulty)}
	age, want := c.age(w, proof), c.cfg.Install.RootQuarantine
	w.Age = int64(age / time.Second)
	if c.cfg.Install.Approval != ApproveAuto {
		w.MayWait = int64(forever / time.Second)
	}
	var err error
	switch {
	case age < want:
		err = refusal(CodeQuarantined, "", nil, "the next trust policy requires less: %s; it is proved to have been public for %v, want %v; policy %s", joinWays(ways), told(age), told(want), w.ID())
	case c.cfg.Install.Approval != ApproveAuto:
		w.Code = CodeNeedsApproval
		err = refusal(CodeNeedsApproval, "", nil, "the next trust policy requires less: %s; it waits for the approval of this device's owner; policy %s", joinWays(ways), w.ID())
	default:
		return nil
	}
	var r *Refusal
	errors.As(err, &r)
	w.Detail = r.Detail
	c.noteWaiting(w)
	return err
}

// policySettled forgets the next trust policy that waits, and the approval of one.
func (c *Client) policySettled(id tuf.Digest) {
	c.state.Waiting = slices.DeleteFunc(c.state.Waiting, func(w Waiting) bool { return w.Role == "" && w.Code != CodeDowngrade })
	c.state.Approved = slices.DeleteFunc(c.state.Approved, func(a Approved) bool { return a.Role == "" && a.Payload == id })
}
