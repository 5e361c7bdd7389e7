package client

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tuflog/tuflog/verify"
)

// The codes with which gates refuse, beside those of a device (verify.Codes), which mean the
// same as there. docs/gate.md says what to do.
const (
	CodeMalformed    verify.Code = "malformed"          // the request cannot be read
	CodeTooLarge     verify.Code = "too-large"          // the staged repository has more bytes or files than the gate reads
	CodeUnknown      verify.Code = "unknown-repository" // the gate does not sign for it
	CodeNotAllowed   verify.Code = "not-allowed"        // a URL that the gate does not fetch from
	CodeNotInRole    verify.Code = "not-in-role"        // the root does not name the gate's key for the timestamp
	CodeLifetime     verify.Code = "lifetime"           // the timestamp would live for longer than the gate allows
	CodeVersionJump  verify.Code = "version-jump"       // its version is too far above the last one
	CodeTooManyRoles verify.Code = "too-many-roles"
	CodeInDoubt      verify.Code = "in-doubt" // the gate has started, and nobody has answered yet what was signed last
	CodeLimited      verify.Code = "limited"  // too many requests
	CodeBusy         verify.Code = "busy"     // too many requests at once
	CodeInternal     verify.Code = "internal" // the gate's own fault: its disk, its key
)

// Codes returns the codes of gates, without those of a device.
func Codes() []verify.Code {
	return []verify.Code{
		CodeMalformed, CodeTooLarge, CodeUnknown, CodeNotAllowed, CodeNotInRole, CodeLifetime, CodeVersionJump,
		CodeTooManyRoles, CodeInDoubt, CodeLimited, CodeBusy, CodeInternal,
	}
}

// StatusOf returns the HTTP status of a refusal with a code.
func StatusOf(code verify.Code) int {
	switch code {
	case CodeMalformed:
		return http.StatusBadRequest
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeUnknown:
		return http.StatusNotFound
	case CodeNotAllowed:
		return http.StatusForbidden
	case CodeLimited:
		return http.StatusTooManyRequests
	case CodeBusy, CodeInDoubt:
		return http.StatusServiceUnavailable
	case CodeInternal, verify.CodeDevice, verify.CodeSetting, verify.CodeDowngrade:
		return http.StatusInternalServerError
	case verify.CodeNetwork:
		return http.StatusBadGateway
	case verify.CodeRollback, verify.CodeSecondPayload:
		return http.StatusConflict
	}
	return http.StatusUnprocessableEntity
}

// Passing reports whether an error may be gone without anybody doing anything: the gate, or
// what it needs, is not reachable now, or it has too much to do.
func Passing(err error) bool {
	var r *Refused
	if !errors.As(err, &r) {
		return true
	}
	switch r.Code {
	case CodeInDoubt, CodeLimited, CodeBusy, CodeInternal, verify.CodeNetwork, verify.CodeTooYoung, verify.CodeQuarantined:
		return true
	}
	return false
}

// Refused is the answer of a gate that does not sign.
type Refused struct {
	Code   verify.Code
	Role   string        // of the file that was refused; empty: it is not about one
	Detail string        // the gate's words
	After  time.Duration // when to ask again; 0: it does not say
}

func (r *Refused) Error() string {
	if r.Role == "" {
		return fmt.Sprintf("%s: %s", r.Code, r.Detail)
	}
	return fmt.Sprintf("%s: %s: %s", r.Code, r.Role, r.Detail)
}
