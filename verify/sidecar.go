package verify

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tuflog/tuflog/leaf"
	"github.com/tuflog/tuflog/proofs"
	"github.com/tuflog/tuflog/tuf"
)

// What is appended to the name of a metadata file to name the proof beside it, and the proof
// with the newer checkpoint.
const (
	SidecarSuffix = ".tlog-proof"
	LatestSuffix  = ".latest" + SidecarSuffix
)

// Claim identifies a release that must be logged. Identity is the payload, not
// the file: one payload may come in several files.
type Claim struct {
	Repository tuf.Digest
	Role       string
	Version    int64
	Payload    tuf.Digest
	Encoding   tuf.Encoding
}

// ClaimFor returns the claim that m is a release of role in repository.
func ClaimFor(repository tuf.Digest, role string, m *tuf.Metadata) Claim {
	return Claim{Repository: repository, Role: role, Version: m.Version, Payload: m.PayloadDigest, Encoding: m.Encoding}
}

// Logged is the statement that a sidecar proved.
type Logged struct {
	Leaf       leaf.Leaf
	Index      int64
	Checkpoint *proofs.SignedCheckpoint
}

// SameEntry reports whether two proofs are of one entry of one log: devices refuse two beside
// one file that are not, and a policy may list several logs.
func (l *Logged) SameEntry(other *Logged) bool {
	return l.Index == other.Index && l.Checkpoint.Origin == other.Checkpoint.Origin
}

// Cosigned returns the time at which half of the cosignatures of a proof were made, or more,
// and the others earlier. It is zero if there are none.
func (l *Logged) Cosigned() time.Time {
	var times []int64
	for _, s := range l.Checkpoint.Cosignatures {
		if s.Time > 0 {
			times = append(times, s.Time)
		}
	}
	if len(times) == 0 {
		return time.Time{}
	}
	slices.Sort(times)
	return time.Unix(times[len(times)/2], 0).UTC()
}

// Newer reports whether a proof of the same entry shows a later state of the log than
// another.
func (l *Logged) Newer(other *Logged) bool {
	return l.Checkpoint.Tree.N >= other.Checkpoint.Tree.N &&
		(l.Cosigned().After(other.Cosigned()) || l.Checkpoint.Tree.N > other.Checkpoint.Tree.N && other.Cosigned().IsZero())
}

// CheckSidecar checks a c2sp.org/tlog-proof@v1 with the leaf as extra data: the
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
	entry, err := leaf.Parse(proof.Extra)
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
	case entry.Repository != claim.Repository:
		return refuse(CodeWrongRepository, nil, "the proof is about repository %v, want %v", entry.Repository, claim.Repository)
	case entry.Role != claim.Role:
		return refuse(CodeBadProof, nil, "the proof is about role %q", entry.Role)
	case entry.Version != claim.Version:
		return refuse(CodeBadProof, nil, "the proof is about version %d, want %d", entry.Version, claim.Version)
	case entry.Payload != claim.Payload:
		return refuse(CodeBadProof, nil, "the proof is about another payload of version %d: %v, want %v", entry.Version, entry.Payload, claim.Payload)
	case entry.Encoding != claim.Encoding:
		return refuse(CodeBadProof, nil, "the proof is about encoding %s, want %s", entry.Encoding, claim.Encoding)
	case entry.Kind != leaf.Release:
		return refuse(CodeEvidence, nil, "version %d is logged as evidence at index %d: the release at index %d has the same version and another payload", entry.Version, proof.Index, entry.Contradicts)
	}
	return &Logged{Leaf: entry, Index: proof.Index, Checkpoint: checkpoint}, nil
}
