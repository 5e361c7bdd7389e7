package admit

import (
	"errors"
	"fmt"
)

// Reasons why a file is not admitted, as stable words.
const (
	RefusedMalformed      = "malformed"       // the file does not parse strictly, or has too much that nobody signed
	RefusedWrongType      = "wrong-type"      // its _type is not the role's
	RefusedEncoding       = "encoding"        // its encoding is not the repository's
	RefusedThreshold      = "threshold"       // too few keys of the role signed it
	RefusedSuperseded     = "superseded"      // only keys that the role no longer has signed it
	RefusedNoParent       = "no-parent"       // a root for which the root before it is not logged
	RefusedNotDelegated   = "not-delegated"   // nobody delegates to the role
	RefusedSnapshotNeeded = "snapshot-needed" // no valid snapshot beside it lists it
	RefusedNotCovered     = "not-covered"     // it lists paths that are not delegated to the role
	RefusedSecondPayload  = "second-payload"  // another payload of this version stands, and not both are bound
	RefusedRoleName       = "role-name"       // the role's name is empty, not UTF-8, has a NUL or is too long
)

// Refused is why a file is not admitted.
type Refused struct {
	Code   string // one of the Refused… constants
	Detail string // a sentence with the value that was wrong
}

func (r *Refused) Error() string { return r.Code + ": " + r.Detail }

func refused(code, format string, args ...any) error {
	return &Refused{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// IsRefused reports whether err is a verdict on the file rather than trouble
// with the repository's own state.
func IsRefused(err error) bool {
	var r *Refused
	return errors.As(err, &r)
}
