package proofs

import "errors"

// The verdicts that callers tell apart.
var (
	// ErrNoSignature means that a note carries no signature by the key asked for.
	ErrNoSignature = errors.New("no signature by this key")
	// ErrBadSignature means that a signature carries the name and id of a known
	// key and does not verify. It makes the whole note invalid.
	ErrBadSignature = errors.New("signature does not verify")
	// ErrUnknownLog means that a checkpoint carries no signature by a known log
	// key whose name is the checkpoint's origin.
	ErrUnknownLog = errors.New("not signed by a known log")
	// ErrExtensions means that a checkpoint has extension lines and that its log
	// signed it with ML-DSA-44 alone, which does not cover them.
	ErrExtensions = errors.New("no signature of the log covers the extension lines")
	// ErrEmptyRoot means that a checkpoint is well formed but claims a root for
	// the empty tree that is not EmptyTree's.
	ErrEmptyRoot = errors.New("wrong root for an empty tree")
	// ErrInclusion means that a proof does not show the entry in the tree.
	ErrInclusion = errors.New("inclusion proof does not verify")
	// ErrConsistency means that a proof does not show the newer tree to begin with
	// the older one.
	ErrConsistency = errors.New("consistency proof does not verify")
)
