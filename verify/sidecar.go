package verify

import (
	"errors"
	"fmt"

	"github.com/tuflog/tuflog/proofs"
)

// SidecarSuffix is appended to the name of a metadata file to name the proof
// that lies beside it.
const SidecarSuffix = ".tlog-proof"

// Code says in one stable word why a device refused something.
type Code string

// The refusal codes of a device. An outage is never reported as an attack: what
// could not be fetched is CodeNetwork and nothing else.
const (
	CodeNotLogged       Code = "not-logged"       // there is no proof for the file
	CodeBadProof        Code = "bad-proof"        // the proof does not parse, or does not prove this file
	CodeQuorumShort     Code = "quorum-short"     // too few witnesses cosigned the checkpoint
	CodeWrongLog        Code = "wrong-log"        // the checkpoint is signed by no log of the policy
	CodeWrongRepository Code = "wrong-repository" // the proof is about another repository
	CodeEvidence        Code = "evidence"         // the file is logged as evidence against its signer
	CodeUnbound         Code = "unbound"          // logged beside a snapshot that does not list its hash, where the install policy requires one
	CodeRollback        Code = "rollback"         // older than what this device has seen
	CodeSecondPayload   Code = "second-payload"   // another payload under a version that this device has accepted
	CodeExpired         Code = "expired"
	CodeTooYoung        Code = "too-young"
	CodeQuarantined     Code = "quarantined"
	CodeNeedsApproval   Code = "needs-approval"
	CodeBadMetadata     Code = "bad-metadata" // not what the TUF workflow allows: syntax, signatures, hashes
	CodeNetwork         Code = "network"
)

// Refusal is why a device did not accept something. It wraps the error that
// caused it, if there is one.
type Refusal struct {
	Code   Code
	Role   string // "" where it is not about one role
	Detail string // what was wrong, with the value that was
	Err    error
}

func (r *Refusal) Error() string {
	msg := string(r.Code) + ": "
	if r.Role != "" {
		msg += r.Role + ": "
	}
	switch {
	case r.Err == nil:
		return msg + r.Detail
	case r.Detail == "":
		return msg + r.Err.Error()
	}
	return msg + r.Detail + ": " + r.Err.Error()
}

func (r *Refusal) Unwrap() error { return r.Err }

// Claim is what a verifier holds and wants to see logged. Identity is the
// payload, not the file: one payload may come in several files.
type Claim struct {
	Repository Digest
	Role       string
	Version    int64
	Payload    Digest
	Encoding   Encoding
}

// ClaimFor is the claim that m is a release of role in repository.
func ClaimFor(repository Digest, role string, m *Metadata) Claim {
	return Claim{Repository: repository, Role: role, Version: m.Version, Payload: m.PayloadDigest, Encoding: m.Encoding}
}

// Logged is what a sidecar proved.
type Logged struct {
	Leaf       Leaf
	Index      int64
	Checkpoint *proofs.SignedCheckpoint
}

// CheckSidecar checks a c2sp.org/tlog-proof@v1 whose extra data is the leaf: the
// leaf must be a release equal to the claim in repository, role, version,
// payload and encoding, its hash must be included under the checkpoint, and the
// checkpoint must satisfy the policy. An empty sidecar is CodeNotLogged. The
// error is a *Refusal.
func CheckSidecar(sidecar []byte, claim Claim, policy *proofs.Policy) (*Logged, error) {
	refuse := func(code Code, err error, format string, args ...any) (*Logged, error) {
		return nil, &Refusal{Code: code, Role: claim.Role, Detail: fmt.Sprintf(format, args...), Err: err}
	}
	if len(sidecar) == 0 {
		return refuse(CodeNotLogged, nil, "version %d comes without a proof that it is logged", claim.Version)
	}
	proof, err := proofs.ParseProof(sidecar)
	if err != nil {
		return refuse(CodeBadProof, err, "the proof of version %d cannot be read", claim.Version)
	}
	leaf, err := ParseLeaf(proof.Extra)
	if err != nil {
		return refuse(CodeBadProof, err, "the leaf in the proof of version %d cannot be read", claim.Version)
	}

	// The proof is verified before the leaf is compared: what is said of a leaf
	// in a refusal is then something a log really holds.
	checkpoint, err := proof.Verify(policy, proof.Extra)
	var quorum *proofs.QuorumError
	switch {
	case errors.As(err, &quorum):
		return refuse(CodeQuorumShort, err, "the checkpoint in the proof of version %d", claim.Version)
	case errors.Is(err, proofs.ErrUnknownLog):
		return refuse(CodeWrongLog, err, "the checkpoint in the proof of version %d", claim.Version)
	case err != nil:
		return refuse(CodeBadProof, err, "the proof of version %d does not verify", claim.Version)
	}

	switch {
	case leaf.Repository != claim.Repository:
		return refuse(CodeWrongRepository, nil, "the proof is about repository %v, want %v", leaf.Repository, claim.Repository)
	case leaf.Role != claim.Role:
		return refuse(CodeBadProof, nil, "the proof is about role %q", leaf.Role)
	case leaf.Version != claim.Version:
		return refuse(CodeBadProof, nil, "the proof is about version %d, want %d", leaf.Version, claim.Version)
	case leaf.Payload != claim.Payload:
		return refuse(CodeBadProof, nil, "the proof is about another payload of version %d: %v, want %v", leaf.Version, leaf.Payload, claim.Payload)
	case leaf.Encoding != claim.Encoding:
		return refuse(CodeBadProof, nil, "the proof is about encoding %s, want %s", leaf.Encoding, claim.Encoding)
	case leaf.Kind != Release:
		return refuse(CodeEvidence, nil, "version %d is logged as evidence at index %d: the release at index %d has the same version and another payload", leaf.Version, proof.Index, leaf.Contradicts)
	}
	return &Logged{Leaf: leaf, Index: proof.Index, Checkpoint: checkpoint}, nil
}
