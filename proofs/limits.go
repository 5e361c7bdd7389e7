package proofs

// Limits of the parsers. c2sp.org/signed-note asks for at least 16 signatures, of up
// to nearly 5 kB each.
const (
	MaxNoteSize     = 256 << 10       // bytes in a note, or in a list of signature lines
	MaxSignatures   = 128             // signature lines
	MaxCosignerName = 255             // bytes of a key name, and of an origin, in an ML-DSA-44 cosignature
	MaxPolicySize   = 256 << 10       // bytes
	MaxProofSize    = 2 * MaxNoteSize // bytes: a note, and as much again for extra data and hashes
	MaxProofHashes  = 63              // of an inclusion proof in a tree of up to 2^63-1 entries
)
