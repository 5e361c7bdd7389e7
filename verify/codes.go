package verify

// The codes of a device: why it refuses an update (docs/refusals.md says what they mean). Those
// with which a log refuses a file are in admit/codes.go, and those of its HTTP API in
// log/api/codes.go (docs/api.md).

import (
	"fmt"

	"github.com/tuflog/tuflog/tuf"
)

// Code is a stable word for the reason of a refusal.
type Code string

// The refusal codes of a device. An outage is never reported as an attack: a file that
// could not be fetched, or of which only a part came, is always CodeNetwork.
const (
	CodeNotLogged       Code = "not-logged"       // the file has no proof
	CodeBadProof        Code = "bad-proof"        // the proof does not parse, or does not prove this file
	CodeQuorumShort     Code = "quorum-short"     // too few witnesses cosigned the checkpoint
	CodeWrongLog        Code = "wrong-log"        // the checkpoint is not signed by a log of the policy
	CodeForked          Code = "forked-log"       // the log and its witnesses have shown this device two histories
	CodeWrongRepository Code = "wrong-repository" // the proof is about another repository
	CodeEvidence        Code = "evidence"         // the file is logged as evidence against its signer
	CodeUnbound         Code = "unbound"          // logged beside a snapshot without its hash, which the install policy requires
	CodeRollback        Code = "rollback"         // older than the version that this device has seen
	CodeSecondPayload   Code = "second-payload"   // another payload under a version that this device has accepted
	CodeExpired         Code = "expired"
	CodeTooYoung        Code = "too-young"          // it has not been in the log for min_age
	CodeQuarantined     Code = "quarantined"        // a root, or the next trust policy, that has not been in the log for root_quarantine
	CodeNeedsApproval   Code = "needs-approval"     // the device's owner has not approved of it
	CodeDowngrade       Code = "evidence-downgrade" // the policies require less than those under which releases were accepted
	CodeBadMetadata     Code = "bad-metadata"       // not valid in the TUF workflow: syntax, signatures, hashes
	CodeNotListed       Code = "not-listed"         // no role that is trusted for a target lists it
	CodeNetwork         Code = "network"            // it could not be fetched, or not the whole of it
	CodeSetting         Code = "setting"            // the trust policy and the install policy do not fit together, or no update can meet them
	CodeDevice          Code = "device"             // the device's own files cannot be read or written, or are damaged
)

// Codes returns all codes. docs/refusals.md says of each what it means and what to do.
func Codes() []Code {
	return []Code{
		CodeNotLogged, CodeBadProof, CodeQuorumShort, CodeWrongLog, CodeForked, CodeWrongRepository, CodeEvidence, CodeUnbound,
		CodeRollback, CodeSecondPayload, CodeExpired, CodeTooYoung, CodeQuarantined, CodeNeedsApproval, CodeDowngrade,
		CodeBadMetadata, CodeNotListed, CodeNetwork, CodeSetting, CodeDevice,
	}
}

// Refusal is the error of an update that a device did not take: of a file that it did not
// accept, or because of the device itself. It wraps the cause, if any.
type Refusal struct {
	Code   Code
	Role   string // "" if it is not about one role
	Detail string // the fault, with the wrong value
	Err    error
}

func (r *Refusal) Error() string {
	msg := string(r.Code) + ": "
	if r.Role != "" {
		msg += tuf.Word(r.Role) + ": "
	}
	return msg + r.Text()
}

// Text returns what is wrong, without code and role.
func (r *Refusal) Text() string {
	switch {
	case r.Err == nil:
		return r.Detail
	case r.Detail == "":
		return r.Err.Error()
	}
	return r.Detail + ": " + r.Err.Error()
}

func (r *Refusal) Unwrap() error { return r.Err }

func refusal(code Code, role string, err error, format string, args ...any) error {
	return &Refusal{Code: code, Role: role, Detail: fmt.Sprintf(format, args...), Err: err}
}
