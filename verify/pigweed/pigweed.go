// Package pigweed judges the update bundles of Pigweed's pw_software_update as a device does
// that asks for proofs. Begin with [Verify], which reads a bundle and says what the device
// trusts from then on. Package tuf/pigweed reads bundles and has Pigweed's own checks.
//
// The order is that of Pigweed's device, with a gate before each thing that is kept:
//
//  1. the root in the bundle, by the keys of the trusted root and its own; then its proof, the
//     payload tlog_proof_root. The root that is trusted already needs none. Only behind that
//     gate does a device store the root: what follows may be refused.
//  2. the targets metadata, by that root, and not older than what is trusted; then its proof,
//     the payload tlog_proof.
//  3. the images, by length and SHA-256.
//
// Like package verify it does no I/O: bytes in, verdict out.
package pigweed

import (
	"errors"

	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
	"github.com/tuflog/tuflog/tuf/pigweed"
	"github.com/tuflog/tuflog/verify"
)

// Device is what a device goes by.
type Device struct {
	Policy *proofs.Policy // nil accepts no proof
	// Repository is the SHA-256 of the payload of the first root that was logged. Zero: the
	// trusted root is that one.
	Repository tuf.Digest
	Trusted    pigweed.Trusted
}

// Accepted is what a device has accepted of a bundle.
type Accepted struct {
	Repository tuf.Digest
	// Root is the root to trust, and to store, from now on: also if the error is about what
	// comes behind it. It is nil if the root in the bundle was refused.
	Root      *tuf.Metadata
	RootProof *verify.Logged // nil: the root was trusted before
	Targets   *tuf.Metadata  // nil: it was refused, or an image was
	Proof     *verify.Logged // of the targets metadata
	Bundle    *pigweed.Bundle
}

// Verify judges a bundle. The error is a *verify.Refusal, with the codes of
// docs/refusals.md.
func Verify(file []byte, d Device) (Accepted, error) {
	a := Accepted{Repository: d.Repository}
	if r := d.Trusted.Root; r == nil || r.Encoding != tuf.Pigweed || r.Type != tuf.RoleRoot {
		return a, &verify.Refusal{Code: verify.CodeDevice, Role: tuf.RoleRoot, Detail: "the device has no root of Pigweed's to begin with"}
	}
	if a.Repository.IsZero() {
		a.Repository = d.Trusted.Root.PayloadDigest
	}
	bundle, err := pigweed.ParseBundle(file)
	if err != nil {
		return a, &verify.Refusal{Code: verify.CodeBadMetadata, Detail: "the bundle cannot be read", Err: err}
	}
	a.Bundle = bundle
	root, proof, err := a.root(d)
	if err != nil {
		return a, err
	}
	a.Root, a.RootProof = root, proof
	if bundle.Targets == nil {
		return a, &verify.Refusal{Code: verify.CodeBadMetadata, Role: tuf.RoleTargets, Detail: "the bundle has no targets metadata"}
	}
	if err := pigweed.VerifyTargets(bundle.Targets, root, d.Trusted.Targets); err != nil {
		return a, refusal(tuf.RoleTargets, err)
	}
	if proof, err = a.gate(pigweed.Proof, bundle.Targets, d); err != nil {
		return a, err
	}
	if err := bundle.CheckPayloads(); err != nil {
		return a, refusal(tuf.RoleTargets, err)
	}
	a.Targets, a.Proof = bundle.Targets, proof
	return a, nil
}

// root judges the root of the bundle, if there is one.
func (a *Accepted) root(d Device) (*tuf.Metadata, *verify.Logged, error) {
	next, trusted := a.Bundle.Root, d.Trusted.Root
	if next == nil {
		return trusted, nil, nil
	}
	if err := pigweed.VerifyRoot(next, trusted); err != nil {
		return nil, nil, refusal(tuf.RoleRoot, err)
	}
	if next.PayloadDigest == trusted.PayloadDigest {
		return trusted, nil, nil // nothing changes
	}
	proof, err := a.gate(pigweed.RootProof, next, d)
	return next, proof, err
}

// gate asks for the proof of metadata.
func (a *Accepted) gate(payload string, m *tuf.Metadata, d Device) (*verify.Logged, error) {
	sidecar, _ := a.Bundle.Payload(payload)
	return verify.CheckSidecar(sidecar, verify.ClaimFor(a.Repository, m.Type, m), d.Policy)
}

// refusal is the refusal of what does not pass Pigweed's own checks.
func refusal(role string, err error) error {
	code := verify.CodeBadMetadata
	switch {
	case errors.Is(err, pigweed.ErrRollback):
		code = verify.CodeRollback
	case errors.Is(err, pigweed.ErrEquivocation):
		code = verify.CodeSecondPayload
	}
	return &verify.Refusal{Code: code, Role: role, Err: tuf.OnDevice(err)}
}
