package log

import (
	"context"

	"github.com/tuflog/tuflog/proofs"
)

// Witnesses gathers cosignatures.
type Witnesses interface {
	// Gather returns the checkpoint in signed, a note with the log's own
	// signatures, with cosignatures that meet the log's policy. consistency
	// returns the proof from a smaller tree to the checkpoint's; it may be called
	// from other goroutines and after Gather has returned. Cosignatures that have
	// arrived when it fails count when it is called again with the same
	// checkpoint, so the publisher calls it until it has the quorum. An error
	// with a method Contradicted() bool that returns true means that a witness
	// knows another tree; one with a method Paced() time.Duration that is not 0
	// means that a quorum may be asked after that time, and that nothing else is in
	// the way.
	Gather(ctx context.Context, signed []byte, cp proofs.Checkpoint, consistency func(ctx context.Context, oldSize int64) ([]proofs.Hash, error)) ([]byte, error)
	// Allows returns nil if a quorum may be asked now within what was declared to the
	// witnesses: for a new checkpoint, or to refresh the cosignatures of the last one.
	// Otherwise the error is as Gather's.
	Allows(refresh bool) error
	// Newest returns, for a log, the checkpoints that witnesses show as the
	// newest they have cosigned. They are not verified.
	Newest(ctx context.Context, origin string) [][]byte
}
