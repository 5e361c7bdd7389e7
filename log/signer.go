package log

import "github.com/tuflog/tuflog/proofs"

// Signer signs checkpoints with one key: a *proofs.Signer, or one whose key is
// elsewhere.
type Signer interface {
	// Key returns the public key, of a type for logs; its name is the log's
	// origin.
	Key() proofs.Key
	// Sign signs a checkpoint as the time unix (POSIX seconds), which keys of
	// some types ignore.
	Sign(text string, unix int64) (proofs.Signature, error)
}
