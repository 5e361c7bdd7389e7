package rekor

import (
	"context"
	"errors"
	"fmt"
)

var (
	// ErrUnavailable means that the instance did not answer, or not yet: try again later.
	ErrUnavailable = errors.New("rekor is not available")
	// ErrRefused means that the instance does not take the entry, or does not offer what was
	// asked of it.
	ErrRefused = errors.New("rekor refuses")
	// ErrNotThere is an ErrRefused: nothing answers at the path that was asked for. Most likely that
	// is another version of Rekor, or its tiles are elsewhere.
	ErrNotThere = fmt.Errorf("%w: nothing is at that path", ErrRefused)
	// ErrMisbehaved means that the instance answered what no Rekor may answer, or what none of
	// its keys signed.
	ErrMisbehaved = errors.New("rekor misbehaves")
	// ErrUnknownKey means that none of the trusted keys of Rekor signed: perhaps its key was
	// rotated.
	ErrUnknownKey = errors.New("signed by none of rekor's keys that are trusted")
	// ErrTooMany means that a v1 instance lists more than MaxListed entries under a key, of which
	// none was read. Anyone can make entries.
	ErrTooMany = fmt.Errorf("its index lists more than %d entries under the log's key, more than are read", MaxListed)
	// errInternal is an ErrUnavailable: the instance says that it has failed, perhaps at this request alone.
	errInternal = fmt.Errorf("%w: it has failed", ErrUnavailable)
	// ErrNoPublicKey means that the instance has no public key to ask for.
	ErrNoPublicKey = errors.New("rekor v2 does not serve its public key")
)

// ForkError means that Rekor signed two trees, and that the larger one does not begin with the
// smaller one: by its tiles (v2), or by the proof that it answers (v1). It is ErrMisbehaved.
type ForkError struct {
	Older, Newer string // the two checkpoints, signed notes
	Err          error
}

func (e *ForkError) Error() string {
	return fmt.Sprintf("rekor forked: one tree that it signed does not begin with another: %v", e.Err)
}

// Unwrap returns ErrMisbehaved and the inner error.
func (e *ForkError) Unwrap() []error { return []error{ErrMisbehaved, e.Err} }

// OriginError means that a checkpoint that one of the trusted keys signed has another origin than
// Config.Origin: most likely the configuration means another instance, or the instance calls
// itself by another name than that of its host. It is not ErrMisbehaved.
type OriginError struct{ Have, Want string }

func (e *OriginError) Error() string {
	return fmt.Sprintf("its checkpoints, which a trusted key signed, have the origin %.100q, and %.100q is expected", e.Have, e.Want)
}

// misbehaved marks an error about an answer as ErrMisbehaved, unless it is of another kind.
func misbehaved(err error) error {
	for _, kind := range []error{ErrUnavailable, ErrRefused, ErrMisbehaved, ErrUnknownKey, context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, kind) {
			return err
		}
	}
	if errors.As(err, new(*OriginError)) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrMisbehaved, err)
}
