package admit

// The codes of a log's rules: why a file may not enter a log. Those of a log's HTTP API, these
// among them, are in log/api/codes.go (docs/api.md says what they mean); those with which a
// device refuses an update are in verify/codes.go (docs/refusals.md).

import (
	"errors"
	"fmt"
)

// Reasons why a file is not admitted, as stable words.
const (
	RefusedMalformed      = "malformed"       // the file does not parse strictly, or has too many unsigned bytes
	RefusedWrongType      = "wrong-type"      // its _type is not the role's
	RefusedEncoding       = "encoding"        // its encoding is not the repository's
	RefusedThreshold      = "threshold"       // too few keys of the role signed it
	RefusedSuperseded     = "superseded"      // only keys that the role no longer has signed it
	RefusedNoParent       = "no-parent"       // a root without the root before it in the log
	RefusedNotDelegated   = "not-delegated"   // no current release delegates to the role
	RefusedSnapshotNeeded = "snapshot-needed" // no valid snapshot beside it lists it
	RefusedNotCovered     = "not-covered"     // it lists paths that are not delegated to the role
	RefusedSecondPayload  = "second-payload"  // another payload of this version stands, and not both are bound
	RefusedRoleName       = "role-name"       // the role's name is empty, not UTF-8, has a NUL or is too long
)

// Refused is the error of a file that is not admitted.
type Refused struct {
	Code   string // one of the Refused… constants
	Detail string // a sentence with the wrong value
}

func (r *Refused) Error() string { return r.Code + ": " + r.Detail }

func refused(code, format string, args ...any) error {
	return &Refused{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// IsRefused reports whether err is a verdict on the file rather than a fault of
// the repository's own state.
func IsRefused(err error) bool {
	var r *Refused
	return errors.As(err, &r)
}
