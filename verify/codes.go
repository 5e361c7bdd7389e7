package verify

import (
	"fmt"
)

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

func refusal(code Code, role string, err error, format string, args ...any) error {
	return &Refusal{Code: code, Role: role, Detail: fmt.Sprintf(format, args...), Err: err}
}
