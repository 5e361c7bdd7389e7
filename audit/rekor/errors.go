package rekor

import (
	"errors"
	"fmt"
)

var errNotBuilt = errors.New("not built yet")

var (
	// ErrUnavailable means that the instance did not answer, or not yet: try again later.
	ErrUnavailable = errors.New("rekor is not available")
	// ErrRefused means that the instance does not take the entry.
	ErrRefused = errors.New("rekor refuses the entry")
	// ErrMisbehaved means that the instance answered what no Rekor may answer, or what none of
	// its keys signed.
	ErrMisbehaved = errors.New("rekor misbehaves")
	// ErrUnknownKey means that none of the trusted keys of Rekor signed: perhaps its key was
	// rotated.
	ErrUnknownKey = errors.New("signed by none of rekor's keys that are trusted")
	// ErrNoPublicKey means that the instance has no public key to ask for.
	ErrNoPublicKey = errors.New("rekor v2 does not serve its public key")
)

// ForkError means that Rekor signed two trees of which neither begins with the other. The two
// checkpoints prove it.
type ForkError struct {
	Older, Newer string // signed notes
	Err          error
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("rekor forked: its tree does not begin with one that it signed before: %v", e.Err)
}

// Unwrap returns ErrMisbehaved and the inner error.
func (e *ForkError) Unwrap() []error { return []error{ErrMisbehaved, e.Err} }
