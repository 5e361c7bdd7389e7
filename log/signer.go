package log

import "github.com/tuflog/tuflog/proofs"

// Signer signs checkpoints with one key. It is a *proofs.Signer, or keeps its
// key outside the process.
type Signer interface {
	// Key returns the public key. Its type is one for logs and its name is the
	// log's origin.
	Key() proofs.Key
	// Sign signs a checkpoint at the time unix (POSIX seconds), which keys of
	// some types ignore.
	Sign(text string, unix int64) (proofs.Signature, error)
}
